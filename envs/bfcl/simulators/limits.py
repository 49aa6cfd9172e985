"""Bounds: whatever a call's arguments are, it ends soon and stays small.

Sizes are counted in characters; a number or a container counts as about what it prints.
"""

from __future__ import annotations

from typing import Any

from tooluse_gym.errors import ToolUseError

LONGEST_CALL = 100_000  # characters of one call text
LARGEST_ARGUMENTS = 100_000  # size of all arguments of one call
LARGEST_RESULT = 1_000_000  # size of one result
LONGEST_QUERY = 10_000  # characters of what a memory is searched for
MOST_NODES = 100_000  # directory entries visited by one call
MOST_BITS = 100_000  # of an integer power; CPython prints no integer of more than 4,300 digits (14,300 bits)
MOST_DIGITS = 10_000  # precision of arbitrary-precision results
DEEPEST_VALUE = 100  # levels of nested lists and objects
DEEPEST_TREE = 500  # levels of directories visited by one call

_TOO_MANY_DIGITS = (
    # CPython's own words, so that numbers too large to compute answer like numbers too large to print.
    "Exceeds the limit (4300 digits) for integer string conversion; "
    "use sys.set_int_max_str_digits() to increase the limit"
)


class RefusedError(ToolUseError):
    """A call would take too long, grow too large, or leave the simulated world. Becomes the call's observation."""


class Budget:
    """An amount of size that can be spent once."""

    def __init__(self, size: int, what: str):
        self._left = self._size = size
        self._what = what

    def charge(self, size: int) -> None:
        """Spend ``size``.

        Raises:
            RefusedError: there is not that much left.
        """
        self._left -= size
        if self._left < 0:
            raise RefusedError(f"{self._what} is too large (more than {self._size} characters)")

    def copy(self, value: Any, depth: int = 0) -> Any:
        """A deep copy that shares nothing, not even with itself: sharing unfolds, so that its size is what it prints.

        Raises:
            RefusedError: the copy exceeds what is left, or nests too deeply.
        """
        if depth > DEEPEST_VALUE:
            raise RefusedError(f"{self._what} is nested too deeply (more than {DEEPEST_VALUE} levels)")
        if isinstance(value, str | bytes):
            self.charge(len(value) + 1)
        elif isinstance(value, int):
            self.charge(value.bit_length() // 4 + 1)
        elif value is None or isinstance(value, float | complex):
            self.charge(1)
        elif isinstance(value, dict):
            self.charge(1)
            return {self.copy(key, depth + 1): self.copy(item, depth + 1) for key, item in value.items()}
        elif isinstance(value, list | tuple):
            self.charge(1)
            items = [self.copy(item, depth + 1) for item in value]
            return items if isinstance(value, list) else tuple(items)
        else:
            self.charge(len(repr(value)))  # Decimal, mpf: immutable
        return value


def power(base: Any, exponent: Any) -> Any:
    """``base ** exponent`` in bounded time.

    Raises:
        RefusedError: the result would be an integer too large to print.
    """
    if isinstance(base, int) and isinstance(exponent, int):
        if abs(base) > 1 and exponent > 1 and base.bit_length() * exponent > MOST_BITS:
            raise RefusedError(_TOO_MANY_DIGITS)
    elif any(isinstance(value, int) and value.bit_length() > MOST_BITS // 1_000 for value in (base, exponent)) and not (
        isinstance(base, int | float | complex) and isinstance(exponent, int | float | complex)
    ):
        raise RefusedError("the number is too large")  # mpf exponents have no upper end
    return base**exponent


def product(a: Any, b: Any) -> Any:
    """``a * b`` in bounded time, for numbers and for repeated sequences.

    Raises:
        RefusedError: the result would be an integer too large to print, or a sequence that is too long.
    """
    if isinstance(a, int) and isinstance(b, int) and a.bit_length() + b.bit_length() > MOST_BITS:
        raise RefusedError(_TOO_MANY_DIGITS)
    for sequence, times in ((a, b), (b, a)):
        if isinstance(sequence, str | bytes | list | tuple) and isinstance(times, int):
            Budget(LARGEST_RESULT, "the repeated value").charge(len(sequence) * max(times, 0))
    return a * b


def rounded(number: Any, places: Any = 0) -> Any:
    """``round(number, places)`` in bounded time, always with CPython's result."""
    if isinstance(number, int) and isinstance(places, int) and -3 * places > number.bit_length() + 3:
        return 0  # 10**-places is more than twice the number: no need to compute it
    return round(number, places)
