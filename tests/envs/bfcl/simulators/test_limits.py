"""Arithmetic and copies stay bounded, and exact where they are allowed."""

from __future__ import annotations

from typing import Any

import pytest

from tooluse_gym.envs.bfcl.simulators.limits import Budget, RefusedError, power, product, rounded


def test_copies_unfold_sharing() -> None:
    value: list[Any] = ["a"]
    for _ in range(60):
        value = [value, value]
    with pytest.raises(RefusedError, match="the arguments is too large"):
        Budget(1_000, "the arguments").copy(value)


def test_cycles_end() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(RefusedError, match="nested too deeply"):
        Budget(1_000, "the value").copy(value)


@pytest.mark.parametrize(("number", "places"), [(15, -1), (25, -1), (949, -3), (951, -3), (5, 2), (2.675, 2)])
def test_rounding_is_exact(number: Any, places: int) -> None:
    assert rounded(number, places) == round(number, places)


def test_small_results_are_exact() -> None:
    assert power(3, 200) == 3**200
    assert power(1, 10**12) == 1
    assert power(-1, 10**12 + 1) == -1
    assert product("ab", 3) == "ababab"
    with pytest.raises(RefusedError):
        product([0], 10**9)
