"""Where a run starts: its folder, and the checkpoint that it continues from."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rest_agent import checkpoint, engine
from rest_agent.checkpoint import CheckpointError
from rest_agent.config import Config, ConfigError
from rest_agent.config_text import load, to_tree
from rest_agent.folders import AUTO, CHECKPOINTS, CONFIG_NAME, alone_in, new_folder, newest_folder, run_of

Place = tuple[Path, Path | None]
"""A run's folder, and the checkpoint to continue from; None: from the beginning."""


def claim(config: Config, resume: str | None, held: ExitStack) -> Place:
    """The place of a run that ``--resume`` was said to (None: it was not); ``held`` keeps others out of its folder.

    A collective: the first rank decides for all.

    Raises:
        CheckpointError: there is no sound checkpoint where one was asked for.
        ConfigError: another process writes to the folder.
    """
    place: Place | ConfigError | CheckpointError = (Path(), None)
    if engine.is_first():
        try:
            place = _place(config, resume, held)
        except (ConfigError, CheckpointError) as error:
            place = error
    place = engine.broadcast(place)
    if isinstance(place, ConfigError | CheckpointError):
        raise place
    return place


def _place(config: Config, resume: str | None, held: ExitStack) -> Place:
    if resume is None:
        return _new(config, held), None
    folder = newest_folder(config) if resume == AUTO else run_of(Path(resume))
    if folder is None:
        return _new(config, held), None
    held.enter_context(alone_in(folder))
    checkpoints = folder / CHECKPOINTS
    checkpoint.recover(checkpoints)
    if resume == AUTO:
        start, problems = checkpoint.newest(checkpoints)
        _tell(folder, config, start, problems)
        if start is None:  # what is damaged may still be of use to someone; what never was is not
            return (_new(config, held) if problems else folder), None
    else:
        start = checkpoint.latest(checkpoints) if folder == Path(resume) else checkpoint.check(Path(resume))
    checkpoint.stand_at(start)
    return folder, start


def _new(config: Config, held: ExitStack) -> Path:
    folder = new_folder(config)
    held.enter_context(alone_in(folder))
    return folder


def _tell(folder: Path, config: Config, start: Path | None, problems: Sequence[str]) -> None:
    """Say what ``--resume auto`` found, and what the command changes."""
    lines = list(problems)
    if start is None:
        found = "no sound checkpoint is left" if problems else "there is no checkpoint yet"
        lines.append(f"--resume auto: {found} in {folder}; beginning anew")
    else:
        lines.append(f"--resume auto: continuing {start}")
        try:
            before = to_tree(load(folder / CONFIG_NAME))
        except ConfigError as error:
            lines.append(f"{error}; going on with the configuration of this command")
        else:
            lines += [f"--resume auto: {change}" for change in _changes(before, to_tree(config))]
    print(*lines, sep="\n", file=sys.stderr)


def _changes(before: Any, after: Any, key: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            yield from _changes(before.get(name), after.get(name), f"{key}.{name}" if key else name)
    elif before != after:
        yield f"{key} was {before!r}, and is {after!r} now"
