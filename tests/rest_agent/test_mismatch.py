"""The gap between sampler and trainer, and its truncated correction."""

from __future__ import annotations

import math

import pytest
import torch

from rest_agent.batch import Batch
from rest_agent.mismatch import LogProbGap, corrected, truncated_importance


def test_the_gap_is_a_mean_and_a_maximum_over_sampled_tokens() -> None:
    gap = LogProbGap()
    assert gap.metrics() == {}
    mask = torch.tensor([[True, True, False]])
    gap.add(torch.tensor([[-1.0, -2.0, -9.0]]), torch.tensor([[-1.5, -1.9, 0.0]]), mask)
    gap.add(torch.tensor([[-1.0]]), torch.tensor([[-1.0]]), torch.tensor([[True]]))
    assert gap.metrics() == pytest.approx({"log_prob_gap": 0.2, "log_prob_gap_max": 0.5})


def test_importance_is_exact_below_the_cap() -> None:
    """With an infinite cap, importance weighting makes an expectation under the sampler one under the trainer."""
    sampler, trainer = torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([0.2, 0.3, 0.5]).log()
    values = torch.tensor([1.0, -4.0, 7.0])
    weights = truncated_importance(trainer, sampler, math.inf)
    assert float((sampler.exp() * weights * values).sum()) == pytest.approx(float((trainer.exp() * values).sum()))
    assert truncated_importance(trainer, sampler, 2.0).tolist() == pytest.approx([0.4, 1.0, 2.0])
    assert torch.isfinite(truncated_importance(torch.zeros(1), torch.tensor([-400.0]), math.inf)).all()


def test_a_corrected_batch_has_the_trainers_log_probs() -> None:
    mask = torch.tensor([[False, True, True]])
    old = torch.tensor([[0.0, -1.0, -2.0]])
    ones = mask.float()
    batch = Batch(
        torch.tensor([[4, 5, 6]]), torch.ones(1, 3, dtype=torch.int64), mask, old, mask.char(), 3 * ones, ones
    )
    found = corrected(batch, torch.tensor([[-7.0, -1.0 + math.log(0.5), -1.0]]), cap=2.0)
    assert found.old_log_probs[0].tolist() == pytest.approx([0.0, -1.0 + math.log(0.5), -1.0])
    assert found.advantages[0].tolist() == pytest.approx([0.0, 1.5, 6.0])
    assert torch.equal(found.weights, batch.weights)
