"""Supervised learning from demonstrations or the policy's own best rollouts, on the policy loss's weight streams.

Demonstrations are fresh for each update; a fixed set would be memorised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from rest_agent.advantages import equal_groups
from rest_agent.batch import Batch, Rollout, collate, pad
from rest_agent.config import Ramp, WeightsConfig
from rest_agent.logits import score_tokens
from rest_agent.segments import split
from rest_agent.weights import token_weights

Kind = Literal["sft", "tsft", "rsft"]

EMPHASISED: dict[Kind, tuple[str, ...]] = {
    "sft": (),
    "tsft": ("name", "arguments", "scaffold"),  # tool-call tokens
    "rsft": ("think",),  # reasoning tokens, as ResT's authors have it: no rejection sampling
}
"""The baselines of the paper: the regions that each weighs more. The paper does not say how much more."""


def emphasis_weights(regions: Tensor, kind: Kind, emphasis: float) -> Tensor:
    """(B, T) float32: a row's weights have mean 1, those of the regions that ``kind`` is about are ``emphasis`` times
    the others'. ``regions``: (B, T).
    """
    more = {region: Ramp(emphasis, emphasis) for region in EMPHASISED[kind]}
    return token_weights(regions, 0.0, WeightsConfig(preset="uniform", **more))  # type: ignore[arg-type]


def demonstration_batch(
    rollouts: Sequence[Rollout], pad_id: int, kind: Kind = "sft", emphasis: float = 1.0, keep: Tensor | None = None
) -> Batch:
    """Rollouts to be imitated, as a batch; those that are not in ``keep`` (B,) bool weigh 0."""
    weights = emphasis_weights(pad([rollout.regions for rollout in rollouts]), kind, emphasis)
    if keep is not None:
        weights = weights * keep[:, None]
    return split(collate(rollouts, pad_id, torch.zeros_like(weights), weights))


def best_of(rewards: Tensor, group: int, least: float | None = None) -> tuple[list[int], Tensor]:
    """Rejection sampling: the best of each group (the first of equals), and whether it is worth imitating.

    Args:
        rewards: (N,), the rollouts of a task side by side.
        least: the reward from which on it is worth it; None: when it is better than another of its group.

    Returns:
        Rows, one of each group, and (N / group,) bool.
    """
    grouped = rewards.reshape(-1, group)
    best, place = grouped.max(dim=1).values, grouped.argmax(dim=1)
    rows = (torch.arange(len(grouped)) * group + place).tolist()
    return rows, ~equal_groups(rewards[:, None], group) if least is None else best >= least


def sft_loss(model: Any, batch: Batch, denominator: float) -> Tensor:
    """Sum over tokens of -log-probability x weight, / ``denominator`` (the update's sum of weights)."""
    log_probs, _ = score_tokens(model, batch.token_ids, batch.loss_mask)
    return -(log_probs * batch.weights).sum() / denominator
