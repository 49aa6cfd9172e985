"""The loss of a micro-batch of rollouts, and the figures that every update of reinforcement learning reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rest_agent import engine
from rest_agent.aggregation import coefficients, denominator
from rest_agent.batch import Batch, Rollout, informative, sampled, split_rows
from rest_agent.config import RLConfig
from rest_agent.kl import token_kl
from rest_agent.logits import score_tokens
from rest_agent.losses import policy_loss
from rest_agent.mismatch import LogProbGap
from rest_agent.regions import Region
from rest_agent.segments import join, split
from rest_agent.sft import sft_loss
from rest_agent.weights import aggregation, region_sums


class Tally:
    """Computes losses and adds up what they show over the micro-batches of an update.

    The loss is policy loss + kl.coefficient x KL - loss.entropy x entropy + supervised.coefficient x supervised loss.
    Policy loss and supervised loss are weighted by token; KL and entropy, which hold the policy where the weights are 0
    too, are not.
    """

    def __init__(self, config: RLConfig):
        self._config = config
        self._how = config.loss.aggregation or aggregation(config.weights)
        self._kl = config.kl.coefficient if config.kl.place == "loss" else 0.0
        self._sums: Counter[str] = Counter()
        self.entropies = torch.zeros(2, len(Region), dtype=torch.float64)
        """By region: the sum of the tokens' entropies, and the number of tokens; over the rows that :meth:`useful`
        gives, and every pass over them."""
        self.moved = False
        """Whether a step was made: from then on the policy is another than the one that sampled."""
        self._gap = LogProbGap()

    def useful(self, batch: Batch) -> Batch:
        """The rows that carry a gradient; under ``paper`` all that were sampled, as its weights are of their entropies.

        Rows without an advantage are those of tasks that always succeed or always fail: the policy is surer there.
        """
        every = batch.plain_weights is not None or self._config.weights.preset == "paper"
        return sampled(batch) if every else informative(batch)

    def denominators(self, batch: Batch) -> Tensor:
        """(2,): what the rows of ``batch`` add to the denominators of the policy loss, and of KL and entropy."""
        both = (denominator(weights, batch.loss_mask, self._how) for weights in (batch.weights, batch.loss_mask))
        return torch.stack([value.float() for value in both])

    def weighed(self, batch: Batch) -> Batch:
        """``batch`` with the coefficients of its tokens' losses for weights: taken while an episode is one row."""
        plain = self.coefficients(batch.loss_mask.float(), batch) if self._kl or self._config.loss.entropy else None
        return replace(batch, weights=self.coefficients(batch.weights, batch), plain_weights=plain)

    def coefficients(self, weights: Tensor, batch: Batch) -> Tensor:
        """(B, T): what the loss of each token is multiplied by."""
        constant = self._config.loss.constant or self._config.max_tokens
        return coefficients(weights, batch.loss_mask, self._how, constant)

    def loss(self, model: Any, piece: Batch, denominators: Sequence[float]) -> Tensor:
        """What a :meth:`weighed` micro-batch adds to the loss of its optimizer step; these are its denominators."""
        rl = self._config
        log_probs, entropies = score_tokens(model, piece.token_ids, piece.loss_mask, rl.temperature)
        loss, counts = policy_loss(
            log_probs,
            piece.old_log_probs,
            piece.advantages,
            piece.weights,
            clip_low=rl.loss.clip_low,
            clip_high=rl.loss.clip_high,
            dual_clip=rl.loss.dual_clip,
            ratio=rl.loss.ratio,
            denominator=denominators[0],
        )
        if piece.plain_weights is not None:
            loss = loss - rl.loss.entropy * (entropies * piece.plain_weights).sum() / denominators[1]
        if self._kl and piece.plain_weights is not None and piece.reference_log_probs is not None:
            kl = token_kl(log_probs, piece.reference_log_probs, piece.loss_mask, rl.kl.estimator)
            loss = loss + self._kl * (kl * piece.plain_weights).sum() / denominators[1]
        self._sums.update({name: float(value) for name, value in counts.items()} | {"loss": float(loss.detach())})
        if not self.moved:
            self._gap.add(log_probs, piece.old_log_probs, piece.loss_mask)
        values = torch.stack([entropies, piece.loss_mask.float()])
        self.entropies += torch.stack([region_sums(value, piece.regions) for value in values]).cpu()
        return loss

    def supervised(self, model: Any, piece: Batch, denominator: float) -> Tensor:
        """What a micro-batch of the supervised term adds; ``denominator``: the sum of weights of the optimizer step."""
        loss = self._config.supervised.coefficient * sft_loss(model, piece, denominator)
        self._sums.update({"loss": float(loss.detach()), "supervised": float(loss.detach())})
        return loss

    def metrics(self) -> dict[str, float]:
        """The loss, and ``supervised``, what its term has in it; means over the weighted tokens."""
        tokens = max(1.0, self._sums["tokens"])
        means = {name: self._sums[name] / tokens for name in ("clipped", "dual_clipped", "ratio", "kl")}
        supervised = {"supervised": self._sums["supervised"]} if self._config.supervised.coefficient else {}
        return {"loss": self._sums["loss"]} | supervised | means | self._gap.metrics()


@torch.no_grad()
def by_rows(batch: Batch, tokens: int, device: torch.device, score: Callable[[Batch], Tensor]) -> Tensor:
    """(B, T) on CPU, 0 on padding: ``score`` of micro-batches of at most ``tokens`` tokens, as (rows, width) each.

    All ranks call it, and ``score`` as often as each other: under ZeRO stage 3 a forward pass is a collective.
    """
    pieces = split_rows(batch.lengths, tokens)
    found = torch.zeros(batch.token_ids.shape)
    for rows in map(torch.tensor, engine.level(pieces, pieces[-1])):
        piece = batch.rows(rows)
        scores = join(score(split(piece).to(device)), piece)
        found[rows, : scores.shape[1]] = scores.float().cpu()
    return found


def rollout_metrics(rollouts: Sequence[Rollout], batch: Batch, unweighted: Tensor) -> dict[str, float]:
    """Means over the rollouts of an update that were not lost, and how many were.

    Args:
        unweighted: (B,) bool, rows without a weight of their own.
    """
    lost = sum(rollout.lost for rollout in rollouts)
    rollouts = [rollout for rollout in rollouts if not rollout.lost] or rollouts
    count = len(rollouts)
    metrics = {
        "rollouts_lost": float(lost),
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
