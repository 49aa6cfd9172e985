"""The format of Hermes and Qwen models: JSON calls, each in its own ``<tool_call>`` block.

    <think>
    thought
    </think>

    text for the user
    <tool_call>
    {"name": "f", "arguments": {"a": 1}}
    </tool_call>

Thought, text and calls are all optional, in this order. Where a chat template has already written ``<think>`` into
the prompt, the reply begins inside the thought: everything before a ``</think>`` that no ``<think>`` opens is thought.
``"parameters"`` is tolerated for ``"arguments"``. Arguments must be an object: a string that holds one is malformed,
as no template of these models writes it and serving stacks do not unpack it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tooluse_gym.formats.draft import Block, Draft, blocks, stripped
from tooluse_gym.formats.json_calls import read_call, write_call
from tooluse_gym.formats.reply import Call, Kind, Reply
from tooluse_gym.formats.wording import announcement, proven, tool_list, tool_messages, well_formed
from tooluse_gym.messages import Message
from tooluse_gym.tools import Tool

_OPEN, _CLOSE = "<think>", "</think>"

_INSTRUCTIONS = """\
To use tools, end your reply with one block per call, each holding one JSON object:
<tool_call>
{"name": "tool name", "arguments": {"parameter": "value"}}
</tool_call>
You will get the result of every call before you go on. A reply without such a block is your answer to the user."""


class Hermes:
    """Optional thought, optional text, then one block per call."""

    name = "hermes"

    def parse(self, text: str) -> Reply:
        draft = Draft(text)
        think, position = _read_thought(draft)
        response = None
        for block in _later_blocks(text, position):
            response = _read_text(draft, position, block.start, response)
            if block.tag == "think":
                draft.mark(Kind.STRAY, block.start, block.end)
                draft.violate("a second thought")
            else:
                _read_call(draft, block)
            position = block.end
        response = _read_text(draft, position, len(text), response)
        if not draft.calls and response is None:
            draft.violate("neither text nor a tool call")
        return draft.reply(think, response)

    def write(self, calls: Sequence[Call], think: str | None = None, response: str | None = None) -> str:
        well_formed(calls)
        response = (response or "").strip() or None
        texts = (write_call(call, escape=("</tool_call>", _CLOSE)) for call in calls)
        parts = [*([response] if response else []), *(f"<tool_call>\n{text}\n</tool_call>" for text in texts)]
        text = "\n".join(parts)
        if think is not None:
            text = f"{_OPEN}\n{think.strip()}\n{_CLOSE}\n\n{text}"
        return proven(self, text, calls, think, response, _plain)

    def system_prompt(self, tools: Sequence[Tool]) -> str:
        return f"{tool_list(tools)}\n\n{_INSTRUCTIONS}"

    def announce(self, tools: Sequence[Tool], text: str) -> str:
        return announcement(tools, text)

    def results(self, calls: Sequence[Call], texts: Sequence[str]) -> tuple[Message, ...]:
        return tool_messages([call.name for call in calls], texts)


def _read_thought(draft: Draft) -> tuple[str | None, int]:
    """The thought that a reply begins with, and where it ends."""
    text = draft.text
    start, _ = stripped(text, 0, len(text))
    if text.startswith(_OPEN, start):
        block = next(blocks(text, ("think",), start))
        return draft.block(block, Kind.THINK), block.end
    close = text.find(_CLOSE)
    if close < 0:
        return None, 0
    draft.mark(Kind.THINK, 0, close)
    draft.mark(Kind.TAG, close, close + len(_CLOSE))
    if _OPEN in text[:close]:
        draft.violate(f"text before {_OPEN}")
    return text[:close].strip(), close + len(_CLOSE)


def _later_blocks(text: str, position: int) -> Iterator[Block]:
    for block in blocks(text, ("think", "tool_call"), position):
        if block.tag == "think" and not block.closed:  # text that mentions the tag
            yield from blocks(text, ("tool_call",), block.body_start)
        else:
            yield block


def _read_text(draft: Draft, start: int, end: int, response: str | None) -> str | None:
    """The response: ``[start, end)`` if it is the first text and no call came before it, else that text is stray."""
    if draft.calls or response is not None:
        draft.gap(start, end)
        return response
    start, end = stripped(draft.text, start, end)
    draft.mark(Kind.RESPONSE, start, end)
    return draft.text[start:end] or None


def _read_call(draft: Draft, block: Block) -> None:
    draft.open(block)
    draft.call(read_call(draft.text, block.body_start, block.body_end), block.closed)
    draft.close(block)


def _plain(arguments: Any) -> Any:
    return json.loads(json.dumps(arguments))


def make() -> Hermes:
    return Hermes()
