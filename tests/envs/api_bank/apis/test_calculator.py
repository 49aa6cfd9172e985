from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tooluse_gym.envs.api_bank.apis.base import RefusalError
from tooluse_gym.envs.api_bank.apis.calculator import calculate, calculate_officially


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("-5+3", -2),
        ("((1+2)*3)", 9),
        ("1--2", 3),
        ("2*-(3-5)", 4),
        ("+7 / 2", 3.5),
        ("8/2/2-1", 1),
        ("(3)", 3),
        ("42", 42),
    ],
)
def test_value(formula: str, value: float) -> None:
    assert calculate(formula) == value


@pytest.mark.parametrize(
    "formula", ["", "1+", "1+2)(", "(1+2", "()+1", "2(3+4)", "1.5+2", "a+b", "*3", "1" * 2_001, "(" * 999 + ")" * 999]
)
def test_no_formula(formula: str) -> None:
    with pytest.raises(RefusalError, match="invalid formula"):
        calculate(formula)


@pytest.mark.parametrize("formula", ["-5+3", "+-", "-", "*2+1", "(-5)*2+1"])
def test_what_never_ends_officially_is_refused(formula: str) -> None:
    with pytest.raises(RefusalError, match="invalid formula"):
        calculate_officially(formula)


@given(st.text("0123456789+-*/() ", max_size=60))
def test_any_text_has_a_value_or_is_refused(formula: str) -> None:
    with contextlib.suppress(RefusalError, ZeroDivisionError):
        assert isinstance(calculate(formula), float)
    with contextlib.suppress(RefusalError, ZeroDivisionError, TypeError):  # Python's words on a sum of signs
        assert isinstance(calculate_officially(formula), float)


Formula = tuple[str, float]


def _joined(parts: tuple[Formula, str, Formula]) -> Formula:
    (left, one), sign, (right, other) = parts
    return f"({left}{sign}{right})", one + other if sign == "+" else one - other if sign == "-" else one * other


FORMULAS = st.recursive(
    st.integers(0, 99).map(lambda number: (str(number), float(number))),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*"), inner).map(_joined) | inner.map(lambda x: (f"-{x[0]}", -x[1]))
    ),
    max_leaves=8,
)


@given(FORMULAS)
def test_written_formulas_are_computed(formula: Formula) -> None:
    text, value = formula
    assert calculate(text) == value
