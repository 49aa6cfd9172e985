"""Numbers of a run: the log they are written to and read from."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, SupportsFloat

from tooluse_gym.json_lines import drop_torn_line

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOG_NAME = "metrics.jsonl"
_RESERVED = ("stage", "update", "seconds")


@dataclass(frozen=True)
class Record:
    """Values measured after ``update`` of ``stage``, ``seconds`` into the run."""

    stage: str
    update: int
    seconds: float
    values: Mapping[str, float] = field(default_factory=dict)


class RunLog:
    """Appends to ``metrics.jsonl`` of a run's folder, and to TensorBoard beside it.

    A line is one flat JSON object: stage, update, seconds, and the values by name. JSON has no word for what is not
    finite: ``"nan"``, ``"inf"`` and ``"-inf"`` stand there as text, which ``float`` reads. A line counts once its line
    break is written. A run that goes on appends; ``seconds`` goes on too, without the time in between.

    With ``position``, a run that goes on from a checkpoint first drops what was written after it, in both places:
    :meth:`position` said then how far they were. Where that is not known (None) nothing is dropped.

    With ``folder=None`` nothing is written: for the ranks other than 0.
    """

    def __init__(
        self,
        folder: str | Path | None,
        tensorboard: bool = True,
        position: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._clock = clock
        self._path: Path | None = None
        self._writer: SummaryWriter | None = None
        self._begin = clock()
        if folder is None:
            return
        self._folder = Path(folder)
        self._path = self._folder / LOG_NAME
        self._folder.mkdir(parents=True, exist_ok=True)
        if position is not None:
            for path in self._files():
                _cut(path, position.get(str(path.relative_to(self._folder)), 0))
        if self._path.exists():
            drop_torn_line(self._path)
            self._begin -= max((record.seconds for record in _lines(self._path)), default=0.0)
        self._file = self._path.open("a", encoding="utf-8")
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder / "tensorboard"))

    @property
    def seconds(self) -> float:
        """Time spent on the run so far."""
        return self._clock() - self._begin

    def write(self, stage: str, update: int, values: Mapping[str, SupportsFloat]) -> Record:
        """Write ``values`` (numbers or tensors of one element) down; TensorBoard shows them as ``stage/name``."""
        taken = [name for name in values if name in _RESERVED]
        if taken:
            raise ValueError(f"a value cannot be called {taken[0]!r}")
        record = Record(stage, update, round(self.seconds, 3), {name: float(value) for name, value in values.items()})
        if self._path is not None:
            plain = {name: value if math.isfinite(value) else str(value) for name, value in record.values.items()}
            line = {"stage": stage, "update": update, "seconds": record.seconds, **plain}
            try:
                self._file.write(json.dumps(line, allow_nan=False) + "\n")
                self._file.flush()
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self._path)) from error
        if self._writer is not None:
            for name, value in record.values.items():
                self._writer.add_scalar(f"{stage}/{name}", value, update)
        return record

    def position(self) -> dict[str, int]:
        """How many bytes there are of each file, by its path in the run's folder, all of them on the disk."""
        if self._path is None:
            return {}
        if self._writer is not None:
            self._writer.flush()
        found = {}
        for path in self._files():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                found[str(path.relative_to(self._folder))] = file.seek(0, os.SEEK_END)
        return found

    def _files(self) -> list[Path]:
        return [self._folder / LOG_NAME, *sorted((self._folder / "tensorboard").glob("events.*"))]

    def close(self) -> None:
        if self._path is not None:
            self._file.close()
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_log(folder: str | Path) -> list[Record]:
    """The records of a run's folder, one per stage and update, in the order they first appeared.

    Where an update was done again, because a run resumed from a checkpoint before it, its last values hold.

    Raises:
        ValueError: a line is not a record; the message names file and line. A torn last line is passed over.
    """
    merged: dict[tuple[str, int], Record] = {}
    for record in _lines(Path(folder) / LOG_NAME):
        key = record.stage, record.update
        earlier = merged[key].values if key in merged else {}
        merged[key] = Record(record.stage, record.update, record.seconds, {**earlier, **record.values})
    return list(merged.values())


def _lines(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                return
            try:
                values = json.loads(line)
                stage, update, seconds = (values.pop(name) for name in _RESERVED)
                record = Record(
                    str(stage), int(update), float(seconds), {name: float(value) for name, value in values.items()}
                )
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(f"{path}:{number}: not a record ({type(error).__name__}: {error})") from error
            yield record


def _cut(path: Path, length: int) -> None:
    """Leave the first ``length`` bytes of a file; of none, no file."""
    if length == 0:
        path.unlink(missing_ok=True)
    elif path.exists() and path.stat().st_size > length:
        os.truncate(path, length)
