"""MathAPI: arithmetic without state."""

from __future__ import annotations

import decimal
import math
from functools import lru_cache
from typing import Any

import mpmath  # type: ignore[import-untyped]

from .base import Simulator
from .limits import MOST_DIGITS, RefusedError, power, rounded

_METRES = {"km": 1000, "m": 1, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "nm": 1e-9}
_FACTORS = {
    "cm_to_in": 0.393701,
    "in_to_cm": 2.54,
    "m_to_ft": 3.28084,
    "ft_to_m": 0.3048,
    "m_to_yd": 1.09361,
    "yd_to_m": 0.9144,
    "km_to_miles": 0.621371,
    "miles_to_km": 1.60934,
    "kg_to_lb": 2.20462,
    "lb_to_kg": 0.453592,
}
_NOT_NUMBERS = {"error": "Both inputs must be numbers"}
_BAD_ELEMENTS = {"error": "All elements in the list must be numbers"}
_Result = dict[str, Any]


class MathAPI(Simulator):
    """Arithmetic, statistics over lists, and unit conversion."""

    def logarithm(self, value: float, base: float, precision: int) -> _Result:
        """Take the logarithm of a number to any base, to a chosen number of digits.

        Args:
            value: number whose logarithm is wanted.
            base: base of the logarithm.
            precision: decimal digits to compute with.
        """
        try:
            context = _remembered(precision) if isinstance(precision, int) else _arithmetic(precision)
            for number in (value, base):
                if isinstance(number, str) and not -MOST_DIGITS < _exponent(number) < MOST_DIGITS:
                    raise RefusedError("the number is too large")
            return {"result": context.log(value) / context.log(base)}
        except Exception as error:  # upstream reports every failure as text
            return {"error": str(error)}

    def mean(self, numbers: list[float]) -> _Result:
        """Average a list of numbers.

        Args:
            numbers: the numbers to average.
        """
        if not numbers:
            return {"error": "Cannot calculate mean of an empty list"}
        try:
            return {"result": sum(numbers) / len(numbers)}
        except TypeError:
            return dict(_BAD_ELEMENTS)

    def standard_deviation(self, numbers: list[float]) -> _Result:
        """Compute the population standard deviation of a list of numbers.

        Args:
            numbers: the numbers, taken as the whole population.
        """
        if not numbers:
            return {"error": "Cannot calculate standard deviation of an empty list"}
        try:
            mean = sum(numbers) / len(numbers)
            return {"result": math.sqrt(sum(power(number - mean, 2) for number in numbers) / len(numbers))}
        except TypeError:
            return dict(_BAD_ELEMENTS)

    def si_unit_conversion(self, value: float, unit_in: str, unit_out: str) -> _Result:
        """Convert a length between metric units (km, m, cm, mm, um, nm).

        Args:
            value: the length in the first unit.
            unit_in: unit the length is given in.
            unit_out: unit wanted.
        """
        if not isinstance(value, int | float):
            return {"error": "Value must be a number"}
        if unit_in not in _METRES or unit_out not in _METRES:
            return _no_conversion(unit_in, unit_out)
        try:
            return {"result": value * _METRES[unit_in] * (1 / _METRES[unit_out])}
        except OverflowError:
            return {"error": "Conversion resulted in a value too large to represent"}

    def imperial_si_conversion(self, value: float, unit_in: str, unit_out: str) -> _Result:
        """Convert a length, a mass or a temperature between imperial and metric units.

        Args:
            value: the quantity in the first unit.
            unit_in: unit the quantity is given in, such as ft, miles, lb or fahrenheit.
            unit_out: unit wanted.
        """
        if not isinstance(value, int | float):
            return {"error": "Value must be a number"}
        if unit_in == unit_out:
            return {"result": value}
        conversion = f"{unit_in}_to_{unit_out}"
        try:
            if conversion == "celsius_to_fahrenheit":
                return {"result": value * 1.8 + 32}
            if conversion == "fahrenheit_to_celsius":
                return {"result": (value - 32) * (5 / 9)}
            if conversion in _FACTORS:
                return {"result": value * _FACTORS[conversion]}
        except OverflowError:
            return {"error": "Conversion resulted in a value too large to represent"}
        return _no_conversion(unit_in, unit_out)

    def add(self, a: float, b: float) -> _Result:
        """Add two numbers.

        Args:
            a: first summand.
            b: second summand.
        """
        try:
            return {"result": a + b}
        except TypeError:
            return dict(_NOT_NUMBERS)

    def subtract(self, a: float, b: float) -> _Result:
        """Subtract one number from another.

        Args:
            a: number to take from.
            b: number to take away.
        """
        try:
            return {"result": a - b}
        except TypeError:
            return dict(_NOT_NUMBERS)

    def multiply(self, a: float, b: float) -> _Result:
        """Multiply two numbers.

        Args:
            a: first factor.
            b: second factor.
        """
        if not isinstance(a, int | float) or not isinstance(b, int | float):
            return dict(_NOT_NUMBERS)
        return {"result": a * b}

    def divide(self, a: float, b: float) -> _Result:
        """Divide one number by another.

        Args:
            a: dividend.
            b: divisor.
        """
        try:
            if b == 0:
                return {"error": "Cannot divide by zero"}
            return {"result": a / b}
        except TypeError:
            return dict(_NOT_NUMBERS)

    def power(self, base: float, exponent: float) -> _Result:
        """Raise a number to a power.

        Args:
            base: number to raise.
            exponent: the power.
        """
        try:
            return {"result": power(base, exponent)}
        except TypeError:
            return dict(_NOT_NUMBERS)

    def square_root(self, number: float, precision: int) -> _Result:
        """Take a square root to a chosen number of digits.

        Args:
            number: number whose root is wanted.
            precision: significant digits of the result.
        """
        try:
            if number < 0:
                return {"error": "Cannot calculate square root of a negative number"}
            context = decimal.Context(prec=precision)
            if precision > MOST_DIGITS:
                raise RefusedError(f"precision is limited to {MOST_DIGITS} digits")
            return {"result": decimal.Decimal(number).sqrt(context)}
        except (TypeError, decimal.InvalidOperation):
            return {"error": "Input must be a number or computation resulted in an invalid operation"}

    def absolute_value(self, number: float) -> _Result:
        """Drop the sign of a number.

        Args:
            number: the number.
        """
        try:
            return {"result": abs(number)}
        except TypeError:
            return {"error": "Input must be a number"}

    def round_number(self, number: float, decimal_places: int = 0) -> _Result:
        """Round a number.

        Args:
            number: number to round.
            decimal_places: digits to keep after the decimal point.
        """
        try:
            return {"result": rounded(number, decimal_places)}
        except TypeError:
            return {"error": "First input must be a number, second input must be an integer"}

    def percentage(self, part: float, whole: float) -> _Result:
        """Express a part of a whole as a percentage.

        Args:
            part: the part.
            whole: the whole, which is 100 per cent.
        """
        try:
            if whole == 0:
                return {"error": "Whole value cannot be zero"}
            return {"result": part / whole * 100}
        except TypeError:
            return dict(_NOT_NUMBERS)

    def min_value(self, numbers: list[float]) -> _Result:
        """Find the smallest number of a list.

        Args:
            numbers: the numbers to choose from.
        """
        if not numbers:
            return {"error": "Cannot find minimum of an empty list"}
        try:
            return {"result": min(numbers)}
        except TypeError:
            return dict(_BAD_ELEMENTS)

    def max_value(self, numbers: list[float]) -> _Result:
        """Find the largest number of a list.

        Args:
            numbers: the numbers to choose from.
        """
        if not numbers:
            return {"error": "Cannot find maximum of an empty list"}
        try:
            return {"result": max(numbers)}
        except TypeError:
            return dict(_BAD_ELEMENTS)

    def sum_values(self, numbers: list[float]) -> _Result:
        """Add up a list of numbers.

        Args:
            numbers: the summands.
        """
        if not numbers:
            return {"error": "Cannot calculate sum of an empty list"}
        try:
            return {"result": sum(numbers)}
        except TypeError:
            return dict(_BAD_ELEMENTS)


def _arithmetic(precision: Any) -> Any:
    """An arithmetic of that many decimal digits. Its results print with its precision, so it never changes."""
    context = mpmath.mp.clone()
    context.dps = precision
    if context.dps > MOST_DIGITS:
        raise RefusedError(f"precision is limited to {MOST_DIGITS} digits")
    return context


_remembered = lru_cache(maxsize=32, typed=True)(_arithmetic)  # making one takes a hundred times as long as using it


def _no_conversion(unit_in: object, unit_out: object) -> _Result:
    return {"error": f"Conversion from '{unit_in}' to '{unit_out}' is not supported"}


def _exponent(number: str) -> int:
    """The decimal exponent that mpmath would read in ``number``, 0 if there is none."""
    written = number.lower().rstrip("l").partition("e")[2]
    try:
        return int(written or "0")
    except ValueError:
        return 0
