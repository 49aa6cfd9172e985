"""One call of a dialogue against the recorded one, as the official evaluators judge it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .apis.base import Mode, RejectedCallError
from .checks import BrokenCheckError, check
from .manager import ApiManager, Result

Agrees = Callable[[str, Result, Result, Mode], bool]


class CallVerdict(NamedTuple):
    """How a call was judged."""

    correct: bool
    message: str | None = None
    """Why it is wrong, if that has a name."""
    result: Result | None = None
    """What came of it; None: it was not carried out."""
    error: str | None = None
    """Name of the exception that kept it from being carried out, or that broke the official check."""


def judge_call(
    manager: ApiManager,
    name: str,
    arguments: Mapping[str, Any],
    gold: tuple[str, Result],
    mode: Mode = "reference",
    *,
    agrees: Agrees = check,
    names: bool = True,
) -> CallVerdict:
    """Carry out a call and compare what comes of it with the recorded result.

    Args:
        manager: the APIs, in the state that the call finds; changed by it.
        name: the API called.
        arguments: its arguments.
        gold: the recorded API and its result.
        mode: which checks are used; the manager has a mode of its own. In ``corrected`` mode the call draws what the
            recorded one drew, so that later recorded calls find it.
        agrees: the checks, by the name of the recorded API.
        names: the call must name the recorded API; else the check alone decides, as at level 3.
    """
    if names and name != gold[0]:
        return CallVerdict(False, f"API Name Mismatch: {name} vs {gold[0]}")
    try:
        result = manager.call(name, arguments, gold[1] if mode == "corrected" else None)
    except RejectedCallError as error:
        return CallVerdict(False, str(error), error=error.kind)
    try:
        return CallVerdict(agrees(gold[0], result, gold[1], mode), result=result)
    except BrokenCheckError as error:
        message = "KeyError" if error.kind == "KeyError" else str(error)
        return CallVerdict(False, message, result, error.kind)
