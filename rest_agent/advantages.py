"""Advantages: what a rollout earned beyond its group."""

from __future__ import annotations

import torch
from torch import Tensor


def group_advantages(rewards: Tensor, group: int, scale_by_std: bool = True, epsilon: float = 1e-6) -> Tensor:
    """GRPO's outcome advantage: (reward - mean) / (std + epsilon), within each group of rollouts of one task.

    Args:
        rewards: (N,), N a multiple of ``group``; the rollouts of a task stand side by side.
        scale_by_std: divide by the standard deviation (denominator group - 1); without it, Dr. GRPO's form.

    Returns:
        (N,) float32. A group of equal rewards gets exactly 0: rounding in the mean, divided by epsilon alone, would be
        a gradient out of nothing.
    """
    if group < 2 or rewards.dim() != 1 or len(rewards) % group:
        raise ValueError(f"expected (N,) rewards in groups of at least 2, got {tuple(rewards.shape)} and group {group}")
    grouped = rewards.double().reshape(-1, group)
    advantages = grouped - grouped.mean(dim=1, keepdim=True)
    if scale_by_std:
        advantages = advantages / (grouped.std(dim=1, correction=1, keepdim=True) + epsilon)
    equal = (grouped == grouped[:, :1]).all(dim=1, keepdim=True)
    return torch.where(equal, 0.0, advantages).flatten().float()
