"""Where runs lie: a folder for each, written by one process at a time.

Needs no PyTorch, so that the command can tell mistakes before it is imported.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rest_agent.config import Config, ConfigError

AUTO = "auto"
CONFIG_NAME = "config.yaml"
CHECKPOINTS = "checkpoints"
_LOCK = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # some network file systems


def run_of(path: Path) -> Path:
    """The run's folder; ``path`` may be one of its checkpoints."""
    return path.parent.parent if path.parent.name == CHECKPOINTS else path


def newest_folder(config: Config) -> Path | None:
    """The folder begun last under this name and seed."""
    found = _numbered(config)
    return found[max(found)] if found else None


def new_folder(config: Config) -> Path:
    """Make ``runs/name-seedN``, with a number behind it if that exists."""
    number = max(_numbered(config), default=0) + 1
    first = _first(config)
    folder = first if number == 1 else first.with_name(f"{first.name}.{number}")
    folder.mkdir(parents=True)
    return folder


def is_untouched(folder: Path) -> bool:
    """Whether no run has written to it yet."""
    return {path.name for path in folder.iterdir()} <= {_LOCK}


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep others away from a folder until this process leaves it, or ends in whatever way.

    A job that is started again while ranks of its forerunner still live would spoil what those write.

    Raises:
        ConfigError: another process has it.
    """
    with (folder / _LOCK).open("a+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().decode() or "another process"
            raise ConfigError(f"{folder} is being written by {holder}; wait until it ends, or end it") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        with suppress(OSError):  # the disk is full: the lock holds without a name, and what matters will tell
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}".encode())
        yield


def _first(config: Config) -> Path:
    return Path(config.run.folder) / f"{config.run.name}-seed{config.run.seed}"


def _numbered(config: Config) -> dict[int, Path]:
    """The folders of this name and seed by number: ``runs/name-seedN`` is 1, ``runs/name-seedN.2`` is 2."""
    first = _first(config)
    beside = {path.suffix[1:]: path for path in first.parent.glob("*") if path.stem == first.name}
    found = {int(number): path for number, path in beside.items() if number.isdecimal()}
    return found | ({1: first} if first.exists() else {})
