"""API-Bank's own syntax as a reply format: ``[ApiName(key='value', …)]``, or else text for the user."""

from __future__ import annotations

from collections.abc import Sequence

from tooluse_gym.formats.draft import Draft, stripped
from tooluse_gym.formats.json_calls import ReadCall
from tooluse_gym.formats.reply import Call, Kind, Reply, Segment, cover
from tooluse_gym.formats.wording import announcement, proven, tool_list, tool_messages, well_formed
from tooluse_gym.messages import Message
from tooluse_gym.tools import Tool

from .calls import Found, find_calls, write_call

_INSTRUCTIONS = """\
To use a tool, reply with a call in this form and nothing else, every value by the name of its parameter:
[ToolName(parameter='value', other=3)]
Several calls go on lines of their own. You will get their results before you go on. A reply without a call is your
answer to the user."""


class ApiBankCalls:
    """Calls in brackets, read as they are meant. There is no place for a thought."""

    name = "api_bank"

    def parse(self, text: str) -> Reply:
        calls = find_calls(text)
        if not calls:
            start, end = stripped(text, 0, len(text))
            segments = cover(len(text), [Segment(Kind.RESPONSE, start, end)], Kind.SCAFFOLD)
            return Reply(text, segments, response=text[start:end] or None)
        draft = Draft(text)
        position = 0
        for found in calls:
            draft.gap(position, found.start)
            draft.call(ReadCall(found.call, _spans(found)))
            position = found.end
        draft.gap(position, len(text))
        return draft.reply(None, None)

    def write(self, calls: Sequence[Call], think: str | None = None, response: str | None = None) -> str:
        well_formed(calls)
        if not calls:
            response = (response or "").strip() or None
            return proven(self, response or "", calls, None, response)
        return proven(self, "\n".join(write_call(call.name, call.arguments) for call in calls), calls, None, None)

    def system_prompt(self, tools: Sequence[Tool]) -> str:
        return f"{tool_list(tools)}\n\n{_INSTRUCTIONS}"

    def announce(self, tools: Sequence[Tool], text: str) -> str:
        return announcement(tools, text)

    def results(self, calls: Sequence[Call], texts: Sequence[str]) -> tuple[Message, ...]:
        return tool_messages([call.name for call in calls], texts)


def _spans(found: Found) -> tuple[Segment, ...]:
    name_start = found.start + 1
    return (
        Segment(Kind.NAME, name_start, name_start + len(found.call.name)),
        Segment(Kind.ARGUMENTS, found.arguments_start, found.arguments_end),
    )
