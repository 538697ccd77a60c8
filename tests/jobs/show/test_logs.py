"""Logging of the driver and of Python workers: where messages go, at which level, and what they name."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.show import logs
from jobs.units.progress import Reporter
from manifests.errors import InputError
from tests.conftest import TOP

LOG = logging.getLogger("jobs.test_logs")


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    """Put the configuration of logging back after each test."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    for handler in [each for each in root.handlers if each not in before]:
        root.removeHandler(handler)
        handler.close()
    logging.captureWarnings(False)
    for package in logs.PACKAGES:
        logging.getLogger(package).setLevel(logging.NOTSET)
    logs._process.worker_level = logs._process.unit = logs._process.attempt = None


def log_at_each_level() -> None:
    for level in ("debug", "info", "warning", "error"):
        getattr(LOG, level)("an %s message", level)


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [
        (-1, ["curate: an error message"]),
        (0, ["curate: warning: an warning message", "curate: an error message"]),
        (1, ["curate: an info message", "curate: warning: an warning message", "curate: an error message"]),
        (
            2,
            [
                "curate: debug: jobs.test_logs: an debug message",
                "curate: an info message",
                "curate: warning: an warning message",
                "curate: an error message",
            ],
        ),
    ],
)
def test_verbosity_decides_what_stderr_gets(
    verbosity: int, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(verbosity)
    log_at_each_level()
    captured = capsys.readouterr()
    assert captured.err.splitlines() == shown
    assert captured.out == ""


@pytest.mark.parametrize(("verbosity", "lines"), [(-1, 3), (0, 3), (1, 3), (2, 4)])
def test_the_file_gets_info_whatever_stderr_gets(verbosity: int, lines: int, tmp_path: Path) -> None:
    logs.configure(verbosity, str(tmp_path / "run.log"))
    log_at_each_level()
    found = (tmp_path / "run.log").read_text().splitlines()
    assert len(found) == lines
    assert found[-1].endswith("Z ERROR jobs.test_logs: an error message")


def test_a_second_run_appends_to_the_file(tmp_path: Path) -> None:
    for text in ("first", "second"):
        logs.configure(0, str(tmp_path / "run.log"))
        LOG.info(text)
    assert [line.rpartition(" ")[2] for line in (tmp_path / "run.log").read_text().splitlines()] == [
        "first",
        "second",
    ]


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"log file .*a folder, not a file"):
        logs.configure(0, str(tmp_path))
    with pytest.raises(InputError, match=r"log file .*a part of this path is a file"):
        logs.configure(0, str(tmp_path / "file" / "run.log"))
    with pytest.raises(InputError, match=r"log file .*no such file or folder"):
        logs.configure(0, str(tmp_path / "missing" / "run.log"))


def test_other_libraries_are_logged_from_warning_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(-1, str(tmp_path / "run.log"))
    logging.getLogger("urllib3").info("not this")
    logging.getLogger("urllib3").warning("this")
    assert capsys.readouterr().err == ""
    assert "WARNING urllib3: this\n" in (tmp_path / "run.log").read_text()
    assert "not this" not in (tmp_path / "run.log").read_text()


@pytest.mark.parametrize("quiet", [False, True])
def test_what_a_reporter_says_reaches_the_file_and_stderr_at_most_once(
    quiet: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(-1 if quiet else 1, str(tmp_path / "run.log"))
    Reporter(quiet=quiet).say("scan: up to date")
    assert capsys.readouterr().err.count("scan: up to date") == (0 if quiet else 1)
    assert (tmp_path / "run.log").read_text().count("INFO jobs.units.progress: scan: up to date\n") == 1


def test_what_a_quiet_reporter_says_is_shown_with_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    """As with --json into a file and -v: the reporter is quiet, but the person wants to follow."""
    logs.configure(1)
    Reporter(quiet=True).say("scan: up to date")
    assert capsys.readouterr().err == "curate: scan: up to date\n"


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("hunter2", "s3://user:hunter2@host/bucket/00000.tar is missing"),
        ("c0ffee", "https://host/00000.tar?X-Amz-Signature=c0ffee&x=1"),
        ("c0ffee", "https://host/00000.tar?sv=2020&sig=c0ffee"),
    ],
)
def test_secrets_in_addresses_are_redacted(
    secret: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(0, str(tmp_path / "run.log"))
    try:
        raise ValueError(message)
    except ValueError:
        LOG.exception(message)
    for text in (capsys.readouterr().err, (tmp_path / "run.log").read_text()):
        assert "00000.tar" in text
        assert "Traceback" in text
        assert secret not in text


def test_a_driver_names_the_unit_of_each_thread(tmp_path: Path) -> None:
    logs.configure(0, str(tmp_path / "run.log"))
    both = threading.Barrier(2)

    def work(name: str) -> None:
        with logs.unit(name):
            both.wait()
            LOG.info("does %s", name)
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["part-00000", "part-00001"]))
    LOG.info("outside")
    lines = [line.partition(": ")[2] for line in (tmp_path / "run.log").read_text().splitlines()]
    assert sorted(lines[:2]) == [f"unit=part-0000{i} does part-0000{i}" for i in range(2)]
    assert lines[2] == "outside"


def test_workers_log_at_the_level_of_the_driver() -> None:
    logs.configure(-1, None)
    assert logs.worker_level() == logging.ERROR
    logs.configure(2, None)
    assert logs.worker_level() == logging.DEBUG


def test_without_configuration_workers_follow_the_callers(tmp_path: Path) -> None:
    logging.getLogger("jobs").setLevel(logging.INFO)
    assert logs.worker_level() == logging.INFO


def test_a_worker_names_unit_and_attempt() -> None:
    program = (
        "import logging; from threading import Thread; from jobs.show import logs\n"
        "log = logging.getLogger('jobs.units.worker')\n"
        "for attempt in (1, 2):\n"
        "    logs.configure_worker(logging.INFO, attempt)\n"
        "    with logs.unit('part-00012'):\n"
        "        log.info('done'); log.debug('not this')\n"
        "        t = Thread(target=log.info, args=('in a thread',)); t.start(); t.join()\n"
        "log.warning('outside')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=True)
    assert [line.partition("Z ")[2] for line in done.stderr.splitlines()] == [
        "INFO jobs.units.worker: unit=part-00012 attempt=1 done",
        "INFO jobs.units.worker: unit=part-00012 attempt=1 in a thread",
        "INFO jobs.units.worker: unit=part-00012 attempt=2 done",
        "INFO jobs.units.worker: unit=part-00012 attempt=2 in a thread",
        "WARNING jobs.units.worker: attempt=2 outside",
    ]
