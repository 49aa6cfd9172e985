"""Aggregations by hand, and their independence of how rows are grouped."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from rest_agent.aggregation import coefficients, denominator
from rest_agent.config import Aggregation

# Three rows: three sampled tokens, one of weight 0; one sampled token; none.
WEIGHTS = torch.tensor([[0.0, 1.25, 0.75, 0.0], [2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
MASK = torch.tensor([[False, True, True, True], [True, False, False, False], [False] * 4])
LOSSES = torch.tensor([[9.0, 1.0, 2.0, 7.0], [3.0, 9.0, 9.0, 9.0], [9.0, 9.0, 9.0, 9.0]])


def _mean(rows: Any, how: Any, losses: Tensor = LOSSES) -> tuple[Tensor, Tensor]:
    weights, mask = WEIGHTS[rows], MASK[rows]
    total = (losses[rows] * coefficients(weights, mask, how, constant=10)).sum()
    return total, denominator(weights, mask, how)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("weighted-token-mean", (1.25 + 1.5 + 6) / 4),
        ("token-mean", (1.25 + 1.5 + 6) / 4),
        ("sequence-mean", ((1.25 + 1.5) / 3 + 6 / 1) / 2),
        ("constant", ((1.25 + 1.5) / 10 + 6 / 10) / 2),
    ],
)
def test_by_hand(how: Any, expected: float) -> None:
    total, count = _mean(slice(None), how)
    assert (total / count).item() == pytest.approx(expected)


def test_the_token_means_differ_where_weights_do_not_add_up_to_the_number_of_tokens() -> None:
    weights, mask = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[True, True, True]])
    assert denominator(weights, mask, "weighted-token-mean").item() == 1.0
    assert denominator(weights, mask, "token-mean").item() == 3


@pytest.mark.parametrize("how", get_args(Aggregation))
@pytest.mark.parametrize("groups", [[[0, 1, 2]], [[2], [1], [0]], [[1, 0], [2]]], ids=["one", "each", "two"])
def test_the_gradient_does_not_depend_on_how_rows_are_grouped(how: Any, groups: list[list[int]]) -> None:
    losses = LOSSES.clone().requires_grad_()
    parts = [_mean(rows, how, losses) for rows in groups]
    step = torch.stack([total for total, _ in parts]).sum() / sum(count for _, count in parts)
    (found,) = torch.autograd.grad(step, losses)
    total, count = _mean(slice(None), how, losses)
    (expected,) = torch.autograd.grad(total / count, losses)
    torch.testing.assert_close(found, expected)
