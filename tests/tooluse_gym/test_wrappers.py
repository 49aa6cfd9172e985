from __future__ import annotations

import dataclasses
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from tooluse_gym.agents import play
from tooluse_gym.candidates import ConversationCalls
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.envs import registered
from tooluse_gym.envs.bfcl.starter.requests import STARTER_REQUESTS
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call
from tooluse_gym.tasks import CLOSING, TaskList, Utterance
from tooluse_gym.wrappers import CallMenu, TextObservation, TokenObservation, WordObservation

House = Callable[..., ToolUseEnv]
LIGHT = Utterance((Call("switch", {"lamp": "hall"}),), "light")
ID = "tooluse_gym:BFCLMultiTurn-v0"
IDS = [spec.id for spec in registered()]


def two_calls(tools: Any, conversation: Any) -> list[Utterance | None]:
    return [CLOSING, None, LIGHT, Utterance((Call("look"),))]


def stacked(observation: str = "tokens", id: str = ID) -> gymnasium.Env[Any, Any]:
    env: gymnasium.Env[Any, Any] = TextObservation(gymnasium.make(id), whole=True)
    env = TokenObservation(env, length=100) if observation == "tokens" else WordObservation(env, size=64)
    return CallMenu(env, ConversationCalls(ways=2), size=16)


def test_whole_conversation_as_text(house: House) -> None:
    env = TextObservation(house(show_tools=False), whole=True)
    first, _ = env.reset(options={"task_id": "two turns"})
    assert first == "[user]\nlight the hall\n"
    second, *_ = env.step("Done.")
    assert second == f"{first}\n[assistant]\nDone.\n\n[user]\nwhat burns?\n"


def test_tokens_are_the_last_bytes(house: House) -> None:
    text = TextObservation(house(show_tools=False))
    env = TokenObservation(text, length=7)
    observation, _ = env.reset(options={"task_id": "two turns"})
    assert bytes(observation) == b"e hall\n"
    assert env.observation_space == Box(0, 255, (7,), np.uint8)
    long, _ = TokenObservation(text, length=40, padding=1).reset(options={"task_id": "two turns"})
    assert bytes(long) == b"[user]\nlight the hall\n".rjust(40, b"\1")


def test_tokens_of_any_text() -> None:
    env = TokenObservation(TextObservation(gymnasium.make(ID)), length=8)
    assert env.observation("").tolist() == [0] * 8
    assert env.observation("é\ud800") in env.observation_space


def test_a_tokenizer_of_ones_own(house: House) -> None:
    env = TokenObservation(
        TextObservation(house(show_tools=False)),
        length=6,
        tokenize=lambda text: [len(word) for word in text.split()],
        vocabulary=1_000,
        padding=999,
    )
    observation, _ = env.reset(options={"task_id": "two turns"})
    assert observation.tolist() == [999, 999, 6, 5, 3, 4]
    assert observation in env.observation_space


@pytest.mark.parametrize("wrong", [-1, 300])
def test_ids_beyond_the_vocabulary_are_refused(wrong: int) -> None:
    env = TokenObservation(TextObservation(gymnasium.make(ID)), length=4, tokenize=lambda text: [wrong])
    with pytest.raises(ConfigurationError, match=r"tokenize gave ids from .* vocabulary=256 allows 0 to 255"):
        env.observation("x")


def test_words(house: House) -> None:
    env = WordObservation(TextObservation(house(show_tools=False)), size=4_096)
    observation, _ = env.reset(options={"task_id": "two turns"})
    assert observation.sum() == 4
    assert np.array_equal(observation, env.observation("LIGHT the, the (hall). USER"))
    assert not env.observation(" .").any()


@pytest.mark.parametrize("observation", ["tokens", "words"])
@pytest.mark.parametrize("id", IDS)
def test_gymnasium_finds_nothing_wrong(id: str, observation: str) -> None:
    env = stacked(observation, id=id)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version")  # we mean the wrappers
        check_env(env, skip_render_check=True)
    assert env.reset(seed=0)[1]["action_mask"].sum() > 1  # there are calls to choose from


def test_an_index_says_what_the_menu_holds(house: House) -> None:
    env = CallMenu(house(), two_calls, size=6)
    assert env.action_space == Discrete(6)
    _, info = env.reset(options={"task_id": "two turns"})
    assert info["action_mask"].tolist() == [1, 0, 1, 1, 0, 0]
    assert env.action_masks().tolist() == [True, False, True, True, False, False]
    assert env.menu == (CLOSING, None, LIGHT, Utterance((Call("look"),)), None, None)
    said = [env.step(action) for action in (np.int64(2), 0, 3, 0)]
    assert [step[2] for step in said] == [False, False, False, True]
    assert said[-1][-1]["verdict"]["valid"]


@pytest.mark.parametrize("format", ["hermes", "toolrl", "pythonic", "structured"])
def test_an_index_without_a_reply_hands_the_turn_back(format: str, house: House) -> None:
    env = CallMenu(house(format=format), two_calls, size=6)
    env.reset(options={"task_id": "two turns"})
    *_, info = env.step(5)
    assert info["turn"] == 1
    assert env.unwrapped.conversation[2]["content"] == ""  # type: ignore[attr-defined]


def test_what_the_format_cannot_write_is_not_said(house: House) -> None:
    env = CallMenu(house(format="pythonic"), lambda *_: [Utterance((Call("no name"),))], size=1)
    env.reset(seed=0)
    assert env.reply(0) == ""
    env.step(0)


def test_candidates_beyond_the_size_are_left_out(house: House) -> None:
    env = CallMenu(house(), two_calls, size=1)
    _, info = env.reset(seed=0)
    assert (env.menu, info["action_mask"].tolist()) == ((CLOSING,), [1])


def test_the_menu_follows_the_episode(house: House) -> None:
    env = CallMenu(house(), ConversationCalls(ways=1), size=8)
    env.reset(options={"task_id": "reveal"})
    start, before = env.unwrapped.snapshot(), env.menu  # type: ignore[attr-defined]
    assert env.action_masks().sum() == 3  # "Done.", switch, look
    assert env.step(0)[-1]["action_mask"].sum() == 4  # paint
    env.unwrapped.restore(start)  # type: ignore[attr-defined]
    assert env.menu == before


def test_the_ground_truth_can_be_chosen_unless_it_needs_what_nobody_says() -> None:
    requests = [request.name for request in STARTER_REQUESTS if request.name not in ("words", "scale")]
    env = CallMenu(gymnasium.make(ID, starter={"requests": requests}), ConversationCalls(ways=8), size=64)

    def truth(observation: Any, info: dict[str, Any]) -> int:
        (turn, step), task = (info["turn"], info["step"]), env.unwrapped.task  # type: ignore[attr-defined]
        steps = task.turns[turn].steps
        calls = steps[step] if step < len(steps) else ()
        return [said and said.calls for said in env.menu].index(calls)

    for seed in range(20):
        verdict = play(env, truth, seed=seed).verdict
        assert verdict is not None
        assert verdict.valid, seed


def test_the_same_words_with_other_tools_make_another_menu(house: House) -> None:
    inner = house(show_tools=False)
    env = CallMenu(inner, ConversationCalls(ways=1), size=8)
    env.reset(options={"task_id": "two calls"})
    before, task = env.menu, inner.task
    inner.tasks = TaskList([dataclasses.replace(task, tools=("look",))])
    env.reset(options={"task_id": task.id})
    assert env.menu != before
    assert env.action_masks().sum() == 2  # "Done." and look


def test_a_stack_is_made_again_from_its_spec() -> None:
    env = stacked()
    assert env.spec is not None
    again = gymnasium.make(pickle.loads(pickle.dumps(env.spec)))
    assert str(again) == str(env)
    for action in (3, 0, 0):
        (one, info), (other, same) = env.reset(seed=5), again.reset(seed=5)
        assert np.array_equal(one, other)
        assert np.array_equal(info["action_mask"], same["action_mask"])
        (one, *rest, info), (other, *others, same) = env.step(action), again.step(action)
        assert np.array_equal(one, other)
        assert rest == others


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_vector_environments(kind: str, mode: AutoresetMode) -> None:
    make: Any = {"sync": SyncVectorEnv, "async": AsyncVectorEnv}[kind]  # asynchronous: with shared memory
    env = make([stacked, stacked], autoreset_mode=mode)
    single = stacked()
    expected, told = single.reset(seed=8)
    try:
        observation, info = env.reset(seed=[7, 8])
        assert observation.shape == (2, 100)
        assert np.array_equal(observation[1], expected)
        assert np.array_equal(info["action_mask"][1], told["action_mask"])
        mask = tuple(info["action_mask"].astype(np.int8))
        observation, _, ended, _, info = env.step(env.action_space.sample(mask=mask))
        assert info["action_mask"].shape == (2, 16)
        while not ended.any() and mode != AutoresetMode.DISABLED:
            observation, _, ended, _, info = env.step(np.zeros(2, np.int64))
        assert observation in env.observation_space
    finally:
        env.close()


def test_same_step_autoreset_gives_the_new_episodes_mask() -> None:
    env = SyncVectorEnv([stacked], autoreset_mode=AutoresetMode.SAME_STEP)
    env.reset(seed=0)
    ended = np.array([False])
    while not ended[0]:
        _, _, ended, _, info = env.step(np.zeros(1, np.int64))
    assert np.array_equal(info["action_mask"][0], env.envs[0].action_masks())  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrapper", [TextObservation, CallMenu])
def test_other_environments_are_refused(wrapper: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=f"{wrapper.__name__} needs a ToolUseEnv, got CartPoleEnv"):
        wrapper(gymnasium.make("CartPole-v1"))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda env: TokenObservation(env, length=0),
        lambda env: TokenObservation(env, length=4, padding=256),
        lambda env: WordObservation(env, size=0),
        lambda env: CallMenu(env, size=0),
    ],
)
def test_sizes_out_of_range_are_refused(wrap: Callable[..., Any], house: House) -> None:
    with pytest.raises(ConfigurationError, match="must be at least 1"):
        wrap(TextObservation(house()))
