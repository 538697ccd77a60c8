"""Processes that decode pictures: one that dies costs its own group, and the next work starts others."""

import os
import signal

import fsspec.config
import pytest

from curation.pages.workers import Workers
from manifests import storage


def double(numbers: list[int], is_careful: bool) -> list[int]:
    if not is_careful and 13 in numbers:
        os.kill(os.getpid(), signal.SIGKILL)
    return [2 * number for number in numbers]


def options(_: str, is_careful: bool) -> object:
    return fsspec.config.conf.get("s3", {}).get("endpoint_url")


def test_results_come_in_order_from_processes_and_from_this_one():
    groups = [[n, n + 1] for n in range(0, 12, 2)]
    wanted = [(group, [2 * n for n in group]) for group in groups]
    for processes in (0, 2):
        with Workers(processes) as workers:
            assert list(workers.map(double, groups)) == wanted


def test_a_process_that_dies_costs_its_group_and_the_next_work_is_done():
    with Workers(1) as workers:
        found = {str(group): result for group, result in workers.map(double, [[1], [13], [2]])}
        assert found["[1]"] == [2] and found["[13]"] is None
        assert list(workers.map(double, [[3]])) == [([3], [6])]
    assert double([13], True) == [26]


def test_processes_know_the_storages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(fsspec.config.conf, "s3", {})
    storage.configure({"s3": {"endpoint_url": "http://127.0.0.1:1"}})
    with Workers(1) as workers:
        assert list(workers.map(options, ["x"])) == [("x", "http://127.0.0.1:1")]
