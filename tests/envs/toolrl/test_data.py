"""ToolRL's files: found in their layouts, fetched with git, verified, and refused with a reason where they are bad."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.toolrl import data as files
from tooluse_gym.errors import ConfigurationError, DataNotFoundError, TaskError, ToolUseError

SYSTEM = "**Available Tools**\nThese:\n1. f: A tool.\nParameters: {}"
SFT = "rlla_4k_raw/rlla_sft.json"
TEST = "rlla_4k/test.parquet"


def _row(number: int) -> dict[str, str]:
    output = "<think> so </think>\n<response> hi </response>"
    return {"instruction": SYSTEM, "input": f"question {number}", "output": output}


def _write_json(path: Path, rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")


def _write_parquet(path: Path, numbers: list[int], indices: list[int] | None = None) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "prompt": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"question {number}"}],
            "reward_model": {"ground_truth": _row(0)["output"], "style": "rule"},
            "extra_info": {"index": index},
        }
        for number, index in zip(numbers, indices or range(len(numbers)), strict=True)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _write_json(tmp_path / SFT, [_row(0), _row(1)])
    return tmp_path


def _found(dataset: str, folder: Path) -> dict[str, str]:
    return {task.id: task.turns[0].messages[1]["content"] for task in files.load_tasks(dataset, folder)}


@pytest.mark.parametrize("place", [SFT, f"dataset/{SFT}", "rlla_sft.json", "rlla_4k_raw_rlla_sft.json"])
def test_layouts(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_json(tmp_path / place, [_row(0), _row(1)])
    expected = {"sft/0": "question 0", "sft/1": "question 1"}
    assert _found("sft", tmp_path) == expected
    monkeypatch.setenv("TOOLUSE_TOOLRL_DATA", str(tmp_path))
    assert [task.id for task in files.load_tasks("sft")] == list(expected)


def test_test_rows_come_to_the_others(folder: Path) -> None:
    _write_parquet(folder / TEST, [7])
    _write_parquet(folder / "rlla_4k" / "train.parquet", [5, 6])
    assert list(_found("test", folder)) == ["test/0"]
    for dataset in ("sft", "train"):
        tasks = files.load_tasks(dataset, folder)
        assert [(task.id, task.split) for task in tasks] == [
            (f"{dataset}/0", "train"),
            (f"{dataset}/1", "train"),
            ("test/0", "test"),
        ]


def test_train_rows_of_the_raw_file(folder: Path) -> None:
    _write_json(folder / "rlla_rl.json", [_row(number) for number in (5, 6, 7)])
    with pytest.raises(DataNotFoundError, match=r"rlla_rl.json holds the test rows too, and rlla_4k/test.parquet"):
        files.load_tasks("train", folder)
    _write_parquet(folder / TEST, [6])
    assert _found("train", folder) == {"rl/0": "question 5", "rl/2": "question 7", "test/0": "question 6"}


def test_absence_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataNotFoundError, match=r"has no file rlla_4k/train.parquet or .*: run 'tooluse-gym data get"):
        files.load_tasks("train", folder)
    with pytest.raises(ConfigurationError, match="unknown dataset 'dev'; choose one of starter, train, sft, test"):
        files.load_tasks("dev", folder)
    with pytest.raises(DataNotFoundError, match=r"data_dir '.*nowhere' is not a folder"):
        files.where(folder / "nowhere")
    monkeypatch.setenv("TOOLUSE_TOOLRL_DATA", str(folder / "rlla_4k_raw" / ".."))
    assert files.where().resolve() == folder
    monkeypatch.delenv("TOOLUSE_TOOLRL_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    with pytest.raises(DataNotFoundError, match="ToolRL's data is not here: run 'tooluse-gym data get toolrl', or set"):
        files.where()


def test_parquet_needs_pyarrow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / TEST).parent.mkdir()
    (folder / TEST).write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataNotFoundError, match=r"needs pyarrow: pip install 'tooluse-gym\[toolrl\]'"):
        files.load_tasks("test", folder)


def test_a_changed_file_is_read_again(folder: Path) -> None:
    assert len(_found("sft", folder)) == 2
    _write_json(folder / SFT, [_row(0)])
    assert len(_found("sft", folder)) == 1


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


BAD: dict[str, tuple[str, Callable[[Path], Any], type[ToolUseError], str]] = {
    "cut JSON": (SFT, _cut, TaskError, r"rlla_sft.json:1: not JSON \("),
    "empty": (SFT, lambda path: path.write_text(""), DataNotFoundError, "rlla_sft.json is empty: run"),
    "LFS": (
        TEST,
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        DataNotFoundError,
        "test.parquet is a pointer of Git LFS, not the file it stands for: run",
    ),
    "not UTF-8": (SFT, lambda path: path.write_bytes(b'["\xff"]'), TaskError, "not UTF-8"),
    "no list": (SFT, lambda path: _write_json(path, {"a": 1}), TaskError, "expected a list of rows, got dict"),
    "no rows": (SFT, lambda path: _write_json(path, []), TaskError, "rlla_sft.json: no rows"),
    "wrong type": (
        SFT,
        lambda path: _write_json(path, [_row(0), {**_row(1), "input": 3}]),
        TaskError,
        "rlla_sft.json: row 1: field input: 3 is not of type 'string'",
    ),
    "wrong answer": (
        SFT,
        lambda path: _write_json(path, [{**_row(0), "output": "<think> so </think>\n<tool_call>\n{\n</tool_call>"}]),
        TaskError,
        "rlla_sft.json: row 0: field output: a call cannot be read",
    ),
    "cut parquet": (TEST, _cut, TaskError, "test.parquet: not a whole parquet file"),
    "an index twice": (
        TEST,
        lambda path: _write_parquet(path, [1, 2], [3, 3]),
        TaskError,
        "test.parquet: row 1: field extra_info.index: 3 is that of row 0 too",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(case: str, folder: Path) -> None:
    name, damage, error, problem = BAD[case]
    if name == TEST:
        _write_parquet(folder / TEST, [7])
    damage(folder / name)
    with pytest.raises(error, match=problem):
        files.load_tasks("test" if name == TEST else "sft", folder)


def test_the_files_at_hand(data: Path) -> None:
    pytest.importorskip("pyarrow")
    assert len(files.load_tasks("test", data)) == 80
    assert len(files.load_tasks("sft", data)) == 480
    wrong = [line for line in files.verify(data) if not line.endswith(": missing")]
    assert wrong == []


def test_fetched_with_git_and_verified(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    home, cache = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("cache")
    shutil.copytree(folder, home / "dataset")

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", "-C", str(home), *identity, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "data")
    fetched = files.fetch(cache, home=str(home), commit=git("rev-parse", "HEAD"))
    assert fetched == cache / "toolrl-8cee13ec0ca7"
    assert list(_found("sft", fetched)) == ["sft/0", "sft/1"]
    (fetched / TEST).parent.mkdir()
    (fetched / TEST).touch()
    assert files.verify(fetched) == [
        "rlla_4k/train.parquet: missing",
        f"{fetched / TEST} is empty: run 'tooluse-gym data get toolrl', or copy the file from {files.HOME}",
        "rlla_4k_raw/rlla_rl.json: missing",
        f"{fetched / SFT}: not that of commit 8cee13ec0ca7",
    ]
    with pytest.raises(DataNotFoundError, match=re.escape("git fetch failed: ")):
        files.fetch(cache, home=str(home / "nowhere"))
    (cache / "file").touch()
    with pytest.raises(DataNotFoundError, match="cannot put ToolRL's data into"):
        files.fetch(cache / "file")
