from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import pytest

from tooluse_gym.agents import ScriptedAgent, play
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.spaces import UnicodeText
from tooluse_gym.wrappers import TextObservation

House = Callable[..., ToolUseEnv]


def test_scripted_agent_says_its_replies_then_its_closing() -> None:
    agent = ScriptedAgent(["a", "b"], closing="bye")
    assert [agent.act((), {}), agent((), {}), agent((), {}), agent((), {})] == ["a", "b", "bye", "bye"]


def test_play_ends_with_the_episode(house: House, say: Callable[..., str]) -> None:
    script = [say(("switch", {"lamp": "hall"})), "Done.", say(("look", {}))]
    record = play(house(), ScriptedAgent(script, "Done."), seed=0, options={"task_id": "two turns"})
    assert [step.action for step in record.steps] == [*script, "Done."]
    assert record.verdict is not None
    assert record.verdict.valid


def test_play_gives_an_agent_observation_and_info(house: House) -> None:
    seen: list[Any] = []

    def agent(observation: Any, info: dict[str, Any]) -> str:
        seen.append((observation, info["turn"]))
        return "Done."

    play(TextObservation(house(show_tools=False)), agent, options={"task_id": "two turns"})
    assert seen == [("[user]\nlight the hall\n", 0), ("[user]\nwhat burns?\n", 1)]


def test_play_needs_a_tool_use_environment() -> None:
    class Other(gymnasium.Env[Any, Any]):
        pass

    with pytest.raises(TypeError, match="play needs a ToolUseEnv, got Other"):
        play(Other(), ScriptedAgent([]))


def test_text_observation(house: House) -> None:
    env = TextObservation(house(show_tools=False))
    assert env.observation_space == UnicodeText()
    observation, _ = env.reset(options={"task_id": "two turns"})
    assert observation == "[user]\nlight the hall\n"
    observation, *_ = env.step("<tool_call>")
    assert observation.startswith("[tool ")
    assert observation in env.observation_space
