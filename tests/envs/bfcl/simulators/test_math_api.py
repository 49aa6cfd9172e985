"""What MathAPI does that a reader would not expect."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from tooluse_gym.envs.bfcl.simulators.limits import RefusedError
from tooluse_gym.envs.bfcl.simulators.math_api import MathAPI
from tooluse_gym.envs.bfcl.world import World


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("logarithm", [10.0, 2.0, 5], "{'result': mpf('3.3219299')}"),
        ("logarithm", [0, 2, 5], "{'result': mpf('-inf')}"),
        ("logarithm", [10, 1, 5], '{"error": ""}'),
        ("logarithm", ["a", 2, 5], '{"error": "cannot create mpf from \'a\'"}'),
        ("logarithm", [2, 2, 10**9], '{"error": "precision is limited to 10000 digits"}'),
        ("logarithm", ["1e999999999l", 2, 5], '{"error": "the number is too large"}'),
        ("square_root", [2, 6], "{'result': Decimal('1.41421')}"),
        ("square_root", [-1, 0], '{"error": "Cannot calculate square root of a negative number"}'),
        ("power", [2, 10], '{"result": 1024}'),
        ("power", [2, -1], '{"result": 0.5}'),
        ("round_number", [2.5], '{"result": 2.0}'),
        ("round_number", [15, -(10**9)], '{"result": 0}'),
        ("add", ["a", "b"], '{"result": "ab"}'),
        ("multiply", ["a", 3], '{"error": "Both inputs must be numbers"}'),
        ("multiply", [True, 3], '{"result": 3}'),
        ("divide", [1, 0.0], '{"error": "Cannot divide by zero"}'),
        ("imperial_si_conversion", [3, "x", "x"], '{"result": 3}'),
        ("imperial_si_conversion", [100, "celsius", "fahrenheit"], '{"result": 212.0}'),
        (
            "si_unit_conversion",
            [10**400, "km", "m"],
            '{"error": "Conversion resulted in a value too large to represent"}',
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_results(tool: str, arguments: list[Any], expected: str) -> None:
    assert World(["MathAPI"]).execute(f"{tool}({', '.join(map(repr, arguments))})") == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([0.0, -1], "0.0 cannot be raised to a negative power"),
        ([2.5, 10_000], "(34, 'Numerical result out of range')"),
        ([10**9, 10**9], "Exceeds the limit (4300 digits) for integer string conversion"),
    ],
)
def test_powers_that_raise(arguments: list[Any], message: str) -> None:
    with pytest.raises((ZeroDivisionError, OverflowError, RefusedError)) as error:
        MathAPI().power(*arguments)
    assert str(error.value).startswith(message)


def test_precision_does_not_leak() -> None:
    math = MathAPI()
    first = math.logarithm(10, 2, 5)
    math.logarithm(10, 2, 50)
    assert repr(first) == "{'result': mpf('3.3219299')}"
    math.square_root(2, 3)
    assert Decimal(1) / Decimal(3) == Decimal("0.3333333333333333333333333333")
    assert copy.deepcopy(first) == first
