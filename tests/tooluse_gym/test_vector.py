"""Vector environments: all autoreset modes, in this process and in others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.wrappers import TextObservation

Vector = Callable[[AutoresetMode], "gymnasium.vector.VectorEnv[Any, Any, Any]"]
Say = Callable[..., str]


@pytest.fixture(params=["sync", "async"])
def vector(request: pytest.FixtureRequest, house_class: Callable[..., ToolUseEnv]) -> Iterator[Vector]:
    made: list[gymnasium.vector.VectorEnv[Any, Any, Any]] = []

    def make(mode: AutoresetMode) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
        envs = [functools.partial(house_class, show_tools=False)] * 2
        env: gymnasium.vector.VectorEnv[Any, Any, Any]
        if request.param == "sync":
            env = SyncVectorEnv(envs, autoreset_mode=mode)
        else:
            env = AsyncVectorEnv(envs, autoreset_mode=mode, shared_memory=False)
        made.append(env)
        return env

    yield make
    for env in made:
        env.close()


def start(env: gymnasium.vector.VectorEnv[Any, Any, Any]) -> tuple[Any, dict[str, Any]]:
    return env.reset(seed=0, options={"task_id": "two calls"})


FIRST = ({"role": "user", "content": "light the hall and look"},)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_observations_are_tuples_of_messages(vector: Vector, say: Say, mode: AutoresetMode) -> None:
    env = vector(mode)
    observations, infos = start(env)
    assert observations == (FIRST, FIRST)
    assert observations in env.observation_space
    assert list(infos["task_id"]) == ["two calls"] * 2
    observations, rewards, *_, infos = env.step((say(("look", {})), say(("switch", {"lamp": "hall"}))))
    assert [observation[0]["content"] for observation in observations] == ["[]", '{"hall": true}']
    assert rewards.tolist() == [0.0, 0.0]
    assert list(infos["failures"]) == [(None,), (None,)]


@pytest.mark.parametrize("mode", AutoresetMode)
def test_sampled_and_array_actions(vector: Vector, mode: AutoresetMode) -> None:
    env = vector(mode)
    start(env)
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    env.reset(seed=0)
    env.step(np.array(["<tool_call>", "日本"], dtype=object))


def end_first(env: gymnasium.vector.VectorEnv[Any, Any, Any], say: Say) -> tuple[Any, ...]:
    """The first sub-environment's episode ends, the second's goes on."""
    return env.step(("I give up.", say(("look", {}))))


def test_next_step_autoreset_ignores_an_action(vector: Vector, say: Say) -> None:
    env = vector(AutoresetMode.NEXT_STEP)
    start(env)
    observations, _, terminated, _, infos = end_first(env, say)
    assert observations[0] == ()
    assert terminated.tolist() == [True, False]
    assert infos["verdict"]["error_type"][0] == "empty_turn_model_response"
    observations, rewards, terminated, _, _ = env.step(("lost", say(("look", {}))))
    assert observations[0][0]["role"] == "user"
    assert rewards[0] == 0
    assert terminated.tolist() == [False, False]


def test_same_step_autoreset_keeps_the_final_observation(vector: Vector, say: Say) -> None:
    env = vector(AutoresetMode.SAME_STEP)
    start(env)
    observations, _, terminated, _, infos = end_first(env, say)
    assert terminated.tolist() == [True, False]
    assert observations[0][0]["role"] == "user"
    assert infos["final_obs"][0] == ()
    assert infos["final_info"]["verdict"]["valid"][0] == False  # noqa: E712 (NumPy's)


def test_disabled_autoreset_resets_by_mask(vector: Vector, say: Say) -> None:
    env = vector(AutoresetMode.DISABLED)
    start(env)
    before, *_ = end_first(env, say)
    mask = np.array([True, False])
    observations, _ = env.reset(options={"task_id": "two calls", "reset_mask": mask})
    assert observations == (FIRST, before[1])


@pytest.mark.parametrize("first", [True, False], ids=["valid first", "invalid first"])
def test_verdicts_of_both_kinds_in_one_batch(vector: Vector, say: Say, first: bool) -> None:
    env = vector(AutoresetMode.DISABLED)
    start(env)
    right, wrong = say(("switch", {"lamp": "hall"}), ("look", {})), say(("look", {}))
    env.step((right, wrong) if first else (wrong, right))
    *_, infos = env.step(("Done.", "Done."))
    verdict = infos["verdict"]
    failed = int(first)
    assert verdict["valid"].tolist() == [first, not first]
    assert verdict["_turn"].tolist() == [not first, first]
    assert verdict["turn"][failed] == 0


def test_shared_memory_is_refused_clearly(house_class: Callable[..., ToolUseEnv]) -> None:
    with pytest.raises(ConfigurationError, match="pass shared_memory=False to AsyncVectorEnv"):
        AsyncVectorEnv([house_class, house_class])


def test_text_observations_are_batched(house_class: Callable[..., ToolUseEnv]) -> None:
    env = SyncVectorEnv([lambda: TextObservation(house_class(show_tools=False))] * 2, observation_mode="different")
    observations, _ = env.reset(seed=0, options={"task_id": "two calls"})
    assert observations == ("[user]\nlight the hall and look\n",) * 2
    env.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("autoreset", AutoresetMode)
def test_bfcl(mode: str, autoreset: AutoresetMode) -> None:
    options: dict[str, Any] = {"autoreset_mode": autoreset}
    if mode == "async":
        options["shared_memory"] = False
    env = gymnasium.make_vec(
        "tooluse_gym:BFCLMultiTurn-v0", num_envs=2, vectorization_mode=mode, vector_kwargs=options, max_steps_per_turn=1
    )
    observations, infos = env.reset(seed=3)
    assert observations in env.observation_space
    assert len(set(infos["task_id"])) == 2
    for _ in range(3):
        if autoreset != AutoresetMode.DISABLED or "verdict" not in infos:
            observations, *_, infos = env.step(("<tool_call></tool_call>", "你好"))
            assert observations in env.observation_space
    env.close()
