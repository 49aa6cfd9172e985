"""The policy-gradient loss: advantage x ratio x token weight, / a denominator that the caller knows."""

from __future__ import annotations

from typing import Literal

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
    ratio: Literal["token", "sequence"] = "token",
) -> tuple[Tensor, dict[str, Tensor]]:
    """PPO's clipped loss with a weight on every token: sum of loss x weight over all tokens, / ``denominator``.

    The loss of a token is max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)) (Schulman et al. 2017, arXiv 1707.06347;
    two bounds: DAPO). ``dual_clip`` (> 1, or None) bounds it at -A dual_clip where A < 0 (Ye et al. 2020, arXiv
    1912.09729). Where the weight is 0 nothing flows, whatever the log-probs are.

    Args:
        log_probs: (B, T) of the policy now.
        old_log_probs: (B, T) of the policy that sampled.
        advantages: (B, T).
        weights: (B, T), 0 on every token the policy did not sample: :func:`rest_agent.aggregation.coefficients`.
        denominator: :func:`rest_agent.aggregation.denominator`, summed over micro-batches and ranks.
        ratio: r is the token's probability now / then; or that of its row, the geometric mean over its tokens of
            positive weight (GSPO-token, Zheng et al. 2025, arXiv 2507.18071: the gradient is still each token's own).

    Returns:
        The loss, and sums over the tokens of positive weight, not divided by anything: ``tokens`` (their number),
        ``weight`` (of their weights), ``clipped`` and ``dual_clipped`` (how many), ``ratio`` (new / old probability),
        ``kl`` (the estimate old - new log-prob).
    """
    counted = weights > 0
    log_ratio = torch.where(counted, log_probs - old_log_probs, 0.0)
    if ratio == "sequence":
        mean = log_ratio.detach().sum(dim=1, keepdim=True) / counted.sum(dim=1, keepdim=True).clamp(min=1)
        log_ratio = torch.where(counted, mean + log_ratio - log_ratio.detach(), 0.0)
    change = log_ratio.clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO).exp()
    free = -advantages * change
    bounded = -advantages * change.clamp(1 - clip_low, 1 + clip_high)
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
            "ratio": torch.where(counted, change, 0.0).sum(),
            "kl": -log_ratio.sum(),
        }
    return total, metrics
