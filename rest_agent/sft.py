"""The cold start: supervised updates on demonstrations, a fresh batch each time (a fixed set would be memorised)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from rest_agent.batch import Batch, Rollout, collate, pad
from rest_agent.losses import token_log_probs


def demonstration_batch(rollouts: Sequence[Rollout], pad_id: int) -> Batch:
    """Demonstrations as a batch that weighs every token of the demonstrator 1."""
    weights = pad([rollout.loss_mask for rollout in rollouts]).float()
    return collate(rollouts, pad_id, weights, weights)


def sft_loss(model: Any, batch: Batch, denominator: float) -> Tensor:
    """Sum over tokens of -log-probability x weight, / ``denominator`` (the update's sum of weights)."""
    logits, heard = next_token_logits(model, batch)
    log_probs = token_log_probs(logits, batch.token_ids[:, heard:])
    return -(log_probs * batch.weights[:, heard:]).sum() / denominator


def next_token_logits(model: Any, batch: Batch) -> tuple[Tensor, int]:
    """Logits (B, T - heard, V) that predict the tokens from column ``heard`` on, and that column.

    No row says anything before it. Rows are padded on the right and attention is causal: no attention mask is needed.
    """
    heard = max(1, int(batch.loss_mask.any(dim=0).int().argmax()))
    keep = batch.token_ids.shape[1] - heard
    logits: Tensor = model(input_ids=batch.token_ids, logits_to_keep=keep + 1, use_cache=False).logits
    return logits[:, :-1], heard
