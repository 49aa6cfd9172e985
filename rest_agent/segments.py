"""The token sequences of an episode.

An episode is one sequence, as long as history is only appended to. Where it is rewritten (Qwen3's template drops the
thoughts of earlier turns), another *segment* begins: the rewritten history, which nobody sampled, and what follows. A
token that was sampled is trained once, in the segment that it was sampled in. Segments stand behind one another in the
streams of a rollout, so that whatever is computed for a rollout knows nothing of them; only the model must see them one
by one (:func:`split`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rest_agent.batch import Batch, Rollout, pad
from rest_agent.chat import Chat
from rest_agent.regions import Region, TokenText, reply_regions
from tooluse_gym.formats import Reply


@dataclass
class Transcript:
    """Token ids of one episode with loss mask, log-probability, region and turn of each, in parallel lists."""

    chat: Chat
    text_of: TokenText
    ids: list[int] = field(default_factory=list)
    sampled: list[bool] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    regions: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    """Where each segment begins."""

    def hear(self, ids: Sequence[int]) -> None:
        """Append tokens that the policy did not choose."""
        self.ids += ids
        self.sampled += [False] * len(ids)
        self.log_probs += [0.0] * len(ids)
        self.regions += [int(Region.NONE)] * len(ids)
        self.turns += [-1] * len(ids)

    def say(self, ids: Sequence[int], log_probs: Sequence[float], turn: int, parse: Callable[[str], Reply]) -> str:
        """Append a reply of the policy, token by token as it was sampled; its text, without the end token."""
        text, regions = reply_regions(ids, self.text_of, self.chat.end_ids, parse, self.chat.reply_prefix)
        self.ids += ids
        self.sampled += [True] * len(ids)
        self.log_probs += log_probs
        self.regions += regions
        self.turns += [turn] * len(ids)
        return text

    def retell(self, ids: Sequence[int]) -> tuple[int, list[int]]:
        """Let the history be ``ids``: how many tokens of the running segment stand, and those that follow them.

        Tokens stand as far as their text is that of ``ids``, however it is cut into tokens. If any falls, a new segment
        begins, in which the standing ones are heard again.
        """
        segment = self.ids[self.starts[-1] :]
        stand, others = agreement(segment, ids, self.text_of)
        heard = list(ids[others:])
        if stand < len(segment):
            self.starts.append(len(self.ids))
            self.hear(segment[:stand])
        self.hear(heard)
        return stand, heard

    def forget_unanswered(self) -> None:
        """Drop what was heard after the policy's last token: nobody will answer it."""
        self.keep(len(self.sampled) - self.sampled[::-1].index(True) if True in self.sampled else len(self.ids))

    def keep(self, count: int) -> None:
        """Drop all but the first ``count`` tokens."""
        for stream in (self.ids, self.sampled, self.log_probs, self.regions, self.turns):
            del stream[count:]
        self.starts = [start for start in self.starts if start < max(1, count)]

    def rollout(self, **outcome: Any) -> Rollout:
        """The record so far, with what the environment said of it."""
        return Rollout(
            token_ids=torch.tensor(self.ids, dtype=torch.int64),
            loss_mask=torch.tensor(self.sampled, dtype=torch.bool),
            log_probs=torch.tensor(self.log_probs, dtype=torch.float32),
            regions=torch.tensor(self.regions, dtype=torch.int8),
            turns=torch.tensor(self.turns, dtype=torch.int8),
            segment_starts=tuple(self.starts),
            **outcome,
        )


def agreement(old: Sequence[int], new: Sequence[int], text_of: TokenText) -> tuple[int, int]:
    """How many tokens of ``old`` and of ``new`` spell the longest beginning that both can be cut at."""
    spelled = [text_of.pieces(ids) for ids in (old, new)]
    one, two = (np.frombuffer(b"".join(pieces), np.uint8) for pieces in spelled)
    shorter = min(len(one), len(two))
    differing = np.flatnonzero(one[:shorter] != two[:shorter])
    common = int(differing[0]) if len(differing) else shorter
    ends, others = (np.cumsum([0, *map(len, pieces)]) for pieces in spelled)
    cuts = np.intersect1d(ends[ends <= common], others[others <= common])
    at = int(cuts[-1])
    return int(np.searchsorted(ends, at, side="right")) - 1, int(np.searchsorted(others, at, side="right")) - 1


def split(batch: Batch) -> Batch:
    """A row for every segment, in order; ``batch`` itself where each row is one."""
    if batch.segments is None:
        return batch
    places = _places(batch)
    streams: dict[str, Any] = {stream.name: getattr(batch, stream.name) for stream in fields(batch)}
    del streams["segments"]
    for name, values in streams.items():
        if values is not None:
            streams[name] = pad([values[row, first:last] for row, first, last in places])
    return Batch(**streams)


def join(values: Tensor, batch: Batch) -> Tensor:
    """The inverse: ``values`` (R, W) of the rows of ``split(batch)``, as (B, T), 0 on padding."""
    if batch.segments is None:
        return values
    joined = values.new_zeros(batch.token_ids.shape)
    for number, (row, first, last) in enumerate(_places(batch)):
        joined[row, first:last] = values[number, : last - first]
    return joined


def _places(batch: Batch) -> list[tuple[int, int, int]]:
    """Row, first column and the one behind the last, of every segment."""
    assert batch.segments is not None
    places = []
    for row, (numbers, length) in enumerate(zip(batch.segments, batch.lengths.tolist(), strict=True)):
        ends = torch.bincount(numbers[:length]).cumsum(0).tolist()
        places += [(row, first, last) for first, last in zip([0, *ends], ends, strict=False)]
    return places
