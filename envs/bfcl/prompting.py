"""BFCL's prompting mode to the letter: the format ``prompting``.

Replies are those of ``pythonic``. What the agent hears is upstream's: its default system prompt, whose wording comes
from the release (``tooluse-gym data get bfcl``); the results of a step in one user message, as Python prints the list
of them; and functions that become available, printed in the same way, before the user's words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tooluse_gym.envs.bfcl.doc_formats import as_python, as_xml
from tooluse_gym.envs.bfcl.docs import Documented
from tooluse_gym.envs.bfcl.prompt_config import DEFAULT, DocFormat, PromptConfig
from tooluse_gym.envs.bfcl.release import FILES, PROMPTS, demand_release, literals, source
from tooluse_gym.formats import Call
from tooluse_gym.formats.pythonic import Pythonic
from tooluse_gym.messages import Message, user
from tooluse_gym.tools import Tool

_LAYOUTS = {"plaintext": "_PLAINTEXT_SYSTEM_PROMPT_TEMPLATE", "markdown": "_MARKDOWN_SYSTEM_PROMPT_TEMPLATE"}
_STYLES, _FORMATS, _TYPES = "PROMPT_STYLE_TEMPLATES", "OUTPUT_FORMAT_MAPPING", "PARAM_TYPE_MAPPING"


class Prompting(Pythonic):
    """The Python list of calls, amid upstream's own messages.

    Args:
        prompt: what the system prompt says before and after the functions.
        docs: how the functions are shown.
    """

    name = "prompting"

    def __init__(self, prompt: tuple[str, str], docs: DocFormat = "json"):
        self._prompt = prompt
        self._docs = docs

    def system_prompt(self, tools: Sequence[Tool]) -> str:
        return _SHOWN[self._docs](tools).join(self._prompt)

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
    return Prompting(read_prompt(folder))


def read_prompt(folder: Path, config: PromptConfig = DEFAULT) -> tuple[str, str]:
    """What a variant of the system prompt says before and after the functions; raises as :func:`load_prompting`."""
    return _read_prompt(source(folder, PROMPTS), config)


@lru_cache(maxsize=64)
def _read_prompt(path: Path, config: PromptConfig) -> tuple[str, str]:
    constants = literals(path, (*_LAYOUTS.values(), _STYLES, _FORMATS, _TYPES))
    demand_release(path, FILES[PROMPTS])
    style = constants[_STYLES][config.style]
    functions = "\0"  # in no text
    prompt: str = constants[_LAYOUTS[config.layout]].format(
        persona=style["persona"],
        task=style["task"],
        tool_call_format=style["tool_call_with_tag" if config.tagged else "tool_call_no_tag"].format(
            output_format=constants[_FORMATS][config.returns], param_types=constants[_TYPES][config.returns]
        ),
        multiturn_behavior=style["multiturn_behavior"],
        available_tools=style["available_tools"].format(format=config.docs, functions=functions),
    )
    before, after = prompt.split(functions)
    return before, after


def _doc(tool: Tool) -> dict[str, Any]:
    if isinstance(tool, Documented):
        return dict(tool.doc)
    return {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}


def _indented(tools: Sequence[Tool]) -> str:
    """The list of docs as ``json.dumps(…, indent=4)`` writes it, from parts that are written once per process."""
    parts = (tool.indented if isinstance(tool, Documented) else json.dumps(_doc(tool), indent=4) for tool in tools)
    lines = ",\n".join(parts).replace("\n", "\n    ")
    return f"[\n    {lines}\n]" if tools else "[]"


_SHOWN: dict[DocFormat, Callable[[Sequence[Tool]], str]] = {
    "json": _indented,
    "python": lambda tools: as_python([_doc(tool) for tool in tools]),
    "xml": lambda tools: as_xml([_doc(tool) for tool in tools]),
}
