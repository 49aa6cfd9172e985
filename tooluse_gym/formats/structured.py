"""The format of function calling: a reply is a JSON list of calls, or plain text for the user.

    [{"name": "f", "arguments": {"a": 1}}]

It stands for the structured answers of servers: arguments may be an object or, as OpenAI sends them, a JSON text that
holds one. A reply that begins like a list of objects is read as calls, malformed or not; every other reply, a JSON list
of other things included, is the response. There is no place for a thought, and a reply is either calls or a response.

``render_calls`` makes of recorded function calls what the official BFCL program executes. That program takes a reply
with one malformed call for text and hands the turn back; here the good calls stand and the bad one carries its error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tooluse_gym.formats.draft import Draft, stripped
from tooluse_gym.formats.json_calls import (
    JsonError,
    elements,
    execution_text,
    json_type,
    parse_json,
    read_call,
    write_call,
)
from tooluse_gym.formats.reply import Call, Kind, Reply
from tooluse_gym.formats.wording import announcement, proven, tool_list, tool_messages, well_formed
from tooluse_gym.messages import Message
from tooluse_gym.tools import Tool

_ATTEMPT = re.compile(r"\[[ \t\r\n]*\{")

_INSTRUCTIONS = """\
To use tools, reply with a JSON list of calls and nothing else:
[{"name": "tool name", "arguments": {"parameter": "value"}}]
You will get the result of every call before you go on. A reply in any other form is your answer to the user."""


class Structured:
    """A JSON list of calls, or text."""

    name = "structured"

    def parse(self, text: str) -> Reply:
        draft = Draft(text)
        start, end = stripped(text, 0, len(text))
        body = text[start:end]
        if not _ATTEMPT.match(body):
            if re.fullmatch(r"\[[ \t\r\n]*\]", body):  # no calls, and nothing said
                return draft.reply(None, None)
            draft.mark(Kind.RESPONSE, start, end)
            return draft.reply(None, body or None)
        try:
            parse_json(body)
        except JsonError:
            draft.call(read_call(text, start, end))
            return draft.reply(None, None)
        for _, first, last in elements(body):
            draft.call(read_call(text, start + first, start + last, text_arguments=True))
        return draft.reply(None, None)

    def write(self, calls: Sequence[Call], think: str | None = None, response: str | None = None) -> str:
        well_formed(calls)
        if not calls:
            response = (response or "").strip() or None
            return proven(self, response or "", calls, None, response)
        text = f"[{', '.join(map(write_call, calls))}]"
        return proven(self, text, calls, None, None, _plain)

    def system_prompt(self, tools: Sequence[Tool]) -> str:
        return f"{tool_list(tools)}\n\n{_INSTRUCTIONS}"

    def announce(self, tools: Sequence[Tool], text: str) -> str:
        return announcement(tools, text)

    def results(self, calls: Sequence[Call], texts: Sequence[str]) -> tuple[Message, ...]:
        return tool_messages([call.name for call in calls], texts)


def render_calls(recorded: object) -> list[str]:
    """The texts to execute for function calls recorded as ``[{name: arguments, as an object or a JSON text}, …]``.

    Raises:
        JsonError: they do not have this form.
    """
    calls = [recorded] if isinstance(recorded, Mapping) else recorded
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise JsonError(f"expected a list of calls, got {json_type(recorded)}")
    return [execution_text(name, _read_arguments(value)) for call in calls for name, value in call.items()]


def _read_arguments(recorded: object) -> dict[str, Any]:
    value = parse_json(recorded) if isinstance(recorded, str) else recorded
    if not isinstance(value, dict):
        raise JsonError(f"arguments must be an object, got {json_type(value)}")
    return value


def _plain(arguments: Any) -> Any:
    return json.loads(json.dumps(arguments))


def make() -> Structured:
    return Structured()
