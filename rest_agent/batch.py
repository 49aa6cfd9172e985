"""What flows through the trainer: a rollout, and the batch of tensors many of them become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from tooluse_gym.outcome import Played


@dataclass(frozen=True)
class Rollout(Played):
    """An episode with its tokens, exactly as sampled."""

    token_ids: Tensor
    """(T,) int64: prompt, the policy's tokens and the environment's."""
    loss_mask: Tensor
    """(T,) bool: True where the policy sampled the token."""
    log_probs: Tensor
    """(T,) float32: the sampler's, 0 where loss_mask is False."""
    regions: Tensor
    """(T,) int8: values of Region, NONE where loss_mask is False."""
    turns: Tensor
    """(T,) int8: the turn that the token was sampled in, 0 for the first that was played, -1 where not sampled."""
    segment_starts: tuple[int, ...] = (0,)
    """Where each segment begins: a token sequence of its own, as the model must see it."""

    def __post_init__(self) -> None:
        streams = ("token_ids", "loss_mask", "log_probs", "regions", "turns")
        lengths = {name: len(getattr(self, name)) for name in streams}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"the streams of a rollout differ in length: {lengths}")

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True)
class Batch:
    """B rollouts, padded on the right to the longest, T tokens."""

    token_ids: Tensor
    """(B, T) int64."""
    attention_mask: Tensor
    """(B, T) int64: 1 on tokens, 0 on padding."""
    loss_mask: Tensor
    """(B, T) bool: True where the policy sampled the token."""
    old_log_probs: Tensor
    """(B, T) float32: the sampler's, 0 where loss_mask is False."""
    regions: Tensor
    """(B, T) int8: NONE where loss_mask is False."""
    advantages: Tensor
    """(B, T) float32, 0 where loss_mask is False."""
    weights: Tensor
    """(B, T) float32, 0 where loss_mask is False."""
    reference_log_probs: Tensor | None = None
    """(B, T) float32: those of the frozen reference, 0 where loss_mask is False; None: there is no reference."""
    values: Tensor | None = None
    """(B, T) float32: what the critic expected before each token was sampled; None: there is no critic."""
    targets: Tensor | None = None
    """(B, T) float32: what it should have expected."""
    plain_weights: Tensor | None = None
    """(B, T) float32: for the terms of the loss that weigh all tokens alike; None: there are none."""
    segments: Tensor | None = None
    """(B, T) int64: the number of each token's segment in its row; None: every row is one (``rest_agent.segments``)."""

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def lengths(self) -> Tensor:
        """(B,) int64: tokens of each row without padding."""
        return self.attention_mask.sum(dim=1)

    def rows(self, index: Tensor) -> Batch:
        """The rows of ``index`` (numbers or bools), without columns that only hold padding."""
        lengths = self.lengths[index]
        width = int(lengths.max()) if len(lengths) else 0
        return Batch(**{name: stream[index, :width] for name, stream in self._streams().items()})

    def to(self, device: torch.device | str) -> Batch:
        return Batch(**{name: stream.to(device) for name, stream in self._streams().items()})

    def _streams(self) -> dict[str, Tensor]:
        streams = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: stream for name, stream in streams.items() if stream is not None}


def pad(rows: Sequence[Tensor], value: float = 0) -> Tensor:
    """(B, T): one-dimensional ``rows`` filled up on the right with ``value`` to the longest."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def collate(rollouts: Sequence[Rollout], pad_id: int, advantages: Tensor, weights: Tensor) -> Batch:
    """One batch of all ``rollouts``, in order.

    Args:
        pad_id: the token id of padding.
        advantages: (B, T) with T the longest rollout.
        weights: (B, T), as ``token_weights(pad([r.regions for r in rollouts]), …)`` gives.
    """
    attention_mask = pad([torch.ones(len(rollout), dtype=torch.int64) for rollout in rollouts])
    if advantages.shape != attention_mask.shape or weights.shape != attention_mask.shape:
        raise ValueError(
            f"expected advantages and weights {tuple(attention_mask.shape)}, "
            f"got {tuple(advantages.shape)} and {tuple(weights.shape)}"
        )
    return Batch(
        token_ids=pad([rollout.token_ids for rollout in rollouts], pad_id),
        attention_mask=attention_mask,
        loss_mask=pad([rollout.loss_mask for rollout in rollouts]),
        old_log_probs=pad([rollout.log_probs for rollout in rollouts]),
        regions=pad([rollout.regions for rollout in rollouts]),
        advantages=advantages,
        weights=weights,
        segments=_segments(rollouts),
    )


def _segments(rollouts: Sequence[Rollout]) -> Tensor | None:
    if all(len(rollout.segment_starts) == 1 for rollout in rollouts):
        return None
    columns = [torch.arange(len(rollout)) for rollout in rollouts]
    starts = [torch.tensor(rollout.segment_starts) for rollout in rollouts]
    return pad([torch.bucketize(c, s, right=True) - 1 for c, s in zip(columns, starts, strict=True)])


def informative(batch: Batch) -> Batch:
    """The rows that carry a gradient: those with an advantage that is not 0. May be empty.

    The loss's denominator belongs to all rows: take it before leaving any out.
    """
    return batch.rows((batch.advantages != 0).any(dim=1))


def sampled(batch: Batch) -> Batch:
    """The rows in which the policy sampled anything. May be empty."""
    return batch.rows(batch.loss_mask.any(dim=1))


def micro_batches(batch: Batch, tokens: int) -> list[Batch]:
    """``batch`` in pieces of at most ``tokens`` tokens: :func:`split_rows`."""
    return [batch.rows(torch.tensor(piece)) for piece in split_rows(batch.lengths, tokens)]


def split_rows(lengths: Tensor, tokens: int) -> list[list[int]]:
    """The rows of pieces of at most ``tokens`` tokens, padding included; a longer row is a piece of its own.

    Rows go by length, longest first (equal ones in their order), so that little is padded and running out of memory
    happens at once or never.
    """
    order = torch.argsort(lengths, descending=True, stable=True).tolist()
    pieces: list[list[int]] = []
    for row in order:
        if pieces and (len(pieces[-1]) + 1) * int(lengths[pieces[-1][0]]) <= tokens:
            pieces[-1].append(row)
        else:
            pieces.append([row])
    return pieces


def idle(batch: Batch) -> Batch:
    """The shortest row of ``batch`` as if nothing in it had been sampled.

    A forward and backward pass on it adds nothing: for a rank that has fewer micro-batches than the others, which all
    have to take part in every collective operation.
    """
    row = batch.rows(torch.argmin(batch.lengths)[None])
    nothing = {name: torch.zeros_like(getattr(row, name)) for name in ("loss_mask", "regions", "advantages", "weights")}
    return replace(row, **nothing, plain_weights=None if row.plain_weights is None else nothing["weights"])
