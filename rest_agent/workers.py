"""Environments that step in threads: the decode loop goes on while a slow one is at work.

Threads, not processes, as the state of an episode then stays where it is recorded. They help where a step waits (for a
network, a disk, a subprocess); Python code that computes is no faster in them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any


class StepTimeout(Exception):  # noqa: N818 (it says what happened)
    """An environment took longer for a step than it may."""


class Job:
    """A call that runs in a worker, or has run."""

    def __init__(self, call: Callable[[], Any]):
        self._call = call
        self._result: Any = None
        self._error: Exception | None = None
        self._finished = threading.Event()
        self.given_up = False
        self.began: float | None = None
        """When a worker took it up, by the monotonic clock."""

    def run(self) -> None:
        self.began = time.monotonic()
        try:
            self._result = self._call()
        except Exception as error:  # handed to whoever asks for the result
            self._error = error
        self._finished.set()

    @property
    def finished(self) -> bool:
        return self._finished.is_set()

    def result(self) -> Any:
        """What the call returned, once it is finished; raises what the call raised."""
        if self._error is not None:
            raise self._error
        return self._result


class Workers:
    """``count`` threads that carry out jobs in order; with 0, whoever submits a job does it.

    A job that takes too long cannot be stopped. It is given up: a new thread takes the place of the one that it holds,
    which ends with it, or with the process.
    """

    def __init__(self, count: int, seconds: float | None = None):
        """``seconds``: how long a job may run, not counting the time that it waits for a thread."""
        self._seconds = seconds
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._count = count
        for _ in range(count):
            self._hire()

    def submit(self, call: Callable[[], Any]) -> Job:
        job = Job(call)
        if self._count:
            self._jobs.put(job)
        else:
            job.run()
        return job

    def ready(self, job: Job) -> bool:
        """Whether the job is finished.

        Raises:
            StepTimeout: it has run too long, and was given up.
        """
        if job.finished:
            return True
        if self._seconds is not None and job.began is not None and time.monotonic() - job.began > self._seconds:
            job.given_up = True
            self._hire()
            raise StepTimeout(f"a step of the environment took more than {self._seconds:g} s")
        return False

    def _hire(self) -> None:
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        job: Job | None = None
        while job is None or not job.given_up:
            job = self._jobs.get()
            job.run()
