"""Calls as API-Bank's ToolManager takes them: names, declared types, conversions, and the record of a result."""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Mapping
from typing import Any

from tooluse_gym.formats.python_calls import DecodeError, parse_expression
from tooluse_gym.tools import Tool

from .apis.base import ApiSet, Episode, Mode, RejectedCallError

Result = dict[str, Any]
"""``{"api_name", "input", "output", "exception"}``; some APIs leave ``api_name`` out, as upstream."""

NAMELESS = frozenset({"CheckToken", "DeleteAccount", "ForgotPassword", "RegisterUser"})
"""APIs whose results do not say which API they are of."""

_ALIASES = {"TimedSwitch": {"device_id": "name"}, "CancelTimedSwitch": {"device_id": "name"}}
"""Parameters that the recorded dialogues call by an older name."""

_ECHO_GIVEN = frozenset({"ForgotPassword"})  # the others also echo what was not given, as None


class ApiManager:
    """The APIs of one episode, called by name with arguments that may all be text.

    Args:
        sets: the tool sets, by their names; they share ``episode``.
        episode: the state they share; its mode decides how arguments are converted.
    """

    def __init__(self, sets: Mapping[str, ApiSet], episode: Episode):
        self._episode = episode
        self._owners = {name: owner for owner in sets.values() for name in owner.tools}

    def __contains__(self, name: object) -> bool:
        return name in self._owners

    def call(self, name: str, arguments: Mapping[str, Any]) -> Result:
        """Carry out a call; an API's refusal is in the result. ``arguments`` are not changed.

        Raises:
            RejectedCallError: there is no such API, or the arguments do not fit it.
        """
        if name not in self._owners:
            raise RejectedCallError("Exception", "invalid tool name.")
        owner = self._owners[name]
        converted = convert(owner.tools[name], copy.deepcopy(dict(arguments)), self._episode.mode)
        result: Result = {} if name in NAMELESS else {"api_name": name}
        result |= {"input": converted, "output": None, "exception": None}
        try:
            result["output"] = copy.deepcopy(getattr(owner, name)(**converted))
        except RejectedCallError:
            raise
        except Exception as error:  # the boundary: whatever a simulated API raises is its answer
            result["exception"] = str(error)
        result["input"] = _echo(owner.tools[name], converted)
        return result

    def replay(self, name: str, arguments: Mapping[str, Any], recorded: Result) -> Result:
        """Carry out a call of a recorded dialogue: what it drew at random is what the recording has.

        Raises:
            RejectedCallError: as :meth:`call`.
        """
        self._episode.recorded = recorded["output"]
        try:
            return self.call(name, arguments)
        finally:
            self._episode.recorded = None


def convert(tool: Tool, arguments: dict[str, Any], mode: Mode) -> dict[str, Any]:
    """Arguments in the types that the API declares.

    Raises:
        RejectedCallError: one is unknown, missing, or cannot be converted.
    """
    properties: Mapping[str, Any] = tool.parameters["properties"]
    if mode == "corrected":
        aliases = _ALIASES.get(tool.name, {})
        arguments = {aliases.get(key, key): value for key, value in arguments.items()}
    converted = {}
    for key, value in arguments.items():
        if key not in properties:
            raise RejectedCallError("AssertionError", f"invalid parameter name. parameter: {key}")
        kind = _kind(properties[key])
        try:
            converted[key] = _official(value, kind) if mode == "reference" else _typed(value, kind)
        except RejectedCallError:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            raise RejectedCallError(type(error).__name__, str(error)) from None
    if missing := [f"'{key}'" for key in tool.parameters["required"] if key not in converted]:
        listed = " and ".join(missing) if len(missing) < 3 else f"{', '.join(missing[:-1])}, and {missing[-1]}"
        plural = "" if len(missing) == 1 else "s"
        raise RejectedCallError(
            "TypeError",
            f"{tool.name}.call() missing {len(missing)} required positional argument{plural}: {listed}",
        )
    if mode == "corrected" and (problem := tool.check(converted)):
        raise RejectedCallError("TypeError", problem)
    return converted


def _kind(schema: Mapping[str, Any]) -> str:
    """The JSON type of a parameter; an optional one's is the first it names."""
    kind = schema.get("type", "")
    return str(kind if isinstance(kind, str) else kind[0])


def _official(value: Any, kind: str) -> Any:
    """Upstream's conversion: negative numbers as text are refused, True is False, lists stay text."""
    if kind in ("integer", "number"):
        digits = value.replace(".", "", 1) if isinstance(value, str) and kind == "number" else value
        if isinstance(value, str) and not digits.isdigit():
            told = f" parameter: {value}" if kind == "integer" else ""
            raise RejectedCallError("AssertionError", f"invalid parameter type.{told}")
        return int(value) if kind == "integer" else float(value)
    return value == "True" if kind == "boolean" else value


def _typed(value: Any, kind: str) -> Any:
    """What a text means in the declared type; anything else must have the type already."""
    if isinstance(value, str) and kind in ("integer", "number"):
        return int(value) if kind == "integer" else float(value)
    if isinstance(value, str) and kind == "boolean" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, str) and kind in ("array", "object"):
        return _literal(value)
    return value


def _literal(text: str) -> Any:
    """A list or mapping written as a Python literal; text that is none stays as it is."""
    try:
        value = ast.literal_eval(parse_expression(text.strip()))
        json.dumps(value)
    except (DecodeError, TypeError, ValueError):  # not Python, not a literal, or one that JSON lacks
        value = None
    return value if isinstance(value, list | dict) else text


def _echo(tool: Tool, converted: dict[str, Any]) -> dict[str, Any] | None:
    """How a result repeats the arguments."""
    names = tool.parameters["properties"]
    if not names:
        return None
    return dict(converted) if tool.name in _ECHO_GIVEN else {name: converted.get(name) for name in names}
