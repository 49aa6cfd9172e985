"""BFCL's prompting mode to the letter: the format ``prompting``.

Replies are those of ``pythonic``. What the agent hears is upstream's: its default system prompt, whose wording comes
from the release (``tooluse-gym data get bfcl``); the results of a step in one user message, as Python prints the list
of them; and functions that become available, printed in the same way, before the user's words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from tooluse_gym.envs.bfcl.docs import Documented
from tooluse_gym.envs.bfcl.release import FILES, PROMPTS, demand_release, literals, source
from tooluse_gym.formats import Call
from tooluse_gym.formats.pythonic import Pythonic
from tooluse_gym.messages import Message, user
from tooluse_gym.tools import Tool

_TEMPLATE, _STYLES = "_PLAINTEXT_SYSTEM_PROMPT_TEMPLATE", "PROMPT_STYLE_TEMPLATES"
_FORMATS, _TYPES = "OUTPUT_FORMAT_MAPPING", "PARAM_TYPE_MAPPING"


class Prompting(Pythonic):
    """The Python list of calls, amid upstream's own messages.

    Args:
        prompt: what the system prompt says before and after the functions.
    """

    name = "prompting"

    def __init__(self, prompt: tuple[str, str]):
        self._prompt = prompt

    def system_prompt(self, tools: Sequence[Tool]) -> str:
        return _indented(tools).join(self._prompt)

    def announce(self, tools: Sequence[Tool], text: str) -> str:
        return f"{[_doc(tool) for tool in tools]}\n{text}"

    def results(self, calls: Sequence[Call], texts: Sequence[str]) -> tuple[Message, ...]:
        results = [
            {"role": "tool", "name": call.text, "content": text} for call, text in zip(calls, texts, strict=True)
        ]
        return (user(str(results)),)


def load_prompting(folder: Path) -> Prompting:
    """The format, with the prompt of the release that the data folder belongs to, or else of the one fetched.

    Raises:
        DataNotFoundError: the file of prompts is in neither place, or another release's.
        TaskError: it is malformed.
    """
    return Prompting(_read_prompt(source(folder, PROMPTS)))


@lru_cache(maxsize=4)
def _read_prompt(path: Path) -> tuple[str, str]:
    """Upstream's default: Python calls without a tag, JSON docs, plain text, classic style."""
    constants = literals(path, (_TEMPLATE, _STYLES, _FORMATS, _TYPES))
    demand_release(path, FILES[PROMPTS])
    style = constants[_STYLES]["classic"]
    functions = "\0"  # in no text
    prompt: str = constants[_TEMPLATE].format(
        persona=style["persona"],
        task=style["task"],
        tool_call_format=style["tool_call_no_tag"].format(
            output_format=constants[_FORMATS]["python"], param_types=constants[_TYPES]["python"]
        ),
        multiturn_behavior=style["multiturn_behavior"],
        available_tools=style["available_tools"].format(format="json", functions=functions),
    )
    before, after = prompt.split(functions)
    return before, after


def _doc(tool: Tool) -> dict[str, object]:
    if isinstance(tool, Documented):
        return dict(tool.doc)
    return {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}


def _indented(tools: Sequence[Tool]) -> str:
    """The list of docs as ``json.dumps(…, indent=4)`` writes it, from parts that are written once per process."""
    parts = (tool.indented if isinstance(tool, Documented) else json.dumps(_doc(tool), indent=4) for tool in tools)
    lines = ",\n".join(parts).replace("\n", "\n    ")
    return f"[\n    {lines}\n]" if tools else "[]"
