"""Threads that step environments: nobody waits for a slow one, and one that hangs is replaced."""

from __future__ import annotations

import threading
import time
from functools import partial
from operator import truediv
from typing import Any

import pytest

from rest_agent.workers import Job, StepTimeout, Workers


def _wait(workers: Workers, job: Job) -> Any:
    until = time.monotonic() + 20
    while not workers.ready(job):
        assert time.monotonic() < until
        time.sleep(0.001)
    return job.result()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_and_exceptions_come_back(count: int) -> None:
    workers = Workers(count)
    jobs = [workers.submit(partial(truediv, 12, number)) for number in (3, 0, 4)]
    assert _wait(workers, jobs[0]) == 4
    with pytest.raises(ZeroDivisionError):
        _wait(workers, jobs[1])
    assert _wait(workers, jobs[2]) == 3


def test_jobs_run_beside_one_another() -> None:
    """Each waits for the other, so they would never end one after the other."""
    workers, barrier = Workers(2), threading.Barrier(2, timeout=20)
    jobs = [workers.submit(barrier.wait) for _ in range(2)]
    assert sorted(_wait(workers, job) for job in jobs) == [0, 1]


def test_a_job_that_takes_too_long_is_given_up_and_its_thread_replaced() -> None:
    workers, release = Workers(1, seconds=0.05), threading.Event()
    hung, queued = workers.submit(lambda: release.wait(20)), workers.submit(lambda: "done")
    with pytest.raises(StepTimeout, match=r"more than 0\.05 s"):
        _wait(workers, hung)
    assert _wait(workers, queued) == "done"  # waiting for the thread did not count
    before = threading.active_count()
    release.set()
    assert hung._finished.wait(20)
    until = time.monotonic() + 20
    while threading.active_count() >= before and time.monotonic() < until:
        time.sleep(0.001)
    assert threading.active_count() == before - 1
