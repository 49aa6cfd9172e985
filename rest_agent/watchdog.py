"""Ends a run that hangs: a rank that waits for ever in a collective operation is noticed by nobody else.

Every rank watches itself. Whoever makes progress says so with :func:`beat`; a rank that has not for too long writes
down where all of its threads stand, and ends with an exit status on which the launcher ends the other ranks. It cannot
save, as saving is a collective operation too: the run goes on from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import threading
import time
from pathlib import Path
from types import TracebackType

EXIT_STATUS = 124  # as that of timeout(1)
_STDERR = 2  # the file descriptor: sys.stderr may be something else
_last_beat = time.monotonic()


def beat() -> None:
    """This process goes on. Cheap enough for every forward pass."""
    global _last_beat
    _last_beat = time.monotonic()


class Watchdog:
    """Watches this process while its ``with`` block lasts.

    The rank that hangs is often not the first to run out of time: the others began to wait for it before it stopped.
    So the first writes ``hang-TIME-rank0.txt`` into the run's folder and waits a little; ranks that find the file of
    another write their own. Should Python itself stand still, as where C code does not let go of its lock, the stacks
    go to stderr alone, a little later.
    """

    def __init__(self, minutes: float, folder: Path, rank: int):
        """``minutes``: the longest that may pass without a beat; 0: for ever."""
        self._seconds = 60 * minutes
        self._pause = min(5.0, self._seconds / 10)
        self._folder, self._rank = folder, rank
        self._earlier = set(self._reports())
        self._written = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        beat()
        if self._seconds:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._seconds:
            self._thread.join()
            faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while not self._over.wait(self._pause):
            # Kept from going off for as long as Python runs. Its thread needs no lock of Python's.
            faulthandler.dump_traceback_later(self._seconds + 10 * self._pause, exit=True, file=_STDERR)
            idle = time.monotonic() - _last_beat
            if idle > self._seconds:
                self._write(
                    f"no progress for {idle / 60:.3g} minutes (run.hang_minutes). A run that hangs cannot save; "
                    f"continue from its last checkpoint: train_agent.py --resume {self._folder}"
                )
                time.sleep(3 * self._pause)
                os._exit(EXIT_STATUS)
            if set(self._reports()) - self._earlier:
                self._write(f"another rank hangs; this one made progress {idle:.0f} s ago")

    def _reports(self) -> list[Path]:
        return list(self._folder.glob("hang-*.txt"))

    def _write(self, reason: str) -> None:
        """Where every thread stands, on stderr and in the run's folder; only once."""
        if self._written:
            return
        self._written = True
        head = f"rank {self._rank}: {reason}\n"
        name = f"hang-{time.strftime('%Y%m%d-%H%M%S')}-rank{self._rank}.txt"
        with contextlib.suppress(OSError), (self._folder / name).open("w") as file:  # a full disk must not stop us
            file.write(head)
            file.flush()
            faulthandler.dump_traceback(file)
        os.write(_STDERR, head.encode())
        faulthandler.dump_traceback(_STDERR)
