"""Call texts as ground truths and strict verdicts read them: one call whose arguments are literals."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from tooluse_gym.formats.reply import Call
from tooluse_gym.tools import Tool

from .executor import parse_expression
from .simulators.limits import LONGEST_CALL, RefusedError


def literal_call(text: str, tools: Mapping[str, Tool]) -> Call:
    """The call that ``text`` is, with positional arguments bound to the parameters of its tool. Never raises.

    ``error`` says why it is none, or which arguments cannot be bound. A tool that is not among ``tools`` is no error:
    who executes the call says what there is. As its parameters are not known, its positional arguments are left out.
    """
    try:
        name, positional, named = _read(text)
        parameters = list(tools[name].parameters["properties"]) if name in tools else []
        if name in tools and len(positional) > len(parameters):
            raise ValueError(f"{len(positional)} positional arguments, but {name} has {len(parameters)} parameters")
        bound = dict(zip(parameters, positional, strict=False))
        if twice := [parameter for parameter in bound if parameter in named]:
            raise ValueError(f"argument '{twice[0]}' is given both by position and by name")
    except (SyntaxError, ValueError, RefusedError) as error:
        return Call("", error=f"not a call with literal arguments: {error}", source=text)
    except (MemoryError, RecursionError):  # the parser's own guards
        return Call("", error="not a call with literal arguments: it is nested too deeply", source=text)
    return Call(name, {**bound, **named}, source=text)


def _read(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Name, positional and named arguments."""
    if len(text) > LONGEST_CALL:
        raise RefusedError(f"it is longer than {LONGEST_CALL} characters")
    node = parse_expression(text)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ValueError("it does not call a function by its name")
    positional = [_literal(value, str(number)) for number, value in enumerate(node.args, 1)]
    named = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError("** is not a literal")
        named[keyword.arg] = _literal(keyword.value, f"'{keyword.arg}'")
    return node.func.id, positional, named


def _literal(node: ast.expr, place: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (TypeError, ValueError):  # an unhashable key; anything but a literal, named by its address in memory
        raise ValueError(f"argument {place} is not a literal") from None
