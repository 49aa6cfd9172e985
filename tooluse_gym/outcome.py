"""What episodes earned, whoever plays them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tooluse_gym.env import ToolUseEnv
from tooluse_gym.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True)
class Played:
    """An episode that was played, as far as it needs no tokens to be told."""

    reward: float
    task_id: str
    turn_rewards: tuple[float, ...] = ()
    """What each turn that was played earned; they add up to the reward."""
    reward_terms: dict[str, float] = field(default_factory=dict)
    valid: bool = False
    """The official verdict: every turn right."""
    truncated: bool = False
    lost: bool = False
    """The environment failed, twice: nothing is known of the policy, and the group does without this rollout."""
    steps: int = 0
    """Assistant messages."""
    turn_calls: tuple[int, ...] = ()
    """Tool calls made in each turn that was played."""
    turn_steps: tuple[int, ...] = ()
    """Assistant messages in each turn that was played."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """What the environment has to say beyond the verdict."""
    trajectory: Trajectory | None = None

    @property
    def calls(self) -> int:
        """Tool calls made."""
        return sum(self.turn_calls)


class Outcome:
    """Adds up what the steps of an environment return."""

    def __init__(self, env: ToolUseEnv):
        self.truncated = False
        self._terms = env.rubric.zeros()
        self._turn_rewards = [0.0]
        self._turn_calls = [0]
        self._turn_steps = [0]

    @property
    def turn(self) -> int:
        """The running turn, counted from the one that the episode began in."""
        return len(self._turn_rewards) - 1

    def add(self, reward: float, over: bool, truncated: bool, info: Mapping[str, Any]) -> None:
        """What one step returned; ``over``: terminated or truncated."""
        self._turn_rewards[-1] += reward
        for name, value in info["reward_terms"].items():
            self._terms[name] += value
        self._turn_calls[-1] += len(info["failures"])
        self._turn_steps[-1] += 1
        self.truncated |= truncated
        if not over and info["step"] == 0:  # nothing was said in it yet: a new turn
            self._turn_rewards.append(0.0)
            self._turn_calls.append(0)
            self._turn_steps.append(0)

    def fields(self, env: ToolUseEnv) -> dict[str, Any]:
        """Those of :class:`Played`."""
        trajectory = env.trajectory()
        return {
            "reward": sum(self._terms.values()),
            "reward_terms": self._terms,
            "turn_rewards": tuple(self._turn_rewards),
            "task_id": trajectory.task,
            "valid": trajectory.verdict is not None and trajectory.verdict.valid,
            "truncated": self.truncated,
            "steps": len(trajectory.steps),
            "turn_calls": tuple(self._turn_calls),
            "turn_steps": tuple(self._turn_steps),
            "report": env.report(),
            "trajectory": trajectory,
        }
