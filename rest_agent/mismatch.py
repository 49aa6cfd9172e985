"""How far the sampler's log-probabilities are from the trainer's, for the same tokens and weights.

The two compute the same in other orders (one token a pass with a cache, or whole rows at once), in half precision with
visible differences; another program that samples differs more. Then replies do not come from the policy that the
gradient is computed for.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rest_agent.batch import Batch

_MAX_LOG_RATIO = 20.0


class LogProbGap:
    """Mean and greatest |trainer - sampler| over sampled tokens, added up over micro-batches."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._tokens = 0
        self._most = 0.0

    def add(self, trainer: Tensor, sampler: Tensor, mask: Tensor) -> None:
        """Log-probabilities of tokens where ``mask`` is set; all of the same shape."""
        gaps = (trainer.detach() - sampler)[mask].abs()
        if len(gaps):
            self._sum += float(gaps.sum(dtype=torch.float64))
            self._tokens += len(gaps)
            self._most = max(self._most, float(gaps.max()))

    def metrics(self) -> dict[str, float]:
        """``log_prob_gap``, a mean over tokens, and ``log_prob_gap_max``; nothing if there was no token."""
        if not self._tokens:
            return {}
        return {"log_prob_gap": self._sum / self._tokens, "log_prob_gap_max": self._most}


def truncated_importance(trainer: Tensor, sampler: Tensor, cap: float) -> Tensor:
    """min(p_trainer / p_sampler, ``cap``) from log-probabilities of the same tokens under the same weights.

    With it as a factor of each token's loss, tokens from the sampler's distribution stand for tokens from the trainer's
    (truncated importance sampling; Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL
    training"). The cap bounds the variance and leaves a bias where the sampler gave a token too little.
    """
    return (trainer - sampler).clamp(max=_MAX_LOG_RATIO).exp().clamp(max=cap)


def corrected(batch: Batch, trainer: Tensor, cap: float) -> Batch:
    """``batch`` as if the trainer had sampled it: advantages times the truncated importance, the trainer's log-probs.

    Args:
        trainer: (B, T), log-probs of the sampled tokens before the update.
    """
    importance = truncated_importance(trainer, batch.old_log_probs, cap)
    return replace(
        batch,
        old_log_probs=torch.where(batch.loss_mask, trainer, 0.0),
        advantages=torch.where(batch.loss_mask, batch.advantages * importance, 0.0),
    )
