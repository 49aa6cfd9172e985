"""Calls as API-Bank's ToolManager takes them: names, declared types, conversions, and the record of a result."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tooluse_gym.tools import Tool

from .apis.base import ApiSet, Episode, Mode, RejectedCallError
from .calls import literal

Result = dict[str, Any]
"""``{"api_name", "input", "output", "exception"}``; some APIs leave ``api_name`` out, as upstream."""

_NAMELESS = frozenset({"CheckToken", "DeleteAccount", "ForgotPassword", "RegisterUser"})
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

    def call(self, name: str, arguments: Mapping[str, Any], recorded: Result | None = None) -> Result:
        """Carry out a call; an API's refusal is in the result. ``arguments`` are not changed.

        With a ``recorded`` result of the same API, what is drawn at random is what was drawn there.

        Raises:
            RejectedCallError: there is no such API, or the arguments do not fit it.
        """
        if name not in self._owners:
            raise RejectedCallError("Exception", "invalid tool name.")
        owner = self._owners[name]
        try:
            given = copy.deepcopy(dict(arguments))
        except RecursionError:
            raise RejectedCallError("RecursionError", "an argument is nested too deeply") from None
        converted = convert(owner.tools[name], given, self._episode.mode)
        result: Result = {} if name in _NAMELESS else {"api_name": name}
        result |= {"input": None, "output": None, "exception": None}
        self._episode.recorded = None if recorded is None else recorded["output"]
        try:
            result["output"] = getattr(owner, name)(**converted)
        except RejectedCallError:
            raise
        except Exception as error:  # the boundary: whatever a simulated API raises is its answer
            result["exception"] = str(error)
        finally:
            self._episode.recorded = None
        result["input"] = _echo(owner.tools[name], converted)  # as the API left them: some normalise in place
        return copy.deepcopy(result)  # rows of the episode's tables would change with them


def convert(tool: Tool, arguments: dict[str, Any], mode: Mode) -> dict[str, Any]:
    """Arguments in the types that the API declares.

    Raises:
        RejectedCallError: one is unknown, missing, or cannot be converted.
    """
    properties: Mapping[str, Any] = tool.parameters["properties"]
    if mode == "corrected":
        arguments = renamed(tool.name, arguments)
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


def renamed(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the API ``name``, by the names that its parameters have now."""
    aliases = _ALIASES.get(name, {})
    return {aliases.get(key, key): value for key, value in arguments.items()}


def _kind(schema: Mapping[str, Any]) -> str:
    """The JSON type of a parameter; an optional one's is the first it names."""
    kind = schema.get("anyOf", [schema])[0]["type"]
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
        meant = literal(value)
        return meant if isinstance(meant, list | dict) else value
    return value


def _echo(tool: Tool, converted: dict[str, Any]) -> dict[str, Any] | None:
    """How a result repeats the arguments."""
    names = tool.parameters["properties"]
    if not names:
        return None
    return dict(converted) if tool.name in _ECHO_GIVEN else {name: converted.get(name) for name in names}
