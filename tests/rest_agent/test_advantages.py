"""Estimators of advantages against hand-computed values."""

from __future__ import annotations

import pytest
import torch

from rest_agent.advantages import (
    generalised_advantages,
    group_advantages,
    moments,
    returns_to_go,
    standardise,
    term_advantages,
    turn_advantages,
)


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


@pytest.mark.parametrize(
    ("rewards", "options", "expected"),
    [
        ([1, 2, 3, 6], {}, [-2, -1, 0, 3]),
        ([1, 2, 3, 6], {"leave_one_out": True}, [1 - 11 / 3, 2 - 10 / 3, 3 - 9 / 3, 6 - 6 / 3]),
        ([0, 1], {"leave_one_out": True}, [-1, 1]),
        ([5, 5], {"leave_one_out": True}, [0, 0]),
        ([0, 2], {"scale_by_std": True, "leave_one_out": True}, [-(2**0.5), 2**0.5]),
    ],
    ids=["Dr. GRPO", "RLOO: less the mean of the others", "two", "equal", "scaled"],
)
def test_baselines_by_hand(rewards: list[float], options: dict[str, bool], expected: list[float]) -> None:
    found = group_advantages(torch.tensor(rewards).float(), len(rewards), **{"scale_by_std": False, **options})
    assert found.tolist() == pytest.approx(expected, abs=1e-5)


def test_terms_that_cancel_in_their_sum_still_teach() -> None:
    """GDPO's point: here all rewards are 1, and GRPO sees nothing."""
    terms = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    assert group_advantages(terms.sum(dim=1), 2).tolist() == [0.0] * 4
    half = 0.5**0.5  # (1 - .5) / std of (1, 0), and of (1, .5)
    found = term_advantages(terms, 2, torch.tensor([1.0, 3.0]))
    assert found.tolist() == pytest.approx(
        [half - 3 * half, 3 * half - half, half - 3 * half, 3 * half - half], abs=1e-5
    )


def test_a_term_in_which_a_group_agrees_adds_nothing() -> None:
    terms = torch.tensor([[0.1, 1.0], [0.1, 0.0], [0.1, 0.0], [0.1, 0.0]])
    alone = group_advantages(terms[:, 1], 4)
    assert term_advantages(terms, 4, torch.ones(2)).tolist() == alone.tolist()


def test_returns_to_go_by_hand() -> None:
    rewards = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 8.0]])
    assert returns_to_go(rewards, 1.0).tolist() == [[7, 6, 4], [8, 8, 8]]
    assert returns_to_go(rewards, 0.5).tolist() == [[3, 4, 4], [2, 4, 8]]
    assert returns_to_go(rewards, 0.0).tolist() == rewards.tolist()


def test_turns_are_compared_with_the_same_turn_alone() -> None:
    # The third rollout did not reach the second turn; in the second group one alone did.
    returns = torch.tensor([[3.0, 1.0], [1.0, 5.0], [2.0, 99.0], [7.0, 2.0], [7.0, 99.0], [7.0, 99.0]])
    reached = torch.tensor([[True, True], [True, True], [True, False], [True, True], [True, False], [True, False]])
    found = turn_advantages(returns, reached, 3, scale_by_std=False)
    assert found.tolist() == [[1, -2], [-1, 2], [0, 0], [0, 0], [0, 0], [0, 0]]
    scaled = turn_advantages(returns, reached, 3)
    assert scaled[:, 0].tolist() == pytest.approx([1, -1, 0, 0, 0, 0], abs=1e-5)
    assert scaled[:2, 1].tolist() == pytest.approx([-(0.5**0.5), 0.5**0.5], abs=1e-5)


def test_generalised_advantages_by_hand() -> None:
    # Sampled: columns 1, 2 and 4; column 3 is the environment's, and its value is none.
    mask = torch.tensor([[False, True, True, False, True]])
    rewards = torch.tensor([[0.0, 0.0, 1.0, 0.0, 2.0]])
    values = torch.tensor([[9.0, 0.5, 1.0, 9.0, 1.5]])
    # delta: 2 - 1.5 = .5;  1 + .9 * 1.5 - 1 = 1.35;  .9 * 1 - .5 = .4. With discount x trace = .9 * .5 = .45:
    last, middle = 0.5, 1.35 + 0.45 * 0.5
    first = 0.4 + 0.45 * middle
    advantages, targets = generalised_advantages(rewards, values, mask, discount=0.9, trace=0.5)
    assert advantages.tolist()[0] == pytest.approx([0, first, middle, 0, last])
    assert targets.tolist()[0] == pytest.approx([0, first + 0.5, middle + 1.0, 0, last + 1.5])


@pytest.mark.parametrize(("trace", "expected"), [(1.0, [3, 3, 2]), (0.0, [0, 1, 2])], ids=["returns", "one step"])
def test_a_critic_that_knows_nothing_leaves_the_rewards(trace: float, expected: list[float]) -> None:
    rewards, nothing = torch.tensor([[0.0, 1.0, 2.0]]), torch.zeros(1, 3)
    found, _ = generalised_advantages(rewards, nothing, torch.ones(1, 3, dtype=torch.bool), 1.0, trace)
    assert found.tolist()[0] == expected


def test_a_perfect_critic_leaves_no_advantage() -> None:
    rewards = torch.tensor([[1.0, 0.0, 2.0]])
    values = returns_to_go(rewards, 0.9)
    found, targets = generalised_advantages(rewards, values, torch.ones(1, 3, dtype=torch.bool), 0.9, 0.7)
    assert found.tolist()[0] == pytest.approx([0, 0, 0], abs=1e-6)
    assert targets.tolist()[0] == pytest.approx(values.tolist()[0])


def test_standardised_over_the_batches_of_all_ranks() -> None:
    ranks = [torch.tensor([1.0, 2.0]), torch.tensor([6.0])]  # mean 3, variance (4 + 1 + 9) / 2 = 7
    total = sum((moments(values) for values in ranks), torch.zeros(3))
    assert total.tolist() == [3, 9, 41]
    found = [standardise(values, total, centre=True).tolist() for values in ranks]
    assert found == [pytest.approx([-2 / 7**0.5, -1 / 7**0.5], abs=1e-5), pytest.approx([3 / 7**0.5], abs=1e-5)]
    assert standardise(ranks[0], total, centre=False).tolist() == pytest.approx([1 / 7**0.5, 2 / 7**0.5], abs=1e-5)


def test_nothing_varies_nothing_is_learned() -> None:
    values = torch.zeros(4)
    assert standardise(values, moments(values), centre=False).tolist() == [0.0] * 4
    assert standardise(values[:0], moments(values[:0]), centre=True).tolist() == []
