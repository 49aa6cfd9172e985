"""BFCL's single-turn files as tasks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.bfcl.single_turn import SINGLE_TURN, documented, load_single_turn, read_single_turn
from tooluse_gym.errors import ConfigurationError, DataNotFoundError, TaskError, ToolUseError
from tooluse_gym.tasks import Task, task_from_json, task_to_json

UNSATISFIABLE = {
    *("simple_java_36", "simple_java_65", "live_simple_106-63-0", "live_simple_112-68-0"),
    *("live_multiple_862-181-3", "live_multiple_964-207-0"),
}


def test_every_category_is_loaded(single_turn_tasks: dict[str, Task]) -> None:
    counts = Counter(task.metadata["category"] for task in single_turn_tasks.values())
    assert list(counts.values()) == [400, 100, 50, 200, 200, 200, 240, 258, 1053, 16, 24, 884, 16]
    assert tuple(counts) == SINGLE_TURN
    for task in single_turn_tasks.values():
        assert (task.split, task.single_step, task.gold_steps) == ("test", True, 1)
        category = task.metadata["category"]
        assert bool(task.turns[0].calls) != category.endswith("irrelevance"), task.id
        assert (task.metadata["possible_answer"] is None) == category.endswith("relevance"), task.id


def test_what_no_call_can_meet_is_said(single_turn_tasks: dict[str, Task]) -> None:
    assert {name for name, task in single_turn_tasks.items() if "unsatisfiable" in task.metadata} == UNSATISFIABLE
    why = single_turn_tasks["live_multiple_862-181-3"].metadata["unsatisfiable"]
    assert why == "Trains_1_FindTrains: no parameter 'journey_start_time' is documented"


def test_ground_truths_satisfy_the_schemas_but_for_some(single_turn_tasks: dict[str, Task]) -> None:
    refused = set()
    for task in single_turn_tasks.values():
        tools = {tool.name: tool for tool in documented(task)}
        if any(tools[call.name].check(call.arguments) for call in task.turns[0].calls):
            refused.add(task.id)
    assert refused - UNSATISFIABLE == {
        *("parallel_multiple_21", "parallel_multiple_94", "live_multiple_87-38-4", "live_multiple_552-153-1"),
        *("live_multiple_595-158-1", "live_multiple_596-158-2", "live_multiple_731-167-2", "live_multiple_733-167-4"),
        *("live_multiple_735-167-6", "live_multiple_750-169-5", "live_multiple_756-169-11"),
        *("live_multiple_835-178-10", "live_multiple_871-182-8", "live_multiple_947-197-0"),
        "live_parallel_multiple_2-2-0",
    }


def test_whole_histories_are_kept(single_turn_tasks: dict[str, Task]) -> None:
    roles = {tuple(message["role"] for message in task.turns[0].messages) for task in single_turn_tasks.values()}
    assert {("user",), ("system", "user")} < roles
    assert any("assistant" in told for told in roles)


def test_tasks_survive_saving(single_turn_tasks: dict[str, Task]) -> None:
    task = single_turn_tasks["simple_java_1"]
    record = {**json.loads(json.dumps(task_to_json(task))), "toolsets": ["any"]}
    assert task_from_json(record, "here").turns == task.turns


def test_unknown_category_is_named() -> None:
    with pytest.raises(ConfigurationError, match="unknown BFCL category 'simple'; choose one of simple_python, "):
        load_single_turn("simple")


CATEGORY = "multiple"
QUESTIONS = f"BFCL_v4_{CATEGORY}.json"
ANSWERS = f"possible_answer/{QUESTIONS}"
Change = Callable[[list[dict[str, Any]]], Any]
WRONG: dict[str, tuple[str, Change, type[ToolUseError], str]] = {
    "question lost": (QUESTIONS, lambda lines: lines.pop(), TaskError, "199 entries, but possible_answer/.* has 200"),
    "id twice": (QUESTIONS, lambda lines: lines[1].update(id="multiple_0"), TaskError, "json:2: field id: .* twice"),
    "two turns": (
        QUESTIONS,
        lambda lines: lines[2].update(question=lines[2]["question"] * 2),
        TaskError,
        "json:3: field question: .* too long",
    ),
    "no message": (
        QUESTIONS,
        lambda lines: lines[2].update(question=[[]]),
        TaskError,
        r"json:3: field question\.0: ",
    ),
    "docs are no list": (QUESTIONS, lambda lines: lines[0].update(function={}), TaskError, "json:1: field function: "),
    "unknown type": (
        QUESTIONS,
        lambda lines: lines[0]["function"][0]["parameters"]["properties"].update(x={"type": "quaternion"}),
        TaskError,
        r"json:1: field function\.0\.parameters\.properties\.x\.type: 'quaternion'",
    ),
    "other words": (
        QUESTIONS,
        lambda lines: lines[0]["function"][0].update(description="?"),
        DataNotFoundError,
        f"{QUESTIONS} is not that of BFCL release",
    ),
    "other id answered": (
        ANSWERS,
        lambda lines: lines[3].update(id="multiple_9"),
        TaskError,
        f"{ANSWERS}:4: field id: 'multiple_9', but the question there is 'multiple_3'",
    ),
    "unknown function": (
        ANSWERS,
        lambda lines: lines[0].update(ground_truth=[{"fry": {}}]),
        TaskError,
        f"{ANSWERS}:1: field ground_truth.0: the question has no function 'fry'",
    ),
    "values are no list": (
        ANSWERS,
        lambda lines: lines[0].update(ground_truth=[{"fry": {"x": 1}}]),
        TaskError,
        f"{ANSWERS}:1: field ground_truth.0.fry.x: 1 is not of type 'array'",
    ),
}


@pytest.mark.parametrize(("name", "change", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_files_are_named(
    bfcl_data: Path, tmp_path: Path, name: str, change: Change, error: type[ToolUseError], message: str
) -> None:
    (tmp_path / "possible_answer").mkdir()
    for part in (QUESTIONS, ANSWERS):
        lines = [json.loads(line) for line in (bfcl_data / part).read_text(encoding="utf-8").splitlines()]
        if part == name:
            change(lines)
        (tmp_path / part).write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.raises(error, match=message):
        load_single_turn(CATEGORY, tmp_path)


def test_own_entries_can_be_read(tmp_path: Path) -> None:
    doc = {"name": "f", "description": "F.", "parameters": {"type": "dict", "properties": {}, "required": []}}
    entry = {"id": "irrelevance_0", "question": [[{"role": "user", "content": "Hi."}]], "function": [doc]}
    (tmp_path / "BFCL_v4_irrelevance.json").write_text(json.dumps(entry))
    (task,) = read_single_turn(tmp_path, "irrelevance").values()
    assert task.turns[0].steps == ()
    assert [tool.name for tool in documented(task)] == ["f"]


def test_relevance_needs_a_function(tmp_path: Path) -> None:
    entry = {"id": "live_relevance_0", "question": [[{"role": "user", "content": "Hi."}]], "function": []}
    (tmp_path / "BFCL_v4_live_relevance.json").write_text(json.dumps(entry))
    with pytest.raises(TaskError, match="json:1: field function: there must be one to call"):
        read_single_turn(tmp_path, "live_relevance")
