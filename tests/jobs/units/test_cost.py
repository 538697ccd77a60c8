"""The account of a run: phases follow each other without a gap, and nothing counts twice."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.units.cost import EARLIER_RUNS, PLANNING, STARTING, Account, process_seconds
from manifests.format.cost import UNITS
from tests.support.burning import burn, burn_in_child

seconds = st.integers(0, 1_000).map(lambda n: n / 8)  # sums of eighths are exact
NONE_BEFORE = {"wall_seconds": 0.0, "earlier_seconds": 0.0, "unit_seconds": 0.0}


class Processes:
    """Processes whose processor time is set by hand, next to those of this machine."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[float, float]] = {}

    def __call__(self) -> dict[str, tuple[float, float]]:
        return self.seen

    def use(self, name: str, more: float) -> None:
        first, last = self.seen.get(name, (0.0, 0.0))
        self.seen[name] = (first, last + more)


def account_of(*sources: Processes, from_start: bool = True) -> Account:
    """Return an account of these processes and no other."""
    account = Account()
    account._sources.clear()
    for source in sources:
        account.include(source, from_start=from_start)
    return account


uses = st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["jvm", "worker 1", "worker 2"]), seconds)


@given(st.lists(uses, max_size=20))
def test_each_second_belongs_to_the_phase_in_which_it_was_used(used) -> None:
    some = Processes()
    account = account_of(some)
    expected: dict[str, float] = {}
    for phase, process, more in used:
        account.begin(phase)
        some.use(process, more)
        expected[phase] = expected.get(phase, 0.0) + more
    spent = account.taken(**NONE_BEFORE)
    assert {name: n for name, n in spent.phases.items() if n} == {name: n for name, n in expected.items() if n}


@given(st.lists(st.lists(uses, max_size=5), max_size=5))
def test_stages_add_up_to_what_all_processes_used(stages) -> None:
    some = Processes()
    account = account_of(some)
    total = 0.0
    for used in stages:
        for phase, process, more in used:
            account.begin(phase)
            some.use(process, more)
        spent = account.taken(**NONE_BEFORE)
        total += sum(spent.phases.values()) + spent.starting_seconds
    assert total == sum(more for used in stages for _, _, more in used)


def test_a_process_that_two_sources_see_counts_once_and_one_that_ended_stays_counted() -> None:
    driver, workers = Processes(), Processes()
    account = account_of(driver, workers)
    driver.use("jvm", 4.0)
    driver.use("worker", 1.0)
    workers.use("worker", 3.0)
    account.begin("writing")
    driver.seen.clear()
    account.begin("committing")
    spent = account.taken(**NONE_BEFORE)
    assert spent.starting_seconds == 7.0
    assert not any(spent.phases.values())


def test_of_a_session_that_existed_only_what_it_uses_from_now_on_counts() -> None:
    some = Processes()
    some.use("jvm", 100.0)
    account = account_of(some, from_start=False)
    some.use("jvm", 1.0)
    some.seen["an executor's jvm, seen later"] = (50.0, 52.0)
    account.begin(PLANNING)
    assert account.taken(**NONE_BEFORE).starting_seconds == 3.0


def test_units_of_earlier_runs_cost_what_their_receipts_say() -> None:
    spent = account_of().taken(wall_seconds=1.0, earlier_seconds=7.0, unit_seconds=5.0)
    assert spent.phases.get(EARLIER_RUNS) == 7.0
    assert spent.phases.get(UNITS, 0.0) == 0.0


def test_where_workers_cannot_be_seen_receipts_say_what_units_cost() -> None:
    account = account_of()
    account.workers_are_counted = False
    assert account.taken(wall_seconds=1.0, earlier_seconds=0.0, unit_seconds=5.0).phases[UNITS] == 5.0


@pytest.mark.parametrize("do", [burn, burn_in_child])
def test_a_process_counts_with_children_that_it_waited_for(do) -> None:
    account, before = Account(), process_seconds()
    account.begin("burning")
    do(0.5)
    assert process_seconds() - before >= 0.5
    spent = account.taken(**NONE_BEFORE)
    assert spent.phases["burning"] >= 0.48  # the kernel shows other processes hundredths of a second


def test_a_command_counts_from_its_start() -> None:
    account = Account(from_start=True)
    account.begin(PLANNING)
    assert account.taken(**NONE_BEFORE).starting_seconds >= sum(os.times()[:2]) / 2
    assert STARTING not in account.taken(**NONE_BEFORE).phases
