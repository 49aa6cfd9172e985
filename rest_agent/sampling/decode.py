"""The decode loop: many conversations advance together, one token a pass.

Each conversation stands in a slot of the cache. A row that listens (tool results, the next request) is fed the tokens
it hears, all at once if :class:`LeanForward` knows the model; a row that speaks is fed what it samples. A slot whose
conversation is over is given to one that waits. Nothing is computed twice, and no token is decoded and encoded again.
What a row samples depends on the seed, its number and its conversation alone: not on its slot, its neighbours, or how
many they are.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rest_agent.sampling.cache import SlotCache
from rest_agent.sampling.forward import Heard, OwnForward, forward_of
from rest_agent.watchdog import beat

_COMPACT_BELOW = 0.75  # once nobody waits, drop finished rows when fewer than this share still run
_REFILL_FROM = 0.125  # give slots away when this share of them is free: prefilling one by one costs a pass each
_HEARD = 2048  # tokens, padding included, that are heard in one pass
_PAUSE = 0.001  # seconds between looks at environments that all rows wait for


@dataclass(frozen=True)
class Answer:
    """How a conversation goes on after a reply."""

    heard: Sequence[int] = ()
    """Tokens that follow."""
    keep: int | None = None
    """How many tokens of the conversation stand, where history was rewritten behind them; None: all."""
    over: bool = False
    again: bool = False
    """Everything is forgotten but the prompt; the same noise is drawn again."""


class Speaker(Protocol):
    """One conversation, seen from the decode loop."""

    prompt: list[int]

    def spoke(self, ids: list[int], log_probs: list[float]) -> None:
        """A reply was sampled. An end token is last, unless it grew too long."""

    def answer(self) -> Answer | None:
        """What follows the reply. None: nobody knows yet, ask again; meanwhile the other rows go on."""

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
    prefill_tokens: int = 16384
    """Prompt tokens of one pass, padding included; a longer prompt has a pass of its own."""


@dataclass
class _Row:
    speaker: Speaker
    number: int
    seed: int
    cached: int = 0
    """Tokens in the cache: the column of the next one."""
    feed: deque[int] = field(default_factory=deque)
    """Tokens that are fed next."""
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    asked: bool = False
    """A reply was given to the speaker, whose answer is not known yet."""
    over: bool = False

    def __post_init__(self) -> None:
        self.prompt = self.speaker.prompt
        self.intact = len(self.prompt) - 1  # columns of the slot that hold the prompt
        self.begin()

    def begin(self) -> None:
        """Stand at the end of the prompt, whose last token is the first to be fed."""
        self.cached = self.intact
        self.feed = deque(self.prompt[self.intact :])
        self.noise = np.random.default_rng([self.seed, self.number])

    def back_to(self, tokens: int) -> None:
        """Forget all but the first ``tokens`` of the conversation; others must follow."""
        if tokens <= self.cached:
            self.cached = tokens
            self.intact = min(self.intact, tokens)
            self.feed.clear()

    @property
    def tokens(self) -> int:
        """Tokens of the conversation, those included that are still to be fed."""
        return self.cached + len(self.feed)

    @property
    def column(self) -> int:
        """Where the next pass writes. A finished row's prompt is kept, as the next row may begin with it."""
        return min(self.cached, len(self.prompt) - 1) if self.over else self.cached


@torch.inference_mode()
def decode(
    model: Any, speakers: Iterable[Speaker], sampling: Sampling, end_ids: Collection[int], pad_id: int, seed: int
) -> None:
    """Run every conversation to its end. All prompts must be shorter than ``max_tokens``.

    Args:
        speakers: taken one by one, when there is a slot for them.
        end_ids: tokens that end a reply.
        seed: row r draws its noise from a generator seeded by (seed, r).
    """
    arriving = (_Row(speaker, number, seed) for number, speaker in enumerate(speakers))
    rows: list[_Row] = []
    entering = dict(enumerate(islice(arriving, sampling.rows)))
    forward = forward_of(model, sampling.max_tokens)
    cache = SlotCache(model.config.num_hidden_layers, len(entering), sampling.max_tokens, model.device)
    some_wait = True
    while True:
        if entering:
            _fill(forward, cache, rows, entering, sampling.prefill_tokens)
            rows = [entering.get(slot, row) for slot, row in enumerate(rows)] or list(entering.values())
            entering = {}
        running = [slot for slot, row in enumerate(rows) if not row.over]
        free = len(rows) - len(running)
        if some_wait and free and (not running or free >= _REFILL_FROM * len(rows)):
            entering = dict(zip((slot for slot, row in enumerate(rows) if row.over), arriving, strict=False))
            some_wait = len(entering) == free
            continue
        if not running:
            return
        if not some_wait and len(running) < _COMPACT_BELOW * len(rows):
            cache.select(running)
            rows = [rows[slot] for slot in running]
        for row in rows:
            if row.asked:
                _go_on(row, sampling)
        fed = [slot for slot, row in enumerate(rows) if row.feed and not row.asked]
        if not fed:
            if any(row.asked for row in rows):
                time.sleep(_PAUSE)
            continue
        heard = _heard(rows, [slot for slot in fed if len(rows[slot].feed) > 1]) if forward.hears else None
        tokens = [pad_id] * len(rows)
        for slot in fed:
            tokens[slot] = rows[slot].feed.popleft()
        beat()
        columns = [row.column for row in rows]
        ids, positions = torch.tensor([tokens, columns], device=model.device)
        cache.aim(positions, max(columns) + 1)
        logits = forward.step(ids, cache, heard)
        for slot in fed:
            rows[slot].cached += 1
        speaking = [slot for slot in fed if not rows[slot].feed]
        if speaking:
            chosen = logits if len(speaking) == len(rows) else logits[speaking]
            noise = [rows[slot].noise.random() for slot in speaking] if sampling.temperature else []
            for slot, token, log_prob in zip(speaking, *_sample(chosen, sampling.temperature, noise), strict=True):
                _say(rows[slot], token, log_prob, sampling, end_ids)


def _heard(rows: Sequence[_Row], slots: Sequence[int]) -> Heard | None:
    """What the rows in ``slots`` are to hear, but for the last token, from which the next is predicted."""
    if not slots:
        return None
    most = max(1, _HEARD // len(slots))
    columns = [rows[slot].cached for slot in slots]
    chunks = []
    for row in (rows[slot] for slot in slots):
        chunks.append([row.feed.popleft() for _ in range(min(most, len(row.feed) - 1))])
        row.cached += len(chunks[-1])
    return Heard(slots, columns, chunks)


def _fill(
    forward: OwnForward, cache: SlotCache, rows: Sequence[_Row], entering: Mapping[int, _Row], budget: int
) -> None:
    """Fill the slots of ``entering`` rows with their prompts, but for the last token, which a row is fed as its first.

    Equal prompts are prefilled once; one that stands in a slot already, and stays there, is copied.
    """
    standing = {
        tuple(row.prompt): slot
        for slot, row in enumerate(rows)
        if row.intact == len(row.prompt) - 1 and entering.get(slot, row).prompt == row.prompt
    }
    wanted: dict[tuple[int, ...], list[int]] = {}
    for slot, row in entering.items():
        if len(row.prompt) > 1:
            wanted.setdefault(tuple(row.prompt), []).append(slot)
    for prompt in wanted.keys() & standing.keys():
        cache.copy(standing[prompt], wanted.pop(prompt), len(prompt) - 1)
    for prompts in _passes(wanted, budget):
        filled = forward.prefill([prompt[:-1] for prompt in prompts])
        pairs = [(number, slot) for number, prompt in enumerate(prompts) for slot in wanted[prompt]]
        cache.store(filled, *zip(*pairs, strict=True))


def _passes(prompts: Iterable[tuple[int, ...]], budget: int) -> list[list[tuple[int, ...]]]:
    """``prompts`` in passes of at most ``budget`` tokens, padding included; those of similar length together."""
    passes: list[list[tuple[int, ...]]] = []
    for prompt in sorted(prompts, key=len, reverse=True):
        if passes and (len(passes[-1]) + 1) * len(passes[-1][0]) <= budget:
            passes[-1].append(prompt)
        else:
            passes.append([prompt])
    return passes


def _sample(logits: Tensor, temperature: float, noise: Sequence[float]) -> tuple[list[int], list[float]]:
    """A token for each row of logits (n, V), and its log-probability; ``noise`` has a number in [0, 1) per row."""
    log_probs = torch.log_softmax(logits.float() / (temperature or 1.0), dim=-1)
    if temperature == 0:
        tokens = log_probs.argmax(dim=-1, keepdim=True)
    else:
        # One uniform number a row: torch.multinomial draws one for every entry of the vocabulary.
        cumulative = log_probs.exp().cumsum(dim=-1, dtype=torch.float64)
        drawn = torch.tensor(noise, dtype=torch.float64, device=logits.device)[:, None]
        tokens = torch.searchsorted(cumulative, drawn * cumulative[:, -1:], right=True).clamp(max=logits.shape[1] - 1)
    return tokens[:, 0].tolist(), log_probs.gather(1, tokens)[:, 0].tolist()


def _say(row: _Row, token: int, log_prob: float, sampling: Sampling, end_ids: Collection[int]) -> None:
    """Append a sampled token to the row's reply, and hand the reply over once it ends."""
    row.ids.append(token)
    row.log_probs.append(log_prob)
    row.feed.append(token)
    if token in end_ids or len(row.ids) == sampling.max_reply_tokens:
        row.speaker.spoke(row.ids, row.log_probs)
        row.ids, row.log_probs, row.asked = [], [], True
        _go_on(row, sampling)
    elif row.tokens >= sampling.max_tokens:
        _cut(row)


def _go_on(row: _Row, sampling: Sampling) -> None:
    """Let the row hear the answer to its reply, if that is known."""
    answer = row.speaker.answer()
    if answer is None:
        return
    row.asked = False
    if answer.over:
        row.over = True
        row.feed.clear()
    elif answer.again:
        row.begin()
    else:
        if answer.keep is not None:
            row.back_to(answer.keep)
        row.feed.extend(answer.heard)
        if row.tokens >= sampling.max_tokens:
            _cut(row)


def _cut(row: _Row) -> None:
    row.speaker.cut(row.ids, row.log_probs)
    row.over = True
    row.feed.clear()
