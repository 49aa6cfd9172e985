"""Intervals against published values, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tooluse_gym.evaluation.intervals import (
    Scored,
    bootstrap,
    of_each_draw,
    paired_difference,
    pass_at_k,
    percentiles,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "n", "interval"),
    [
        (0, 10, (0.0, 0.2775)),  # Wilson's interval for 0 of n is z² / (n + z²)
        (10, 10, (0.7225, 1.0)),
        (81, 263, (0.2553, 0.3662)),  # Newcombe 1998, table I
        (15, 148, (0.0624, 0.1605)),
        (1, 29, (0.0061, 0.1718)),
        (0, 0, (0.0, 1.0)),
    ],
)
def test_wilson(successes: int, n: int, interval: tuple[float, float]) -> None:
    assert wilson(successes, n) == pytest.approx(interval, abs=1e-4)


def test_wilson_is_closed_at_the_ends() -> None:
    assert wilson(0, 7)[0] == 0.0
    assert wilson(7, 7)[1] == 1.0
    with pytest.raises(ValueError, match="got 3 of 2"):
        wilson(3, 2)


def _outcomes(both: int, lost: int, gained: int, neither: int) -> tuple[list[bool], list[bool]]:
    before = [True] * (both + lost) + [False] * (gained + neither)
    after = [True] * both + [False] * lost + [True] * gained + [False] * neither
    return before, after


def test_paired_difference_by_hand() -> None:
    # 2 lost, 8 gained of 20. Adjusted: (8.5 - 2.5) / 22 = .2727, half = 1.96 sqrt(11 - 36 / 22) / 22 = .2726.
    change = paired_difference(*_outcomes(5, 2, 8, 5))
    assert (change.value, change.n, change.gained, change.lost) == (0.3, 20, 8, 2)
    assert (change.low, change.high) == pytest.approx((0.0001, 0.5454), abs=1e-4)
    # Exact McNemar: 2 (C(10,0) + C(10,1) + C(10,2)) / 2^10 = 112 / 1024.
    assert change.p_value == pytest.approx(112 / 1024)


def test_no_change_still_has_an_interval() -> None:
    change = paired_difference(*_outcomes(4, 0, 0, 4))
    assert change.value == 0
    assert change.p_value == 1
    assert change.low == pytest.approx(-change.high)
    assert 0.1 < change.high < 0.3


def test_the_interval_holds_the_estimate_and_stays_within_one() -> None:
    change = paired_difference(*_outcomes(0, 0, 3, 0))
    assert change.value == 1.0 == change.high
    many = paired_difference(*_outcomes(0, 0, 2000, 0))
    assert many.low <= many.value <= many.high
    assert many.p_value == 0.0 or many.p_value < 1e-300


def test_the_interval_turns_with_the_direction() -> None:
    before, after = _outcomes(5, 2, 8, 5)
    up, down = paired_difference(before, after), paired_difference(after, before)
    assert (down.low, down.high) == pytest.approx((-up.high, -up.low))
    assert up.p_value == down.p_value


@pytest.mark.parametrize(("before", "after"), [([], []), ([True], []), ([True], [True, False])])
def test_unpaired_outcomes_are_refused(before: list[bool], after: list[bool]) -> None:
    with pytest.raises(ValueError, match="two outcomes for each"):
        paired_difference(before, after)


@pytest.mark.parametrize(
    ("samples", "right", "k", "value"),
    [(4, 0, 1, 0.0), (4, 1, 1, 0.25), (4, 1, 2, 0.5), (4, 2, 2, 5 / 6), (4, 1, 4, 1.0), (3, 3, 2, 1.0)],
)
def test_pass_at_k_by_hand(samples: int, right: int, k: int, value: float) -> None:
    assert pass_at_k(samples, right, k) == pytest.approx(value)


def test_pass_at_k_needs_k_samples() -> None:
    with pytest.raises(ValueError, match="got 1, 2 and 3"):
        pass_at_k(2, 1, 3)


def _spread(scored: list[Scored]) -> float:
    low, high = percentiles(bootstrap(scored)["c"])
    return high - low


def test_tasks_of_one_cluster_tell_no_more_than_one() -> None:
    """Copies of a task leave the interval as it is; independent tasks make it narrower."""
    right = [number % 3 == 0 for number in range(60)]
    once = [Scored("c", "f", str(number), float(value)) for number, value in enumerate(right)]
    copies = [one for one in once for _ in range(4)]
    others = [Scored("c", "f", f"{one.cluster}-{copy}", one.value) for one in once for copy in range(4)]
    assert _spread(copies) == _spread(once)
    assert _spread(others) == pytest.approx(_spread(once) / 2, rel=0.1)
    low, high = percentiles(bootstrap(once)["c"])
    assert (low, high) == pytest.approx(wilson(20, 60), abs=0.015)


def test_categories_of_a_family_share_their_draws() -> None:
    """What two categories have in common cancels in their difference."""
    values = [float(number % 2) for number in range(40)]
    same = [Scored(name, "f", str(number), value) for name in ("a", "b") for number, value in enumerate(values)]
    drawn = bootstrap(same)
    assert np.array_equal(drawn["a"], drawn["b"])
    apart = bootstrap([Scored(one.category, one.category, one.cluster, one.value) for one in same])
    assert not np.array_equal(apart["a"], apart["b"])
    differences = of_each_draw(drawn, lambda means: {"difference": means["a"] - means["b"]})["difference"]
    assert percentiles(differences) == (0.0, 0.0)


def test_a_category_of_a_few_clusters_is_never_without_a_value() -> None:
    scored = [Scored("many", "f", str(number), 1.0) for number in range(30)]
    scored += [Scored("few", "f", "0", 1.0), Scored("few", "f", "1", 0.0)]
    drawn = bootstrap(scored)["few"]
    assert not np.isnan(drawn).any()
    assert math.isclose(float(drawn.mean()), 0.5, abs_tol=0.05)
