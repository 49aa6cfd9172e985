"""The policy-gradient loss."""

from __future__ import annotations

import torch
from torch import Tensor

_MAX_LOG_RATIO = 20.0


def policy_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    weights: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None,
    denominator: float | Tensor,
) -> tuple[Tensor, dict[str, Tensor]]:
    """PPO's clipped loss with a weight on every token: sum of loss x weight over all tokens, / ``denominator``.

    The caller knows the denominator, because it spans micro-batches and ranks:

    * the sum of all weights of the optimizer step: weighted token mean (ResT; GRPO's token mean if the weights are 1);
    * the number of rollouts of the step, with weights divided by their row's length: sequence mean.

    Rows left out for their zero advantage still count in it. ``dual_clip`` (> 1, or None) bounds the loss of a token of
    negative advantage at -advantage x dual_clip. Where the weight is 0 nothing flows, whatever the log-probs are.

    Args:
        log_probs: (B, T) of the policy now.
        old_log_probs: (B, T) of the policy that sampled.
        advantages: (B, T).
        weights: (B, T), 0 on every token the policy did not sample.

    Returns:
        The loss, and sums over the tokens of positive weight, not divided by anything: ``tokens`` (their number),
        ``weight`` (of their weights), ``clipped`` and ``dual_clipped`` (how many), ``ratio`` (new / old probability),
        ``kl`` (the estimate old - new log-prob).
    """
    counted = weights > 0
    log_ratio = torch.where(counted, log_probs - old_log_probs, 0.0)
    ratio = log_ratio.clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO).exp()
    free = -advantages * ratio
    bounded = -advantages * ratio.clamp(1 - clip_low, 1 + clip_high)
    loss = torch.maximum(free, bounded)
    dual = torch.zeros_like(counted)
    if dual_clip is not None:
        ceiling = -advantages * dual_clip
        dual = (advantages < 0) & (loss > ceiling) & counted
        loss = torch.where(advantages < 0, torch.minimum(loss, ceiling), loss)
    total = (loss * weights).sum() / denominator
    with torch.no_grad():
        metrics = {
            "tokens": counted.sum(),
            "weight": weights.sum(),
            "clipped": ((bounded > free) & counted).sum(),
            "dual_clipped": dual.sum(),
            "ratio": torch.where(counted, ratio, 0.0).sum(),
            "kl": -log_ratio.sum(),
        }
    return total, metrics
