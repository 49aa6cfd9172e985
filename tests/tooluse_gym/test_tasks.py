from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tooluse_gym.errors import ConfigurationError, TaskError
from tooluse_gym.formats import Call
from tooluse_gym.messages import user
from tooluse_gym.tasks import (
    CLOSING,
    PLAN,
    Task,
    TaskList,
    TestTasks,
    Turn,
    Utterance,
    gold_utterances,
    load_tasks,
    task_from_json,
    task_to_json,
)

FULL = Task(
    id="full",
    turns=(
        Turn((user("a"), user("b")), ((Call("x", {"n": [1, {"m": None}]}), Call("y")), (Call("z", source="z(1)"),))),
        Turn((user("c"),)),
        Turn((user("d"),), ((Call("late"),),), reveals=("late",)),
    ),
    toolsets=("X", "Y"),
    initial_state={"X": {"deep": [1.5]}},
    tools=("x", "y", "late"),
    split="test",
    metadata={"category": "base"},
)
SMALL: dict[str, Any] = {"id": "s", "turns": [{"messages": [{"role": "user", "content": "hi"}]}], "toolsets": ["X"]}


def test_json_round_trip() -> None:
    assert task_from_json(json.loads(json.dumps(task_to_json(FULL))), "here") == FULL


def test_defaults() -> None:
    assert task_from_json(SMALL, "here") == Task("s", (Turn((user("hi"),)),), ("X",))


def test_gold_steps_and_utterances() -> None:
    assert FULL.gold_steps == 6
    first, second, late = FULL.turns[0].steps[0], FULL.turns[0].steps[1], FULL.turns[2].steps[0]
    said = [Utterance(calls, think=PLAN) for calls in (first, second, late)]
    assert gold_utterances(FULL) == [said[0], said[1], CLOSING, CLOSING, said[2], CLOSING]
    assert FULL.turns[0].calls == (*first, *second)


@pytest.mark.parametrize(("turn", "shown"), [(0, ("x", "y")), (1, ("x", "y")), (2, ("x", "y", "late"))])
def test_visible_hides_what_is_revealed_later(turn: int, shown: tuple[str, ...]) -> None:
    assert FULL.visible(turn, ("late", "x", "other", "y")) == shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "field id: "),
        ({"id": 3}, "field id: 3 is not of type 'string'"),
        ({"toolsets": []}, "field toolsets: "),
        ({"turns": []}, "field turns: "),
        ({"turns": [{}]}, "field turns.0: 'messages' is a required property"),
        ({"turns": [{"messages": [{"role": "robot", "content": ""}]}]}, "field turns.0.messages.0.role: 'robot'"),
        ({"turns": [{"messages": [{"role": "user", "content": 1}]}]}, "field turns.0.messages.0.content: 1"),
        (
            {"turns": [{**SMALL["turns"][0], "steps": [[{"name": "x"}]]}]},
            "field turns.0.steps.0.0: 'arguments' is a required property",
        ),
        (
            {"turns": [{**SMALL["turns"][0], "steps": [[{"name": "x", "arguments": {}, "argz": 1}]]}]},
            "field turns.0.steps.0.0: Additional properties are not allowed",
        ),
        ({"tool": ["x"]}, "the record: Additional properties are not allowed ('tool' was unexpected)"),
    ],
    ids=lambda value: "" if isinstance(value, str) else json.dumps(value)[:40],
)
def test_load_errors_name_file_line_and_field(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text(json.dumps({**SMALL, "id": "good"}) + "\n\n" + json.dumps({**SMALL, **change}) + "\n")
    with pytest.raises(TaskError) as caught:
        load_tasks(file)
    assert str(caught.value).startswith(f"{file}:3: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{]\n", ":1: not JSON (Expecting property name enclosed in double quotes at column 2)"),
        ("", ": a task list needs at least one task"),
        (f"{json.dumps(SMALL)}\n{json.dumps(SMALL)}\n", ": task id 's' occurs twice"),
    ],
    ids=["not json", "empty", "twice"],
)
def test_load_errors_of_the_file(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text(content)
    with pytest.raises(TaskError) as caught:
        load_tasks(file)
    assert str(caught.value).startswith(f"{file}{message}")


def test_load(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text("\n".join(json.dumps(task_to_json(task)) for task in (FULL, task_from_json(SMALL, ""))))
    tasks = load_tasks(file)
    assert list(tasks) == [FULL, tasks["s"]]
    assert len(tasks) == 2
    assert tasks.splits == ("test", "train")


def test_test_data_is_sampled_only_with_leave() -> None:
    task = Task("0", (Turn((user("hi"),)),), ("X",), split="test")
    for allowed in (False, True):
        tasks = TestTasks([task], "the benchmark's questions", allowed)
        assert tasks["0"] is task
        if allowed:
            assert tasks.sample(np.random.default_rng(0), "test") is task
            continue
        with pytest.raises(ConfigurationError, match=r"sample from the benchmark's questions.*allow_test_data=True"):
            tasks.sample(np.random.default_rng(0), "test")


def test_task_list_samples_a_split() -> None:
    tasks = TaskList([Task(str(i), (Turn((user("hi"),)),), ("X",), split="ab"[i % 2]) for i in range(10)])
    drawn = {tasks.sample(np.random.default_rng(seed), "b").id for seed in range(50)}
    assert drawn == {"1", "3", "5", "7", "9"}
    with pytest.raises(ConfigurationError, match="no tasks in split 'c'; there are a, b"):
        tasks.sample(np.random.default_rng(0), "c")
    with pytest.raises(KeyError):
        tasks["10"]


def test_task_list_demonstrates_the_ground_truth_only() -> None:
    tasks = TaskList([FULL])
    assert tasks.demonstrate(FULL, np.random.default_rng(0), 0.0) == gold_utterances(FULL)
    with pytest.raises(ConfigurationError, match="no noisy demonstrations"):
        tasks.demonstrate(FULL, np.random.default_rng(0), 0.5)
