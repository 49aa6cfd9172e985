"""Environments that fail or hang: an episode begins again once, and one that is lost leaves the others as they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gymnasium
import pytest
import torch

from rest_agent.advantages import group_advantages
from rest_agent.batch import Rollout
from rest_agent.chat import Chat
from rest_agent.config import ConfigError, EnvironmentConfig, RolloutConfig
from rest_agent.conversation import EnvironmentFailed
from rest_agent.rollout import Arena, fill_in_lost, reward_truncated
from rest_agent.sampling.decode import Sampling
from tooluse_gym.envs.bfcl.env import BFCLMultiTurnEnv

SAMPLING = Sampling(1.0, 40, 2400, rows=3)
WITHIN = {"starter": {"turns": 2, "tools_shown": 2}}


class Moody(BFCLMultiTurnEnv):
    """Its steps follow ``moods`` ("fail", "hang"), one after the other, whichever environment makes them."""

    moods: tuple[str, ...] = ()
    made = 0
    stepped = 0
    released = threading.Event()

    def __init__(self, **options: Any):
        type(self).made += 1
        super().__init__(**options)

    def step(self, action: str) -> Any:
        mood = dict(enumerate(self.moods)).get(self.stepped, "well")
        type(self).stepped += 1
        if mood == "fail":
            raise OSError("the backend is gone")
        if mood == "hang":
            self.released.wait(20)
        return super().step(action)


@pytest.fixture(autouse=True)
def moody() -> Iterator[None]:
    gymnasium.register(id="Moody-v0", entry_point=Moody)
    Moody.made = Moody.stepped = 0
    Moody.released.clear()
    yield
    Moody.released.set()
    Moody.moods = ()
    del gymnasium.registry["Moody-v0"]


def _arena(players: Any, moods: tuple[str, ...] = (), **rollout: Any) -> Arena:
    Moody.moods = moods
    player = players["own"]
    environment = EnvironmentConfig(id="Moody-v0", options=WITHIN)
    return Arena(environment, Chat(player.tokenizer, True), player.text_of, RolloutConfig(**rollout))


def _ids(rollouts: list[Rollout]) -> list[list[int]]:
    return [rollout.token_ids.tolist() for rollout in rollouts]


@pytest.fixture
def played(players: Any) -> Any:
    """Seven rollouts of sound environments, and what a moody arena makes of the same."""

    def play(moods: tuple[str, ...] = (), **rollout: Any) -> list[Rollout]:
        arena = _arena(players, moods, **rollout)
        return arena.rollouts(players["own"].model, arena.sample_tasks("train", 0, 7), SAMPLING, seed=4)

    return play


@pytest.mark.parametrize("workers", [0, 2])
def test_an_episode_whose_environment_fails_once_begins_again_and_leaves_no_trace(
    played: Any, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    sound = played()
    assert not any(rollout.lost for rollout in sound)
    Moody.made = Moody.stepped = 0
    again = played(("fail",), workers=workers)
    assert _ids(again) == _ids(sound)
    assert [rollout.reward for rollout in again] == [rollout.reward for rollout in sound]
    assert "begins again: OSError: the backend is gone" in caplog.text
    assert Moody.made == 1 + SAMPLING.rows  # the one that failed is not used again


def test_an_episode_that_fails_twice_is_lost_and_the_others_go_on(
    played: Any, players: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = played()
    arena = _arena(players)
    starts = arena.sample_tasks("train", 0, 7)
    doomed = starts[2].task.id
    step = Moody.step

    def fail(self: Moody, action: str) -> Any:
        if self.task.id == doomed:
            raise OSError("never")
        return step(self, action)

    monkeypatch.setattr(Moody, "step", fail)
    found = arena.rollouts(players["own"].model, starts, SAMPLING, seed=4)
    (lost,) = [number for number, rollout in enumerate(found) if rollout.lost]
    assert lost == 2
    assert not found[2].loss_mask.any()
    assert found[2].task_id == doomed
    assert found[2].token_ids.tolist() == sound[2].token_ids[: len(found[2])].tolist()
    assert _ids(found[:2] + found[3:]) == _ids(sound[:2] + sound[3:])
    assert f"a rollout of task {doomed} is lost: OSError: never" in caplog.text


def test_a_step_over_the_time_limit_counts_as_a_failure(played: Any) -> None:
    sound = played()
    Moody.stepped = 0
    assert _ids(played(("hang",), workers=2, step_seconds=1.0)) == _ids(sound)


def test_the_decode_loop_does_not_wait_for_a_slow_environment(played: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow one makes its step when all the others are over, or else in 20 s."""
    finished: list[float] = []
    real = Arena.give_back

    def give_back(self: Arena, env: Any) -> None:
        finished.append(time.monotonic())
        if len(finished) == 6:
            Moody.released.set()
        real(self, env)

    monkeypatch.setattr(Arena, "give_back", give_back)
    sound = played()
    finished.clear()
    Moody.released.clear()
    Moody.stepped = 0
    assert _ids(played(("hang",), workers=3)) == _ids(sound)
    assert len(finished) == 7
    assert finished[6] - finished[0] < 20


def test_if_all_are_lost_the_run_stops(players: Any) -> None:
    arena = _arena(players, ("fail",) * 8)
    with pytest.raises(EnvironmentFailed, match="all 4 episodes were lost"):
        arena.rollouts(players["own"].model, arena.sample_tasks("train", 0, 4), SAMPLING, seed=4)


def test_a_time_limit_needs_workers() -> None:
    with pytest.raises(ConfigError, match="workers must be at least 1 with step_seconds"):
        RolloutConfig(step_seconds=3.0)


def _rollout(reward: float, **outcome: Any) -> Rollout:
    streams = torch.zeros(2)
    streams_of = (streams.long(), streams.bool(), streams, streams.char(), streams.char())
    return Rollout(*streams_of, reward=reward, task_id="", **outcome)


def test_a_lost_rollout_leaves_the_mean_of_its_group_as_it_is() -> None:
    known = [_rollout(r, turn_rewards=(r,) * n, reward_terms={"a": r}) for r, n in [(1.0, 1), (0.25, 2), (0.0, 1)]]
    lost = _rollout(0.0, lost=True)
    filled = fill_in_lost([known[0], lost, known[1], known[2], lost, lost, lost, lost], group=4)
    assert filled[1].reward == pytest.approx(1.25 / 3)
    assert filled[1].reward_terms == pytest.approx({"a": 1.25 / 3})
    assert filled[1].turn_rewards == pytest.approx((1.25 / 3, 0.25 / 3))
    assert filled[4:] == [lost] * 4
    rewards = torch.tensor([rollout.reward for rollout in filled[:4]])
    found = group_advantages(rewards, 4)
    alone = group_advantages(rewards[[0, 2, 3]], 3)
    assert float(found[1]) == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(found[[0, 2, 3]], alone * (3 / 2) ** 0.5, rtol=1e-4, atol=1e-6)


def test_a_group_of_equal_rewards_stays_one_without_its_lost_rollout() -> None:
    filled = fill_in_lost([_rollout(0.1), _rollout(0.1), _rollout(0.1), _rollout(0.0, lost=True)], group=4)
    assert {rollout.reward for rollout in filled} == {0.1}


def test_truncated_rollouts_earn_what_is_configured() -> None:
    whole = _rollout(0.5, turn_rewards=(0.3, 0.2), reward_terms={"a": 0.3, "b": 0.2})
    cut = replace(whole, truncated=True)
    assert reward_truncated([whole, cut], None) == [whole, cut]
    kept, judged = reward_truncated([whole, cut], -1.0)
    assert (kept.reward, kept.turn_rewards) == (0.5, (0.3, 0.2))
    assert kept.reward_terms == {"a": 0.3, "b": 0.2, "truncated": 0.0}
    assert (judged.reward, judged.turn_rewards) == (-1.0, (0.0, -1.0))
    assert judged.reward_terms == {"a": 0.0, "b": 0.0, "truncated": -1.0}
