"""Where a benchmark's data comes from: what a benchmark with data of its own says of it, and how it is got."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataSource:
    """The data of a benchmark: ``SOURCE`` in its module ``data``, which the command ``tooluse-gym data`` reads.

    Args:
        contents: what it is, in a line.
        licence: its licence, and who gives it.
        home: where it comes from, release or commit included.
        where: the folder where it is. Raises DataNotFoundError, which names the remedy, if it is nowhere.
        fetch: gets it, unless it is there, and returns its folder. Raises DataNotFoundError, with the reason, if it
            cannot be got.
        verify: what is wrong with the data in a folder, a line per file: ``path: missing``, ``path: not that of …``.
            Nothing, if it is complete and of the right release.
    """

    contents: str
    licence: str
    home: str
    where: Callable[[], Path]
    fetch: Callable[[], Path]
    verify: Callable[[Path], list[str]]


def cache_folder() -> Path:
    """Where fetched data is kept: ``tooluse-gym`` in ``$XDG_CACHE_HOME``, else in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tooluse-gym"
