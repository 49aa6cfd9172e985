"""Files of JSON Lines that a killed process may have left in the middle of a line."""

from __future__ import annotations

from pathlib import Path


def drop_torn_line(path: Path) -> None:
    """Cut off what stands behind the last line break."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
