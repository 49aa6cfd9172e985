"""Measured entropies and the paper's weights: by hand, through JSON, and in a loop where weights lower entropies."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rest_agent.config import EntropyRule, Ramp, WeightsConfig
from rest_agent.entropies import RegionEntropies, measured_weights
from rest_agent.regions import Region
from rest_agent.weights import region_sums, region_weights

REGIONS = [Region.TAG, Region.NAME, Region.ARGUMENTS, Region.THINK]
TOKENS = torch.tensor([6.0, 3.0, 20.0, 60.0]) * 96  # of a region in the rollouts of an update
START = torch.tensor([0.05, 0.2, 0.4, 1.2], dtype=torch.float64)


def _by_region(values: Tensor) -> Tensor:
    """(len(Region),) float64, 0 outside REGIONS."""
    return torch.zeros(len(Region), dtype=torch.float64).index_add(0, torch.tensor(REGIONS), values.double())


def _measure(state: RegionEntropies, means: Tensor, rule: EntropyRule, tokens: Tensor = TOKENS) -> RegionEntropies:
    return state.update(_by_region(means * tokens), _by_region(tokens), rule)


def test_mean_entropy_over_tokens_and_updates() -> None:
    rule = EntropyRule(smoothing=0.5)
    regions = torch.tensor([[0, Region.THINK, Region.THINK, Region.NAME]])
    first = region_sums(torch.tensor([[9.0, 1.0, 2.0, 0.5]]), regions), region_sums(torch.ones(1, 4), regions)
    state = RegionEntropies().update(*first, rule)
    assert state.means()[[Region.THINK, Region.NAME]].tolist() == [1.5, 0.5]
    assert state.means()[Region.TAG].isnan()
    state = state.update(_by_region(torch.tensor([0, 0, 0, 4])), _by_region(torch.tensor([0, 0, 0, 1])), rule)
    # Thoughts: (3 / 2 + 4) / (2 / 2 + 1). No name was seen, and its mean is as before.
    assert state.means()[[Region.THINK, Region.NAME]].tolist() == [2.75, 0.5]
    assert state.updates == 2


def test_frozen_after_the_warm_up() -> None:
    rule = EntropyRule(freeze_after=2)
    state = RegionEntropies()
    for _ in range(2):
        state = _measure(state, START, rule)
    assert _measure(state, 2 * START, rule) is state
    assert _measure(state, 2 * START, EntropyRule()).means()[Region.TAG] > state.means()[Region.TAG]


def test_a_sum_that_is_not_finite_is_left_out() -> None:
    state = _measure(RegionEntropies(), START, EntropyRule())
    broken = START.clone()
    broken[:2] = torch.tensor([math.nan, math.inf])
    after = _measure(state, broken, EntropyRule())
    assert after.means()[REGIONS].tolist() == pytest.approx(START.tolist())
    assert _measure(state, START * math.nan, EntropyRule()) is state
    assert all(math.isfinite(value) for value in (*after.sums, *after.tokens))


def test_the_state_survives_json() -> None:
    state = _measure(_measure(RegionEntropies(), START, EntropyRule()), START / 3, EntropyRule())
    assert RegionEntropies.from_dict(json.loads(json.dumps(state.to_dict()))) == state
    assert RegionEntropies.from_dict({}) == RegionEntropies()


@pytest.mark.parametrize("beta", ["variance", "entropy"])
def test_weights_are_inverse_to_beta_and_one_for_an_average_token(beta: str) -> None:
    rule = EntropyRule(beta="variance" if beta == "variance" else "entropy", floor=1e-6, cap=1e6, name_floor=0)
    weights = measured_weights(_measure(RegionEntropies(), START, rule), rule)[REGIONS]
    expected = 1 - torch.exp(-START) if beta == "variance" else START
    products = weights * expected
    assert products.tolist() == pytest.approx([products[0].item()] * 4)
    assert products[0].item() == pytest.approx(((expected * TOKENS).sum() / TOKENS.sum()).item())


def test_nearly_no_entropy_is_bounded_and_does_not_push_the_others_down() -> None:
    rule = EntropyRule()
    means = torch.tensor([1e-12, 0.01, 0.5, 0.7], dtype=torch.float64)
    weights = measured_weights(_measure(RegionEntropies(), means, rule), rule)[REGIONS]
    assert weights[:2].tolist() == [2.0, 2.0]
    assert (weights[2:] > 0.8).all()
    assert measured_weights(_measure(RegionEntropies(), 0 * means, rule), rule).tolist() == [1.0] * len(Region)


@given(
    st.lists(
        st.tuples(
            st.lists(st.floats(0, 20), min_size=4, max_size=4), st.lists(st.integers(0, 999), min_size=4, max_size=4)
        ),
        max_size=5,
    ),
    st.sampled_from([EntropyRule(), EntropyRule("entropy", 0.2, 5.0, smoothing=0.0)]),
)
def test_weights_are_within_the_bounds_whatever_is_measured(
    updates: list[tuple[list[float], list[int]]], rule: EntropyRule
) -> None:
    state = RegionEntropies()
    for means, tokens in updates:
        state = _measure(state, torch.tensor(means, dtype=torch.float64), rule, torch.tensor(tokens).float())
    weights = measured_weights(state, rule)
    assert ((weights >= rule.floor) & (weights <= rule.cap)).all()


# The closed loop


def _simulate(rule: EntropyRule, recovery: float, noise: float = 0.0, updates: int = 500) -> Tensor:
    """(updates, 4): the weights of a run in which a token's weight lowers the entropy of its region.

    A region's entropy falls by 1 % per update and unit of its weight (normalised to mean 1 over the tokens), and comes
    back by ``recovery`` of the way to where it began. It is measured wrong by a factor of standard deviation ``noise``.
    """
    tag, arguments, think = (Ramp(0, change, fraction=0.5) for change in (-0.4, 0.6, 0.4))
    schedule = WeightsConfig("paper", tag=tag, arguments=arguments, think=think, entropy=rule)
    generator = torch.Generator().manual_seed(0)
    state, entropy, history = RegionEntropies(), START, []
    for update in range(updates):
        weights = region_weights(update / (updates - 1), schedule, state)[REGIONS].double()
        history.append(weights)
        normalised = weights * TOKENS.sum() / (weights * TOKENS).sum()
        entropy = entropy * torch.exp(-0.01 * normalised) + recovery * (START - entropy)
        measured = entropy * torch.exp(noise * torch.randn(4, generator=generator, dtype=torch.float64))
        state = _measure(state, measured, rule)
    return torch.stack(history)


@pytest.mark.parametrize("recovery", [0.0, 0.01], ids=["entropies fall for good", "entropies recover"])
@pytest.mark.parametrize(
    "rule", [EntropyRule(), EntropyRule("entropy", 0.2, 5.0)], ids=["default", "1 / H, wide bounds"]
)
def test_in_a_closed_loop_weights_stay_within_bounds_and_settle(rule: EntropyRule, recovery: float) -> None:
    weights = _simulate(rule, recovery, noise=0.1)
    assert ((weights >= rule.floor) & (weights <= rule.cap)).all()
    assert (weights[:, REGIONS.index(Region.NAME)] >= rule.name_floor).all()
    # From the first measurement on nothing jumps, and once the curriculum has ended nothing moves any more.
    assert weights[1:].diff(dim=0).abs().max() < 0.1 * rule.cap
    assert weights[-100:].std(dim=0).max() < 0.05
    assert (weights[-100:-50].mean(dim=0) - weights[-50:].mean(dim=0)).abs().max() < 0.05


def test_without_bounds_the_same_loop_runs_away() -> None:
    weights = _simulate(EntropyRule(floor=1e-12, cap=1e12, name_floor=0, smoothing=0), recovery=0.0)
    ratios = weights.max(dim=1).values / weights.min(dim=1).values
    assert (ratios[:120].diff() > 0).all()
    assert ratios[120] > 1e5
    assert ratios[-1] > 1e11


def test_without_smoothing_weights_follow_the_noise() -> None:
    spread = {
        smoothing: _simulate(EntropyRule(cap=8.0, smoothing=smoothing), recovery=0.01, noise=0.3)[-100:].std(dim=0)
        for smoothing in (0.0, 0.9)
    }
    between_the_bounds = [REGIONS.index(Region.NAME), REGIONS.index(Region.ARGUMENTS)]
    assert (spread[0.9] < 0.3 * spread[0.0])[between_the_bounds].all()
