"""ToolRL-v0: the starter tasks, ToolRL's own rows, and the published rewards on recorded replies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from benchmarks.toolrl_parity import Player, agree
from tooluse_gym.envs.toolrl.env import ToolRLEnv
from tooluse_gym.envs.toolrl.rows import Rows
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import FORMATS
from tooluse_gym.tasks import Task
from tooluse_gym.testing import check_tool_env

SOME = "starter/train/7"


def make(**options: Any) -> ToolRLEnv:
    env = gym.make("tooluse_gym:ToolRL-v0", **options).unwrapped
    assert isinstance(env, ToolRLEnv)
    return env


def _rows(env: ToolRLEnv) -> list[Task]:
    assert isinstance(env.tasks, Rows)
    return list(env.tasks)


@pytest.mark.parametrize("format", FORMATS)
def test_it_keeps_every_promise(format: str) -> None:
    check_tool_env(gym.make("tooluse_gym:ToolRL-v0", format=format), seeds=(0, 1))


@pytest.mark.parametrize("format", ["toolrl", "hermes"])
@pytest.mark.parametrize("dataset", ["sft", "test"])
def test_its_rows_keep_every_promise(dataset: str, format: str, data: Path) -> None:
    pytest.importorskip("pyarrow")
    options: dict[str, Any] = {"dataset": dataset, "data_dir": str(data), "allow_test_data": True}
    check_tool_env(gym.make("tooluse_gym:ToolRL-v0", format=format, **options), seeds=(0, 1))


def test_a_reply_is_scored_at_once() -> None:
    env = make(rubric={"name": "rest", "length": True})
    observation, info = env.reset(options={"task_id": SOME, "update": 75})
    assert [message["role"] for message in observation] == ["system", "user"]
    assert info["reward_terms"] == {"format": 0.0, "correctness": 0.0}
    _, reward, terminated, _, info = env.step(env.task.metadata["answer"])
    assert (reward, terminated) == (4.0, True)
    assert info["reward_terms"] == {"format": 1.5, "correctness": 2.5}
    assert info["verdict"]["valid"]


@pytest.mark.parametrize(
    ("format", "action", "error"),
    [
        ("toolrl", "<think> x </think>\n<response> x </response>", "wrong_calls"),
        ("toolrl", None, "wrong_format"),
        ("hermes", "x", "wrong_calls"),
        ("hermes", None, "wrong_format"),
    ],
)
def test_verdicts_name_what_is_wrong(format: str, action: str | None, error: str) -> None:
    env = make(format=format)
    right = env.demonstrate(seed=0, options={"task_id": SOME}).steps[0].action
    env.reset(options={"task_id": SOME})
    *_, info = env.step(action or right.replace("</tool_call>", "</tool_call> and", 1))
    assert info["verdict"]["error_type"] == error


def test_rows_are_shown_to_the_letter(data: Path) -> None:
    env = make(dataset="sft", data_dir=data)
    task = _rows(env)[0]
    observation, info = env.reset(options={"task_id": task.id})
    assert observation == task.turns[0].messages
    assert [message["role"] for message in observation] == ["system", "user"]
    assert [tool["function"]["name"] for tool in info["tools"]] == [tool.name for tool in task.metadata["tools"]]
    bare, _ = make(dataset="sft", data_dir=data, show_tools=False).reset(options={"task_id": task.id})
    assert bare == observation[1:]
    other, _ = make(dataset="sft", data_dir=data, format="hermes").reset(options={"task_id": task.id})
    assert other[1:] == observation[1:]
    assert "<response>" not in other[0]["content"]


def test_rows_are_demonstrated_to_the_letter(data: Path) -> None:
    env = make(dataset="sft", data_dir=data)
    earned: Counter[float] = Counter()
    for task in _rows(env):
        if task.split == "train":
            record = env.demonstrate(seed=0, options={"task_id": task.id})
            assert record.steps[0].action == task.metadata["answer"]
            earned[record.reward] += 1
    # The published programs take a thought that mentions <tool_call> for the calls.
    assert earned == {4.0: 329, 1.0: 54, -3.0: 17}


def test_test_data_is_for_measuring(data: Path) -> None:
    pytest.importorskip("pyarrow")
    env = make(dataset="test", data_dir=data)
    env.reset(options={"task_id": "test/7"})
    with pytest.raises(ConfigurationError, match=r"would sample from ToolRL's test rows.*allow_test_data=True"):
        env.reset(seed=0)
    make(dataset="test", data_dir=data, allow_test_data=True).reset(seed=0)
    env = make(dataset="sft", data_dir=data)
    assert env.reset(seed=0)[1]["task_id"].startswith("sft/")
    with pytest.raises(ConfigurationError, match="test rows"):
        env.reset(options={"split": "test"})
    make().reset(options={"split": "test"})


@pytest.mark.parametrize("version", ["toolrl", "rest"])
def test_every_recorded_reply_earns_what_it_earned(version: str, reward_cases: list[dict[str, Any]]) -> None:
    # There is no update 0; and where the programs refuse a truth, the environment has a reward all the same.
    playable = [record for record in reward_cases if record["step"] >= 1 and "error" not in record[version]]
    player = Player(reward_cases)
    wrong = [record["id"] for record in playable if not agree(player.earned(record, version), record[version])]
    assert len(playable) == 2006
    assert wrong == []


def test_a_truth_that_the_programs_refuse_has_a_reward(reward_cases: list[dict[str, Any]]) -> None:
    player = Player(reward_cases)
    refused = [record for record in reward_cases if "error" in record["toolrl"]]
    assert len(refused) == 12
    for record in refused:
        terms = player.earned({**record, "step": 1, "env": {}}, "toolrl")
        assert 0 <= terms["format"] <= 1
        assert -3 <= terms["correctness"] <= 3
