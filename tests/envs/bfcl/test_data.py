"""BFCL's files as tasks: what is read, what is refused, where the files are found."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.bfcl import data
from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.errors import ConfigurationError, DataNotFoundError, TaskError
from tooluse_gym.formats import Call
from tooluse_gym.messages import user

Records = Callable[[str], list[dict[str, Any]]]

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
DOC = {
    "name": "touch",
    "description": "Make a file.",
    "parameters": {
        "type": "dict",
        "properties": {
            "file_name": {"type": "string", "description": "its name", "default": "None"},
            "weights": {"type": "tuple", "items": {"type": "float"}},
            "type": {"type": "any", "description": "a parameter called type"},
        },
        "required": ["file_name"],
    },
    "response": {"type": "dict"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder of one made-up entry."""
    write(tmp_path, [QUESTION], [ANSWER])
    (tmp_path / "multi_turn_func_doc").mkdir()
    (tmp_path / "multi_turn_func_doc/gorilla_file_system.json").write_text(json.dumps(DOC))
    return tmp_path


def write(folder: Path, questions: list[Any], answers: list[Any]) -> None:
    (folder / "possible_answer").mkdir(exist_ok=True)
    for place, records in ((folder, questions), (folder / "possible_answer", answers)):
        (place / "BFCL_v4_multi_turn_miss_func.json").write_text("\n".join(map(json.dumps, records)))


def changed(record: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in {**record, **fields}.items() if value is not ...}


@pytest.mark.parametrize("name", ["miss_func", "multi_turn_miss_func"])
def test_entry_becomes_task(folder: Path, name: str) -> None:
    (task,) = data.load_tasks(name, folder).values()
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
    (task,) = data.load_tasks("miss_func", folder).values()
    assert [len(step) for step in task.turns[0].steps] == [3] * 15
    assert [call.source for call in task.turns[0].calls] == calls


def test_entries_without_simulator_are_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data.left_out("miss_func", folder) == {}
    monkeypatch.delitem(SIMULATORS, "MathAPI")
    assert data.load_tasks("miss_func", folder) == {}
    assert data.left_out("miss_func", folder) == {"multi_turn_miss_func_0": ("MathAPI",)}


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
    "too many values": ([QUESTION], [changed(ANSWER, ground_truth=[["cd(1, 2)"], [], []])], "2 positional .* cd has 1"),
}


@pytest.mark.parametrize(("questions", "answers", "message"), WRONG.values(), ids=WRONG)
def test_wrong_entries_are_named(folder: Path, questions: list[Any], answers: list[Any], message: str) -> None:
    write(folder, questions, answers)
    with pytest.raises(TaskError, match=message):
        data.load_tasks("miss_func", folder)


@pytest.mark.parametrize("place", [".", "possible_answer"])
def test_truncated_line_is_named(folder: Path, place: str) -> None:
    path = folder / place / "BFCL_v4_multi_turn_miss_func.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(TaskError, match=r"BFCL_v4_multi_turn_miss_func.json:1: not JSON"):
        data.load_tasks("miss_func", folder)


def test_unknown_category_names_the_valid_ones() -> None:
    with pytest.raises(ConfigurationError, match="'simple'; choose one of base, miss_func, miss_param, long_context"):
        data.load_tasks("simple")


def test_docs_become_json_schema(folder: Path) -> None:
    (tool,) = data.load_docs(["GorillaFileSystem", "MathAPI"], folder).values()
    assert (tool.name, tool.description) == ("touch", "Make a file.")
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "file_name": {"type": ["string", "null"], "description": "its name", "default": None},
            "weights": {"type": "array", "items": {"type": "number"}},
            "type": {"description": "a parameter called type"},
        },
        "required": ["file_name"],
        "additionalProperties": False,
    }
    assert tool.check({"file_name": "a", "weights": [0.5], "type": 3}) is None


def test_payload_literals_are_read_from_source(tmp_path: Path) -> None:
    source = tmp_path / "bfcl_eval" / data._LITERALS
    source.parent.mkdir(parents=True)
    source.write_text("import os\nTEXT = 'a' + 'b' + 'c'\nLIST = [1, ..., {'k': -2.5}]\n")
    assert data.load_payload(tmp_path / "bfcl_eval/data") == {"TEXT": "abc", "LIST": [1, ..., {"k": -2.5}]}


def test_payload_is_read_from_fixtures(tmp_path: Path) -> None:
    record = {"long_context": {"LIST": [1, {"__python__": "Ellipsis"}]}}
    (tmp_path / "simulator_fixtures.json").write_text(json.dumps(record))
    assert data.load_payload(tmp_path) == {"LIST": [1, ...]}


def test_where_prefers_argument_then_variable_then_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.delenv(data.FOLDER_VARIABLE, raising=False)
    with pytest.raises(DataNotFoundError, match="run 'tooluse-gym data get bfcl'"):
        data.where()
    cached = folder / "cache/tooluse-gym/bfcl-eval-2026.3.23/bfcl_eval/data"
    cached.mkdir(parents=True)
    write(cached, [QUESTION], [ANSWER])
    assert data.where() == cached
    monkeypatch.setenv(data.FOLDER_VARIABLE, str(folder))
    assert data.where() == folder
    assert data.where(cached.parents[1]) == cached
    with pytest.raises(DataNotFoundError, match="'tooluse-gym data get bfcl'"):
        data.where(folder / "nowhere")


@pytest.mark.parametrize("lost", ["BFCL_v4_multi_turn_base.json", "possible_answer/BFCL_v4_multi_turn_miss_func.json"])
def test_missing_file_names_the_command(folder: Path, lost: str) -> None:
    (folder / lost).unlink(missing_ok=True)
    with pytest.raises(DataNotFoundError, match=rf"{lost} is missing: run 'tooluse-gym data get bfcl'"):
        data.load_tasks("base" if "base" in lost else "miss_func", folder)


def test_fetch_unpacks_data_only_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wheel(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "release.whl", "w") as archive:
            for name in ("data/BFCL_v4_multi_turn_base.json", data._LITERALS, "eval.py", "data/unused_datasets/a.json"):
                archive.writestr(f"bfcl_eval/{name}", "")
        return folder / "release.whl"

    monkeypatch.setattr(data, "_download", wheel)
    found = data.fetch(tmp_path)
    root = tmp_path / "bfcl-eval-2026.3.23"
    assert found == root / "bfcl_eval/data"
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*.*") if path.is_file()) == [
        "bfcl_eval/data/BFCL_v4_multi_turn_base.json",
        f"bfcl_eval/{data._LITERALS}",
    ]
    assert list(tmp_path.iterdir()) == [root]
    monkeypatch.setattr(data, "_download", None)
    assert data.fetch(tmp_path) == found


@pytest.mark.parametrize(("status", "message"), [(1, "pip could not download .*: no"), (0, "has SHA-256 .*, expected")])
def test_fetch_refuses_what_is_not_the_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, message: str
) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        (folder / "bfcl_eval.whl").write_bytes(b"other")
        return subprocess.CompletedProcess(command, status, "", "no")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(DataNotFoundError, match=message):
        data.fetch(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("category", data.CATEGORIES)
def test_official_entries_load(bfcl_data: Path, category: str) -> None:
    tasks = data.load_tasks(category, bfcl_data)
    left_out = data.left_out(category, bfcl_data)
    assert len(tasks) + len(left_out) == 200
    assert len(tasks) >= 37
    assert all(not task.turns[0].reveals for task in tasks.values())
    assert all(any(turn.reveals for turn in task.turns) == (category == "miss_func") for task in tasks.values())


def test_official_docs_agree_with_simulators(bfcl_data: Path) -> None:
    docs = data.load_docs(list(SIMULATORS), bfcl_data)
    own = {name: tool for simulator in SIMULATORS.values() for name, tool in simulator.tools.items()}
    assert docs.keys() == own.keys()
    for name, doc in docs.items():
        ours, theirs = (_outline(tool.parameters) for tool in (own[name], doc))
        assert ours == theirs, name


def _outline(parameters: Any) -> Any:
    types = [(name, schema.get("type"), schema.get("default")) for name, schema in parameters["properties"].items()]
    return types, parameters["required"]


def test_docs_are_in_official_order_and_hide_what_is_held_out(bfcl_data: Path, bfcl_records: Records) -> None:
    loaded = {record["id"]: record for record in bfcl_records("expected_loaded_docs.jsonl.gz")}
    for category in data.CATEGORIES:
        for task in data.load_tasks(category, bfcl_data).values():
            names = tuple(data.load_docs(task.toolsets, bfcl_data))
            assert list(task.visible(0, names)) == loaded[task.id]["functions"], task.id
