"""What episodes earned, whoever plays them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tooluse_gym.env import ToolUseEnv
from tooluse_gym.tasks import Task
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
    calls: int = 0
    """Tool calls made."""
    trajectory: Trajectory | None = None


Episode = TypeVar("Episode", bound=Played)


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
            "calls": self._calls,
            "trajectory": trajectory,
        }


@dataclass(frozen=True)
class Evaluation(Generic[Episode]):
    """Episodes of one policy on a list of tasks, one each, in the order of the tasks."""

    rollouts: Sequence[Episode]
    tasks: Sequence[Task]

    def summary(self) -> dict[str, Any]:
        """Figures for ``results.json``; ``outcomes`` has one bool per task, for paired comparisons."""
        kinds = self._by_kind()
        count = len(self.rollouts)
        return {
            "n": count,
            "valid": sum(rollout.valid for rollout in self.rollouts),
            "reward": sum(rollout.reward for rollout in self.rollouts) / count,
            "truncated": sum(rollout.truncated for rollout in self.rollouts),
            "outcomes": [rollout.valid for rollout in self.rollouts],
            **({"by_kind": kinds} if kinds else {}),
        }

    def _by_kind(self) -> dict[str, list[int]]:
        """Solved and tried requests by kind, of tasks whose metadata says what each turn requests.

        An episode is judged up to its first wrong turn; later requests count as not tried. Of an episode that was cut
        every request counts as failed.
        """
        counts: dict[str, list[int]] = {}
        for rollout, task in zip(self.rollouts, self.tasks, strict=True):
            verdict = rollout.trajectory.verdict if rollout.trajectory is not None else None
            for turn, kind in enumerate(task.metadata.get("requests", ())):
                wrong = verdict.turn if verdict is not None else None
                if wrong is not None and turn > wrong:
                    break
                solved = verdict is not None and (verdict.valid or (wrong is not None and turn < wrong))
                count = counts.setdefault(str(kind), [0, 0])
                count[0] += solved
                count[1] += 1
        return dict(sorted(counts.items()))
