"""The cold start: supervised updates on demonstrations, a fresh batch each time (a fixed set would be memorised)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from rest_agent.batch import Batch, Rollout, collate, pad
from rest_agent.logits import score_tokens


def demonstration_batch(rollouts: Sequence[Rollout], pad_id: int) -> Batch:
    """Demonstrations as a batch that weighs every token of the demonstrator 1."""
    weights = pad([rollout.loss_mask for rollout in rollouts]).float()
    return collate(rollouts, pad_id, weights, weights)


def sft_loss(model: Any, batch: Batch, denominator: float) -> Tensor:
    """Sum over tokens of -log-probability x weight, / ``denominator`` (the update's sum of weights)."""
    log_probs, _ = score_tokens(model, batch.token_ids, batch.loss_mask)
    return -(log_probs * batch.weights).sum() / denominator
