"""The loss of an update against its definition, from whole logits, however its rows are cut into micro-batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from rest_agent.aggregation import coefficients, denominator
from rest_agent.batch import Batch, micro_batches
from rest_agent.config import KLConfig, LossConfig, RLConfig, WeightsConfig
from rest_agent.regions import Region
from rest_agent.reinforcement import Tally
from rest_agent.segments import split

MAX_TOKENS = 50


def _batch(model: Any) -> Batch:
    """Seven rows of 9 to 16 tokens of which the policy said about half; the third has no advantage, the last no token.

    The policy has moved a little since it sampled, and is not its reference.
    """
    draw = torch.Generator().manual_seed(0)
    rows, width = 7, 16
    lengths = torch.tensor([16, 9, 12, 14, 9, 11, 10])
    inside = torch.arange(width)[None] < lengths[:, None]
    mask = (torch.rand(rows, width, generator=draw) < 0.6) & inside
    mask[:, 0], mask[:, 8], mask[6] = False, True, False
    ids = torch.randint(0, 250, (rows, width), generator=draw) * inside
    with torch.no_grad():
        now = _scores(model, ids)[0]
    before, reference = (now + 0.3 * torch.randn(rows, width, generator=draw) for _ in range(2))
    advantages = torch.tensor([1.0, -0.5, 0.0, 0.7, -2.0, 0.3, 1.0])[:, None]
    return Batch(
        token_ids=ids,
        attention_mask=inside.long(),
        loss_mask=mask,
        old_log_probs=before * mask,
        regions=(mask * int(Region.THINK)).to(torch.int8),
        advantages=advantages * mask,
        weights=torch.rand(rows, width, generator=draw) * 2 * mask,
        reference_log_probs=reference * mask,
    )


def _scores(model: Any, ids: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T) log-probabilities and entropies; of the first column, which nothing predicts, 0."""
    log_p = model(input_ids=ids, use_cache=False).logits.float().log_softmax(-1)[:, :-1]
    chosen, entropies = log_p.gather(-1, ids[:, 1:, None])[..., 0], -(log_p.exp() * log_p).sum(-1)
    return torch.nn.functional.pad(chosen, (1, 0)), torch.nn.functional.pad(entropies, (1, 0))


def _found(model: Any, batch: Batch, rl: RLConfig, tokens: int) -> tuple[float, Tensor]:
    """The loss of the step and its gradient at the head, from micro-batches of so many tokens."""
    tally, head = Tally(rl), model.get_output_embeddings().weight
    totals = tally.denominators(batch).tolist()
    pieces = micro_batches(tally.useful(split(tally.weighed(batch))), tokens)
    loss = torch.stack([tally.loss(model, piece, totals) for piece in pieces]).sum()
    (gradient,) = torch.autograd.grad(loss, head)
    total = float(loss.detach())
    assert tally.metrics()["loss"] == pytest.approx(total, rel=1e-5)
    return total, gradient


def _mean(values: Tensor, weights: Tensor, batch: Batch, how: str) -> Tensor:
    """As the README's table has it."""
    mask = batch.loss_mask.float()
    rows = mask.any(dim=1)
    if how == "weighted-token-mean":
        return (values * weights).sum() / weights.sum()
    if how == "token-mean":
        return (values * weights).sum() / mask.sum()
    per_row = (values * weights).sum(dim=1)[rows]
    return (per_row / (mask.sum(dim=1)[rows] if how == "sequence-mean" else MAX_TOKENS)).mean()


@pytest.fixture
def trained(players: Any) -> Any:
    model = players["own"].model
    model.requires_grad_(True)
    yield model
    model.requires_grad_(False)


@pytest.mark.parametrize("tokens", [1, 30, 10**6], ids=["row by row", "some rows", "at once"])
@pytest.mark.parametrize("how", ["weighted-token-mean", "token-mean", "sequence-mean", "constant"])
@pytest.mark.parametrize(
    ("kl", "bonus"), [(None, 0.0), ("k1", 0.0), ("k2", 0.5), ("k3", 0.0), (None, 0.5)],
    ids=["policy", "k1", "k2 and entropy", "k3", "entropy"],
)  # fmt: skip
def test_the_loss_of_a_step_is_its_definition(tokens: int, how: Any, kl: Any, bonus: float, trained: Any) -> None:
    batch = _batch(trained)
    rl = RLConfig(
        max_tokens=MAX_TOKENS,
        loss=LossConfig(aggregation=how, clip_high=0.28, dual_clip=3.0, entropy=bonus),
        kl=KLConfig() if kl is None else KLConfig(coefficient=0.1, estimator=kl),
    )
    log_probs, entropies = _scores(trained, batch.token_ids)
    ratio = torch.where(batch.loss_mask, log_probs - batch.old_log_probs, 0.0).exp()
    a = batch.advantages
    loss = torch.maximum(-a * ratio, -a * ratio.clamp(0.8, 1.28))
    loss = torch.where(a < 0, torch.minimum(loss, -3 * a), loss)
    expected = _mean(loss, batch.weights, batch, how)
    plain = batch.loss_mask.float()
    if kl is not None:
        assert batch.reference_log_probs is not None
        x = torch.where(batch.loss_mask, log_probs - batch.reference_log_probs, 0.0)
        estimate = {"k1": x, "k2": x * x / 2, "k3": (-x).exp() - 1 + x}[kl]
        expected = expected + 0.1 * _mean(estimate, plain, batch, how)
    expected = expected - bonus * _mean(entropies, plain, batch, how)
    (gradient,) = torch.autograd.grad(expected, trained.get_output_embeddings().weight)
    found = _found(trained, batch, rl, tokens)
    assert found[0] == pytest.approx(float(expected.detach()), rel=1e-4, abs=1e-6)
    torch.testing.assert_close(found[1], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("how", ["weighted-token-mean", "token-mean", "sequence-mean", "constant"])
def test_a_rollout_of_two_segments_counts_as_one(how: Any, trained: Any) -> None:
    """Where the second segment goes on as if it were a row of its own, but means are over rollouts."""
    batch = _batch(trained)
    cuts = torch.zeros_like(batch.token_ids)
    cuts[0, 9:], cuts[3, 7:] = 1, 1
    segmented = replace(batch, segments=cuts)
    rl = RLConfig(max_tokens=MAX_TOKENS, loss=LossConfig(aggregation=how, entropy=0.1))
    found = _found(trained, segmented, rl, 30)
    weights = coefficients(batch.weights, batch.loss_mask, how, MAX_TOKENS)
    rows = split(replace(segmented, weights=weights))
    log_probs, entropies = _scores(trained, rows.token_ids)
    ratio = torch.where(rows.loss_mask, log_probs - rows.old_log_probs, 0.0).exp()
    loss = torch.maximum(-rows.advantages * ratio, -rows.advantages * ratio.clamp(0.8, 1.2))
    loss = torch.where(rows.advantages < 0, torch.minimum(loss, -3 * rows.advantages), loss)
    plain = split(replace(segmented, weights=coefficients(batch.loss_mask.float(), batch.loss_mask, how, MAX_TOKENS)))
    expected = (loss * rows.weights).sum() / denominator(batch.weights, batch.loss_mask, how)
    count = denominator(batch.loss_mask.float(), batch.loss_mask, how)
    expected = expected - 0.1 * (entropies * rows.loss_mask * plain.weights).sum() / count
    assert found[0] == pytest.approx(float(expected.detach()), rel=1e-4)


@pytest.mark.parametrize(("preset", "rows"), [("structure", 5), ("paper", 6)])
def test_entropies_are_of_trained_rows_or_under_paper_of_all(preset: Any, rows: int, trained: Any) -> None:
    batch = _batch(trained)
    tally = Tally(RLConfig(weights=WeightsConfig(preset), max_tokens=MAX_TOKENS))
    used = tally.useful(batch)
    assert len(used) == rows
    tally.loss(trained, tally.weighed(used), [1.0, 1.0])
    sums, tokens = tally.entropies
    assert tokens[Region.THINK] == used.loss_mask.sum()
    _, entropies = _scores(trained, used.token_ids)
    assert sums[Region.THINK].item() == pytest.approx(float((entropies * used.loss_mask).sum().detach()), rel=1e-5)


def test_clipping_and_the_gap_are_reported(trained: Any) -> None:
    batch = _batch(trained)
    tally = Tally(RLConfig(max_tokens=MAX_TOKENS))
    used = tally.useful(batch)
    tally.loss(trained, used, [1.0, 1.0])
    metrics = tally.metrics()
    gaps = (_scores(trained, used.token_ids)[0] - used.old_log_probs)[used.loss_mask].abs()
    assert metrics["log_prob_gap"] == pytest.approx(float(gaps.mean().detach()), rel=1e-4)
    assert metrics["log_prob_gap_max"] == pytest.approx(float(gaps.max().detach()), rel=1e-4)
    assert 0 < metrics["clipped"] < 1
