"""Rows of ToolRL's data as single-step tasks: what a model is shown, and the answer that counts as right.

A row has one of three forms, by its fields:

* ``prompt`` (a system and a user message) and ``reward_model.ground_truth``: rows for reinforcement learning;
* ``instruction``, ``input`` and ``output``: rows for fine-tuning;
* ``system``, ``user`` and ``answer``: ToolRL's edition of API-Bank, whose answer is one call or a list of calls.

The system text lists the tools, in either of two ways::

    1. Name: lamp                          1. lamp: Switch a lamp.
    Description: Switch a lamp.            Parameters: {'on': {'type': 'bool', 'description': 'Whether it shines.'}}
    Parameters: {"on": {"description": "Whether it shines.", "type": "bool", "default": ""}}

A parameter's type is a word of JSON Schema's or Python's; one that we do not know (``Callable[[float], float]``) allows
any value. ``, optional`` in it, or a default other than ``""``, makes the parameter optional. The data's own answers
break their tool's table now and then; nothing here holds that against them.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema
import numpy as np

from tooluse_gym.agreement import Switches, published_scores
from tooluse_gym.errors import TaskError
from tooluse_gym.formats import Call, get_format
from tooluse_gym.messages import system, user
from tooluse_gym.tasks import PLAN, Task, TaskList, TestTasks, Turn, Utterance, check
from tooluse_gym.tools import Tool

FORMAT = get_format("toolrl")

_TEXT = {"type": "string", "minLength": 1}
_CALL = {
    "type": "object",
    "properties": {"name": _TEXT, "parameters": {"type": "object"}},
    "required": ["name", "parameters"],
}


def _message(role: str) -> dict[str, Any]:
    properties = {"role": {"const": role}, "content": _TEXT}
    return {"type": "object", "properties": properties, "required": ["role", "content"]}


def _form(properties: Mapping[str, Any]) -> jsonschema.Draft202012Validator:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return jsonschema.Draft202012Validator(schema)


_FORMS = {
    "prompt": _form(
        {
            "prompt": {
                "type": "array",
                "prefixItems": [_message("system"), _message("user")],
                "minItems": 2,
                "maxItems": 2,
            },
            "reward_model": {"type": "object", "properties": {"ground_truth": _TEXT}, "required": ["ground_truth"]},
        }
    ),
    "instruction": _form({"instruction": _TEXT, "input": _TEXT, "output": _TEXT}),
    "system": _form(
        {
            "system": _TEXT,
            "user": _TEXT,
            "answer": {"anyOf": [_TEXT, _CALL, {"type": "array", "items": _CALL, "minItems": 1}]},
        }
    ),
}
"""What a row must hold, by the field that tells its form."""


@dataclass(frozen=True)
class Answer(Utterance):
    """An answer, and how the data writes it in ToolRL's format."""

    text: str = ""


class Rows(TestTasks):
    """Tasks whose demonstrations are the data's own answers, thoughts included. Only the split test needs leave."""

    def sample(self, rng: np.random.Generator, split: str) -> Task:
        return super().sample(rng, split) if split == "test" else TaskList.sample(self, rng, split)

    def demonstrate(self, task: Task, rng: np.random.Generator, noise: float) -> Sequence[Utterance]:
        super().demonstrate(task, rng, noise)
        return [demonstration(task)]


def demonstration(task: Task) -> Answer:
    """The task's answer."""
    text = task.metadata["answer"]
    reply = FORMAT.parse(text)
    return Answer(reply.calls, reply.think, reply.response, text)


def task_from_row(row: Any, place: str, task_id: str, split: str = "train") -> Task:
    """A row as a task of one step. The messages are the row's, to the letter.

    ``metadata`` holds ``tools``; ``answer``, the right answer as the row writes it (one that is bare calls is written
    in ToolRL's format); and ``truth``, the text that replies are scored against: the answer, except that its thought is
    left out if it mentions the tags of a call, which the published programs would take for the call itself.

    Raises:
        TaskError: the row is malformed; the message begins with ``place`` and names the field.
    """
    told, said, answer, fields = _parts(row, place)
    text = answer if isinstance(answer, str) else _written(answer)
    reply = FORMAT.parse(text)
    if problem := next((call.error for call in reply.calls if call.error), None):
        raise TaskError(f"{place}: field {fields[1]}: a call cannot be read: {problem}")
    if not reply.calls and reply.response is None:
        raise TaskError(f"{place}: field {fields[1]}: neither <tool_call> nor <response>")
    tools = read_tools(told, f"{place}: field {fields[0]}")
    return Task(
        id=task_id,
        turns=(Turn((system(told), user(said)), (reply.calls,) if reply.calls else (), response=reply.response),),
        toolsets=(),
        split=split,
        metadata={"tools": tools, "answer": text, "truth": _truth(text, f"{place}: field {fields[1]}")},
        single_step=True,
    )


def _parts(row: Any, place: str) -> tuple[str, str, Any, tuple[str, str]]:
    """System text, user text and answer of a row, and the names of the first and the last field."""
    form = next((name for name in _FORMS if isinstance(row, Mapping) and name in row), None)
    if form is None:
        raise TaskError(f"{place}: the row must have a field {' or '.join(_FORMS)}")
    check(_FORMS[form], row, place)
    if form == "prompt":
        told, said = (message["content"] for message in row["prompt"])
        return told, said, row["reward_model"]["ground_truth"], ("prompt.0.content", "reward_model.ground_truth")
    first, middle, last = ("instruction", "input", "output") if form == "instruction" else ("system", "user", "answer")
    return row[first], row[middle], row[last], (first, last)


def _written(calls: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    listed = [calls] if isinstance(calls, Mapping) else calls
    return FORMAT.write([Call(call["name"], call["parameters"]) for call in listed], PLAN)


def _truth(answer: str, place: str) -> str:
    thoughtless = f"<think> </think>{answer.partition('</think>')[2]}"
    for text in (answer, thoughtless):
        try:
            published_scores(answer, text, Switches())
        except ValueError:
            continue
        return text
    raise TaskError(f"{place}: <tool_call> must hold one JSON object per line and nothing else")


# The tools of a system text

_LISTED = re.compile(r"^\*\*Available Tools\*\*\n(.*?)(?=\n\n\*\*|\Z)", re.DOTALL | re.MULTILINE)
_TOOL = re.compile(
    r"^(\d+)\. (?:Name: (.*)\nDescription: |([^:\n]*): )((?:(?!\nParameters: )[\s\S])*)\nParameters: (.*)$",
    re.MULTILINE,
)


def read_tools(text: str, place: str) -> tuple[Tool, ...]:
    """The tools that a system text lists.

    Raises:
        TaskError: there is no list, or a tool in it is malformed; the message begins with ``place``.
    """
    section = _LISTED.search(text)
    if section is None:
        raise TaskError(f"{place}: no list of tools under '**Available Tools**'")
    found = list(_TOOL.finditer(section[1]))
    if not found or len(found) != len(re.findall(r"^Parameters: ", section[1], re.MULTILINE)):
        raise TaskError(f"{place}: the list of tools cannot be read after tool {len(found)}")
    return tuple(_tool(match, f"{place}: tool {match[1]}") for match in found)


def _tool(match: re.Match[str], place: str) -> Tool:
    name, description = match[2] or match[3], match[4]
    parameters = _literal(match[5])
    if not isinstance(parameters, dict) or not all(isinstance(value, dict) for value in parameters.values()):
        raise TaskError(f"{place} ({name}): parameters must be an object of objects, got {match[5][:80]!r}")
    schema = {
        "type": "object",
        "properties": {name: json_schema(said) for name, said in parameters.items()},
        "required": [name for name, said in parameters.items() if _required(said)],
        "additionalProperties": False,
    }
    return Tool(name, description.strip() or name, schema)


def _literal(text: str) -> Any:
    """The value of a JSON or Python literal; None if it is neither."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


def _required(said: Mapping[str, Any]) -> bool:
    return said.get("default", "") == "" and "optional" not in str(said.get("type"))


_TYPES = {
    **dict.fromkeys(("str", "string"), "string"),
    **dict.fromkeys(("int", "integer"), "integer"),
    **dict.fromkeys(("float", "number"), "number"),
    **dict.fromkeys(("bool", "boolean"), "boolean"),
    **dict.fromkeys(("list", "array", "tuple", "set"), "array"),
    **dict.fromkeys(("dict", "object"), "object"),
    **dict.fromkeys(("none", "null"), "null"),
}


def json_schema(said: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's entry in a tool list (``type``, ``description``, ``default``) as a JSON Schema."""
    schema = _type(said.get("type"))
    if said.get("description"):
        schema["description"] = str(said["description"])
    if said.get("default", "") != "":
        schema["default"] = said["default"]
    return schema


def _type(word: Any) -> dict[str, Any]:
    if isinstance(word, list) and word and all(str(one).lower() in _TYPES for one in word):
        return {"type": [_TYPES[one.lower()] for one in word]}
    if not isinstance(word, str):
        return {}
    outer, _, inner = word.split(",")[0].strip().partition("[")
    kind = _TYPES.get(outer.partition("(")[0].strip().lower())
    if kind is None:
        return {}
    if outer.lower() == "list" and inner:
        return {"type": kind, "items": _type(inner.removesuffix("]"))}
    return {"type": kind}
