"""The call that stands for a ground truth: of every parameter's accepted values one, in a fixed way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tooluse_gym.envs.bfcl.languages import Language
from tooluse_gym.envs.bfcl.single_turn.source_values import source_value
from tooluse_gym.formats import Call

OMITTABLE = ""
"""Among the accepted values of a parameter: it may be left out."""


def accepted_call(
    answer: Mapping[str, Mapping[str, Sequence[Any]]], docs: Sequence[Mapping[str, Any]], language: Language
) -> tuple[Call, str | None]:
    """A call that an answer ``{name: {parameter: accepted values}}`` accepts, and why there is none, if so.

    Each parameter gets its first accepted value; what may be left out is left out. Where no call is right, the call is
    as near as one can get.
    """
    ((name, accepted),) = answer.items()
    parameters = next(doc["parameters"] for doc in docs if doc["name"] == name)
    properties, required = parameters["properties"], parameters["required"]
    arguments, why = {}, None
    for parameter, options in accepted.items():
        doc = properties.get(parameter)
        if doc is None:
            why = why or (None if OMITTABLE in options else f"no parameter {parameter!r} is documented")
        elif not options:
            why = f"no value of {parameter!r} is accepted"
        elif parameter in required or OMITTABLE not in options:
            value, said = _choose(options, doc, language)
            arguments[parameter], why = value, why or said
    for parameter in required:
        if parameter not in accepted:
            why = f"the required parameter {parameter!r} is not accepted"
    return Call(name, arguments), why


def _choose(options: Sequence[Any], doc: Mapping[str, Any], language: Language) -> tuple[Any, str | None]:
    real = [option for option in options if option != OMITTABLE] or [OMITTABLE]
    if language == "python":
        return _plain(real[0]), None
    if doc["type"] == "any":  # a text, whatever it looks like
        real = [option for option in real if isinstance(option, str)] or real
    value, why = _plain(real[0]), None
    of_any = isinstance(value, list) and doc.get("items", {}).get("type") == "any"
    if of_any and not all(isinstance(item, str) for item in value):
        why = "its elements are read as texts, and others are accepted"
    return source_value(value, doc, language), why


def _plain(option: Any) -> Any:
    """An accepted value with one value of each key, where it is an object or a list of objects."""
    if isinstance(option, dict):
        return {key: _first(accepted) for key, accepted in option.items() if not _is_omittable(accepted)}
    if isinstance(option, list):
        return [_plain(item) for item in option]
    return option


def _is_omittable(accepted: Any) -> bool:
    return isinstance(accepted, list) and OMITTABLE in accepted


def _first(accepted: Any) -> Any:
    """The first accepted value of a key. One answer has a text in place of a list, which lists its characters."""
    return accepted[0] if isinstance(accepted, list | str) and accepted else accepted


def any_call(doc: Mapping[str, Any]) -> Call:
    """A call of a function with all that it requires: values that fit the types, and mean nothing."""
    parameters = doc["parameters"]
    return Call(doc["name"], {name: _sample(parameters["properties"].get(name, {})) for name in parameters["required"]})


_SAMPLES: Mapping[str, Any] = {"integer": 1, "float": 1.0, "boolean": True, "array": [], "tuple": [], "dict": {}}


def _sample(doc: Mapping[str, Any]) -> Any:
    if doc.get("enum"):
        return doc["enum"][0]
    return _SAMPLES.get(doc.get("type", "any"), "x")
