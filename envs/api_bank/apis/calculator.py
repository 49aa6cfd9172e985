"""Sums of whole numbers: as the official Calculator does them, and properly. Neither can be made to run long."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from .base import refuse

_LONGEST = 2_000  # characters; far beyond what anybody asks, and keeps the official way short
_OPERATORS: dict[str, Callable[[Any, Any], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "negate": 3}
_TOKEN = re.compile(r"[0-9]+|[-+*/()]")
_ALLOWED = re.compile(r"[-+*/()0-9]*")
_INVALID = "invalid formula"


def plain_formula(formula: str) -> str:
    """A formula without blanks."""
    return formula.replace(" ", "")


def calculate_officially(formula: str) -> float:
    """The official result, or refusal; where upstream never ends, a refusal.

    The first ``(`` belongs to the first ``)``: nested brackets fail, and Python's messages say how.
    """
    formula = plain_formula(formula)
    signs = sum(formula.count(sign) for sign in _OPERATORS)
    if not 0 < len(formula) <= _LONGEST or not _ALLOWED.fullmatch(formula):
        refuse(_INVALID)
    if formula.count("(") != formula.count(")") or signs == 0 or signs + 1 == len(formula):
        refuse(_INVALID)
    tokens = [float(token) if token.isdigit() else token for token in _TOKEN.findall(formula)]
    return _reduce(tokens)


def _reduce(tokens: list[Any]) -> float:
    while "(" in tokens:
        start = tokens.index("(")
        if ")" not in tokens:
            refuse("')' is not in list")
        end = tokens.index(")")
        tokens = [*tokens[:start], _reduce(tokens[start + 1 : end]), *tokens[end + 1 :]]
    if not tokens:
        refuse("list index out of range")
    for signs in ("*/", "+-"):
        while places := [place for place, token in enumerate(tokens) if token in (*signs,)]:
            place = places[0]
            if place == 0:
                refuse(_INVALID)  # upstream never ends
            if place + 1 == len(tokens):
                refuse("list index out of range")
            left, sign, right = tokens[place - 1 : place + 2]
            tokens[place - 1 : place + 2] = [_OPERATORS[sign](left, right)]
    result: float = tokens[0]
    return result


def calculate(formula: str) -> float:
    """The value of a formula by the usual rules, with nested brackets and leading signs.

    Raises:
        RefusalError: it is no formula.
        ZeroDivisionError: it divides by zero.
    """
    formula = plain_formula(formula)
    if not 0 < len(formula) <= _LONGEST or not _ALLOWED.fullmatch(formula):
        refuse(_INVALID)
    values: list[float] = []
    pending: list[str] = []

    def apply(least: int) -> None:
        while pending and pending[-1] != "(" and _PRECEDENCE[pending[-1]] >= least:
            sign = pending.pop()
            right = values.pop()
            values.append(-right if sign == "negate" else _OPERATORS[sign](values.pop(), right))

    operand_next = True
    for token in _TOKEN.findall(formula):
        if token.isdigit() and operand_next:
            values.append(float(token))
            operand_next = False
        elif token == "(" and operand_next:
            pending.append(token)
        elif token == "-" and operand_next:
            pending.append("negate")
        elif token == ")" and not operand_next and "(" in pending:
            apply(1)
            pending.pop()
        elif token in _OPERATORS and not operand_next:
            apply(_PRECEDENCE[token])
            pending.append(token)
            operand_next = True
        elif not (token == "+" and operand_next):  # a leading plus changes nothing
            refuse(_INVALID)
    if operand_next or "(" in pending:
        refuse(_INVALID)
    apply(1)
    return values[0]
