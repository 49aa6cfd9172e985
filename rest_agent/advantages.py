"""Advantages: what a rollout, or a part of one, earned beyond what was to be expected of it.

The estimators, on plain tensors; ``credit`` spreads them over tokens. Of N rollouts those of a task stand side by side,
in groups of G. Equal values have exactly the advantage 0 everywhere: rounding in their mean, divided by epsilon alone,
would be a gradient out of nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def group_advantages(
    rewards: Tensor, group: int, scale_by_std: bool = True, epsilon: float = 1e-6, leave_one_out: bool = False
) -> Tensor:
    """(reward - baseline) / (std + epsilon), within each group of rollouts of one task.

    * GRPO's outcome advantage (Shao et al. 2024, arXiv 2402.03300): as it stands, the baseline is the group's mean.
    * Dr. GRPO's (Liu et al. 2025, arXiv 2503.20783): ``scale_by_std=False``.
    * RLOO's (Ahmadian et al. 2024, arXiv 2402.14740): ``scale_by_std=False, leave_one_out=True``. The baseline of a
      rollout is the mean of the others, which makes it G / (G - 1) times Dr. GRPO's.

    Args:
        rewards: (N,), N a multiple of ``group``; the rollouts of a task stand side by side.
        scale_by_std: divide by the standard deviation (denominator G - 1).

    Returns:
        (N,) float32.
    """
    if group < 2 or rewards.dim() != 1 or len(rewards) % group:
        raise ValueError(f"expected (N,) rewards in groups of at least 2, got {tuple(rewards.shape)} and group {group}")
    grouped = rewards.double().reshape(-1, group)
    advantages = grouped - grouped.mean(dim=1, keepdim=True)
    if leave_one_out:
        advantages = advantages * (group / (group - 1))
    if scale_by_std:
        advantages = advantages / (grouped.std(dim=1, correction=1, keepdim=True) + epsilon)
    return torch.where(equal_groups(rewards[:, None], group)[:, None], 0.0, advantages).flatten().float()


def equal_groups(values: Tensor, group: int) -> Tensor:
    """(N / group,) bool: groups whose rollouts all have the same row of ``values`` (N, S), as float32."""
    grouped = values.float().reshape(-1, group, values.shape[1])
    return (grouped == grouped[:, :1]).flatten(1).all(dim=1)


def term_advantages(
    terms: Tensor,
    group: int,
    term_weights: Tensor,
    scale_by_std: bool = True,
    epsilon: float = 1e-6,
    leave_one_out: bool = False,
) -> Tensor:
    """GDPO (Liu et al. 2026, arXiv 2601.05242): every term of the reward is made relative to the group by itself.

    In the sum of the terms, a term of large spread would drown the others, and different combinations of terms may add
    up to the same reward. GDPO then divides by the standard deviation over the whole batch: :func:`standardise`.

    Args:
        terms: (N, K).
        term_weights: (K,), how much each term's advantage counts.

    Returns:
        (N,) float32: sum over terms of weight x advantage, not divided by anything.
    """
    columns = [group_advantages(column, group, scale_by_std, epsilon, leave_one_out) for column in terms.unbind(1)]
    return (torch.stack(columns, dim=1) * term_weights).sum(dim=1)


def returns_to_go(rewards: Tensor, discount: float) -> Tensor:
    """(N, K): from ``rewards`` (N, K) of successive turns, what each turn and those after it earned.

    The turn k turns later counts ``discount`` ** k.
    """
    returns = rewards.double().clone()
    for turn in reversed(range(rewards.shape[1] - 1)):
        returns[:, turn] += discount * returns[:, turn + 1]
    return returns.float()


def turn_advantages(
    returns: Tensor,
    reached: Tensor,
    group: int,
    scale_by_std: bool = True,
    epsilon: float = 1e-6,
    leave_one_out: bool = False,
) -> Tensor:
    """Turn-level credit: a turn's return relative to the same turn of the other rollouts of the task.

    What earlier turns earned is no merit of a later one, and turns of different index, which have different returns
    ahead of them, are never compared (cf. Zeng et al. 2025, arXiv 2505.11821).

    Args:
        returns: (N, K), as :func:`returns_to_go` gives.
        reached: (N, K) bool, whether the rollout got to this turn. Means and standard deviations of a turn are over the
            rollouts of the group that did; with one alone there is nothing to compare.

    Returns:
        (N, K) float32, 0 where not reached.
    """
    advantages = torch.zeros(returns.shape)
    for first in range(0, len(returns), group):
        rows = torch.arange(first, first + group)
        for turn in range(returns.shape[1]):
            there = rows[reached[rows, turn]]
            if len(there) > 1:
                values = returns[there, turn]
                advantages[there, turn] = group_advantages(values, len(there), scale_by_std, epsilon, leave_one_out)
    return advantages


def generalised_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, discount: float, trace: float
) -> tuple[Tensor, Tensor]:
    """GAE (Schulman et al. 2016, arXiv 1506.02438) over the tokens that the policy sampled.

    delta_t = r_t + discount V_t' - V_t,  A_t = delta_t + discount trace A_t',  with t' the row's next sampled token:
    what the environment says in between is no action. Behind the last one V and A are 0, whether the episode ended or
    was cut, as nothing is earned after a cut either.

    Args:
        rewards: (N, T), 0 where mask is False.
        values: (N, T), the critic's for the state before each token.
        mask: (N, T) bool, True on sampled tokens.
        trace: GAE's lambda.

    Returns:
        Advantages, and the critic's targets A + V; each (N, T) float32, 0 where mask is False.
    """
    advantages = torch.zeros(rewards.shape, dtype=torch.float64)
    ahead, value_ahead = torch.zeros(len(rewards)).double(), torch.zeros(len(rewards)).double()
    rewards, values = rewards.double(), values.double()
    for token in reversed(range(rewards.shape[1])):
        here = mask[:, token]
        delta = rewards[:, token] + discount * value_ahead - values[:, token]
        ahead = torch.where(here, delta + discount * trace * ahead, ahead)
        value_ahead = torch.where(here, values[:, token], value_ahead)
        advantages[:, token] = torch.where(here, ahead, 0.0)
    return advantages.float(), torch.where(mask, advantages + values, 0.0).float()


def moments(values: Tensor) -> Tensor:
    """(3,) float64: number, sum and sum of squares. Those of several ranks add up."""
    exact = values.double()
    return torch.stack([exact.new_tensor(exact.numel()), exact.sum(), exact.pow(2).sum()])


def standardise(values: Tensor, moments: Tensor, centre: bool, epsilon: float = 1e-6) -> Tensor:
    """``values`` divided by the standard deviation (denominator n - 1) + epsilon that ``moments`` tell of.

    Args:
        centre: subtract the mean first. Group-relative advantages have none, and a 0 among them has to stay one.
    """
    count, total, squares = moments.tolist()
    mean = total / max(1.0, count)
    deviation = math.sqrt(max(0.0, squares - count * mean * mean) / max(1.0, count - 1))
    return ((values.double() - (mean if centre else 0.0)) / (deviation + epsilon)).float()
