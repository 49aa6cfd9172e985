"""The decode loop: many conversations advance together, one token a pass.

Every row stands at the same column of the cache. A row that listens (tool results, the next request) is fed the tokens
it hears; a row that speaks is fed what it samples. Nothing is ever computed twice, and no token is decoded and encoded
again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from rest_agent.sampling.cache import growing_cache, select_rows

_COMPACT_BELOW = 0.75  # drop finished rows once fewer than this share still run


class Speaker(Protocol):
    """One conversation, seen from the decode loop."""

    prompt: list[int]

    def spoke(self, ids: list[int], log_probs: list[float]) -> list[int] | None:
        """A reply was sampled (its end token is last, unless it grew too long). Returns what is heard; None: over."""

    def cut(self, ids: list[int], log_probs: list[float]) -> None:
        """The conversation grew too long, in the middle of this reply (which may be empty)."""


@dataclass(frozen=True)
class Sampling:
    """How replies are sampled. ``temperature`` 0 is greedy decoding."""

    temperature: float
    max_reply_tokens: int
    max_tokens: int
    """Tokens of a whole conversation; a longer one is left where it stands."""
    rows: int = 256
    """Conversations that advance together; fewer need less memory."""


@dataclass
class _Row:
    speaker: Speaker
    tokens: int
    over: bool = False
    heard: deque[int] = field(default_factory=deque)
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)


@torch.inference_mode()
def decode(
    model: Any, speakers: Sequence[Speaker], sampling: Sampling, end_id: int, pad_id: int, generator: torch.Generator
) -> None:
    """Run every conversation to its end. Equal prompts are prefilled once; all must be shorter than ``max_tokens``."""
    rows = [_Row(speaker, len(speaker.prompt)) for speaker in speakers]
    logits, cache, pads = _prefill(model, [row.speaker.prompt for row in rows], pad_id)
    column = cache.get_seq_length()
    mask = _columns(pads, 2 * column, model.dtype)
    while rows:
        tokens, log_probs = _sample(logits, sampling.temperature, generator)
        nexts = [_advance(row, t, p, sampling, end_id) for row, t, p in zip(rows, tokens, log_probs, strict=True)]
        alive = [index for index, token in enumerate(nexts) if token is not None]
        if not alive:
            return
        if len(alive) < _COMPACT_BELOW * len(rows):
            keep = torch.tensor(alive, device=pads.device)
            select_rows(cache, keep)
            pads, mask = pads[keep], mask[keep]
            rows, nexts = [rows[index] for index in alive], [nexts[index] for index in alive]
        if column >= mask.shape[-1]:
            mask = _columns(pads, 2 * column, model.dtype)
        ids = torch.tensor([[pad_id if token is None else token] for token in nexts], device=pads.device)
        logits = model(
            input_ids=ids,
            attention_mask=mask[..., : column + 1],
            position_ids=(column - pads)[:, None],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
        column += 1


def _prefill(model: Any, prompts: Sequence[list[int]], pad_id: int) -> tuple[Tensor, Any, Tensor]:
    """Last logits (B, V), the cache, and the number of pads on the left of each row (B,)."""
    unique = list(dict.fromkeys(map(tuple, prompts)))
    width = max(map(len, unique))
    device = model.device
    ids = torch.tensor([[pad_id] * (width - len(prompt)) + list(prompt) for prompt in unique], device=device)
    pads = torch.tensor([width - len(prompt) for prompt in unique], device=device)
    columns = torch.arange(width, device=device)
    causal = columns[:, None] >= columns
    # A padded query attends to itself, since a softmax over nothing is not a number.
    allowed = causal & ((columns >= pads[:, None])[:, None, :] | torch.eye(width, dtype=torch.bool, device=device))
    cache = growing_cache(model.config.num_hidden_layers)
    logits = model(
        input_ids=ids,
        attention_mask=_additive(allowed[:, None], model.dtype),
        position_ids=(columns - pads[:, None]).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]
    place = {prompt: index for index, prompt in enumerate(unique)}
    rows = torch.tensor([place[tuple(prompt)] for prompt in prompts], device=device)
    select_rows(cache, rows)
    return logits[rows], cache, pads[rows]


def _columns(pads: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """(B, 1, 1, width): the mask of a row that attends to every column but its pads."""
    return _additive((torch.arange(width, device=pads.device) >= pads[:, None])[:, None, None, :], dtype)


def _additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where attention is allowed, the least number elsewhere: the form that every attention of transformers takes."""
    return torch.zeros_like(allowed, dtype=dtype).masked_fill_(~allowed, torch.finfo(dtype).min)


def _sample(logits: Tensor, temperature: float, generator: torch.Generator) -> tuple[list[int], list[float]]:
    scaled = logits.float() if temperature == 0 else logits.float() / temperature
    log_probs = torch.log_softmax(scaled, dim=-1)
    if temperature == 0:
        tokens = log_probs.argmax(dim=-1, keepdim=True)
    else:
        # One uniform number a row: torch.multinomial draws one for every entry of the vocabulary.
        cumulative = log_probs.exp().cumsum(dim=-1, dtype=torch.float64)
        drawn = torch.rand(len(logits), 1, dtype=torch.float64, device=logits.device, generator=generator)
        tokens = torch.searchsorted(cumulative, drawn * cumulative[:, -1:], right=True).clamp(max=logits.shape[1] - 1)
    return tokens[:, 0].tolist(), log_probs.gather(1, tokens)[:, 0].tolist()


def _advance(row: _Row, token: int, log_prob: float, sampling: Sampling, end_id: int) -> int | None:
    """The token that ``row`` is fed next: what it hears, else what it just sampled; None when it is over."""
    if row.over:
        return None
    if row.heard:
        token = row.heard.popleft()
    else:
        row.ids.append(token)
        row.log_probs.append(log_prob)
        if token == end_id or len(row.ids) == sampling.max_reply_tokens:
            # The reply's last token is fed first, then all that is heard.
            heard = row.speaker.spoke(row.ids, row.log_probs)
            row.ids, row.log_probs = [], []
            row.over = heard is None
            row.heard.extend(heard or ())
    row.tokens += 1
    if not row.over and row.tokens >= sampling.max_tokens:
        row.speaker.cut(row.ids, row.log_probs)
        row.over = True
    return None if row.over else token
