"""What an episode earned so far, whoever plays it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tooluse_gym.env import ToolUseEnv


class Outcome:
    """Adds up what the steps of an environment return."""

    def __init__(self, env: ToolUseEnv):
        self.truncated = False
        self._terms = env.rubric.zeros()
        self._turn_rewards = [0.0]
        self._calls = 0

    @property
    def turn(self) -> int:
        """The running turn, counted from the one that the episode began in."""
        return len(self._turn_rewards) - 1

    def add(self, reward: float, over: bool, truncated: bool, info: Mapping[str, Any]) -> None:
        """What one step returned; ``over``: terminated or truncated."""
        self._turn_rewards[-1] += reward
        for name, value in info["reward_terms"].items():
            self._terms[name] += value
        self._calls += len(info["failures"])
        self.truncated |= truncated
        if not over and info["step"] == 0:  # nothing was said in it yet: a new turn
            self._turn_rewards.append(0.0)

    def fields(self, env: ToolUseEnv) -> dict[str, Any]:
        """Those of a rollout that tell how the episode went."""
        trajectory = env.trajectory()
        return {
            "reward": sum(self._terms.values()),
            "reward_terms": self._terms,
            "turn_rewards": tuple(self._turn_rewards),
            "task_id": trajectory.task,
            "valid": trajectory.verdict is not None and trajectory.verdict.valid,
            "truncated": self.truncated,
            "steps": len(trajectory.steps),
            "calls": self._calls,
            "trajectory": trajectory,
        }
