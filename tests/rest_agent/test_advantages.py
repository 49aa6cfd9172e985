"""Group advantages against hand-computed values."""

from __future__ import annotations

import pytest
import torch

from rest_agent.advantages import group_advantages


def test_two_groups_by_hand() -> None:
    # 1, 2, 3: mean 2, standard deviation with n - 1 is 1. 0, 0, 3: mean 1, variance (1 + 1 + 4) / 2 = 3.
    rewards = torch.tensor([1.0, 2.0, 3.0, 0.0, 0.0, 3.0])
    root = 3**0.5
    assert group_advantages(rewards, 3).tolist() == pytest.approx([-1, 0, 1, -1 / root, -1 / root, 2 / root], abs=2e-6)
    assert group_advantages(rewards, 3, scale_by_std=False).tolist() == [-1, 0, 1, -1, -1, 2]


@pytest.mark.parametrize("reward", [0.1, 0.3, 1 / 3, 1e6 + 0.1, 0.0])
@pytest.mark.parametrize("group", [2, 3, 7, 8])
def test_equal_rewards_have_no_advantage_at_all(reward: float, group: int) -> None:
    """Eight times 0.1 has a mean that is not 0.1; divided by epsilon alone, the rest would be a gradient."""
    rewards = torch.full((2 * group,), reward)
    assert group_advantages(rewards, group).tolist() == [0.0] * (2 * group)


def test_an_equal_group_leaves_the_others_alone() -> None:
    advantages = group_advantages(torch.tensor([0.1] * 4 + [0.0, 0.0, 1.0, 1.0]), 4)
    assert advantages[:4].tolist() == [0.0] * 4
    assert advantages[4:].tolist() == pytest.approx([-(0.75**0.5)] * 2 + [0.75**0.5] * 2, abs=2e-6)


def test_result_is_float32() -> None:
    assert group_advantages(torch.tensor([0, 1]), 2).dtype == torch.float32


@pytest.mark.parametrize(("shape", "group"), [((4,), 1), ((5,), 2), ((2, 2), 2)])
def test_rewards_must_come_in_groups(shape: tuple[int, ...], group: int) -> None:
    with pytest.raises(ValueError, match="in groups of at least 2"):
        group_advantages(torch.zeros(shape), group)
