"""The format of BFCL's prompting mode: a reply is a Python list of calls with keyword arguments, and nothing else.

    [f(a=1), g(b='x')]

``python_calls`` has the decoding rules. A reply that is not a list of calls hands the turn back, as in the official
loop: it is the response, unless it begins with a bracket, which makes it a failed attempt (``Reply.error`` says why).
There is no place for a thought, and a reply is either calls or a response.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from tooluse_gym.formats.draft import stripped
from tooluse_gym.formats.python_calls import DecodeError, decode, decode_nodes, normalize, render_calls
from tooluse_gym.formats.reply import Call, Kind, Reply, Segment, cover
from tooluse_gym.formats.wording import (
    UnwritableReplyError,
    announcement,
    proven,
    tool_list,
    tool_messages,
    well_formed,
)
from tooluse_gym.messages import Message
from tooluse_gym.tools import Tool

__all__ = ["DecodeError", "Pythonic", "decode", "make", "render_calls"]

_INSTRUCTIONS = """\
To use tools, reply with a Python list of calls and nothing else, every argument by its name:
[first_tool(parameter='value'), second_tool(count=2)]
You will get the result of every call before you go on. A reply in any other form is your answer to the user."""

_PROSE, _WORD = re.compile(r"[\w\s.,;:!?'\"-]+"), re.compile(r"\w")
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_BEFORE_PARENTHESIS = re.compile(r"(?:[\s)\\]|#[^\r\n]*)*\(")  # (f) \ # comments are allowed here (


class Pythonic:
    """A Python list of calls, decoded as the official program does."""

    name = "pythonic"

    def parse(self, text: str) -> Reply:
        if _PROSE.fullmatch(text) and _WORD.search(text):
            return _text_reply(text, "")  # without a bracket neither calls nor an empty list: no need to decode it
        source, offset = normalize(text)
        try:
            nodes = decode_nodes(source)
            rendered = render_calls([{name: arguments} for _, name, arguments in nodes])
        except DecodeError as refusal:
            return _text_reply(text, str(refusal))
        calls = tuple(
            _call(name, arguments, source) for (_, name, arguments), source in zip(nodes, rendered, strict=True)
        )
        segments = [
            Segment(segment.kind, segment.start + offset, segment.end + offset)
            for segment in _segments([node for node, _, _ in nodes], source)
        ]
        return Reply(text, cover(len(text), segments, Kind.SCAFFOLD), calls)

    def write(self, calls: Sequence[Call], think: str | None = None, response: str | None = None) -> str:
        well_formed(calls)
        if not calls:
            response = (response or "").strip() or None
            return proven(self, response or "", calls, None, response)
        try:
            text = f"[{', '.join(Call(call.name, call.arguments).text for call in calls)}]"
        except ValueError as error:  # an integer that is too long to print
            raise UnwritableReplyError(f"the format {self.name} cannot express the calls: {error}") from None
        return proven(self, text, calls, None, None)

    def system_prompt(self, tools: Sequence[Tool]) -> str:
        return f"{tool_list(tools)}\n\n{_INSTRUCTIONS}"

    def announce(self, tools: Sequence[Tool], text: str) -> str:
        return announcement(tools, text)

    def results(self, calls: Sequence[Call], texts: Sequence[str]) -> tuple[Message, ...]:
        # The official handlers of local models name a result by the text of its call.
        return tool_messages([call.text for call in calls], texts)


def _text_reply(text: str, error: str) -> Reply:
    start, end = stripped(text, 0, len(text))
    if text[start:end].lstrip("`\n ").startswith("["):
        return Reply(text, cover(len(text), [Segment(Kind.STRAY, start, end)], Kind.SCAFFOLD), error=error)
    segments = cover(len(text), [Segment(Kind.RESPONSE, start, end)], Kind.SCAFFOLD)
    return Reply(text, segments, response=text[start:end] or None)


def _call(name: str, arguments: dict[Any, Any], source: str) -> Call:
    # What is unpacked has no name: an argument that no schema knows. The official text of the call tells it all.
    return Call(name, {"**" if key is None else key: value for key, value in arguments.items()}, source=source)


def _segments(nodes: Sequence[ast.Call], source: str) -> Iterator[Segment]:
    """Name and arguments of each call: the function as written, and what is between the parentheses."""
    places = _Places(source)
    for node in nodes:
        name_end = places.end(node.func)
        end = places.end(node) - 1
        yield Segment(Kind.NAME, places.start(node.func), name_end)
        parenthesis = _BEFORE_PARENTHESIS.match(source, name_end, end)
        yield Segment(Kind.ARGUMENTS, parenthesis.end() if parenthesis else end, end)


class _Places:
    """Character offsets of syntax nodes, whose own positions are a line and a UTF-8 byte in it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lines = [0, *(match.end() for match in _LINE_BREAK.finditer(source)), len(source)]
        self._bytes: dict[int, list[int]] = {}  # of lines with other characters than ASCII: offset of each character

    def start(self, node: ast.expr) -> int:
        return self._offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr) -> int:
        if node.end_lineno is None or node.end_col_offset is None:
            raise ValueError("a node without an end")  # the parser always sets it
        return self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, byte: int) -> int:
        start, end = self._lines[line - 1 : line + 1]
        if self._source.isascii():
            return start + byte
        if line not in self._bytes:
            widths = (len(character.encode()) for character in self._source[start:end])
            self._bytes[line] = list(accumulate(widths, initial=0))
        return start + bisect_left(self._bytes[line], byte)


def make() -> Pythonic:
    return Pythonic()
