"""Evaluation: the same held-out tasks, greedy and sampled, at every stage of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from rest_agent.batch import Rollout
from rest_agent.config import Config
from rest_agent.engine import gather
from rest_agent.rollout import Arena
from rest_agent.sampling.decode import Sampling

_TASK_SEED = 1_000_003  # every run is evaluated on the same tasks, whatever its own seed
_SAMPLE_SEED = 7


@dataclass(frozen=True)
class Evaluation:
    """Rollouts of one policy on ``count`` tasks, one each, in the order of the tasks."""

    rollouts: list[Rollout]

    def summary(self) -> dict[str, Any]:
        """Figures for ``results.json``; ``outcomes`` has one bool per task, for paired comparisons."""
        count = len(self.rollouts)
        return {
            "n": count,
            "valid": sum(rollout.valid for rollout in self.rollouts),
            "reward": sum(rollout.reward for rollout in self.rollouts) / count,
            "truncated": sum(rollout.truncated for rollout in self.rollouts),
            "outcomes": [rollout.valid for rollout in self.rollouts],
        }


def evaluate(arena: Arena, model: Any, config: Config, split: str, temperature: float) -> Evaluation:
    """Play the first ``evaluation.tasks`` tasks of ``split``. A collective: ranks share the tasks out."""
    starts = arena.sample_tasks(split, _TASK_SEED, config.evaluation.tasks)
    sampling = Sampling(temperature, config.rl.max_reply_tokens, config.rl.max_tokens)
    generator = torch.Generator(device=model.device).manual_seed(_SAMPLE_SEED + dist.get_rank())
    mine = starts[dist.get_rank() :: dist.get_world_size()]
    shares = gather(arena.rollouts(model, mine, sampling, generator))
    return Evaluation(_interleave(shares))


def _interleave(shares: Sequence[Sequence[Rollout]]) -> list[Rollout]:
    longest = max(len(share) for share in shares)
    return [share[index] for index in range(longest) for share in shares if index < len(share)]
