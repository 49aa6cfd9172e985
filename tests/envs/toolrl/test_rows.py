"""Rows become tasks: three forms of a row, two of a list of tools, and what is wrong with bad ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from tooluse_gym.envs.toolrl.rows import Answer, Rows, demonstration, json_schema, read_tools, task_from_row
from tooluse_gym.errors import ConfigurationError, TaskError
from tooluse_gym.formats import Call
from tooluse_gym.messages import system, user

SYSTEM = """You help.

**Available Tools**
In your response, you can use the following tools:
1. Name: lamp
Description: Switch a lamp.
Once.
Parameters: {"on": {"description": "Shines?", "type": "bool", "default": ""}, "dim": {"type": "int", "default": 3}}
2. Name: Wait a bit
Description: Do nothing.
Parameters: {}

**Steps for Each Turn**
1. Think: parameters and all that."""
SHORT = SYSTEM.replace("Name: lamp\nDescription: ", "lamp: ").replace('"bool", "default": ""', "'bool'")
USER = "**History**\n<user> light </user>\n"
CALL = {"name": "lamp", "parameters": {"on": True}}
BLOCK = f"<tool_call>\n{json.dumps(CALL)}\n</tool_call>"
ANSWER = f"<think> so </think>\n{BLOCK}\n<response> There. </response>"
LAMP = Call("lamp", {"on": True})

FORMS: dict[str, Any] = {
    "prompt": {"prompt": [system(SYSTEM), user(USER)], "reward_model": {"ground_truth": ANSWER, "style": "rule"}},
    "instruction": {"instruction": SYSTEM, "input": USER, "output": ANSWER},
    "system": {"system": SYSTEM, "user": USER, "answer": ANSWER},
}


def _row(**changes: Any) -> dict[str, Any]:
    return {**FORMS["system"], **changes}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_row(form: str) -> None:
    task = task_from_row(FORMS[form], "here", "a/1", "test")
    assert (task.id, task.split, task.single_step, task.gold_steps) == ("a/1", "test", True, 1)
    (turn,) = task.turns
    assert turn.messages == (system(SYSTEM), user(USER))
    assert (turn.steps, turn.response) == (((LAMP,),), "There.")
    assert task.metadata["answer"] == task.metadata["truth"] == ANSWER
    assert demonstration(task) == Answer((LAMP,), "so", "There.", ANSWER)


@pytest.mark.parametrize("calls", [CALL, [CALL]], ids=["a call", "a list"])
def test_bare_calls_are_written_as_an_answer(calls: Any) -> None:
    task = task_from_row(_row(answer=calls), "here", "a/1")
    assert task.turns[0].steps == ((LAMP,),)
    assert task.metadata["answer"] == f"<think> The request needs these calls. </think>\n{BLOCK}"


def test_a_thought_that_mentions_calls_is_not_scored_against() -> None:
    answer = ANSWER.replace("so", "a <tool_call> is due")
    task = task_from_row(_row(answer=answer), "here", "a/1")
    assert task.metadata == {
        "answer": answer,
        "truth": ANSWER.replace(" so ", " "),
        "tools": read_tools(SYSTEM, ""),
    }
    assert task.turns[0].steps == ((LAMP,),)


def test_rows_demonstrate_their_answers() -> None:
    rows = Rows([task_from_row(_row(), "here", "a/1")], "rows", allowed=False)
    assert rows.demonstrate(rows["a/1"], np.random.default_rng(0), 0.0) == [Answer((LAMP,), "so", "There.", ANSWER)]
    with pytest.raises(ConfigurationError, match="noise"):
        rows.demonstrate(rows["a/1"], np.random.default_rng(0), 0.5)


def test_tools_of_a_list() -> None:
    lamp, wait = read_tools(SYSTEM, "here")
    assert (lamp.name, lamp.description, wait.name) == ("lamp", "Switch a lamp.\nOnce.", "Wait a bit")
    assert lamp.parameters == {
        "type": "object",
        "properties": {
            "on": {"type": "boolean", "description": "Shines?"},
            "dim": {"type": "integer", "default": 3},
        },
        "required": ["on"],
        "additionalProperties": False,
    }
    assert read_tools(SHORT, "here") == (lamp, wait)


@pytest.mark.parametrize(
    ("word", "schema"),
    [
        ("str", {"type": "string"}),
        ("int, optional", {"type": "integer"}),
        ("List[List[float]]", {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}),
        ("list(str)", {"type": "array"}),
        ("Tuple[float, float]", {"type": "array"}),
        ("List[Union[int, float]]", {"type": "array", "items": {}}),
        (["string", "null"], {"type": ["string", "null"]}),
        ("Callable[[float], float]", {}),
        (None, {}),
        ([3], {}),
    ],
    ids=repr,
)
def test_words_for_types(word: Any, schema: dict[str, Any]) -> None:
    assert json_schema({"type": word}) == schema


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"text": "?"}, "row must have a field prompt or instruction or system"),
        (["?"], "row must have a field"),
        (_row(user=3), "field user: 3 is not of type 'string'"),
        (_row(answer=[{"name": "f"}]), "field answer: "),
        ({"prompt": [user("x"), user("y")], "reward_model": {"ground_truth": "z"}}, "field prompt.0.role: 'system'"),
        ({"instruction": SYSTEM, "input": USER}, "'output' is a required property"),
        (_row(answer=ANSWER[:50]), "field answer: a call cannot be read: <tool_call> is not closed"),
        (_row(answer="well"), "field answer: neither <tool_call> nor <response>"),
        (_row(answer=ANSWER.replace("\n</tool", "\n\n{}\n</tool")), "field answer: a call cannot be read"),
        (_row(answer=ANSWER.replace(BLOCK, BLOCK.replace("{", "{\n", 1))), "field answer: <tool_call> must hold one"),
        (_row(system="no tools"), "field system: no list of tools"),
        (_row(system=SYSTEM.replace("2. Name", "Name")), "field system: the list of tools cannot be read after tool 1"),
        (_row(system=SYSTEM.replace("{}", "{")), "field system: tool 2 (Wait a bit): parameters must be an object"),
        (_row(system=SYSTEM.replace("{}", "{'a': 1}")), "tool 2 (Wait a bit): parameters must be an object of objects"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_bad_rows(row: Any, problem: str) -> None:
    with pytest.raises(TaskError, match=f"^here: .*{re.escape(problem)}"):
        task_from_row(row, "here", "a/1")


def test_every_recorded_row_is_read(data: Path, bank_rows: list[dict[str, Any]]) -> None:
    rows = [*json.loads((data / "rlla_sft.json").read_text(encoding="utf-8")), *bank_rows]
    tasks = [task_from_row(row, "here", str(number)) for number, row in enumerate(rows)]
    assert len(tasks) == 997
    assert sum(task.metadata["truth"] != task.metadata["answer"] for task in tasks) == 17
    for schema in {json.dumps(tool.parameters) for task in tasks[::5] for tool in task.metadata["tools"]}:
        jsonschema.Draft202012Validator.check_schema(json.loads(schema))
