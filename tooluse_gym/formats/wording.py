"""What formats say in the same way: the tools, the results of calls, and the proof of what was written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tooluse_gym.errors import ToolUseError
from tooluse_gym.formats.reply import Call, Reply
from tooluse_gym.messages import Message, tool_result
from tooluse_gym.tools import Tool


class UnwritableReplyError(ToolUseError, ValueError):
    """A format cannot express these calls, thought or response. The message says which of them."""


class Parser(Protocol):
    """The reading half of a format."""

    name: str

    def parse(self, text: str) -> Reply: ...


def tool_list(tools: Sequence[Tool]) -> str:
    """The tools, one JSON object per line."""
    if not tools:
        return "There are no tools at the moment."
    return "\n".join(("These tools are available:", *map(_line, tools)))


def announcement(tools: Sequence[Tool], text: str) -> str:
    """The tools that have become available, one JSON object per line, before the user's text."""
    told = "\n".join(("These tools are now available as well:", *map(_line, tools)))
    return f"{told}\n\n{text}" if text else told


def _line(tool: Tool) -> str:
    shown = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return json.dumps(shown, ensure_ascii=False)


def tool_messages(names: Sequence[str], texts: Sequence[str]) -> tuple[Message, ...]:
    """One tool message per call. Unpaired surrogates, which no tokenizer can encode, are shown as escapes."""
    return tuple(
        tool_result(_encodable(name) or "tool_call", _encodable(text)) for name, text in zip(names, texts, strict=True)
    )


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def well_formed(calls: Sequence[Call]) -> None:
    """Demand calls without errors.

    Raises:
        UnwritableReplyError: a call is malformed.
    """
    for call in calls:
        if call.error is not None:
            raise UnwritableReplyError(f"a malformed call cannot be written: {call.error}")


def proven(
    parser: Parser,
    text: str,
    calls: Sequence[Call],
    think: str | None,
    response: str | None,
    plain: Callable[[Any], Any] = lambda arguments: arguments,
) -> str:
    """``text``, after checking that the format reads it back to what was to be written.

    Args:
        parser: the format.
        text: what it wrote.
        calls: the calls written.
        think: the thought written, None if there is none.
        response: the response written, None if there is none.
        plain: what the format makes of arguments by design (tuples become JSON arrays, say).

    Raises:
        UnwritableReplyError: it reads back to something else.
    """
    reply = parser.parse(text)
    read = [(call.name, call.arguments, call.error) for call in reply.calls]
    if read != [(call.name, plain(call.arguments), None) for call in calls]:
        raise UnwritableReplyError(f"the format {parser.name} cannot express the calls in {text!r}")
    for part, written, got in (("think", think, reply.think), ("response", response, reply.response)):
        if got != (written if written is None else written.strip()):
            raise UnwritableReplyError(f"the format {parser.name} cannot express the {part} text {written!r}")
    return text
