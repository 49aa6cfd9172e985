"""The policy-gradient loss, and what it needs from a model's logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_MAX_LOG_RATIO = 20.0
_CHUNK = 1024  # tokens whose vocabulary distribution is held in float32 at a time


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


def token_log_probs(logits: Tensor, ids: Tensor, temperature: float = 1.0) -> Tensor:
    """The log-probability of each id under its logits divided by ``temperature``.

    Holds no float32 copy of the logits, forward or backward, beyond a few tokens at a time.

    Args:
        logits: (B, T, V), where ``logits[:, t]`` predicts ``ids[:, t]``: the caller has shifted them.
        ids: (B, T).

    Returns:
        (B, T) float32.
    """
    result: Tensor = _TokenLogProbs.apply(logits, ids, temperature)  # type: ignore[no-untyped-call]
    return result


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """(B, T) float32: Shannon entropy, in nats, of each distribution of ``logits`` (B, T, V) / ``temperature``.

    A metric: no gradient flows.
    """
    values = []
    for chunk in _chunks(logits.detach().flatten(0, -2)):
        log_p = torch.log_softmax(chunk.float() / temperature, dim=-1)
        values.append(-(log_p.exp() * log_p.clamp(min=torch.finfo(torch.float32).min)).sum(dim=-1))
    return torch.cat(values).reshape(logits.shape[:-1])


def _chunks(rows: Tensor) -> tuple[Tensor, ...]:
    return torch.split(rows, _CHUNK)


class _TokenLogProbs(torch.autograd.Function):
    """Keeps the logits as they are and one number per token; backward makes the softmax again."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, ids: Tensor, temperature: float) -> Tensor:
        flat, chosen = logits.flatten(0, -2), ids.flatten()[:, None]
        total = torch.cat([torch.logsumexp(chunk.float() / temperature, dim=-1) for chunk in _chunks(flat)])
        ctx.save_for_backward(logits, ids, total)
        ctx.temperature = temperature
        picked = flat.gather(1, chosen)[:, 0].float() / temperature
        return (picked - total).reshape(ids.shape)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        logits, ids, total = ctx.saved_tensors
        gradient = torch.empty_like(logits, memory_format=torch.contiguous_format)
        rows = zip(
            _chunks(logits.flatten(0, -2)),
            _chunks(ids.flatten()[:, None]),
            _chunks(total[:, None]),
            _chunks(grad_outputs[0].flatten()[:, None]),
            _chunks(gradient.flatten(0, -2)),
            strict=True,
        )
        for chunk, chosen, norm, upstream, out in rows:
            upstream = upstream.float() / ctx.temperature
            dense = (chunk.float() / ctx.temperature - norm).exp() * -upstream
            out.copy_(dense.scatter_add_(1, chosen, upstream))
        return gradient, None, None
