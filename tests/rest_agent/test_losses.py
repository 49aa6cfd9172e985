"""The policy loss: by hand, and against the reference code's recorded values."""

from __future__ import annotations

import gzip
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rest_agent.advantages import group_advantages
from rest_agent.aggregation import coefficients, denominator
from rest_agent.losses import policy_loss

DATA = Path(os.environ.get("TOOLUSE_TEST_DATA", Path(__file__).parents[2] / "../shared/data")) / "rest"
CLIP: dict[str, Any] = {"clip_low": 0.2, "clip_high": 0.3, "dual_clip": 3.0}


def _loss(ratios: list[float], advantages: list[float], weights: list[float], **changes: Any) -> tuple[Tensor, Any]:
    """The loss of rows of one token each; the gradient goes to log_probs."""
    log_probs = torch.tensor(ratios).log()[:, None].requires_grad_()
    settings = {**CLIP, "denominator": 1.0, **changes}
    columns = (torch.tensor(values)[:, None] for values in (advantages, weights))
    loss, metrics = policy_loss(log_probs, torch.zeros_like(log_probs), *columns, **settings)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach(), metrics | {"gradient": log_probs.grad}


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.1, 1.0, -1.1, -1.1),
        (1.5, 1.0, -1.3, 0.0),
        (0.5, 1.0, -0.5, -0.5),
        (0.5, -1.0, 0.8, 0.0),
        (1.5, -1.0, 1.5, 1.5),
        (5.0, -1.0, 3.0, 0.0),
        (5.0, -2.0, 6.0, 0.0),
        (math.exp(25), -1.0, 3.0, 0.0),
    ],
    ids=["on policy", "inside", "clipped above", "below, gains", "clipped below", "above, loses", "dual", "2", "huge"],
)
def test_one_token(ratio: float, advantage: float, loss: float, gradient: float) -> None:
    value, metrics = _loss([ratio], [advantage], [1.0])
    assert value.item() == pytest.approx(loss, rel=1e-6)
    assert metrics["gradient"].item() == pytest.approx(gradient, rel=1e-6)


def test_without_dual_clip_the_loss_is_bounded_by_the_ratio_alone() -> None:
    assert _loss([5.0], [-1.0], [1.0], dual_clip=None)[0].item() == pytest.approx(5.0)


def test_worked_example_of_two_weighted_tokens() -> None:
    value, _ = _loss([1.0, 1.0], [1.0, 3.0], [1.25, 0.75], denominator=2.0)
    assert value.item() == pytest.approx(-1.75)


def test_metrics_are_sums_over_weighted_tokens() -> None:
    _, metrics = _loss([1.5, 0.5, 5.0, 9.0], [1.0, 1.0, -1.0, 1.0], [0.5, 1.0, 1.0, 0.0])
    sums = {name: float(value) for name, value in metrics.items() if name != "gradient"}
    assert sums == pytest.approx(
        {
            "tokens": 3,
            "weight": 2.5,
            "clipped": 1,
            "dual_clipped": 1,
            "ratio": 7.0,
            "kl": -(math.log(1.5) + math.log(0.5) + math.log(5.0)),
        }
    )


def test_nothing_flows_where_the_weight_is_zero() -> None:
    """Not even from a log-probability of -inf, which a masked vocabulary can give to a token of the prompt."""
    log_probs = torch.tensor([[-1.0, -math.inf]], requires_grad=True)
    weights = torch.tensor([[1.0, 0.0]])
    loss, _ = policy_loss(log_probs, torch.tensor([[-1.0, 0.0]]), torch.ones(1, 2), weights, denominator=1.0, **CLIP)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == -1.0
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [[-1.0, 0.0]]


def test_micro_batches_add_up_under_a_common_denominator() -> None:
    torch.manual_seed(0)
    now, old = torch.randn(6, 9), torch.randn(6, 9)
    advantages, weights = torch.randn(6, 9), torch.rand(6, 9)
    whole, _ = policy_loss(now, old, advantages, weights, denominator=weights.sum(), **CLIP)
    parts = [
        policy_loss(now[rows], old[rows], advantages[rows], weights[rows], denominator=weights.sum(), **CLIP)[0]
        for rows in (slice(0, 1), slice(1, 4), slice(4, 6))
    ]
    assert sum(parts).item() == pytest.approx(whole.item(), rel=1e-5)  # type: ignore[union-attr]


def test_the_ratio_of_a_sequence_is_the_geometric_mean_of_its_tokens() -> None:
    """Ratios 2 and 1/8 make 1/2; a token of weight 0 has no part in it. Each token keeps a gradient of its own."""
    log_probs = torch.tensor([[2.0, 0.125, 7.0]]).log().requires_grad_()
    weights = torch.tensor([[1.0, 3.0, 0.0]])
    settings: dict[str, Any] = {"clip_low": 0.6, "clip_high": 0.6, "dual_clip": None, "denominator": 4.0}
    loss, metrics = policy_loss(
        log_probs, torch.zeros(1, 3), torch.full((1, 3), 2.0), weights, ratio="sequence", **settings
    )
    (gradient,) = torch.autograd.grad(loss, log_probs)
    assert loss.item() == pytest.approx(-2 * 0.5)
    assert gradient.tolist()[0] == pytest.approx([-2 * 0.5 / 4, -2 * 0.5 * 3 / 4, 0.0])
    assert metrics["ratio"].item() == pytest.approx(1.0)
    settings["clip_low"] = 0.4  # 1/2 is beyond it, for every token at once
    clipped, metrics = policy_loss(
        log_probs, torch.zeros(1, 3), torch.full((1, 3), -2.0), weights, ratio="sequence", **settings
    )
    assert metrics["clipped"].item() == 2
    assert torch.autograd.grad(clipped, log_probs)[0].abs().sum().item() == 0


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    path = DATA / "loss.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no reference data at {path.name}; set TOOLUSE_TEST_DATA")
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def _reference_loss(record: dict[str, Any], weighted: bool) -> tuple[float, Tensor, dict[str, Tensor]]:
    now = torch.tensor(record["log_prob"], requires_grad=True)
    mask = torch.tensor(record["mask"])
    weights = mask * torch.tensor(record["token_weight"]) if weighted else mask
    loss, metrics = policy_loss(
        now,
        torch.tensor(record["old_log_prob"]),
        torch.tensor(record["advantage"])[:, None].expand_as(now),
        weights,
        clip_low=record["clip_low"],
        clip_high=record["clip_high"],
        dual_clip=record["clip_c"],
        denominator=weights.sum() + (1e-8 if weighted else 0.0),
    )
    return loss.item(), torch.autograd.grad(loss, now)[0], metrics


def test_weighted_token_mean_and_its_gradient_agree_with_the_reference(records: list[dict[str, Any]]) -> None:
    assert len(records) == 120
    for record in records:
        loss, gradient, _ = _reference_loss(record, weighted=True)
        assert loss == pytest.approx(record["loss_token-mean-weighted"], abs=1e-5)
        expected = torch.tensor(record["grad_log_prob_token-mean-weighted"])
        torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=0)


def test_token_mean_and_its_metrics_agree_with_the_reference(records: list[dict[str, Any]]) -> None:
    for record in records:
        loss, _, metrics = _reference_loss(record, weighted=False)
        assert loss == pytest.approx(record["loss_token-mean"], abs=1e-5)
        for ours, theirs in (("clipped", "clipfrac"), ("dual_clipped", "clipfrac_lower"), ("kl", "ppo_kl")):
            assert (metrics[ours] / metrics["tokens"]).item() == pytest.approx(record[theirs], abs=1e-5)


@pytest.mark.parametrize(
    ("how", "name"),
    [("sequence-mean", "seq-mean-token-mean"), ("constant", "seq-mean-token-sum")],
)
def test_sequence_means_agree_with_the_reference(how: Any, name: str, records: list[dict[str, Any]]) -> None:
    for record in records:
        now, mask = torch.tensor(record["log_prob"]), torch.tensor(record["mask"])
        weights = mask * torch.tensor(record["token_weight"]) if how == "sequence-mean" else mask
        loss, _ = policy_loss(
            now,
            torch.tensor(record["old_log_prob"]),
            torch.tensor(record["advantage"])[:, None].expand_as(now),
            coefficients(weights, mask > 0, how, constant=1.0),
            clip_low=record["clip_low"],
            clip_high=record["clip_high"],
            dual_clip=record["clip_c"],
            denominator=denominator(weights, mask > 0, how),
        )
        assert loss.item() == pytest.approx(record[f"loss_{name}"], abs=1e-5)


def test_advantages_agree_with_the_reference(records: list[dict[str, Any]]) -> None:
    """Groups of one, which the reference gives their raw score, are refused here; equal groups are exactly 0."""
    compared = 0
    for record in records:
        for name in set(record["groups"]):
            rows = [row for row, group in enumerate(record["groups"]) if group == name]
            if len(rows) < 2:
                continue
            rewards = torch.tensor([record["scores"][row] for row in rows])
            for scale, key in ((True, "advantage"), (False, "advantage_nostd")):
                found = group_advantages(rewards, len(rows), scale_by_std=scale).tolist()
                assert found == pytest.approx([record[key][row] for row in rows], abs=1e-5)
            compared += 1
    assert compared == 165
