"""Log-probability and entropy of every trained token, without ever holding the logits of a batch.

With a vocabulary of 150,000 logits are the largest tensors of a training step: those of 4 x 2,048 tokens take 4.9 GB in
float32, and a backward pass through a softmax holds them several times. Here the model's head answers each token that
is trained with two numbers. It works through a few tokens at a time, and makes their logits again in the backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rest_agent.config import ConfigError

_ENTRIES = 1 << 25  # logits held at a time: 128 MiB in float32


def score_tokens(model: Any, token_ids: Tensor, mask: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """What ``model`` thinks of the tokens of ``mask``, given all before them in their row.

    Rows are padded on the right and attention is causal: no attention mask is needed. Gradients flow through both
    results, to everything below the head and to the head's weight. Logits are taken in the model's precision, what
    follows in float32 (float64 for a float64 model).

    Args:
        model: a causal language model of transformers that :func:`check_head` accepts, or DeepSpeed's engine around it.
        token_ids: (B, T).
        mask: (B, T) bool. Nothing predicts the first column: it is left out.
        temperature: the logits are divided by it.

    Returns:
        Log-probabilities and entropies in nats, each (B, T) float32, 0 where the mask is False.
    """
    wanted = mask.clone()
    wanted[:, 0] = False
    places = wanted.flatten().nonzero()[:, 0]
    with _answering(model.get_output_embeddings(), places - 1, token_ids.flatten()[places], temperature):
        scores = model(input_ids=token_ids, use_cache=False).logits
    dense = scores.new_zeros(token_ids.numel(), 2).index_copy(0, places, scores)
    log_probs, entropies = dense.reshape(*token_ids.shape, 2).unbind(-1)
    return log_probs, entropies


def check_head(model: Any) -> None:
    """Whether ``model`` ends in a linear head whose output is the logits.

    Raises:
        ConfigError: it does not, as where logits are scaled or soft-capped behind the head.
    """
    head = model.get_output_embeddings()
    if type(head) is not torch.nn.Linear:
        raise ConfigError(
            f"model.path: the head of {type(model).__name__} is {type(head).__name__}, not a linear layer"
        )
    ids = torch.arange(4, device=model.device)[None]
    with torch.no_grad():
        expected = model(input_ids=ids, use_cache=False).logits[:, :-1].float().log_softmax(-1)
        found, _ = score_tokens(model, ids, torch.ones_like(ids, dtype=torch.bool))
    if not torch.allclose(found[:, 1:].float(), expected.gather(-1, ids[:, 1:, None])[..., 0], rtol=0.02, atol=0.02):
        raise ConfigError(
            f"model.path: {type(model).__name__} changes its logits behind the head: it cannot be trained"
        )


@contextmanager
def _answering(head: Any, rows: Tensor, ids: Tensor, temperature: float) -> Iterator[None]:
    """While it lasts, ``head`` answers hidden states (B, T, H) not with logits but with scores (N, 2).

    The head's own call must do it, within the model's: only there has ZeRO stage 3 gathered the weight, which it does
    once forward and once backward, whatever the number of chunks.

    Args:
        rows: (N,), which of the B x T hidden states are asked.
        ids: (N,), the token that each of them predicts.
    """

    def forward(hidden: Tensor) -> Tensor:
        asked = hidden.flatten(0, -2).index_select(0, rows)
        scores: Tensor = _Scores.apply(asked, head.weight, head.bias, ids, temperature)  # type: ignore[no-untyped-call]
        return scores

    head.forward = forward  # of this module alone: it hides that of its class
    try:
        yield
    finally:
        del head.forward


class _Scores(torch.autograd.Function):
    """(N, 2): log-probability of ``ids`` and entropy. Keeps the hidden states and two numbers per token."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, ids: Tensor, temperature: float
    ) -> Tensor:
        scores = hidden.new_empty(len(ids), 2, dtype=_exact(hidden.dtype))
        norms = scores.new_empty(len(ids))
        for chunk in _chunks(len(ids), len(weight)):
            logits = _logits(hidden[chunk], weight, bias, temperature)
            norms[chunk] = torch.logsumexp(logits, dim=-1)
            log_p = logits.sub_(norms[chunk, None])
            scores[chunk, 0] = log_p.gather(1, ids[chunk, None])[:, 0]
            scores[chunk, 1] = -log_p.exp().mul_(log_p).sum(dim=-1)
        ctx.save_for_backward(hidden, weight, bias, ids, norms, scores[:, 1].clone())
        ctx.temperature = temperature
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        hidden, weight, bias, ids, norms, entropies = ctx.saved_tensors
        to_hidden, to_weight, to_bias = ctx.needs_input_grad[:3]
        through_entropy = bool(upstream[:, 1].any())
        upstream = upstream / ctx.temperature
        grad_hidden = torch.empty_like(hidden) if to_hidden else None
        # Sums over chunks, like those within one, are not rounded to half precision.
        grad_weight = torch.zeros_like(weight, dtype=_exact(weight.dtype)) if to_weight else None
        grad_bias = torch.zeros_like(bias, dtype=_exact(weight.dtype)) if to_bias else None
        for chunk in _chunks(len(ids), len(weight)):
            log_p = _logits(hidden[chunk], weight, bias, ctx.temperature).sub_(norms[chunk, None])
            of_log_prob, of_entropy = upstream[chunk, 0, None], upstream[chunk, 1, None]
            # d log p(id) / d logit = [id] - p;  d entropy / d logit = -p (log p + entropy)
            if through_entropy:
                slope = (log_p + entropies[chunk, None]).mul_(of_entropy).add_(of_log_prob).neg_().mul_(log_p.exp_())
            else:
                slope = log_p.exp_().mul_(-of_log_prob)
            grad_logits = slope.scatter_add_(1, ids[chunk, None], of_log_prob).to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(grad_logits, weight, out=grad_hidden[chunk])
            if grad_weight is not None:
                _add_product(grad_weight, grad_logits.T, hidden[chunk])
            if grad_bias is not None:
                grad_bias += grad_logits.sum(dim=0)
        return grad_hidden, _as(grad_weight, weight), _as(grad_bias, weight), None, None


def _chunks(tokens: int, vocabulary: int) -> Iterator[slice]:
    size = max(1, _ENTRIES // vocabulary)
    return (slice(first, first + size) for first in range(0, tokens, size))


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> Tensor:
    """(N, V), in a tensor of their own."""
    logits = torch.nn.functional.linear(hidden, weight, bias)
    exact = logits.to(_exact(logits.dtype))
    return exact if temperature == 1 else exact.div_(temperature)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, without a product beside it where the precision is the same."""
    if total.dtype == right.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _as(gradient: Tensor | None, parameter: Tensor) -> Tensor | None:
    return None if gradient is None else gradient.to(parameter.dtype)
