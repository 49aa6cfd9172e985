"""The critic: its loss by hand, and what its model begins as."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rest_agent.config import Config
from rest_agent.critic import explained_variance, value_loss, value_model


@pytest.mark.parametrize(
    ("value", "clip", "loss", "gradient"),
    [
        (2.0, None, 2.0, -2.0),
        (2.0, 0.5, 3.125, 0.0),
        (1.25, 0.5, 2.75**2 / 2, -2.75),
        (5.0, 0.5, 3.125, 0.0),
        (0.0, 0.5, 8.0, -4.0),
    ],
    ids=["free", "has moved far enough", "may move", "beyond the target", "moved away"],
)
def test_a_tokens_loss_by_hand(value: float, clip: float | None, loss: float, gradient: float) -> None:
    """The old value is 1, the target 4: clipped at a distance of .5, the value counts as 1.5 at most."""
    values = torch.tensor([[value, 7.0]], requires_grad=True)
    old, targets, mask = torch.tensor([[1.0, 0.0]]), torch.tensor([[4.0, 0.0]]), torch.tensor([[True, False]])
    found = value_loss(values, old, targets, mask, clip, denominator=1.0)
    assert found.item() == pytest.approx(loss)
    assert torch.autograd.grad(found, values)[0].tolist() == [pytest.approx([gradient, 0.0])]


def test_micro_batches_add_up_under_a_common_denominator() -> None:
    torch.manual_seed(0)
    values, old, targets = (torch.randn(4, 5) for _ in range(3))
    mask = torch.rand(4, 5) > 0.3
    total = float(mask.sum())
    whole = value_loss(values, old, targets, mask, 0.2, total)
    parts = [value_loss(values[rows], old[rows], targets[rows], mask[rows], 0.2, total) for rows in ([0], [1, 3], [2])]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("values", "targets", "expected"),
    [([1, 2, 3], [1, 2, 3], 1.0), ([0, 0, 0], [1, 2, 3], 0.0), ([3, 2, 1], [1, 2, 3], -3.0), ([1, 2], [5, 5], 0.0)],
    ids=["perfect", "a constant", "upside down", "nothing to explain"],
)
def test_explained_variance(values: list[float], targets: list[float], expected: float) -> None:
    assert explained_variance(torch.tensor(values).float(), torch.tensor(targets).float()) == pytest.approx(expected)


@pytest.mark.parametrize("family", ["own", "llama"])
def test_it_begins_with_the_policys_body_and_expects_nothing(
    family: str, folders: dict[str, Path], players: Any
) -> None:
    config = replace(Config(), model=replace(Config().model, path=str(folders[family])))
    model = value_model(folders[family], config).train()
    policy = players[family].model
    bodies = [dict(one.base_model.named_parameters()) for one in (model, policy)]
    assert bodies[0].keys() == bodies[1].keys()
    assert all(torch.equal(bodies[0][name], bodies[1][name]) for name in bodies[0])
    ids = torch.arange(6)[None]
    assert model(input_ids=ids).logits.shape == (1, 6, 1)
    assert model(input_ids=ids).logits.abs().sum().item() == 0
    torch.nn.init.normal_(model.score.weight)
    assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)  # nothing is dropped at random
