"""The cold start: supervised updates on demonstrations, a fresh batch each time (a fixed set would be memorised)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rest_agent.batch import Batch, Rollout, collate, pad
from rest_agent.losses import token_log_probs


def demonstration_batch(rollouts: Sequence[Rollout], pad_id: int) -> Batch:
    """Demonstrations as a batch that weighs every token of the demonstrator 1."""
    weights = pad([rollout.loss_mask for rollout in rollouts]).float()
    return collate(rollouts, pad_id, torch.ones(len(rollouts)), weights)


def sft_loss(model: Any, batch: Batch, denominator: float) -> Tensor:
    """Sum over tokens of -log-probability x weight, / ``denominator`` (the update's sum of weights)."""
    log_probs = next_token_log_probs(model, batch)
    return -(log_probs * batch.weights[:, 1:]).sum() / denominator


def next_token_log_probs(model: Any, batch: Batch, temperature: float = 1.0) -> Tensor:
    """(B, T - 1): log-probability of every token but the first, given those before it."""
    logits = model(input_ids=batch.token_ids, attention_mask=batch.attention_mask, use_cache=False).logits
    return token_log_probs(logits[:, :-1], batch.token_ids[:, 1:], temperature)
