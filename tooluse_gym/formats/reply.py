"""What a parsed assistant message is: segments with exact spans, and calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Kind(str, Enum):
    """What a stretch of a reply is. Every character of a reply has exactly one kind."""

    THINK = "think"  # the text between think tags
    TAG = "tag"  # <think>, </think>, <tool_call>, </response>, …
    NAME = "name"  # a tool's name, without quotes
    ARGUMENTS = "arguments"  # an argument object with its braces; in Python syntax, all between the parentheses
    SCAFFOLD = "scaffold"  # the rest of the call syntax: keys, quotes, commas, line breaks between blocks
    RESPONSE = "response"  # text for the user
    STRAY = "stray"  # whatever the format has no place for


@dataclass(frozen=True, slots=True)
class Segment:
    """Characters ``[start, end)`` of the reply are of one ``kind``. Never empty."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call.

    ``error`` is None for a well-formed call; otherwise it says why the text is not a call, ``name`` and
    ``arguments`` hold what could be read, and the call must not be executed.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    source: str | None = field(default=None, compare=False)
    """The text that stands for the call where name and arguments do not say it: positional arguments of a ground
    truth, a malformed call as it was written, the exact text that an official program would execute. Calls that
    differ only in it are equal."""

    @property
    def text(self) -> str:
        """The call in Python syntax: ``source`` if there is one, else ``name(key=repr(value), …)``."""
        return written(self.name, self.arguments) if self.source is None else self.source


def written(name: str, arguments: Mapping[str, Any]) -> str:
    """A call in Python syntax, every argument by its name."""
    return f"{name}({', '.join([f'{key}={value!r}' for key, value in arguments.items()])})"


@dataclass(frozen=True, slots=True)
class Reply:
    """A parsed assistant message.

    ``segments`` cover ``text`` from its first to its last character, in order, without gap or overlap.
    ``error`` is None when the reply obeys its format in full; otherwise it names the first violation.
    A reply without calls hands the turn back to the user.
    """

    text: str
    segments: tuple[Segment, ...]
    calls: tuple[Call, ...] = ()
    think: str | None = None
    response: str | None = None
    error: str | None = None


def cover(length: int, spans: Iterable[Segment], rest: Kind) -> tuple[Segment, ...]:
    """Sorted, disjoint ``spans`` without the empty ones, completed with ``rest`` so that they cover ``[0, length)``."""
    segments: list[Segment] = []
    position = 0
    for span in spans:
        if span.start >= span.end:
            continue
        if span.start > position:
            segments.append(Segment(rest, position, span.start))
        segments.append(span)
        position = span.end
    if position < length:
        segments.append(Segment(rest, position, length))
    return tuple(segments)
