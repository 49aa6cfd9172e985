"""Evaluation: the same held-out tasks, greedy and sampled, at every stage of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

from rest_agent.batch import Rollout
from rest_agent.config import Config
from rest_agent.engine import gather
from rest_agent.rollout import Arena
from rest_agent.sampling.decode import Sampling
from tooluse_gym.tasks import Task

_SAMPLE_SEED = 7


@dataclass(frozen=True)
class Evaluation:
    """Episodes of one policy on a list of tasks, one each, in the order of the tasks."""

    rollouts: Sequence[Rollout]
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


def evaluate(arena: Arena, model: Any, config: Config, split: str, temperature: float) -> Evaluation:
    """Play ``evaluation.tasks`` tasks of ``split`` (a list of tasks may have fewer). A collective: ranks share them."""
    starts = arena.held_out_tasks(split, config.evaluation.tasks)
    sampling = Sampling(temperature, config.rl.max_reply_tokens, config.rl.max_tokens, config.rl.decode_rows)
    mine = starts[dist.get_rank() :: dist.get_world_size()]
    shares = gather(arena.rollouts(model, mine, sampling, _SAMPLE_SEED + dist.get_rank()))
    return Evaluation(_interleave(shares), [start.task for start in starts])


def _interleave(shares: Sequence[Sequence[Rollout]]) -> list[Rollout]:
    longest = max(len(share) for share in shares)
    return [share[index] for index in range(longest) for share in shares if index < len(share)]
