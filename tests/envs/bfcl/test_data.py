"""BFCL's files as tasks: what is read, what is refused, where the files are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.bfcl import data
from tooluse_gym.errors import ConfigurationError, DataNotFoundError, TaskError
from tooluse_gym.formats import Call
from tooluse_gym.messages import user

QUESTION: dict[str, Any] = {
    "id": "multi_turn_miss_func_0",
    "question": [[user("make a file")], [user("and sort it")], []],
    "initial_config": {"GorillaFileSystem": {"root": {"home": {"type": "directory", "contents": {}}}}, "TravelAPI": {}},
    "involved_classes": ["MathAPI", "GorillaFileSystem"],
    "missed_function": {"2": ["sort"]},
}
ANSWER: dict[str, Any] = {
    "id": "multi_turn_miss_func_0",
    "ground_truth": [["touch('a.txt')", "echo('b', file_name='a.txt')"], [], ["sort(file_name='a.txt')"]],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder of one made-up entry."""
    write(tmp_path, [QUESTION], [ANSWER])
    return tmp_path


def write(folder: Path, questions: list[Any], answers: list[Any]) -> None:
    (folder / "possible_answer").mkdir(exist_ok=True)
    for place, records in ((folder, questions), (folder / "possible_answer", answers)):
        (place / "BFCL_v4_multi_turn_miss_func.json").write_text("\n".join(map(json.dumps, records)))


def changed(record: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in {**record, **fields}.items() if value is not ...}


def test_entry_becomes_task(folder: Path) -> None:
    (task,) = data.read_tasks(folder, "miss_func").values()
    assert task.id == "multi_turn_miss_func_0"
    assert task.toolsets == ("MathAPI", "GorillaFileSystem")
    assert dict(task.initial_state) == {"GorillaFileSystem": QUESTION["initial_config"]["GorillaFileSystem"]}
    assert task.split == "test"
    assert task.metadata == {"category": "miss_func", "long_context": False}
    assert [turn.messages for turn in task.turns] == [
        (user("make a file"),),
        (user("and sort it"),),
        (user(data.REVEAL),),
    ]
    assert [turn.reveals for turn in task.turns] == [(), (), ("sort",)]
    assert task.turns[0].steps == (
        (Call("touch", {"file_name": "a.txt"}, source="touch('a.txt')"),),
        (Call("echo", {"content": "b", "file_name": "a.txt"}, source="echo('b', file_name='a.txt')"),),
    )


def test_long_turns_make_several_calls_per_step(folder: Path) -> None:
    calls = [f"touch('{number}')" for number in range(45)]
    write(folder, [QUESTION], [changed(ANSWER, ground_truth=[calls, [], []])])
    (task,) = data.read_tasks(folder, "miss_func").values()
    assert [len(step) for step in task.turns[0].steps] == [3] * 15
    assert [call.source for call in task.turns[0].calls] == calls


WRONG: dict[str, tuple[list[Any], list[Any], str]] = {
    "no question": ([changed(QUESTION, question=...)], [ANSWER], r"func.json:1: the record: 'question' is a required"),
    "config is a list": ([changed(QUESTION, initial_config=[])], [ANSWER], "field initial_config: "),
    "turn is a text": ([changed(QUESTION, question=["a"])], [ANSWER], "field question.0: "),
    "message without role": ([changed(QUESTION, question=[[{"content": ""}]])], [ANSWER], "field question.0.0: "),
    "unknown class": ([changed(QUESTION, involved_classes=["Toaster"])], [ANSWER], "field involved_classes.0: 'Toaste"),
    "silent turn": ([changed(QUESTION, missed_function=...)], [ANSWER], "field question.2: no message"),
    "reveal of nothing": ([changed(QUESTION, missed_function={"2": ["fry"]})], [ANSWER], "missed_function.2: .*'fry'"),
    "reveal in a spoken turn": ([changed(QUESTION, missed_function={"1": ["sort"]})], [ANSWER], "missed_function.1: "),
    "reveal after the end": ([changed(QUESTION, missed_function={"7": ["sort"]})], [ANSWER], "missed_function.7: "),
    "id twice": ([QUESTION, QUESTION], [ANSWER, ANSWER], "func.json:2: field id: .* occurs twice"),
    "more questions": ([QUESTION, changed(QUESTION, id="x")], [ANSWER], "2 entries, but possible_answer/.* has 1"),
    "other id": ([QUESTION], [changed(ANSWER, id="x")], "possible_answer.*:1: field id: 'x', but"),
    "turn lacks an answer": ([QUESTION], [changed(ANSWER, ground_truth=[[]])], "field ground_truth: 1 turns, but .* 3"),
    "answer is a text": ([QUESTION], [changed(ANSWER, ground_truth="f()")], "field ground_truth: "),
    "call is cut": (
        [QUESTION],
        [changed(ANSWER, ground_truth=[["touch('"], [], []])],
        r"field ground_truth.0.0: \"tou",
    ),
    "call is computed": ([QUESTION], [changed(ANSWER, ground_truth=[[], ["cd(f())"], []])], "field ground_truth.1.0: "),
    "call of nothing": ([QUESTION], [changed(ANSWER, ground_truth=[["fry()"], [], []])], "no .* function 'fry'"),
    "given twice": (
        [QUESTION],
        [changed(ANSWER, ground_truth=[["cd('a', folder='b')"], [], []])],
        r"ground_truth.0.0: .* arguments: argument 'folder' is given both by position and by name",
    ),
    "too many values": ([QUESTION], [changed(ANSWER, ground_truth=[["cd(1, 2)"], [], []])], "2 positional .* cd has 1"),
}


@pytest.mark.parametrize(("questions", "answers", "message"), WRONG.values(), ids=WRONG)
def test_wrong_entries_are_named(folder: Path, questions: list[Any], answers: list[Any], message: str) -> None:
    write(folder, questions, answers)
    with pytest.raises(TaskError, match=message):
        data.read_tasks(folder, "miss_func")


@pytest.mark.parametrize("place", [".", "possible_answer"])
def test_truncated_line_is_named(folder: Path, place: str) -> None:
    path = folder / place / "BFCL_v4_multi_turn_miss_func.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(TaskError, match=r"BFCL_v4_multi_turn_miss_func.json:1: not JSON"):
        data.read_tasks(folder, "miss_func")


def test_unknown_category_names_the_valid_ones() -> None:
    with pytest.raises(ConfigurationError, match="'simple'; choose one of base, miss_func, miss_param, long_context"):
        data.load_tasks("simple")


@pytest.mark.parametrize(
    "lost", ["BFCL_v4_multi_turn_miss_func.json", "possible_answer/BFCL_v4_multi_turn_miss_func.json"]
)
def test_missing_file_names_the_command(folder: Path, lost: str) -> None:
    (folder / lost).unlink()
    with pytest.raises(DataNotFoundError, match=rf"{lost} is missing: run 'tooluse-gym data get bfcl'"):
        data.read_tasks(folder, "miss_func")


def test_entries_of_ones_own_are_no_official_tasks(folder: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"func.json is not that of BFCL release 2026.3.23: "):
        data.load_tasks("miss_func", folder)


@pytest.mark.parametrize("category", data.CATEGORIES)
def test_official_entries_load(bfcl_data: Path, category: str) -> None:
    tasks = data.load_tasks(category, bfcl_data)
    assert list(tasks) == [f"multi_turn_{category}_{number}" for number in range(200)]
    assert tasks == data.load_tasks(f"multi_turn_{category}", bfcl_data)
    assert all(not task.turns[0].reveals for task in tasks.values())
    assert all(any(turn.reveals for turn in task.turns) == (category == "miss_func") for task in tasks.values())


def test_long_context_tasks_share_the_payload(bfcl_data: Path) -> None:
    tasks = data.load_tasks("long_context", bfcl_data).values()
    assert {id(task.metadata["payload"]) for task in tasks} == {id(data.load_payload(bfcl_data))}


def test_payload_is_the_same_from_fixtures_and_release(bfcl_data: Path, bfcl_release: Path) -> None:
    if not (bfcl_data / "simulator_fixtures.json").is_file():
        pytest.skip("the test data has no fixtures")
    fixtures, source = data.load_payload(bfcl_data), data.load_payload(bfcl_release)
    assert len(source) == 16
    assert source == fixtures
    assert repr(source) == repr(fixtures)  # 1 and 1.0 differ, and so does another order
