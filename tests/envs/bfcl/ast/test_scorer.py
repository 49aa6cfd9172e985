"""Single-turn verdicts against recorded ones, relevance, and what the entry points take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import bfcl_parity
from tooluse_gym.envs import bfcl
from tooluse_gym.envs.bfcl.ast.checker import CRASH
from tooluse_gym.envs.bfcl.single_turn import UNANSWERED
from tooluse_gym.tasks import Task, Turn

DOC = {
    "name": "math.area",
    "description": "",
    "parameters": {
        "type": "dict",
        "properties": {"sides": {"type": "array", "items": {"type": "integer"}}, "unit": {"type": "string"}},
        "required": ["sides"],
    },
}
TASK = Task(
    "simple_python_0",
    (Turn(({"role": "user", "content": "?"},)),),
    ("functions",),
    metadata={"functions": [DOC], "possible_answer": [{"math.area": {"sides": [[3, 4]], "unit": ["cm", ""]}}]},
)


def test_every_recorded_verdict_agrees(
    bfcl_records: Callable[[str], list[dict[str, Any]]], single_turn_tasks: dict[str, Task]
) -> None:
    cases = list(bfcl_parity.single_turn_verdicts(bfcl_records(bfcl_parity.SINGLE_VERDICTS), single_turn_tasks))
    assert len(cases) == 10_463
    assert bfcl_parity.differing(cases) == []


def test_relevance_agrees_with_the_recorded_decodings(bfcl_records: Callable[[str], list[dict[str, Any]]]) -> None:
    records = [record for record in bfcl_records(bfcl_parity.DECODINGS) if "irrelevance" in record]
    assert len(records) == 2_440
    differing = [
        record["raw"]
        for record in records
        for category in UNANSWERED
        if bfcl.score_ast(category, TASK, record["raw"]).valid != record[category.replace("live_irr", "irr")]
    ]
    assert differing == []


@pytest.mark.parametrize(
    ("reply", "error_type"),
    [
        ("[math.area(sides=[3, 4])]", None),
        ([{"math.area": '{"sides": [3, 4], "unit": "C-M"}'}], None),
        ([{"math.area": "[3, 4]"}], "ast_decoder:decoder_wrong_output_format"),
        ([{"math.area": "{"}], "ast_decoder:decoder_failed"),
        ([{"math.area": 5}], "ast_decoder:decoder_failed"),
        ([5], "ast_decoder:decoder_failed"),
        ({"math.area": "{}"}, "ast_decoder:decoder_failed"),
        ([], "simple_function_checker:wrong_count"),
        ("I cannot.", "ast_decoder:decoder_failed"),
        ("[math.area(sides=[3, '4'])]", "type_error:nested"),
    ],
)
def test_texts_and_function_calls(reply: Any, error_type: str | None) -> None:
    verdict = bfcl.score_ast("simple_python", TASK, reply)
    assert (verdict.valid, verdict.error_type) == (error_type is None, error_type)


def test_names_without_dots() -> None:
    call = {"math_area": {"sides": [3, 4]}}
    assert bfcl.score_ast_calls("simple_python", TASK, [call], underscore_to_dot=True).valid
    assert bfcl.score_ast_calls("simple_python", TASK, [call]).error_type == "simple_function_checker:wrong_func_name"


def test_return_formats_and_tags() -> None:
    reply = '<TOOLCALL>[{"function": "math.area", "parameters": {"sides": [3, 4]}}]</TOOLCALL>'
    assert bfcl.score_ast("simple_python", TASK, reply, return_format="json", tagged=True).valid
    assert not bfcl.score_ast("simple_python", TASK, reply).valid


@pytest.mark.parametrize("calls", [None, {}, "f()", [1], [{}], [{"f": {}, "g": {}}], [{"f": []}]])
def test_other_values_are_no_calls(calls: Any) -> None:
    verdict = bfcl.score_ast_calls("simple_python", TASK, calls)
    assert verdict.error_type == "ast_decoder:decoder_wrong_output_format"
    assert bfcl.score_ast_calls("irrelevance", TASK, calls).valid
    assert bfcl.score_ast_calls("live_relevance", TASK, calls).error_type == "relevance_error:decoder_failed"


def test_what_crashes_the_official_checker_is_wrong() -> None:
    doc = {**DOC, "parameters": {"properties": {"x": {"type": "float"}}, "required": ["x"]}}
    task = Task(
        "x", TASK.turns, ("f",), metadata={"functions": [doc], "possible_answer": [{"math.area": {"x": [1.0]}}]}
    )
    assert bfcl.score_ast_calls("simple_python", task, [{"math.area": {"x": 10**400}}]).error_type == CRASH
