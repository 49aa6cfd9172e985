"""Acceptors against the validator whose verdicts they stand for."""

from __future__ import annotations

import math
from decimal import Decimal
from enum import IntEnum
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tooluse_gym.acceptance import compile_acceptor
from tooluse_gym.tools import Tool


class Level(IntEnum):
    LOW = 1


def valid(schema: Any, value: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


MEMBERS = {"properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
CLOSED = {"type": "object", **MEMBERS}
ROW = {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": {"type": "boolean"}}
OPTION = {"anyOf": [{"enum": ["m", "km"]}, {"type": "integer", "minimum": 3}, {"type": "null"}]}


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        pytest.param(True, [None, 1, (), object()], [], id="true"),
        pytest.param({}, [None, 1, (), object()], [], id="empty"),
        pytest.param(False, [], [None, 1, {}], id="false"),
        pytest.param({"type": "string"}, ["", "a"], [None, 1, b"a", ["a"]], id="string"),
        pytest.param(
            {"type": "integer"}, [0, -1, 10**400, 1.0, -0.0, 1e300], [True, 1.5, math.nan, math.inf, "1"], id="integer"
        ),
        pytest.param({"type": "number"}, [0, 1.5, 10**400, math.nan, math.inf], [True, "1", None], id="number"),
        pytest.param({"type": "boolean"}, [True, False], [0, 1, 1.0, None, "true"], id="boolean"),
        pytest.param({"type": "null"}, [None], [0, False, "", "null", [], {}], id="null"),
        pytest.param({"type": "array"}, [[], [1, "a"]], [(), (1,), {}, "ab", {1}], id="array"),
        pytest.param({"type": "object"}, [{}, {1: 2}], [[], None, "a"], id="object"),
        pytest.param({"type": ["integer", "null"]}, [1, 2.0, None], [1.5, True, "a"], id="types"),
        pytest.param({"type": ["integer", "number"]}, [1, 1.5], [True, None], id="integer or number"),
        pytest.param({"type": []}, [], [None, 1], id="no type"),
        pytest.param(CLOSED, [{"a": ""}], [{}, {"a": 1}, {"a": "", "b": 1}, {"a": "", 1: 1}, [], None], id="closed"),
        pytest.param(MEMBERS, [{"a": ""}, [], None, "a", ()], [{}, {"a": 1}, {"a": "", "b": 1}], id="members alone"),
        pytest.param({"properties": {"a": False}}, [{}, {"b": 1}], [{"a": 1}], id="forbidden member"),
        pytest.param(
            {"additionalProperties": {"type": "integer"}}, [{}, {"x": 1}, {1: 1.0}], [{"x": "1"}], id="map of integers"
        ),
        pytest.param({"required": ["a"]}, [{"a": None}, []], [{}, {"b": 1}], id="required alone"),
        pytest.param({"items": {"type": "string"}}, [[], ["a"], (1,), "a"], [[1], ["a", None]], id="items alone"),
        pytest.param({"items": False}, [[], (1,)], [[None]], id="no items"),
        pytest.param(ROW, [[], ["a"], ["a", 1], ["a", 1, True]], [[1], ["a", "b"], ["a", 1, 1], ()], id="row"),
        pytest.param(OPTION, ["m", 3, 4.0, None], ["mile", 2, 3.5, True, []], id="any of"),
        pytest.param({"anyOf": []}, [], [None], id="any of none"),
        pytest.param({"enum": ["a", "b"]}, ["a", "b"], ["c", 1, None, ["a"]], id="texts"),
        pytest.param({"enum": [1, "a", None]}, [1, 1.0, "a", None], [True, "1", 0, False], id="mixed values"),
        pytest.param({"enum": [True, 0]}, [True, 0, 0.0], [1, 1.0, False], id="truth is no number"),
        pytest.param({"enum": []}, [], [None, "", []], id="no value"),
        pytest.param(
            {"const": {"x": [1, {"y": True}]}},
            [{"x": [1, {"y": True}]}, {"x": [1.0, {"y": True}]}, {"x": (1, {"y": True})}],
            [
                *({"x": [True, {"y": True}]}, {"x": [1, {"y": 1}]}, {"x": [1]}, {"z": [1, {"y": True}]}),
                *({"x": [1, {"y": True, "z": 1}]}, {"x": [1, {"y": True}, 1]}, {}, [], 1),
            ],
            id="nested constant",
        ),
        pytest.param(
            {"minimum": 2}, [2, 2.5, 10**400, math.nan, True, "", None, ()], [1, 1.9, -math.inf], id="minimum"
        ),
        pytest.param({"maximum": 2}, [2, 1.5, math.nan, True, "abc"], [3, 2.1, 10**400], id="maximum"),
        pytest.param({"exclusiveMinimum": 2}, [3, 2.1, math.nan, False], [2, 2.0], id="exclusive minimum"),
        pytest.param({"exclusiveMaximum": 2}, [1, 1.9, math.nan, True], [2, 2.0], id="exclusive maximum"),
        pytest.param({"minLength": 1, "maxLength": 2}, ["a", "ab", [], 1], ["", "abc"], id="lengths"),
        pytest.param({"minItems": 1, "maxItems": 2}, [[1], [1, 2], (), "", 1], [[], [1, 2, 3]], id="numbers of items"),
        pytest.param(
            {"minProperties": 1, "maxProperties": 2},
            [{1: 1}, {1: 1, 2: 2}, [], 1],
            [{}, {1: 1, 2: 2, 3: 3}],
            id="numbers of members",
        ),
        pytest.param(
            {"type": "string", "title": "t", "description": "d", "default": 3, "format": "date", "examples": [1]},
            ["no date"],
            [3],
            id="annotations",
        ),
    ],
)
def test_known_keywords_are_decided(schema: Any, right: list[Any], wrong: list[Any]) -> None:
    accepts = compile_acceptor(schema)
    for values, verdict in ((right, True), (wrong, False)):
        for value in values:
            assert accepts(value) is valid(schema, value) is verdict, value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "a"}, "a"),
        ({"not": {"type": "string"}}, 1),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, 1),
        ({"allOf": [{}]}, 1),
        ({"$ref": "#/$defs/a", "$defs": {"a": {}}}, 1),
        ({"patternProperties": {"b": {}}, "additionalProperties": False}, {"b": 1}),
        ({"unheard-of": 1}, 1),
        ({"additionalProperties": 1}, {"a": 1}),
        ({"required": "a"}, {"a": 1}),
        ({"type": ["integer", "any"]}, 1),
        ({"minimum": Decimal(1)}, 1),
        ({"type": "integer"}, Level.LOW),
        ({"type": "number"}, Decimal(1)),
        ({"minimum": 1}, Decimal(1)),
        ({"enum": [1]}, Decimal(1)),
        ({"type": "string"}, type("Text", (str,), {})("a")),
    ],
    ids=str,
)
def test_what_is_unknown_is_not_accepted(schema: Any, value: Any) -> None:
    assert valid(schema, value)
    assert not compile_acceptor(schema)(value)


@pytest.mark.parametrize(
    "schema", [{"type": "any"}, {"type": {}}, {"enum": 3}, {"anyOf": 3}, {"minimum": "1"}, {"minItems": None}, 3, None]
)
@pytest.mark.parametrize("value", [None, 1, "1", [1], {"a": 1}], ids=str)
def test_malformed_schemas_accept_nothing(schema: Any, value: Any) -> None:
    assert not compile_acceptor(schema)(value)


def test_nan_equals_nothing() -> None:
    """Versions of jsonschema differ on whether it equals itself; no schema in JSON can ask."""
    assert not compile_acceptor({"const": [math.nan]})([math.nan])


def test_an_unknown_part_matters_only_where_a_value_meets_it() -> None:
    accepts = compile_acceptor({"properties": {"a": {"pattern": "x"}, "b": {"anyOf": [{"pattern": "x"}, {}]}}})
    assert accepts({})
    assert accepts({"b": "x"})
    assert not accepts({"a": "x"})


def test_values_may_be_of_any_depth() -> None:
    value = nested(100_000)
    assert compile_acceptor({})(value)
    assert compile_acceptor({"type": "array", "items": {"type": "array"}})(value)
    assert not compile_acceptor({"const": [[]]})(value)
    assert not compile_acceptor(OPTION)(value)


def test_schemas_nested_beyond_the_stack_accept_nothing() -> None:
    endless: dict[str, Any] = {"type": "array"}
    endless["items"] = endless
    assert valid(endless, [[]])
    assert not compile_acceptor(endless)([[]])


# Random schemas and values

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, -0.0, 1.0, 2.0, 1.5, math.nan, math.inf, -math.inf, 1e300, 2**53 + 1, 10**400, -(10**400)]),
    st.text("ab", max_size=3),
)
KEYS = st.text("ab", max_size=2)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(KEYS, st.integers(0, 1), st.booleans(), st.none()), inner, max_size=3),
    )


VALUES = st.recursive(SCALARS, containers, max_leaves=6)
CONSTANTS = st.recursive(SCALARS.filter(lambda value: value == value), containers, max_leaves=6)  # without NaN
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])
BOUNDS = st.one_of(st.integers(-2, 2), st.sampled_from([0.5, 2.0, math.inf, 10**400]))
SIZES = st.one_of(st.integers(0, 3), st.just(2.0))
UNKNOWN: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{"pattern": "a"}, {"not": {"type": "string"}}, {"oneOf": [{"type": "string"}, {}]}, {"uniqueItems": True}]
)


def known(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas of known keywords around ``inner``."""
    object_keywords: dict[str, st.SearchStrategy[Any]] = {
        "properties": st.dictionaries(KEYS, inner, max_size=3),
        "required": st.lists(KEYS, max_size=2),
        "additionalProperties": st.one_of(st.booleans(), inner),
    }
    array_keywords = {"items": inner, "prefixItems": st.lists(inner, min_size=1, max_size=2)}
    other: dict[str, st.SearchStrategy[Any]] = {
        "type": st.one_of(TYPES, st.lists(TYPES, min_size=1, max_size=3, unique=True)),
        "enum": st.lists(CONSTANTS, max_size=3),
        "const": CONSTANTS,
        "anyOf": st.lists(inner, min_size=1, max_size=3),
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), BOUNDS),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), SIZES),
        "description": st.just("d"),
        "default": VALUES,
    }
    some_other = st.lists(st.sampled_from(list(other)), max_size=2, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: other[name] for name in names})
    )
    return st.one_of(
        some_other,
        st.fixed_dictionaries({"type": st.just("object")}, optional=object_keywords),
        st.fixed_dictionaries({"type": st.just("array")}, optional=array_keywords),
        st.tuples(st.fixed_dictionaries({}, optional={**object_keywords, **array_keywords}), some_other).map(
            lambda pair: {**pair[0], **pair[1]}
        ),
    )


LEAVES: st.SearchStrategy[Any] = st.one_of(st.booleans(), TYPES.map(lambda name: {"type": name}))
KNOWN = st.recursive(known(LEAVES), known, max_leaves=5)
PARTLY_KNOWN = st.recursive(st.one_of(known(LEAVES), UNKNOWN), known, max_leaves=5)


SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text("ab", max_size=4),
    "integer": st.one_of(st.integers(-3, 3), st.sampled_from([1.0, 2.0, 10**400])),
    "number": st.one_of(st.integers(-3, 3), st.floats()),
    "boolean": st.booleans(),
    "null": st.none(),
}


def fitting(schema: Any) -> st.SearchStrategy[Any]:
    """Values that have a chance to be valid, next to arbitrary ones."""
    if not isinstance(schema, dict):
        return VALUES
    kinds = schema.get("type", [])
    made = [SIMPLE.get(kind, VALUES) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    if "array" in kinds or "items" in schema or "prefixItems" in schema:
        first = [fitting(part) for part in schema.get("prefixItems", [])]
        rest = st.lists(fitting(schema.get("items", True)), max_size=2)
        made.append(st.tuples(st.tuples(*first), rest).map(lambda pair: [*pair[0], *pair[1]]))
        made.append(st.tuples(*first).map(list))
    if "object" in kinds or "properties" in schema or "additionalProperties" in schema:
        members = {name: fitting(part) for name, part in schema.get("properties", {}).items()}
        required = {name: members.get(name, VALUES) for name in schema.get("required", [])}
        right = st.fixed_dictionaries(required, optional={name: members[name] for name in members.keys() - required})
        extra = st.dictionaries(KEYS, fitting(schema.get("additionalProperties", True)), max_size=1)
        made += [right, right, st.tuples(right, extra).map(lambda pair: {**pair[1], **pair[0]})]
    if schema.get("enum"):
        made.append(st.sampled_from(schema["enum"]))
    if "const" in schema:
        made.append(st.just(schema["const"]))
    made += [fitting(option) for option in schema.get("anyOf", [])]
    return st.one_of(*made, *made, VALUES)


@settings(max_examples=500)
@given(st.data())
def test_known_schemas_are_decided_as_by_jsonschema(data: st.DataObject) -> None:
    schema = data.draw(KNOWN)
    value = data.draw(fitting(schema))
    assert compile_acceptor(schema)(value) is valid(schema, value)


@settings(max_examples=300)
@given(st.data())
def test_what_is_accepted_is_valid(data: st.DataObject) -> None:
    schema = data.draw(PARTLY_KNOWN)
    value = data.draw(fitting(schema))
    assert not compile_acceptor(schema)(value) or valid(schema, value)


@settings(max_examples=300)
@given(st.data())
def test_tools_of_bfcl_are_decided_and_explained_as_by_jsonschema(data: st.DataObject) -> None:
    from tooluse_gym.envs.bfcl.simulators import SIMULATORS

    tool = data.draw(st.sampled_from([tool for api in SIMULATORS.values() for tool in api.tools.values()]))
    arguments = data.draw(fitting(tool.parameters))
    right = valid(tool.parameters, arguments)
    assert compile_acceptor(tool.parameters)(arguments) is right
    assert (tool.check(arguments) is None) is right
    # the same tool, with an annotation that no acceptor knows: jsonschema alone decides
    plain = Tool(tool.name, tool.description, {**tool.parameters, "x-origin": "test"})
    assert not compile_acceptor(plain.parameters)(arguments)
    assert tool.check(arguments) == plain.check(arguments)
