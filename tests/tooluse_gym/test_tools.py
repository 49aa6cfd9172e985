from __future__ import annotations

from typing import Any, Literal, Optional

import jsonschema
import pytest

from tooluse_gym.errors import InvalidToolError
from tooluse_gym.tools import Tool, ToolSet, tool_from_method


class Everything(ToolSet):
    """Every hint a tool may have."""

    def __init__(self) -> None:
        self.shown = 1
        self._hidden = 2

    def scalars(self, text: str, count: int, share: float, flag: bool, anything: Any) -> None:
        """Take scalars.

        A second paragraph, which models do not see.

        Args:
            text: some text
                that goes on.
            count (int): a number: how many.
        """

    def optionals(self, a: Optional[str] = None, b: int | None = None, c: str | int = "x") -> None:  # noqa: UP045
        """Take optionals."""

    def nested(self, rows: list[dict[str, int]], bag: dict[str, Any], bare: list, loose: dict) -> None:  # type: ignore[type-arg]
        """Take containers."""

    def choice(self, unit: Literal["m", "km"], level: Literal[1, 2] | None = None) -> None:
        """Take choices."""

    def _private(self, x) -> None:  # type: ignore[no-untyped-def]
        pass


class Inherited(Everything):
    def scalars(self, text: str) -> None:  # type: ignore[override]
        """Take less."""


def properties(name: str) -> dict[str, Any]:
    found: dict[str, Any] = Everything.tools[name].parameters["properties"]
    return found


def test_public_methods_become_tools_and_public_attributes_state() -> None:
    assert list(Everything.tools) == ["scalars", "optionals", "nested", "choice"]
    assert Everything().state() == {"shown": 1}
    assert Inherited.tools["scalars"].description == "Take less."
    assert Inherited.tools["nested"] == Everything.tools["nested"]


@pytest.mark.parametrize(
    ("tool", "parameter", "schema"),
    [
        ("scalars", "text", {"type": "string", "description": "some text that goes on."}),
        ("scalars", "count", {"type": "integer", "description": "a number: how many."}),
        ("scalars", "share", {"type": "number"}),
        ("scalars", "flag", {"type": "boolean"}),
        ("scalars", "anything", {}),
        ("optionals", "a", {"type": ["string", "null"], "default": None}),
        ("optionals", "b", {"type": ["integer", "null"], "default": None}),
        ("optionals", "c", {"type": ["string", "integer"], "default": "x"}),
        (
            "nested",
            "rows",
            {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "integer"}}},
        ),
        ("nested", "bag", {"type": "object", "additionalProperties": {}}),
        ("nested", "bare", {"type": "array"}),
        ("nested", "loose", {"type": "object"}),
        ("choice", "unit", {"enum": ["m", "km"]}),
        ("choice", "level", {"anyOf": [{"enum": [1, 2]}, {"type": "null"}], "default": None}),
    ],
)
def test_hints_become_schemas(tool: str, parameter: str, schema: dict[str, Any]) -> None:
    assert properties(tool)[parameter] == schema


def test_schemas_are_closed_valid_and_name_what_is_required() -> None:
    for tool in Everything.tools.values():
        jsonschema.Draft202012Validator.check_schema(dict(tool.parameters))
        assert tool.parameters["additionalProperties"] is False
    assert Everything.tools["choice"].parameters["required"] == ["unit"]
    assert Everything.tools["scalars"].description == "Take scalars."


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("choice", {"unit": "m"}, None),
        ("choice", {"unit": "m", "level": None}, None),
        ("choice", {}, "choice: missing argument 'unit'"),
        ("choice", {"unit": "mile"}, "choice: argument 'unit': expected one of [\"m\", \"km\"], got 'mile'"),
        ("choice", {"unit": "m", "level": 3}, "choice: argument 'level': expected 1|2 or null, got 3"),
        ("choice", {"unit": "m", "size": 1}, "choice: unknown argument 'size' (known: unit, level)"),
        ("optionals", {"a": 1}, "optionals: argument 'a': expected string or null, got 1"),
        ("optionals", {"b": True}, "optionals: argument 'b': expected integer or null, got True"),
        (
            "nested",
            {"rows": [{}, {"x": "y"}], "bag": {}, "bare": [], "loose": {}},
            "nested: argument 'rows[1].x': expected integer, got 'y'",
        ),
        (
            "nested",
            {"rows": "r" * 1000, "bag": {}, "bare": [], "loose": {}},
            f"nested: argument 'rows': expected array, got '{'r' * 79}…",
        ),
    ],
)
def test_check_names_argument_expectation_and_value(tool: str, arguments: dict[str, Any], message: str | None) -> None:
    assert Everything.tools[tool].check(arguments) == message


def test_check_explains_foreign_schemas() -> None:
    inner = {"type": "object", "properties": {"b": {"minimum": 3}}, "required": ["b"], "additionalProperties": False}
    tool = Tool("t", "d", {"type": "object", "properties": {"a": inner}})
    assert tool.check({"a": {}}) == "t: missing argument 'a.b'"
    assert tool.check({"a": {"b": 3, "c": 1}}) == "t: unknown argument 'a.c' (known: b)"
    assert tool.check({"a": {"b": 3, 1: 1}}) == "t: unknown argument 'a.1' (known: b)"
    assert tool.check({"a": {"b": 2}}) == "t: argument 'a.b': expected minimum 3, got 2"


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (nested(100), f"argument 'text': expected string, got {'[' * 80}…"),
        (nested(100_000), "an argument is nested too deeply, or is too long an integer"),
        (10**10_000, "an argument is nested too deeply, or is too long an integer"),
    ],
    ids=["deep", "deeper than the stack", "more digits than can be printed"],
)
def test_check_answers_whatever_the_value(value: Any, problem: str) -> None:
    arguments = {"count": 1, "share": 1, "flag": True, "anything": value}
    assert Everything.tools["scalars"].check({**arguments, "text": ""}) is None
    assert Everything.tools["scalars"].check({**arguments, "text": value}) == f"scalars: {problem}"


def test_openai_form_is_a_fresh_copy() -> None:
    tool = Everything.tools["choice"]
    made = tool.openai()
    assert made == {
        "type": "function",
        "function": {"name": "choice", "description": "Take choices.", "parameters": dict(tool.parameters)},
    }
    made["function"]["parameters"]["properties"].clear()
    assert tool.openai()["function"]["parameters"] == tool.parameters


def test_signature_is_one_line() -> None:
    assert Everything.tools["optionals"].signature() == (
        "optionals(a?: string|null, b?: integer|null, c?: string|integer)"
    )
    assert Everything.tools["choice"].signature() == 'choice(unit: "m"|"km", level?: 1|2|null)'
    assert Everything.tools["nested"].signature() == "nested(rows: array, bag: object, bare: array, loose: object)"


def no_docstring(self: Any, a: int) -> None:
    pass


def no_hint(self: Any, a) -> None:  # type: ignore[no-untyped-def]
    """Do."""


def starred(self: Any, *a: int) -> None:
    """Do."""


def strange_hint(self: Any, a: complex) -> None:
    """Do."""


def strange_default(self: Any, a: Any = int) -> None:
    """Do."""


def strange_literal(self: Any, a: Literal[b"x"]) -> None:
    """Do."""


def mistyped_docstring(self: Any, file_name: str) -> None:
    """Do.

    Args:
        filename: the file.
    """


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (no_docstring, r"X\.no_docstring needs a docstring"),
        (no_hint, r"X\.no_hint: parameter 'a' needs a type hint"),
        (starred, r"X\.starred: \*a has no JSON Schema"),
        (strange_hint, r"X\.strange_hint: parameter 'a': no JSON Schema for the type <class 'complex'>"),
        (strange_default, r"X\.strange_default: the default of 'a': <class 'int'> has no JSON form"),
        (strange_literal, r"X\.strange_literal: parameter 'a': b'x' has no JSON form"),
        (mistyped_docstring, r"X\.mistyped_docstring: the docstring describes 'filename', which is not a parameter"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_methods_that_cannot_become_tools(method: Any, message: str) -> None:
    with pytest.raises(InvalidToolError, match=message):
        tool_from_method(method, "X")
