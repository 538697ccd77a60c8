"""A lock for many or for one: never both, and free in a process that is forked meanwhile."""

import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from curation.pictures.shared_lock import SharedLock

WAIT_SECONDS = 30


def test_many_share_it_at_the_same_time():
    lock, together = SharedLock(), threading.Barrier(3, timeout=WAIT_SECONDS)

    def share(_):
        with lock.shared():
            together.wait()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(share, range(3)))


def test_one_is_alone():
    lock, inside, seen = SharedLock(), [], []

    def enter(number):
        with lock.alone() if number % 5 == 0 else lock.shared():
            inside.append(number)
            seen.append(tuple(inside))
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, range(2000)))
    assert not [each for each in seen if len(each) > 1 and any(number % 5 == 0 for number in each)]


def test_an_error_frees_it():
    lock = SharedLock()
    for enter in (lock.shared, lock.alone):
        try:
            with enter():
                raise ValueError
        except ValueError:
            pass
    with lock.alone():
        pass


def test_a_forked_process_gets_a_free_one():
    lock = SharedLock()

    def enter() -> None:
        with lock.alone():
            os._exit(7)

    with lock.alone():
        child = multiprocessing.get_context("fork").Process(target=enter)
        child.start()
        child.join(WAIT_SECONDS)
    assert child.exitcode == 7
