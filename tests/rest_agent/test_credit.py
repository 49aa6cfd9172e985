"""Which token gets which advantage: rollouts of two turns, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rest_agent.batch import Rollout
from rest_agent.config import AdvantageConfig
from rest_agent.credit import critic_advantages, earned, term_names, token_advantages, token_rewards, turn_sums


def _rollout(turns: list[int], turn_rewards: tuple[float, ...], **terms: float) -> Rollout:
    stream = torch.tensor(turns, dtype=torch.int8)
    said = stream >= 0
    return Rollout(
        token_ids=torch.arange(len(turns)),
        loss_mask=said,
        log_probs=torch.zeros(len(turns)),
        regions=said.to(torch.int8),
        turns=stream,
        reward=sum(turn_rewards),
        task_id="t",
        reward_terms=terms,
        turn_rewards=turn_rewards,
    )


# A group of two: one earned 1 in the first turn and 2 in the second, the other 3 and nothing; "format" is its own.
ROLLOUTS = [
    _rollout([-1, 0, 0, -1, 1], (1.0, 2.0), format=1.0, calls=2.0),
    _rollout([-1, 0, -1, 1], (3.0, 0.0), format=1.0, calls=2.0),
]


def _once(value: Tensor) -> Tensor:
    return value


def _advantages(costs: Any = None, **changes: Any) -> list[list[float]]:
    config = AdvantageConfig(scale_by_std=False, **changes)
    costs = torch.zeros(2, 5) if costs is None else torch.tensor(costs)
    return token_advantages(ROLLOUTS, 2, config, costs, _once).tolist()


def test_an_outcome_goes_to_every_sampled_token() -> None:
    assert _advantages() == [[0.0] * 5] * 2  # both earned 3
    costs = [[0.0, 0.25, 0.25, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0, 0.0]]
    assert _advantages(costs) == [[0, -0.5, -0.5, 0, -0.5], [0, 0.5, 0, 0.5, 0]]


def test_a_turn_is_credited_with_what_it_and_those_after_it_earned() -> None:
    # Returns to go: 3 and 2 against 3 and 0.
    assert _advantages(credit="turns") == [[0, 0, 0, 0, 1], [0, 0, 0, -1, 0]]
    # With discount .5: 1 + 1 and 2 against 3 and 0.
    assert _advantages(credit="turns", discount=0.5) == [[0, -0.5, -0.5, 0, 1], [0, 0.5, 0, -1, 0]]


def test_what_a_token_costs_is_taken_from_its_turn_and_those_before() -> None:
    costs = [[0.0, 0.0, 1.0, 0.0, 2.0], [0.0] * 5]
    # Returns: 0 (= 1 - 1 + 2 - 2) and 0 against 3 and 0.
    assert _advantages(costs, credit="turns") == [[0, -1.5, -1.5, 0, 0], [0, 1.5, 0, 0, 0]]


def test_every_term_is_relative_by_itself_and_the_batch_is_scaled() -> None:
    rollouts = [
        _rollout([0, 0], (1.0,), format=1.0, calls=0.0),
        _rollout([0, -1], (1.0,), format=0.0, calls=1.0),
        _rollout([0, 0], (0.1,), format=0.1, calls=0.0),
        _rollout([-1, 0], (0.1,), format=0.1, calls=0.0),
    ]
    config = AdvantageConfig(credit="terms", scale_by_std=False, term_weights={"calls": 3.0})
    assert term_names(rollouts) == ["calls", "format"]
    # Sums of terms: -1.5 + .5 and 1.5 - .5; nothing in the second group. Their deviation: sqrt((1 + 1) / 3).
    scale = (2 / 3) ** 0.5
    found = token_advantages(rollouts, 2, config, torch.zeros(4, 2), _once)
    assert found[:2].tolist() == [
        pytest.approx([-1 / scale, -1 / scale], abs=1e-5),
        pytest.approx([1 / scale, 0], abs=1e-5),
    ]
    assert found[2:].abs().sum().item() == 0  # exactly, whatever was divided


@pytest.mark.parametrize(
    ("credit", "expected"),
    [
        ("outcome", [[3.0], [3.0]]),
        ("terms", [[2.0, 1.0], [2.0, 1.0]]),
        ("turns", [[1.0, 2.0], [3.0, 0.0]]),
        ("critic", [[1.0, 2.0], [3.0, 0.0]]),
    ],
)
def test_what_rollouts_are_compared_by(credit: Any, expected: list[list[float]]) -> None:
    assert earned(ROLLOUTS, AdvantageConfig(credit=credit)).tolist() == expected


def test_the_reward_of_a_turn_is_earned_at_its_last_token() -> None:
    turns = torch.tensor([[-1, 0, 0, -1, 1], [-1, 0, -1, 0, -1]])
    found = token_rewards(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), turns)
    assert found.tolist() == [[0, 0, 1, 0, 2], [0, 0, 0, 3, 0]]


def test_sums_by_turn() -> None:
    turns = torch.tensor([[-1, 0, 0, 1, -1]])
    assert turn_sums(torch.tensor([[9.0, 1.0, 2.0, 4.0, 9.0]]), turns, 3).tolist() == [[3, 4, 0]]


def test_a_critics_advantages_are_standardised_over_sampled_tokens() -> None:
    config = AdvantageConfig(credit="critic", trace=1.0)
    costs = torch.zeros(2, 5)
    costs[0, 4] = 0.5
    advantages, targets = critic_advantages(ROLLOUTS, config, costs, torch.zeros(2, 5), _once)
    assert targets.tolist() == [[0, 2.5, 2.5, 0, 1.5], [0, 3, 0, 0, 0]]
    values = torch.tensor([2.5, 2.5, 1.5, 3.0, 0.0])
    expected = (values - values.mean()) / values.std()
    mask = torch.tensor([[False, True, True, False, True], [False, True, False, True, False]])
    torch.testing.assert_close(advantages[mask], expected, atol=1e-5, rtol=0)
    assert advantages[~mask].abs().sum().item() == 0
