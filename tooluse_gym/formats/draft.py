"""A reply under construction, and the tagged blocks that two of the formats are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tooluse_gym.formats.json_calls import ReadCall
from tooluse_gym.formats.reply import Call, Kind, Reply, Segment, cover

_LONGEST_QUOTE = 40  # characters of stray text repeated in an error


@dataclass(frozen=True, slots=True)
class Block:
    """``<tag>body</tag>`` in a text. An unclosed block has no closing tag and reaches to the end of the text."""

    tag: str
    start: int
    body_start: int
    body_end: int
    end: int

    @property
    def closed(self) -> bool:
        return self.body_end < self.end


def blocks(text: str, tags: tuple[str, ...], start: int = 0) -> Iterator[Block]:
    """The blocks of ``text`` from ``start`` on, left to right.

    An opening tag is paired with the next closing tag of the same name; whatever is between them, other tags
    included, is the body. Hence time is linear, and a tag that a thought mentions is part of the thought.
    """
    opening = re.compile(f"<({'|'.join(tags)})>")
    position = start
    while match := opening.search(text, position):
        closing = f"</{match[1]}>"
        body_end = text.find(closing, match.end())
        if body_end < 0:
            yield Block(match[1], match.start(), match.end(), len(text), len(text))
            return
        position = body_end + len(closing)
        yield Block(match[1], match.start(), match.end(), body_end, position)


class Draft:
    """Collects segments (left to right), calls and violations of a text; what no segment covers is SCAFFOLD."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.calls: list[Call] = []
        self._segments: list[Segment] = []
        self._error: str | None = None

    def mark(self, kind: Kind, start: int, end: int) -> None:
        """Characters ``[start, end)`` are of this kind."""
        self._segments.append(Segment(kind, start, end))

    def violate(self, error: str) -> None:
        """Note a violation of the format; the first one is kept."""
        self._error = self._error or error

    def block(self, block: Block, kind: Kind) -> str:
        """Mark both tags and the body; returns the body without blanks at its ends."""
        self.open(block)
        self.mark(kind, block.body_start, block.body_end)
        self.close(block)
        return self.text[block.body_start : block.body_end].strip()

    def open(self, block: Block) -> None:
        """Mark the opening tag."""
        self.mark(Kind.TAG, block.start, block.body_start)

    def close(self, block: Block) -> None:
        """Mark the closing tag; its absence is a violation."""
        self.mark(Kind.TAG, block.body_end, block.end)
        if not block.closed:
            self.violate(f"<{block.tag}> is not closed")

    def call(self, found: ReadCall, closed: bool = True) -> None:
        """Add a call. One of an unclosed block must not be executed: its text may be cut off."""
        call = found.call if closed else replace(found.call, error="<tool_call> is not closed")
        self.calls.append(call)
        self._segments.extend(found.spans)
        if call.error or found.deviation:
            self.violate(f"call {len(self.calls)}: {call.error or found.deviation}")

    def gap(self, start: int, end: int) -> bool:
        """Whether ``[start, end)`` is blank; otherwise its text is STRAY, a violation."""
        start, end = stripped(self.text, start, end)
        if start == end:
            return True
        self.mark(Kind.STRAY, start, end)
        self.violate(f"text outside the tags: {self.text[start:end][:_LONGEST_QUOTE]!r}")
        return False

    def reply(self, think: str | None, response: str | None) -> Reply:
        """The finished reply."""
        segments = cover(len(self.text), self._segments, Kind.SCAFFOLD)
        return Reply(self.text, segments, tuple(self.calls), think, response, self._error)


def stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """``[start, end)`` without the blanks at both ends; empty at ``start`` if there is nothing else."""
    inner = text[start:end]
    first = len(inner) - len(inner.lstrip())
    last = len(inner.rstrip())
    return (start + first, start + last) if first < last else (start, start)
