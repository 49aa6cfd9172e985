"""The loss of a micro-batch of rollouts, and the figures that every update of reinforcement learning reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rest_agent.batch import Batch, Rollout
from rest_agent.config import RLConfig
from rest_agent.logits import score_tokens
from rest_agent.losses import policy_loss
from rest_agent.regions import Region
from rest_agent.weights import region_sums


class Tally:
    """Computes losses and adds up what they show over the micro-batches of an update."""

    def __init__(self, config: RLConfig):
        self._config = config
        self._sums: Counter[str] = Counter()
        self._entropy = torch.zeros(len(Region), dtype=torch.float64)
        self._tokens = torch.zeros(len(Region), dtype=torch.float64)

    def loss(self, model: Any, piece: Batch, denominator: float) -> Tensor:
        """The weighted, clipped policy loss of one micro-batch, summed and divided by ``denominator``."""
        rl = self._config
        log_probs, entropies = score_tokens(model, piece.token_ids, piece.loss_mask, rl.temperature)
        loss, counts = policy_loss(
            log_probs,
            piece.old_log_probs,
            piece.advantages,
            piece.weights,
            clip_low=rl.clip_low,
            clip_high=rl.clip_high,
            dual_clip=rl.dual_clip,
            denominator=denominator,
        )
        self._sums.update({name: float(value) for name, value in counts.items()} | {"loss": float(loss.detach())})
        self._entropy += region_sums(entropies, piece.regions).cpu()
        self._tokens += region_sums(torch.ones_like(entropies), piece.regions).cpu()
        return loss

    def metrics(self) -> dict[str, float]:
        """The loss; means over the weighted tokens; ``entropy/…`` by region, over rows that carry a gradient."""
        tokens = max(1.0, self._sums["tokens"])
        means = {name: self._sums[name] / tokens for name in ("clipped", "dual_clipped", "ratio", "kl")}
        entropies = {
            f"entropy/{region.name.lower()}": float(self._entropy[region] / self._tokens[region])
            for region in Region
            if region and self._tokens[region]
        }
        return {"loss": self._sums["loss"]} | means | entropies


def rollout_metrics(rollouts: Sequence[Rollout], batch: Batch, unweighted: Tensor) -> dict[str, float]:
    """Means over the rollouts of an update. ``unweighted``: (B,) bool, rows without a weight of their own."""
    count = len(rollouts)
    metrics = {
        "reward": sum(rollout.reward for rollout in rollouts) / count,
        "success": sum(rollout.valid for rollout in rollouts) / count,
        "truncated": sum(rollout.truncated for rollout in rollouts) / count,
        "steps": sum(rollout.steps for rollout in rollouts) / count,
        "tokens_policy": float(batch.loss_mask.sum()) / count,
        "tokens": float(batch.lengths.sum()) / count,
        "rows_without_weight": float(unweighted.float().mean()),
        "rows_without_advantage": float((batch.advantages == 0).all(dim=1).float().mean()),
    }
    for name in rollouts[0].reward_terms:
        metrics[f"reward/{name}"] = sum(rollout.reward_terms.get(name, 0.0) for rollout in rollouts) / count
    shares = region_sums(batch.weights, batch.regions)
    total = float(shares.sum()) or 1.0
    return metrics | {f"weight/{r.name.lower()}": float(shares[r]) / total for r in Region if r and shares[r]}
