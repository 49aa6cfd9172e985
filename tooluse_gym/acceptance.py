"""Acceptors: JSON Schemas compiled to functions that recognise right values fast.

Most calls are right, and a validator that is able to explain errors takes many times longer to see that. An acceptor
knows the keywords that tool schemas use. Its yes is ``jsonschema``'s yes; its no means "no" or "I cannot tell", and
leaves verdict and explanation to ``jsonschema``. None of its keywords negates, so a part that cannot tell can only turn
a yes into a no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sized
from numbers import Number
from operator import ge, gt, le, lt
from types import NoneType
from typing import Any

Acceptor = Callable[[Any], bool]

# Exact types: what derives from them (IntEnum) or counts as a number too (Decimal) is left to jsonschema.
_TYPES: dict[str, set[type]] = {
    "string": {str},
    "integer": {int},
    "number": {int, float},
    "boolean": {bool},
    "null": {NoneType},
    "array": {list},
    "object": {dict},
}
_IGNORED = {
    *("title", "description", "default", "examples", "format", "deprecated", "readOnly", "writeOnly", "$comment"),
    *("properties", "required", "additionalProperties", "prefixItems", "items"),  # compiled together, not one by one
}
# A limit holds unless its operator does, as in jsonschema: every comparison with NaN is false, so NaN passes.
_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lt,
    "maximum": gt,
    "exclusiveMinimum": le,
    "exclusiveMaximum": ge,
}
_SIZES: dict[str, tuple[type[Sized], Callable[[Any, Any], bool]]] = {
    "minLength": (str, lt),
    "maxLength": (str, gt),
    "minItems": (list, lt),
    "maxItems": (list, gt),
    "minProperties": (dict, lt),
    "maxProperties": (dict, gt),
}


def compile_acceptor(schema: object) -> Acceptor:
    """A function that is True only for values in which ``jsonschema.Draft202012Validator(schema)`` finds no error.

    It is False for all others, and for those that meet a subschema with an unknown or malformed keyword. A schema that
    nests beyond Python's stack has an acceptor that is always False. The schema must not change afterwards.
    """
    try:
        return _compile(schema)
    except RecursionError:
        return _nothing


def _anything(_: object) -> bool:
    return True


def _nothing(_: object) -> bool:
    return False


def _compile(schema: object) -> Acceptor:
    if schema is True:
        return _anything
    if not isinstance(schema, dict):
        return _nothing
    parts = tuple(_parts(schema))
    if len(parts) == 1:
        return parts[0]

    def accepts(value: Any) -> bool:
        for part in parts:  # noqa: SIM110 (here and below: the generator of an all() costs more than what it runs)
            if not part(value):
                return False
        return True

    return accepts


def _parts(schema: Mapping[str, Any]) -> Iterator[Acceptor]:
    """Acceptors that must all say yes. Each accepts the values of which its keyword says nothing."""
    for keyword, rule in schema.items():
        if keyword in _IGNORED:
            continue
        if keyword == "type":
            yield _of_type(rule)
        elif keyword == "enum":
            yield _one_of(rule)
        elif keyword == "const":
            yield _one_of([rule])
        elif keyword == "anyOf":
            yield _any_of(rule)
        elif keyword in _BOUNDS:
            yield _within(_BOUNDS[keyword], rule)
        elif keyword in _SIZES:
            yield _sized(*_SIZES[keyword], rule)
        else:
            yield _nothing
    if not schema.keys().isdisjoint(("properties", "required", "additionalProperties")):
        yield _with_members(
            schema.get("properties", {}), schema.get("required", []), schema.get("additionalProperties", True)
        )
    if not schema.keys().isdisjoint(("prefixItems", "items")):
        yield _with_items(schema.get("prefixItems", []), schema.get("items", True))


def _of_type(rule: object) -> Acceptor:
    names: list[Any] = rule if isinstance(rule, list) else [rule]
    if not all(isinstance(name, str) and name in _TYPES for name in names):
        return _nothing
    types = set[type]().union(*(_TYPES[name] for name in names))
    if "integer" in names and float not in types:  # 1.0 is an integer
        return lambda value: type(value) in types or (type(value) is float and value.is_integer())
    if len(types) == 1:
        (only,) = types
        return lambda value: type(value) is only
    return lambda value: type(value) in types


def _one_of(options: object) -> Acceptor:
    if not isinstance(options, list):
        return _nothing
    if all(type(option) is str for option in options):
        texts = frozenset(options)
        return lambda value: type(value) is str and value in texts
    return lambda value: any(_equal(option, value) for option in options)


def _equal(one: object, two: object) -> bool:
    """JSON Schema's equality: 1 is 1.0 but not True, at any depth."""
    if isinstance(one, dict) and isinstance(two, dict):
        return len(one) == len(two) and all(key in two and _equal(item, two[key]) for key, item in one.items())
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):  # both are sequences to jsonschema
        return len(one) == len(two) and all(_equal(*pair) for pair in zip(one, two, strict=True))
    if type(one) in (str, int, float) and type(two) in (str, int, float):
        return one == two  # NaN is left to jsonschema, whose versions differ on whether it is itself
    return one is two  # None, True, False


def _any_of(options: object) -> Acceptor:
    if not isinstance(options, list):
        return _nothing
    acceptors = [_compile(option) for option in options]

    def accepts(value: Any) -> bool:
        for option in acceptors:  # noqa: SIM110
            if option(value):
                return True
        return False

    return accepts


def _within(violates: Callable[[Any, Any], bool], bound: object) -> Acceptor:
    if type(bound) not in (int, float):
        return _nothing

    def accepts(value: Any) -> bool:
        if type(value) in (int, float):
            return not violates(value, bound)
        return isinstance(value, bool) or not isinstance(value, Number)

    return accepts


def _sized(kind: type[Sized], violates: Callable[[Any, Any], bool], bound: object) -> Acceptor:
    if type(bound) not in (int, float):
        return _nothing
    return lambda value: not (isinstance(value, kind) and violates(len(value), bound))


def _with_members(properties: object, required: object, additional: object) -> Acceptor:
    if not isinstance(properties, dict) or not isinstance(required, list):
        return _nothing
    if not all(isinstance(name, str) for name in required):
        return _nothing
    known = {name: _compile(schema) for name, schema in properties.items()}
    unknown = _compile(additional)

    def accepts(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        for name, item in value.items():
            if not known.get(name, unknown)(item):
                return False
        for name in required:  # noqa: SIM110
            if name not in value:
                return False
        return True

    return accepts


def _with_items(first: object, rest: object) -> Acceptor:
    if not isinstance(first, list):
        return _nothing
    prefix, others = [_compile(schema) for schema in first], _compile(rest)

    def accepts(value: Any) -> bool:
        if not isinstance(value, list):
            return True
        for index, item in enumerate(value):  # noqa: SIM110
            if not (prefix[index] if index < len(prefix) else others)(item):
                return False
        return True

    return accepts
