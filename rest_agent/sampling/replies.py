"""Conversations with an engine that says a whole reply by itself, as vLLM does: a request per reply.

The contract is that of :func:`rest_agent.sampling.decode.decode`: token ids go in, the ids that were sampled come out,
and nothing is decoded and encoded again. A reply's prompt is the whole conversation up to it; that most of it was
computed before is the engine's affair (its prefix cache).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from rest_agent.sampling.decode import Sampling, Speaker
from rest_agent.watchdog import beat

_PAUSE = 0.001  # seconds between looks at environments that all conversations wait for


class Request(NamedTuple):
    """A reply that is wanted."""

    number: int
    """Of the conversation."""
    prompt: list[int]
    max_tokens: int
    temperature: float
    end_ids: frozenset[int]
    """Tokens that end the reply, and are its last then."""
    seed: int


class Completion(NamedTuple):
    """A reply, and the log-probability of each token in the distribution that it was sampled from."""

    number: int
    ids: list[int]
    log_probs: list[float]


@runtime_checkable
class ReplyEngine(Protocol):
    """Replies to many requests at once."""

    def submit(self, request: Request) -> None: ...

    def work(self) -> list[Completion]:
        """Go on with all requests for a while; those that are done now. Without requests, nothing at once."""


@dataclass
class _Row:
    speaker: Speaker
    number: int
    seed: int
    ids: list[int] = field(default_factory=list)
    """The conversation."""
    asked: bool = False
    """A reply was given to the speaker, whose answer is not known yet."""
    over: bool = False

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.ids = list(self.speaker.prompt)
        self.seeds = np.random.default_rng([self.seed, self.number])


def converse(
    engine: ReplyEngine, speakers: Iterable[Speaker], sampling: Sampling, end_ids: Collection[int], seed: int
) -> None:
    """Run every conversation to its end. All prompts must be shorter than ``max_tokens``.

    Args:
        speakers: taken one by one, when one of ``sampling.rows`` places is free.
        end_ids: tokens that end a reply.
        seed: the requests of conversation r have seeds drawn by a generator seeded by (seed, r).
    """
    arriving, ends = enumerate(speakers), frozenset(end_ids)
    rows: dict[int, _Row] = {}

    def ask(row: _Row) -> None:
        most = min(sampling.max_reply_tokens, sampling.max_tokens - len(row.ids))
        if most <= 0:
            row.speaker.cut([], [])
            row.over = True
        else:
            drawn = int(row.seeds.integers(2**31))
            engine.submit(Request(row.number, row.ids, most, sampling.temperature, ends, drawn))

    while True:
        for number, speaker in islice(arriving, sampling.rows - len(rows)):
            rows[number] = _Row(speaker, number, seed)
            ask(rows[number])
        if not rows:
            return
        beat()
        done = engine.work()
        for number, ids, log_probs in done:
            row = rows[number]
            row.ids = row.ids + ids
            if ids[-1] in ends or len(ids) == sampling.max_reply_tokens:
                row.speaker.spoke(ids, log_probs)
                row.asked = True
            else:
                row.speaker.cut(ids, log_probs)
                row.over = True
        for row in rows.values():
            if row.asked and _went_on(row):
                ask(row)
        if not done and all(row.asked for row in rows.values()):
            time.sleep(_PAUSE)
        rows = {number: row for number, row in rows.items() if not row.over}


def _went_on(row: _Row) -> bool:
    """Let the row hear the answer to its reply, if that is known; whether it is to speak again."""
    answer = row.speaker.answer()
    if answer is None:
        return False
    row.asked, row.over = False, answer.over
    if answer.again:
        row.begin()
    elif not answer.over:
        row.ids = [*row.ids[: answer.keep], *answer.heard]
    return not answer.over
