"""Rollouts to tensors, and tensors to micro-batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from rest_agent.batch import Batch, Rollout, collate, idle, informative, micro_batches, pad, sampled
from rest_agent.losses import policy_loss
from rest_agent.regions import Region


def _rollout(length: int, sampled: int = 1, first: int = 10) -> Rollout:
    """``length`` tokens, the last ``sampled`` of them the policy's."""
    mask = torch.arange(length) >= length - sampled
    return Rollout(
        token_ids=torch.arange(first, first + length),
        loss_mask=mask,
        log_probs=torch.where(mask, -0.5, 0.0),
        regions=torch.where(mask, int(Region.THINK), int(Region.NONE)).to(torch.int8),
        turns=torch.where(mask, 0, -1).to(torch.int8),
        reward=1.0,
        task_id="t",
    )


def _batch(lengths: list[int], advantages: list[float] | None = None) -> Batch:
    rollouts = [_rollout(length, first=100 * number) for number, length in enumerate(lengths)]
    weights = pad([rollout.loss_mask for rollout in rollouts]).float()
    return collate(rollouts, 7, torch.tensor(advantages or [1.0] * len(lengths))[:, None] * weights, weights)


def test_collate_pads_every_stream_on_the_right() -> None:
    rollouts = [_rollout(3, 2), _rollout(1, 1, first=20)]
    weights = torch.tensor([[0.0, 0.5, 1.5], [1.0, 0.0, 0.0]])
    batch = collate(rollouts, 7, torch.tensor([[0.0, 1.0, 1.0], [-1.0, 0.0, 0.0]]), weights)
    assert batch.token_ids.tolist() == [[10, 11, 12], [20, 7, 7]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.loss_mask.tolist() == [[False, True, True], [True, False, False]]
    assert batch.old_log_probs.tolist() == [[0, -0.5, -0.5], [-0.5, 0, 0]]
    assert batch.regions.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert batch.lengths.tolist() == [3, 1]
    assert len(batch) == 2
    dtypes = [batch.token_ids.dtype, batch.loss_mask.dtype, batch.old_log_probs.dtype, batch.regions.dtype]
    assert dtypes == [torch.int64, torch.bool, torch.float32, torch.int8]


@pytest.mark.parametrize(("advantages", "weights"), [((2,), (2, 3)), ((2, 3), (2, 4)), ((2, 1), (2, 3))])
def test_collate_refuses_streams_of_another_shape(advantages: tuple[int, ...], weights: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected advantages and weights \(2, 3\)"):
        collate([_rollout(3), _rollout(1)], 0, torch.zeros(advantages), torch.zeros(weights))


def test_a_rollout_keeps_its_streams_together() -> None:
    with pytest.raises(ValueError, match="'log_probs': 2"):
        replace(_rollout(3), log_probs=torch.zeros(2))


def test_rows_drop_columns_of_padding() -> None:
    batch = _batch([5, 2, 3])
    chosen = batch.rows(torch.tensor([2, 1]))
    assert chosen.token_ids.tolist() == [[200, 201, 202], [100, 101, 7]]
    assert chosen.advantages.tolist() == [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    assert batch.rows(torch.tensor([], dtype=torch.int64)).token_ids.shape == (0, 0)


@pytest.mark.parametrize(
    ("lengths", "tokens", "pieces"),
    [
        ([4, 9, 3, 9, 2], 18, [[1, 3], [0, 2, 4]]),
        ([4, 9, 3, 9, 2], 17, [[1], [3], [0, 2, 4]]),
        ([4, 9, 3, 9, 2], 1000, [[1, 3, 0, 2, 4]]),
        ([4, 9, 3], 1, [[1], [0], [2]]),
        ([3, 3, 3, 3], 6, [[0, 1], [2, 3]]),
    ],
    ids=["fit", "one too few", "all", "every row too long", "equal ones in order"],
)
def test_micro_batches(lengths: list[int], tokens: int, pieces: list[list[int]]) -> None:
    found = micro_batches(_batch(lengths), tokens)
    assert [[row // 100 for row in piece.token_ids[:, 0].tolist()] for piece in found] == pieces
    for piece in found:
        assert piece.token_ids.shape[1] == int(piece.lengths.max())
        assert len(piece) == 1 or piece.token_ids.numel() <= tokens


def test_no_rows_make_no_micro_batches() -> None:
    nothing = informative(_batch([3, 4], [0.0, 0.0]))
    assert len(nothing) == 0
    assert micro_batches(nothing, 100) == []


def _gradient(pieces: list[Batch], denominator: float) -> tuple[float, dict[int, float]]:
    """Loss, and gradient by token id, for log-probabilities that depend on the token alone."""
    table = torch.linspace(-2, 0, 1000).requires_grad_()
    settings: dict[str, Any] = {"clip_low": 0.2, "clip_high": 0.2, "dual_clip": 3.0, "denominator": denominator}
    total = torch.zeros(())
    for piece in pieces:
        log_probs = table[piece.token_ids]
        total = total + policy_loss(log_probs, piece.old_log_probs, piece.advantages, piece.weights, **settings)[0]
    total.backward()  # type: ignore[no-untyped-call]
    assert table.grad is not None
    return total.item(), {index: table.grad[index].item() for index in table.grad.nonzero().flatten().tolist()}


def test_leaving_out_rows_without_advantage_changes_nothing() -> None:
    batch = _batch([5, 2, 3, 8], [0.5, 0.0, -1.0, 0.0])
    denominator = float(batch.weights.sum())
    whole = _gradient([batch], denominator)
    pieces = micro_batches(informative(batch), 5)
    assert sum(len(piece) for piece in pieces) == 2
    loss, gradient = _gradient([*pieces, idle(batch)], denominator)
    assert loss == pytest.approx(whole[0])
    assert gradient == pytest.approx(whole[1])


def test_the_idle_row_is_the_shortest_and_nothing_of_it_counts() -> None:
    row = idle(_batch([5, 2, 3]))
    assert row.token_ids.tolist() == [[100, 101]]
    for stream in (row.weights, row.advantages, row.loss_mask, row.regions):
        assert stream.tolist() == [[0.0, 0.0]]


def test_streams_that_are_there_are_chosen_and_moved_with_the_others() -> None:
    batch = replace(_batch([3, 2]), values=torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 0.0]]))
    row = batch.rows(torch.tensor([1])).to("cpu")
    assert row.values is not None
    assert row.values.tolist() == [[3.0, 4.0]]
    assert row.targets is None


def test_rows_without_a_sampled_token_are_told_from_rows_without_advantage() -> None:
    batch = _batch([3, 4, 2], [0.0, 1.0, 2.0])
    batch = replace(batch, loss_mask=torch.where(torch.tensor([[True], [False], [True]]), batch.loss_mask, False))
    assert sampled(batch).lengths.tolist() == [3, 2]
    assert informative(batch).lengths.tolist() == [4, 2]


def test_to_moves_every_stream() -> None:
    moved = _batch([2]).to("meta")
    assert {moved.token_ids.device.type, moved.weights.device.type, moved.advantages.device.type} == {"meta"}
