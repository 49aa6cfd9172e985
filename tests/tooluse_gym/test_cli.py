from __future__ import annotations

import json
import pkgutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tooluse_gym import trajectory
from tooluse_gym.cli import app
from tooluse_gym.cli.transcript import safe


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def episodes(tmp_path: Path) -> Path:
    file = tmp_path / "episodes.jsonl"
    for seed in ("1", "2"):
        run("play", "BFCLMultiTurn-v0", "--seed", seed, "--save", str(file))
    return file


def test_envs_lists_ids() -> None:
    assert "BFCLMultiTurn-v0" in run("envs").stdout


def test_play_prints_an_episode() -> None:
    output = run("play", "BFCLMultiTurn-v0", "--seed", "1").stdout
    assert "[user]" in output
    assert "[assistant]" in output
    assert output.rstrip().endswith("reward 1.000, valid")
    assert output == run("play", "BFCLMultiTurn-v0", "--seed", "1").stdout


def test_play_takes_a_task_and_options(episodes: Path) -> None:
    task = next(trajectory.load(episodes)).task
    output = run(
        "play", "BFCLMultiTurn-v0", "--task", task, "--option", "format=pythonic", "--option", "rubric=official"
    )
    assert output.stdout.startswith(f"BFCLMultiTurn-v0, task {task}")
    assert "<tool_call>" not in output.stdout


def test_show(episodes: Path) -> None:
    first, second = trajectory.load(episodes)
    assert run("show", str(episodes)).stdout.count(", valid") == 2
    output = run("show", str(episodes), "--task", second.task).stdout
    assert second.task in output
    assert first.task not in output
    assert run("show", str(episodes), "--limit", "1").stdout.count(", valid") == 1


def test_rescore(episodes: Path, tmp_path: Path) -> None:
    saved = tmp_path / "again.jsonl"
    output = run("rescore", str(episodes), "--rubric", "official", "--save", str(saved)).stdout
    assert output.count("1.000") == 4
    assert [record.options["rubric"] for record in trajectory.load(saved)] == ["official", "official"]
    assert [list(record.steps[-1].reward_terms) for record in trajectory.load(saved)] == [["verdict"], ["verdict"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["play", "Nothing-v0"], "error: Environment `Nothing` doesn't exist"),
        (["play", "CartPole-v1"], "error: CartPole-v1 is not a tool-use environment"),
        (["play", "BFCLMultiTurn-v0", "--task", "x"], "error: no task has the id 'x'"),
        (["play", "BFCLMultiTurn-v0", "--option", "format"], "error: an option has the form key=value, got 'format'"),
        (["play", "BFCLMultiTurn-v0", "--option", "format=x"], "error: unknown reply format 'x'"),
        (["show", "missing.jsonl"], "error: [Errno 2] No such file or directory: 'missing.jsonl'"),
        (["data", "get", "nothing"], "error: there is no benchmark 'nothing'; there are "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line(arguments: list[str], message: str) -> None:
    result = run(*arguments, code=1)
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_errors_about_files(episodes: Path) -> None:
    result = run("rescore", str(episodes), "--rubric", "x", code=1)
    assert "unknown rubric 'x'" in result.stderr
    result = run("show", str(episodes), "--task", "x", code=1)
    assert "holds no trajectory of task 'x'" in result.stderr
    episodes.write_text("{]")
    assert f"{episodes}:1: not a trajectory" in run("show", str(episodes), code=1).stderr


@pytest.fixture
def bfcl_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one of BFCL's files, emptied; nothing else was fetched."""
    (tmp_path / "BFCL_v4_multi_turn_base.json").touch()
    monkeypatch.setenv("TOOLUSE_BFCL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_data_is_listed_with_place_and_licence(bfcl_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = run("data", "list").stdout
    assert "bfcl: BFCL's tasks" in output
    assert f"here     {bfcl_folder}\n" in output
    assert "licence  Apache-2.0" in output
    assert "from     bfcl-eval 2026.3.23 on PyPI" in output
    monkeypatch.delenv("TOOLUSE_BFCL_DATA")
    assert "here     absent (BFCL's data is not here: run 'tooluse-gym data get bfcl'" in run("data", "list").stdout


def test_data_get_and_where_print_the_folder(bfcl_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tooluse_gym.envs.bfcl import data

    assert run("data", "where", "bfcl").stdout == f"{bfcl_folder}\n"
    monkeypatch.setattr(data, "SOURCE", replace(data.SOURCE, fetch=lambda: bfcl_folder / "fetched"))
    result = run("data", "get", "bfcl")
    assert result.stdout == f"{bfcl_folder / 'fetched'}\n"
    assert result.stderr.startswith("licence: Apache-2.0")


def test_data_verify_names_what_is_wrong(bfcl_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tooluse_gym.envs.bfcl import data

    result = run("data", "verify", "bfcl", code=1)
    assert f"{bfcl_folder}/BFCL_v4_multi_turn_base.json: not that of release 2026.3.23\n" in result.stdout
    assert f"{bfcl_folder}/BFCL_v4_multi_turn_miss_func.json: missing\n" in result.stdout
    assert "default_prompts.py: missing\n" in result.stdout
    count = len(result.stdout.splitlines())
    assert result.stderr == f"{bfcl_folder}: {count} wrong; 'tooluse-gym data get bfcl' gets a complete copy\n"
    monkeypatch.setattr(data, "SOURCE", replace(data.SOURCE, verify=lambda folder: []))
    assert run("data", "verify", "bfcl").stdout == f"{bfcl_folder}: complete, and of the right release\n"


def test_a_benchmark_without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    from tooluse_gym.envs.bfcl import data

    real: Any = pkgutil.iter_modules
    monkeypatch.delattr(data, "SOURCE")
    assert "the benchmark 'bfcl' needs no data" in run("data", "get", "bfcl", code=1).stderr
    monkeypatch.setattr(pkgutil, "iter_modules", lambda path: (m for m in real(path) if m.name != "data"))
    assert "the benchmark 'bfcl' needs no data" in run("data", "verify", "bfcl", code=1).stderr
    assert run("data", "list").stdout == ""


def test_a_models_text_cannot_steer_the_terminal(tmp_path: Path, episodes: Path) -> None:
    assert safe("a\x1b[2J\ud800\tb\n[bold]") == "a\\x1b[2J\\ud800\tb\n[bold]"
    record = next(trajectory.load(episodes))
    step = record.steps[0]
    line = json.loads(record.to_json())
    line["steps"][0]["action"] = "\x1b[2J[red]\ud800"
    file = tmp_path / "odd.jsonl"
    file.write_text(json.dumps(line))
    output = run("show", str(file)).stdout
    assert "\\x1b[2J[red]\\ud800" in output
    assert step.observation is not None
    assert SimpleNamespace(output=output).output.count("\x1b[2J") == 0


def _evaluate(folder: Path, *arguments: str, code: int = 0) -> Result:
    few = ("--benchmark", "builtin", "--categories", "BFCLMultiTurn-v0", "--limit", "3", "--out", str(folder))
    return run("evaluate", *few, *arguments, code=code)


def silent(env: object) -> object:
    """Makes an agent that hands back at once."""
    return lambda observation, info: "No."


def test_evaluate_reports_and_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "some_agents", SimpleNamespace(silent=silent))
    assert "3 of 3" in _evaluate(tmp_path / "gold", "--model", "gold").stdout
    assert "0 of 3" in _evaluate(tmp_path / "silent", "--model", "some_agents:silent").stdout
    assert "3 of 3" in run("report", str(tmp_path / "gold"), "--rescore").stdout
    compared = run("report", str(tmp_path / "silent"), str(tmp_path / "gold")).stdout
    assert "gold against some_agents:silent" in compared
    assert "+100.0" in compared


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "no_such_module:agent"), "--model no_such_module:agent: No module named"),
        (("--model", "http://127.0.0.1:9/v1"), "does not tell the model's name"),
        (("--model", "gold", "--mode", "other"), "not offered in mode 'other'"),
        (("--model", "gold", "--option", "nope=1"), "nope"),
    ],
    ids=["no agent", "no server", "no mode", "no option"],
)
def test_evaluate_tells_what_is_wrong(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    assert message in _evaluate(tmp_path, *arguments, code=1).stderr


def test_benchmarks_are_listed() -> None:
    assert "builtin" in run("benchmarks").stdout
