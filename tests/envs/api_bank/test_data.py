from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.api_bank.data import dialogue_task, load_calls, load_dialogues
from tooluse_gym.envs.api_bank.dialogues import ApiCall, Dialogue, Line
from tooluse_gym.envs.api_bank.level import load_level, starter_level
from tooluse_gym.errors import DataNotFoundError, TaskError
from tooluse_gym.formats import Call

RESULT: dict[str, Any] = {"input": {}, "output": "7.0", "exception": None}


def call(name: str, place: str = "one.jsonl:2", **params: Any) -> Line:
    return Line("API", call=ApiCall(name, params, RESULT, place))


def said(*lines: Line) -> Dialogue:
    return Dialogue("level-1/one", 1, lines)


def test_a_turn_is_what_the_user_says_and_all_until_the_user_speaks_again() -> None:
    dialogue = said(
        Line("User", "Hello"),
        Line("User", "What is 3+4, and what is the date?"),
        call("Calculator", formula="3+4"),
        Line("AI", "Now the date."),
        call("GetToday"),
        Line("AI", "It is 7."),
        Line("User", "Thanks"),
    )
    task = dialogue_task(dialogue, starter_level(1), "test")
    first, second = task.turns
    assert first.messages == ({"role": "user", "content": "Hello\nWhat is 3+4, and what is the date?"},)
    assert first.steps == ((Call("Calculator", {"formula": "3+4"}),), (Call("GetToday"),))
    assert (first.response, second.steps, second.response) == ("It is 7.", (), None)
    assert task.tools == ("Calculator", "GetToday")
    assert [[found["name"] for found in turn] for turn in task.metadata["recorded"]] == [["Calculator", "GetToday"], []]


def test_arguments_get_the_types_that_the_api_declares() -> None:
    switch = call("TimedSwitch", device_id="lamp", time="2024-01-01 10:00:00", on="True")
    meeting = call(
        "AddMeeting", token="t", meeting_topic="x", start_time="", end_time="", location="", attendees="['Ada', 'Bo']"
    )
    task = dialogue_task(said(Line("User", "x"), switch, meeting), starter_level(1), "test")
    first, second = task.turns[0].calls
    assert first.arguments == {"name": "lamp", "time": "2024-01-01 10:00:00", "on": True}
    assert second.arguments["attendees"] == ["Ada", "Bo"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (call("Geocoding", address="x"), r"one\.jsonl:2: field api_name: there is no API 'Geocoding' at level 1"),
        (call("Calculator", text="x"), r"one\.jsonl:2: field param_dict: invalid parameter name"),
        (call("Calculator"), r"one\.jsonl:2: field param_dict: .*missing 1 required"),
    ],
    ids=["of another level", "unknown", "missing"],
)
def test_a_gold_call_that_does_not_fit_is_named(line: Line, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        dialogue_task(said(Line("User", "x"), line), starter_level(1), "test")


def test_all_dialogues_are_tasks(api_bank_data: Path) -> None:
    counted = {}
    for number in (1, 2, 3):
        tasks = load_dialogues(load_level(number, api_bank_data))
        assert len({task.id for task in tasks}) == len(tasks)
        counted[number] = (len(tasks), sum(len(turn.calls) for task in tasks for turn in task.turns))
    assert counted == {1: (213, 389), 2: (50, 119), 3: (50, 245)}  # one file of level 1 is empty


def test_tools_that_no_search_finds_are_shown_from_the_start(api_bank_data: Path) -> None:
    tasks = {task.id: task for task in load_dialogues(load_level(2, api_bank_data))}
    more = {name: task.tools[1:] for name, task in tasks.items() if task.tools and len(task.tools) > 1}
    assert len(more) == 9
    assert more["level-2/QueryBalance-level-3-1"] == ("GetUserToken", "QueryBalance")


def test_toolrls_edition_is_read(api_bank_data: Path) -> None:
    assert [len(load_calls(level, api_bank_data)) for level in (1, 2, 3)] == [399, 67, 131]
    (kept, *_), (bare, *_) = load_calls(2, api_bank_data), load_calls(2, api_bank_data, own_prompt=False)
    assert [message["role"] for message in kept.turns[0].messages] == ["system", "user"]
    assert bare.turns[0].messages == kept.turns[0].messages[1:]
    assert kept.id == "call-2/SymptomSearch-level-3-2#0"
    assert kept.turns[0].calls == (Call("SymptomSearch", {"symptom": "rash"}),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.append(rows[0]), r"entry 67: field other: 'call-2/.*#0' occurs twice"),
        (lambda rows: rows[3].pop("other"), "entry 3: field other: expected file and id, got null"),
        (lambda rows: rows[3]["answer"].update(name="Geocoding"), "entry 3: field answer: there is no API 'Geocoding'"),
        (lambda rows: rows[3].update(answer=5), "entry 3: field answer"),
        (lambda rows: rows.clear(), "expected a list of entries"),
    ],
    ids=["twice", "no id", "of another level", "wrong type", "empty"],
)
def test_a_bad_entry_is_named(change: Any, message: str, api_bank_data: Path, tmp_path: Path) -> None:
    rows = json.loads((api_bank_data / "processed/level-2-api_processed.json").read_text(encoding="utf-8"))
    change(rows)
    (tmp_path / "init_database").mkdir()
    (tmp_path / "processed").mkdir()
    (tmp_path / "processed/level-2-api_processed.json").write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(TaskError, match=message):
        load_calls(2, tmp_path)
    with pytest.raises(DataNotFoundError, match=r"level-1-api_processed\.json is missing"):
        load_calls(1, tmp_path)
