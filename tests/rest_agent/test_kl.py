"""The estimators of the KL divergence: by hand, and in expectation over a small vocabulary."""

from __future__ import annotations

import math

import pytest
import torch

from rest_agent.kl import ESTIMATORS, token_kl

POLICY = torch.tensor([0.5, 0.3, 0.2]).double()
REFERENCE = torch.tensor([0.2, 0.5, 0.3]).double()
TRUTH = float((POLICY * (POLICY / REFERENCE).log()).sum())


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [("k1", math.log(2)), ("k2", math.log(2) ** 2 / 2), ("k3", 0.5 - 1 + math.log(2))],
)
def test_by_hand(estimator: str, expected: float) -> None:
    log_probs, reference = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, math.nan]]).log()
    found = token_kl(log_probs, reference, torch.tensor([[True, False]]), estimator)
    assert found.tolist()[0] == pytest.approx([expected, 0.0])


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_in_expectation_it_is_the_divergence(estimator: str) -> None:
    found = (POLICY * ESTIMATORS[estimator]((POLICY / REFERENCE).log())).sum()
    assert found.item() == pytest.approx(TRUTH)


@pytest.mark.parametrize(("estimator", "right"), [("k1", False), ("k2", True), ("k3", False)])
def test_the_expected_gradient_in_the_loss(estimator: str, right: bool) -> None:
    """k2's is that of the divergence; k1's is 0; k3's is another, of the same direction near the reference."""
    logits = POLICY.log().requires_grad_()
    log_p = logits.log_softmax(0)
    (truth,) = torch.autograd.grad((log_p.exp() * (log_p - REFERENCE.log())).sum(), logits)
    log_p = logits.log_softmax(0)
    sampled = (POLICY * ESTIMATORS[estimator](log_p - REFERENCE.log())).sum()
    (found,) = torch.autograd.grad(sampled, logits)
    assert torch.allclose(found, truth) == right
    if estimator == "k1":
        torch.testing.assert_close(found, torch.zeros(3).double())


def test_a_reference_that_excludes_a_token_is_finite() -> None:
    found = token_kl(torch.tensor([[-1.0]]), torch.tensor([[-2000.0]]), torch.tensor([[True]]), "k3")
    assert found.item() == pytest.approx(1998.0)
    found = token_kl(torch.tensor([[-2000.0]]), torch.tensor([[-1.0]]), torch.tensor([[True]]), "k3")
    assert math.isfinite(found.item())
