"""The format of ToolRL and ResT: a thought, then calls, a response, or both.

    <think> thought </think>
    <tool_call>
    {"name": "f", "parameters": {"a": 1}}
    {"name": "g", "parameters": {}}
    </tool_call>
    <response> text for the user </response>

Reading is lenient: calls of several blocks, blocks out of order, objects that span lines and ``"arguments"`` for
``"parameters"`` are read, and reported as a violation. So is every departure from the line breaks shown above.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tooluse_gym.formats.draft import Block, Draft, blocks
from tooluse_gym.formats.json_calls import JsonError, nesting, parse_json, read_call, trim, write_call
from tooluse_gym.formats.reply import Call, Kind, Reply
from tooluse_gym.formats.wording import announcement, proven, tool_list, tool_messages, well_formed
from tooluse_gym.messages import Message
from tooluse_gym.tools import Tool

_TAGS = ("think", "tool_call", "response")  # in the order they must have
_KEY = "parameters"

_INSTRUCTIONS = """\
Think first. Then call tools, answer the user, or do both, in exactly this form:
<think> your reasoning </think>
<tool_call>
{"name": "tool name", "parameters": {"parameter": "value"}}
</tool_call>
<response> your answer </response>
Leave out <tool_call> or <response> if you have no use for it, never both. Several calls go into one block, one JSON
object per line; a tool without parameters gets {}. You will get the result of every call before you go on."""


class ToolRL:
    """Thought in ``<think>``, all calls in one ``<tool_call>``, text in ``<response>``."""

    name = "toolrl"

    def parse(self, text: str) -> Reply:
        draft = Draft(text)
        found: dict[str, str] = {}
        position = 0
        for block in blocks(text, _TAGS):
            blank = draft.gap(position, block.start)
            if position and blank and text[position : block.start] != "\n":
                draft.violate(f"expected one line break before <{block.tag}>")
            _check_order(draft, block.tag, found)
            if block.tag == "tool_call":
                found[block.tag] = ""
                _read_calls(draft, block)
            elif block.tag in found:
                draft.mark(Kind.STRAY, block.start, block.end)
            else:
                kind = Kind.THINK if block.tag == "think" else Kind.RESPONSE
                found[block.tag] = draft.block(block, kind)
            position = block.end
        draft.gap(position, len(text))
        if "think" not in found:
            draft.violate("missing <think>")
        if "tool_call" not in found and "response" not in found:
            draft.violate("neither <tool_call> nor <response>")
        return draft.reply(found.get("think"), found.get("response"))

    def write(self, calls: Sequence[Call], think: str | None = None, response: str | None = None) -> str:
        well_formed(calls)
        parts = []
        if think is not None:
            parts.append(f"<think> {think.strip()} </think>")
        if calls:
            lines = [write_call(call, _KEY, escape=("</tool_call>",)) for call in calls]
            parts.append("\n".join(("<tool_call>", *lines, "</tool_call>")))
        if response is not None:
            parts.append(f"<response> {response.strip()} </response>")
        return proven(self, "\n".join(parts), calls, think, response, _plain)

    def system_prompt(self, tools: Sequence[Tool]) -> str:
        return f"{tool_list(tools)}\n\n{_INSTRUCTIONS}"

    def announce(self, tools: Sequence[Tool], text: str) -> str:
        return announcement(tools, text)

    def results(self, calls: Sequence[Call], texts: Sequence[str]) -> tuple[Message, ...]:
        return tool_messages([call.name for call in calls], texts)


def _check_order(draft: Draft, tag: str, found: dict[str, str]) -> None:
    if tag in found:
        draft.violate(f"more than one <{tag}>")
    elif not found and tag != "think":
        draft.violate("missing <think>")
    later = next((other for other in _TAGS[_TAGS.index(tag) + 1 :] if other in found), None)
    if later is not None:
        draft.violate(f"<{tag}> after <{later}>")


def _read_calls(draft: Draft, block: Block) -> None:
    text = draft.text
    draft.open(block)
    body = text[block.body_start : block.body_end]
    if not body.strip():
        draft.call(read_call(text, block.body_start, block.body_start), block.closed)
    else:
        if not body.startswith("\n"):
            draft.violate("expected a line break after <tool_call>")
        for start, end in _chunks(text, block.body_start, block.body_end):
            if "\n" in text[start:end]:
                draft.violate("a call spans several lines")
            draft.call(read_call(text, start, end, _KEY), block.closed)
        if block.closed and not body.endswith("\n"):
            draft.violate("expected a line break before </tool_call>")
        if "\n\n" in body:
            draft.violate("blank line in <tool_call>")
    draft.close(block)


def _chunks(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Stretches of whole lines that each should be one JSON object: a line, or lines up to balanced brackets."""
    lines: list[tuple[int, int]] = []
    depth = 0
    for line in _lines(text, start, end):
        lines.append(line)
        depth = max(0, depth + nesting(text[slice(*line)])[1])
        if depth == 0:
            yield from _split(text, lines)
            lines = []
    yield from _split(text, lines)


def _split(text: str, lines: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    # A missing brace would swallow the calls on the lines below it: where every line looks like a call, each is one.
    if len(lines) > 1 and all(text[start] == "{" for start, _ in lines):
        try:
            parse_json(text[lines[0][0] : lines[-1][1]])
        except JsonError:
            yield from lines
            return
    if lines:
        yield lines[0][0], lines[-1][1]


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The lines of ``text[start:end]`` that are not blank, without the blanks at their ends."""
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        line = trim(text, start, stop)
        if line[0] < line[1]:
            yield line
        start = stop + 1


def _plain(arguments: Any) -> Any:
    return json.loads(json.dumps(arguments))


def make() -> ToolRL:
    return ToolRL()
