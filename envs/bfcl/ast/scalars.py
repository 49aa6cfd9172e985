"""What the value rules of Java and JavaScript share."""

from __future__ import annotations

import re

from tooluse_gym.errors import ToolUseError

LONGEST = 5_000
"""Characters of a collection that is still converted; a longer one stays text. It bounds what searching it costs."""


class OfficialError(ToolUseError):
    """The official program raises on this value, so it gives no verdict."""


def integer(text: str) -> int:
    """Digits as a number.

    Raises:
        OfficialError: there are more of them than Python converts.
    """
    try:
        return int(text)
    except ValueError as error:
        raise OfficialError(str(error)) from None


def guessed(text: str) -> int | float | str:
    """A number if Python reads the text as one, else the text."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def unquoted(text: str, quotes: str) -> str:
    """Without its first and last character, if these are one of ``quotes`` twice (a lone quote counts as both)."""
    if text[:1] and text[0] in quotes and text[-1] == text[0]:
        return text[1:-1]
    return text


INTEGER = re.compile(r"-?\d+$")
