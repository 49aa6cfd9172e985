from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import pytest

from tooluse_gym.agents import play
from tooluse_gym.candidates import ConversationCalls
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.search import TreeSearch, greedy
from tooluse_gym.wrappers import CallMenu

House = Callable[..., ToolUseEnv]


def uniform(env: CallMenu) -> dict[int, float]:
    places = [place for place, said in enumerate(env.menu) if said is not None]
    return dict.fromkeys(places, 1 / len(places))


@pytest.fixture
def menu(house: House) -> CallMenu:
    env = CallMenu(house(max_steps_per_turn=3), ConversationCalls(("switch", "look"), ways=4), size=9)
    env.reset(seed=0, options={"task_id": "two turns"})
    return env


def test_greedy_takes_the_most_probable_and_the_first_of_equals(menu: CallMenu) -> None:
    assert greedy(menu, lambda env: {0: 0.2, 3: 0.5, 4: 0.3}) == 3
    assert greedy(menu, uniform) == 0


def test_search_finds_what_a_policy_without_a_clue_does_not(menu: CallMenu) -> None:
    begin: dict[str, Any] = {"seed": 0, "options": {"task_id": "two turns"}}
    alone = play(menu, lambda *_: greedy(menu, uniform), **begin)
    found = play(menu, TreeSearch(menu, uniform, simulations=60), **begin)
    assert alone.verdict is not None
    assert not alone.verdict.valid
    assert found.verdict is not None
    assert found.verdict.valid
    assert found.reward == pytest.approx(1)


def test_texts_are_searched_like_indices(house: House, say: Callable[..., str]) -> None:
    replies = {"Done.": 0.7, say(("look", {})): 0.2, say(("switch", {"lamp": "hall"})): 0.1}
    env = house(max_steps_per_turn=3)
    record = play(env, TreeSearch(env, lambda env: replies, simulations=40), options={"task_id": "two turns"})
    assert record.verdict is not None
    assert record.verdict.valid


def test_the_episode_is_as_it_was(menu: CallMenu) -> None:
    env = menu.unwrapped
    assert isinstance(env, ToolUseEnv)
    before, world = env.trajectory(), env._running.judge.agent.state()
    TreeSearch(menu, uniform, simulations=20)((), {})
    assert env.trajectory() == before
    assert env._running.judge.agent.state() == world


def test_a_search_is_repeated_exactly(menu: CallMenu) -> None:
    begin: dict[str, Any] = {"seed": 0, "options": {"task_id": "two turns"}}
    one, other = (play(menu, TreeSearch(menu, uniform, simulations=10), **begin) for _ in range(2))
    assert one == other


def test_a_small_tree_is_searched_to_its_end_and_no_further(house: House) -> None:
    steps = 0

    class Counting(gymnasium.Wrapper[Any, Any, Any, Any]):
        def step(self, action: str) -> Any:
            nonlocal steps
            steps += 1
            return super().step(action)

    env = Counting(house())
    env.reset(options={"task_id": "two turns"})
    search = TreeSearch(env, lambda env: {"Done.": 0.6, "No.": 0.4}, simulations=1_000)
    assert search((), {}) == "Done."  # of equals the most probable
    assert steps == 2 * 2 + 4  # both first replies, each finished by the policy; then the four second ones


def test_the_tree_behind_the_action_is_kept(menu: CallMenu) -> None:
    search = TreeSearch(menu, uniform, simulations=60)
    first = search((), {})
    kept = search._root
    assert kept is not None
    assert sum(branch.visits for branch in kept.branches.values()) > 0
    menu.step(first)
    search((), {})
    assert kept.exhausted or sum(branch.visits for branch in kept.branches.values()) >= 60
    menu.reset(options={"task_id": "vague"})
    search((), {})
    assert search._root is not kept


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda env: TreeSearch(env, uniform, simulations=0), "simulations must be at least 1"),
        (lambda env: TreeSearch(env, lambda _: {})((), {}), "the policy knows no action"),
    ],
)
def test_refusals(make: Callable[..., Any], message: str, menu: CallMenu) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make(menu)
