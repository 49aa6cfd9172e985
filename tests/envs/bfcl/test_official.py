"""What the evaluator writes for BFCL's own program, and that the program judges it as we do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.official_scores import compare, disturbed
from tooluse_gym.envs.bfcl.official import CALLING_MODEL, PROMPTING_MODEL, UNFINISHED, write_official
from tooluse_gym.evaluation.episodes import Episode
from tooluse_gym.evaluation.players import AgentPlayer, ground_truth
from tooluse_gym.evaluation.run import Plan, begin, play

Run = Callable[..., tuple[Path, Plan, list[Episode]]]


@pytest.fixture
def run(request: pytest.FixtureRequest, bfcl_data: Path, tmp_path: Path) -> Run:
    def start(
        mode: str, *categories: str, agent: Any = ground_truth, **options: Any
    ) -> tuple[Path, Plan, list[Episode]]:
        if mode == "prompting":
            request.getfixturevalue("bfcl_release")  # has the prompts
        options = {"data_dir": str(bfcl_data), **options}
        plan = Plan("m", "bfcl-v4", mode, categories, limit=2, samples=2, options=options)
        played: list[Episode] = []
        for share in begin(tmp_path, plan):
            play(tmp_path, plan, AgentPlayer("m", agent), share, played.append)
        return tmp_path, plan, played

    return start


def written(folder: Path, model: str, path: str) -> list[dict[str, Any]]:
    file = folder / "official" / "result" / model.replace("/", "_") / path
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_prompting_writes_texts(run: Run) -> None:
    folder, plan, played = run("prompting", "multi_turn_miss_func", "simple_java")
    command = write_official(folder, plan, played)
    assert f"--model {PROMPTING_MODEL} --test-category multi_turn_miss_func,simple_java" in command
    turns = written(folder, PROMPTING_MODEL, "multi_turn/BFCL_v4_multi_turn_miss_func_result.json")
    assert [entry["id"] for entry in turns] == ["multi_turn_miss_func_0", "multi_turn_miss_func_1"]
    for entry, one in zip(turns, played[::2], strict=False):
        assert [len(turn) for turn in entry["result"]] == list(one.turn_steps)
        assert all(turn[-1] == "Done." for turn in entry["result"])
        assert [text for turn in entry["result"] for text in turn] == [step.action for step in one.trajectory.steps]
    (first, _) = written(folder, PROMPTING_MODEL, "non_live/BFCL_v4_simple_java_result.json")
    assert first["result"] == played[4].trajectory.steps[0].action


@pytest.mark.parametrize("format", ["structured", "hermes", "toolrl"])
def test_function_calling_writes_calls(format: str, run: Run) -> None:
    folder, plan, played = run("fc", "multi_turn_base", "live_irrelevance", format=format)
    assert f"--model {CALLING_MODEL}" in write_official(folder, plan, played)
    entry = written(folder, CALLING_MODEL, "multi_turn/BFCL_v4_multi_turn_base_result.json")[0]
    (call,) = entry["result"][0][0]
    ((name, arguments),) = call.items()
    assert (name, json.loads(arguments)) == ("cd", {"folder": "document"})
    assert "Done." in entry["result"][0][-1]
    silent = written(folder, CALLING_MODEL, "live/BFCL_v4_live_irrelevance_result.json")[0]
    assert isinstance(silent["result"], str)


def test_what_has_no_end_and_what_was_cut_short(run: Run) -> None:
    folder, plan, played = run("fc", "multi_turn_base", agent=lambda env: lambda *_: '[{"name": "ls", "arguments": {')
    unfinished = replace(played[0], trajectory=replace(played[0].trajectory, verdict=None))
    write_official(folder, plan, [unfinished, *played[1:]])
    first, second = written(folder, CALLING_MODEL, "multi_turn/BFCL_v4_multi_turn_base_result.json")
    assert first["result"] == UNFINISHED
    assert second["result"] == [['[{"name": "ls", "arguments": {']] * len(second["result"])


@pytest.mark.parametrize("options", [{"validation": "strict"}, {"format": "pythonic"}], ids=["strict", "pythonic"])
def test_what_the_program_would_judge_otherwise_is_not_written(options: dict[str, Any], run: Run) -> None:
    folder, plan, played = run("prompting", "multi_turn_base", **options)
    assert write_official(folder, plan, played) == ""
    assert not (folder / "official").exists()


@pytest.mark.parametrize("mode", ["prompting", "fc"])
def test_the_program_agrees_on_disturbed_replies(mode: str, bfcl_release: Path, oracle: str, tmp_path: Path) -> None:
    options = {"data_dir": str(bfcl_release)}
    categories = ("simple", "parallel_multiple", "irrelevance", "live_multiple", "multi_turn_miss_func")
    plan = Plan("disturbed", "bfcl-v4", mode, categories, limit=8, options=options)
    rows = list(compare(tmp_path, plan, disturbed, oracle))
    assert [row.differing for row in rows] == [()] * len(rows)
    assert 0 < sum(row.official for row in rows) < sum(row.entries for row in rows)
