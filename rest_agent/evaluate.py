"""Evaluation: the same held-out tasks, greedy and sampled, at every stage of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.distributed as dist

from rest_agent.batch import Rollout
from rest_agent.config import Config
from rest_agent.engine import gather
from rest_agent.outcome import Evaluation
from rest_agent.rollout import Arena
from rest_agent.sampling.decode import Sampling

_SAMPLE_SEED = 7


def evaluate(arena: Arena, model: Any, config: Config, split: str, temperature: float) -> Evaluation[Rollout]:
    """Play ``evaluation.tasks`` tasks of ``split`` (a list of tasks may have fewer). A collective: ranks share them."""
    starts = arena.held_out_tasks(split, config.evaluation.tasks)
    sampling = Sampling(temperature, config.rl.max_reply_tokens, config.rl.max_tokens, config.rl.decode_rows)
    mine = starts[dist.get_rank() :: dist.get_world_size()]
    shares = gather(arena.rollouts(model, mine, sampling, _SAMPLE_SEED + dist.get_rank()))
    return Evaluation(_interleave(shares), [start.task for start in starts])


def _interleave(shares: Sequence[Sequence[Rollout]]) -> list[Rollout]:
    longest = max(len(share) for share in shares)
    return [share[index] for index in range(longest) for share in shares if index < len(share)]
