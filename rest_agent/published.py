"""The weights of the paper's published code, errors included: from a reply's text, for comparison only.

Written from a description of that code. What it gets wrong, and ``regions`` with the preset ``code`` gets right:

* it tokenises the decoded text again and puts the weights on the sampled ids: where the model chose another
  segmentation, all weights behind it are shifted;
* a span of several tokens loses its last one, and a first one that begins before it (`` {"`` before arguments);
* only the first name and the first arguments of a block of calls count, even if that name is an argument's;
* a text without a matched pair of tags weighs nothing, so that a malformed reply is never punished.

It costs a tokenisation for every reply, about ten times what the regions of sampled ids cost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Span = tuple[int, int, float]
"""Characters ``[start, end)`` and their weight."""

_TAGGED = [re.compile(rf"<({tag})>.*?</{tag}>", re.DOTALL) for tag in ("think", "response", "tool_call")]
_BLOCK = re.compile(r"<tool_?call>(.*?)</tool_?call>", re.DOTALL)
_NAME = re.compile(r'"name"\s*:\s*"([^"]*)"')
_ARGUMENTS = re.compile(r'"(?:arguments|parameters)"\s*:')


def spans(text: str, step: int) -> Iterator[Span]:
    """What the published code weighs in a reply at training step ``step`` (the first is 1); spans may overlap."""
    think, arguments = min(0.6 + 0.002 * step, 1.0), min(0.6 + 0.002 * step, 1.2)
    for pattern in _TAGGED:
        for pair in pattern.finditer(text):
            opened, closed = text.index(">", pair.start()) + 1, text.rindex("<", pair.start(), pair.end())
            yield pair.start(), opened, 1.0
            yield closed, pair.end(), 1.0
            if pair[1] == "think":
                yield opened, closed, think
    for block in _BLOCK.finditer(text):
        name = _NAME.search(text, *block.span(1))
        if name is not None:
            yield *name.span(1), 1.2
        key = _ARGUMENTS.search(text, *block.span(1))
        start = -1 if key is None else text.find("{", key.end(), block.end(1))
        end = -1 if start < 0 else _closing_brace(text, start, block.end(1))
        if end > 0:
            yield start, end + 1, arguments


def _closing_brace(text: str, start: int, end: int) -> int:
    """Where the brace at ``start`` is closed, those in JSON strings passed over; -1: not before ``end``."""
    depth, in_string, position = 0, False, start
    while position < end:
        character = text[position]
        if in_string:
            position += character == "\\"  # whatever is escaped
            in_string = character != '"'
        elif character == '"':
            in_string = True
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return position
        position += 1
    return -1


def token_range(offsets: Sequence[Sequence[int]], start: int, end: int) -> tuple[int, int]:
    """The tokens ``[first, stop)`` that the published code takes for characters ``[start, end)``.

    From the first token that begins at ``start`` or later, up to the first one that ends at ``end`` or later, which is
    left out unless it is the only one. An empty span takes the token behind it. A span behind the beginning of the last
    token, at which the published code stops with an error, takes none.
    """
    first = next((index for index, token in enumerate(offsets) if token[0] >= start), len(offsets))
    stop = next((index for index, token in enumerate(offsets) if token[1] >= end), len(offsets))
    return first, min(max(stop, first + 1), len(offsets))


def raw_weights(text: str, offsets: Sequence[Sequence[int]], width: int, step: int) -> Tensor:
    """(width,) float32: weights before normalisation of a reply's ids, by the tokens of its text at ``offsets``.

    Raises:
        RuntimeError: a span of several tokens lies beyond ``width``; so does the published code.
    """
    weights = torch.zeros(width)
    for start, end, weight in spans(text, step):
        first, stop = token_range(offsets, start, end)
        weights[first:stop] = torch.maximum(weights[first:stop], torch.full((stop - first,), weight))
    return weights


def normalised(weights: Tensor) -> Tensor:
    """(…, T): a row's positive weights clipped to [0.001, 8] and divided by their mean."""
    positive = weights > 0
    clipped = torch.where(positive, weights.clamp(0.001, 8.0), 0.0)
    mean = clipped.sum(dim=-1, keepdim=True) / positive.sum(dim=-1, keepdim=True).clamp(min=1)
    return clipped / mean.clamp(min=1e-8)


def published_weights(text: str, tokenizer: PreTrainedTokenizerBase, width: int, step: int) -> Tensor:
    """(width,) float32: the published weights of the ids of one reply.

    Args:
        text: the decoded ids, special tokens kept.
        width: the number of sampled ids, which need not be the number of the text's tokens.
        step: the number of the update, the first is 1.
    """
    return normalised(raw_weights(text, _offsets(text, tokenizer), width, step))


def rollout_weights(token_ids: Tensor, loss_mask: Tensor, tokenizer: PreTrainedTokenizerBase, step: int) -> Tensor:
    """(T,) float32: the published weights of a whole rollout, normalised over all its replies.

    The published code only knows rollouts of one reply. As there, rows are wide enough for every reply's text.

    Args:
        token_ids: (T,).
        loss_mask: (T,) bool; each stretch of True is a reply.
    """
    weights = torch.zeros(len(token_ids))
    edges = torch.diff(loss_mask.int(), prepend=torch.zeros(1, dtype=torch.int), append=torch.zeros(1, dtype=torch.int))
    for start, end in zip((edges == 1).nonzero()[:, 0].tolist(), (edges == -1).nonzero()[:, 0].tolist(), strict=True):
        text = str(tokenizer.decode(token_ids[start:end].tolist(), skip_special_tokens=False))
        offsets = _offsets(text, tokenizer)
        weights[start:end] = raw_weights(text, offsets, max(len(offsets), end - start), step)[: end - start]
    return normalised(weights)


def _offsets(text: str, tokenizer: PreTrainedTokenizerBase) -> Any:
    return tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
