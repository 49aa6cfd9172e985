from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium
import pytest

from tooluse_gym import trajectory
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import TrajectoryError
from tooluse_gym.rewards import DENSE
from tooluse_gym.trajectory import Trajectory

ID = "TestHouse-v0"


@pytest.fixture
def registered(house_class: Callable[..., ToolUseEnv]) -> Iterator[str]:
    gymnasium.register(ID, entry_point=house_class)
    yield ID
    del gymnasium.registry[ID]


@pytest.fixture
def record(registered: str) -> Trajectory:
    env = gymnasium.make(registered, validation="official").unwrapped
    assert isinstance(env, ToolUseEnv)
    return env.demonstrate(seed=0, options={"task_id": "two turns", "prefix": 1})


def test_it_says_how_to_make_the_episode(record: Trajectory) -> None:
    assert (record.env, record.options) == (ID, {"validation": "official"})
    assert (record.task, record.prefix, len(record.steps)) == ("two turns", 1, 3)
    assert record.verdict is not None
    assert record.verdict.valid


def test_conversation_interleaves_actions_and_observations(record: Trajectory) -> None:
    assert [message["role"] for message in record.conversation] == [
        *("system", "user", "assistant", "tool"),
        *("assistant", "user", "assistant", "tool", "assistant"),
    ]


def test_save_and_load(tmp_path: Path, record: Trajectory) -> None:
    file = tmp_path / "episodes.jsonl"
    odd = dataclasses.replace(record, task="\ud800 ü 🙂", verdict=None)
    trajectory.save(file, [record])
    trajectory.save(file, [odd])
    file.write_text(file.read_text() + "\n")
    assert list(trajectory.load(file)) == [record, odd]


def test_replay(record: Trajectory) -> None:
    assert trajectory.replay(record) == record


def test_replay_under_another_rubric(record: Trajectory) -> None:
    again = trajectory.replay(record, rubric="official")
    assert [step.reward for step in again.steps] == [0.0, 0.0, 1.0]
    assert again.options == {"validation": "official", "rubric": "official"}
    assert [step.observation for step in again.steps] == [step.observation for step in record.steps]


def test_a_reward_that_moves_with_training_is_replayed_as_it_was(registered: str) -> None:
    env = gymnasium.make(registered, rubric={"name": "rest", "length": True}).unwrapped
    assert isinstance(env, ToolUseEnv)
    record = env.demonstrate(seed=0, options={"task_id": "two turns", "update": 75})
    assert [step.reward for step in record.steps] == [4.0, 1.5, 4.0, 1.5]
    assert trajectory.replay(Trajectory.from_json(record.to_json())) == record
    earlier = dataclasses.replace(record, update=30)
    assert trajectory.replay(earlier).steps[1].reward == pytest.approx(1.8)


def test_replay_of_an_unfinished_episode(record: Trajectory) -> None:
    stopped = dataclasses.replace(record, steps=record.steps[:1], verdict=None)
    assert trajectory.replay(stopped) == stopped


def test_replay_notices_other_observations(record: Trajectory) -> None:
    step = dataclasses.replace(record.steps[1], observation=())
    altered = dataclasses.replace(record, steps=(record.steps[0], step, record.steps[2]))
    with pytest.raises(TrajectoryError, match="task two turns: the observation after step 1 is not the recorded one"):
        trajectory.replay(altered)
    assert trajectory.replay(altered, verify=False) == record
    with pytest.raises(TrajectoryError, match="the opening is not the recorded one"):
        trajectory.replay(dataclasses.replace(record, opening=()))


def test_replay_needs_a_registered_environment(house: Callable[..., ToolUseEnv]) -> None:
    record = house().demonstrate(seed=0)
    assert record.env is None
    with pytest.raises(TrajectoryError, match=r"recorded without gymnasium\.make"):
        trajectory.replay(record)


def test_an_option_that_cannot_be_saved(registered: str) -> None:
    env = gymnasium.make(registered, rubric=DENSE).unwrapped
    assert isinstance(env, ToolUseEnv)
    with pytest.raises(TrajectoryError, match=r"an option of TestHouse-v0 cannot be saved .* use presets by name"):
        env.demonstrate(seed=0).to_json()


@pytest.mark.parametrize(
    "line",
    ["{]", "[]", "3", "{}", '{"steps": [3], "verdict": null, "opening": []}', '{"steps": [{"observation": []}]}'],
)
def test_a_corrupt_line_is_named(tmp_path: Path, record: Trajectory, line: str) -> None:
    file = tmp_path / "episodes.jsonl"
    file.write_text(f"{record.to_json()}\n{line}\n")
    with pytest.raises(TrajectoryError) as caught:
        list(trajectory.load(file))
    assert str(caught.value).startswith(f"{file}:2: not a trajectory (")
