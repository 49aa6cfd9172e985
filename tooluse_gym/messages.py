"""Chat messages: plain dicts in the form chat templates take them.

A message has a ``role`` (``system``, ``user``, ``assistant`` or ``tool``) and a text ``content``; a tool message also
has the ``name`` of the tool that produced it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

Message = dict[str, str]
"""``{"role": ..., "content": ...}``, and ``"name"`` in a tool message. All values are text."""

ROLES = ("system", "user", "assistant", "tool")


def system(content: str) -> Message:
    return {"role": "system", "content": content}


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


def tool_result(name: str, content: str) -> Message:
    return {"role": "tool", "name": name, "content": content}


def results_as_user(conversation: Sequence[Message]) -> list[Message]:
    """``conversation`` with the results of each step in one user message, in the form Qwen's templates give them."""
    said: list[Message] = []
    for is_result, group in groupby(conversation, lambda message: message["role"] == "tool"):
        if is_result:
            texts = (f"<tool_response>\n{message['content']}\n</tool_response>" for message in group)
            said.append(user("\n".join(texts)))
        else:
            said += group
    return said


def render(messages: Iterable[Message]) -> str:
    """Messages as text for people (``render_mode="ansi"``, logs), one ``[role]`` or ``[tool name]`` heading each."""
    blocks = []
    for message in messages:
        heading = f"{message['role']} {message['name']}" if "name" in message else message["role"]
        blocks.append(f"[{heading}]\n{message['content']}\n")
    return "\n".join(blocks)
