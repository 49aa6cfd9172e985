"""One call out of all that a ground truth accepts."""

from __future__ import annotations

from typing import Any

import pytest

from tooluse_gym.envs.bfcl.single_turn.accepted import accepted_call, any_call
from tooluse_gym.formats import Call


def doc(required: tuple[str, ...] = (), **types: Any) -> dict[str, Any]:
    properties = {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in types.items()}
    return {"name": "f", "parameters": {"type": "dict", "properties": properties, "required": list(required)}}


CASES: dict[str, tuple[dict[str, list[Any]], dict[str, Any], dict[str, Any], str | None]] = {
    "the first": ({"a": [1, 2]}, doc(a="integer"), {"a": 1}, None),
    "omitted": ({"a": [1], "b": ["", 2]}, doc(a="integer", b="integer"), {"a": 1}, None),
    "omittable but required": ({"b": ["", 2]}, doc(("b",), b="integer"), {"b": 2}, None),
    "nothing but empty": ({"b": [""]}, doc(("b",), b="string"), {"b": ""}, None),
    "object": ({"a": [{"x": [1, 2], "y": ["", 3]}]}, doc(a="dict"), {"a": {"x": 1}}, None),
    "objects": ({"a": [[{"x": ["u"]}, {"x": ["v"]}]]}, doc(a="array"), {"a": [{"x": "u"}, {"x": "v"}]}, None),
    "no lists inside": ({"a": [{"x": 5, "y": "abc"}]}, doc(a="dict"), {"a": {"x": 5, "y": "a"}}, None),
    "no value": ({"a": []}, doc(a="integer"), {}, "no value of 'a' is accepted"),
    "not documented": ({"a": [1]}, doc(), {}, "no parameter 'a' is documented"),
    "not documented, omittable": ({"a": [1, ""]}, doc(), {}, None),
    "not accepted": ({}, doc(("a",), a="integer"), {}, "the required parameter 'a' is not accepted"),
}


@pytest.mark.parametrize(("accepted", "document", "arguments", "why"), CASES.values(), ids=CASES)
def test_one_value_of_each_parameter(
    accepted: dict[str, list[Any]], document: dict[str, Any], arguments: dict[str, Any], why: str | None
) -> None:
    assert accepted_call({"f": accepted}, [doc(), document][1:], "python") == (Call("f", arguments), why)


def test_java_values_are_texts() -> None:
    document = doc(a={"type": "long"}, b={"type": "any"}, c={"type": "ArrayList", "items": {"type": "any"}})
    call, why = accepted_call({"f": {"a": [3], "b": [20.5, "20.5"], "c": [["x", True]]}}, [document], "java")
    assert call.arguments == {"a": "3L", "b": "20.5", "c": 'new ArrayList<any>(Arrays.asList("x", true))'}
    assert why == "its elements are read as texts, and others are accepted"


def test_any_call_gives_what_is_required() -> None:
    document = doc(("a", "b", "c", "e"), a="integer", b={"type": "string", "enum": ["x", "y"]}, c="any", d="boolean")
    assert any_call(document) == Call("f", {"a": 1, "b": "x", "c": "x", "e": "x"})
