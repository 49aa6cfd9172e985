"""Scripted agents, and the loop that plays an episode with any agent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gymnasium

from tooluse_gym.env import inside
from tooluse_gym.trajectory import Trajectory

Agent = Callable[[Any, dict[str, Any]], Any]
"""``agent(observation, info)`` returns the next action: a reply, or what a wrapper takes in its place."""


class ScriptedAgent:
    """Says the given replies one after the other, then the last word ``closing`` for ever."""

    def __init__(self, replies: Iterable[str], closing: str = ""):
        self._replies = iter(replies)
        self._closing = closing

    def act(self, observation: Any, info: dict[str, Any]) -> str:
        """The next reply, whatever was observed."""
        return next(self._replies, self._closing)

    __call__ = act


def play(env: gymnasium.Env[Any, Any], agent: Agent, **reset: Any) -> Trajectory:
    """Play one episode to its end; ``reset`` holds ``seed`` and ``options``.

    ``env`` may be wrapped; the record is that of the :class:`~tooluse_gym.env.ToolUseEnv` inside.
    """
    inner = inside(env, "play")
    observation, info = env.reset(**reset)
    ended = False
    while not ended:
        observation, _, terminated, truncated, info = env.step(agent(observation, info))
        ended = terminated or truncated
    return inner.trajectory()
