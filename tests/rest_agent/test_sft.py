"""Supervised learning: which tokens weigh more, and which rollouts are imitated."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rest_agent.regions import Region
from rest_agent.sft import best_of, demonstration_batch, emphasis_weights

REGIONS = torch.tensor(
    [[Region.NONE, Region.TAG, Region.THINK, Region.NAME, Region.ARGUMENTS, Region.END], [Region.NONE] * 6]
)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("sft", [0, 1, 1, 1, 1, 1]),
        ("tsft", [0, 1, 1, 3, 3, 1]),
        ("rsft", [0, 1, 3, 1, 1, 1]),
    ],
)
def test_weights_of_the_baselines(kind: Any, raw: list[float]) -> None:
    weights = emphasis_weights(REGIONS, kind, 3.0)
    expected = torch.tensor(raw) * 5 / sum(raw)  # their mean over the five tokens is 1
    assert weights[0].tolist() == pytest.approx(expected.tolist())
    assert weights[1].tolist() == [0.0] * 6


@pytest.mark.parametrize(
    ("least", "kept"),
    [(None, [True, False, True]), (1.0, [True, False, False]), (0.5, [True, True, False])],
    ids=["better than another", "at least 1", "at least .5"],
)
def test_the_best_of_every_group(least: float | None, kept: list[bool]) -> None:
    rewards = torch.tensor([0.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.0, 0.1, 0.2])
    rows, keep = best_of(rewards, 3, least)
    assert rows == [1, 3, 8]
    assert keep.tolist() == kept


def test_what_is_not_kept_weighs_nothing(players: Any) -> None:
    arena = players["own"].arena()
    rollouts = [arena.demonstration(seed, noise=0.0) for seed in (1, 2)]
    batch = demonstration_batch(rollouts, 0, keep=torch.tensor([False, True]))
    assert batch.weights[0].sum().item() == 0
    assert batch.weights[1].tolist() == batch.loss_mask[1].tolist()
