"""The docs of Java and JavaScript functions, whose arguments are texts."""

from __future__ import annotations

from typing import Any

import pytest

from tooluse_gym.envs.bfcl.docs import document
from tooluse_gym.envs.bfcl.languages import Language, as_strings, hint, language_of

TYPED = "It. This is {} {} type parameter in string representation."


def as_string(parameter: dict[str, Any], language: Language) -> Any:
    doc = {"parameters": {"type": "dict", "properties": {"it": parameter}, "required": ["it"]}}
    shown = as_strings(doc, language)["parameters"]
    assert shown["required"] == ["it"]
    return shown["properties"]["it"]


@pytest.mark.parametrize(
    ("parameter", "language", "told"),
    [
        ({"type": "long"}, "java", TYPED.format("Java", "long")),
        ({"type": "Boolean", "default": True}, "javascript", TYPED.format("JavaScript", "Boolean")),
        ({"type": "any"}, "java", "It. This parameter can be of any type of Java object in string representation."),
        (
            {"type": "ArrayList", "items": {"type": "char"}},
            "java",
            TYPED.format("Java", "ArrayList")
            + " The list elements are of type char; they are not in string representation.",
        ),
        (
            {"type": "dict", "properties": {"a": {"type": "String"}}},
            "javascript",
            TYPED.format("JavaScript", "dict") + " The dictionary entries have the following schema; they are not in "
            'string representation. {"a": {"type": "String"}}',
        ),
    ],
    ids=["typed", "default", "any", "list", "entries"],
)
def test_parameters_are_strings_that_tell_their_type(parameter: dict[str, Any], language: Language, told: str) -> None:
    kept = {key: value for key, value in parameter.items() if key not in ("items", "properties")}
    shown = as_string({**parameter, "description": "It."}, language)
    assert shown == {**kept, "type": "string", "description": told}


def test_documents_are_in_the_language() -> None:
    doc = {
        "name": "Shop.sell",
        "description": "Sells.",
        "parameters": {
            "type": "dict",
            "properties": {"price": {"type": "double", "description": "In euros."}},
            "required": ["price"],
        },
    }
    tool = document(doc, language="java")
    assert tool.description == "Sells. Note that the provided function is in Java 8 SDK syntax."
    assert tool.check({"price": "2.5"}) is None
    assert tool.check({"price": 2.5}) == "Shop.sell: argument 'price': expected string, got 2.5"


def test_language_comes_from_the_category() -> None:
    assert [language_of(name) for name in ("simple_java", "simple_javascript", "simple_python", "live_simple")] == [
        *("java", "javascript", "python", "python")
    ]
    assert hint("javascript") == " Note that the provided function is in JavaScript syntax."
