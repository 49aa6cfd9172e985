"""The checker's rules one by one, and shapes that upstream's checker crashes on."""

from __future__ import annotations

from typing import Any

import pytest

from tooluse_gym.envs.bfcl.ast.checker import CRASH, check_calls

SIMPLE, MULTIPLE, PARALLEL = (
    "simple_function_checker:",
    "multiple_function_checker:",
    "parallel_function_checker_no_order:",
)


def doc(kind: str, items: str | None = None, name: str = "f", required: tuple[str, ...] = ()) -> dict[str, Any]:
    schema = {"type": kind} if items is None else {"type": kind, "items": {"type": items}}
    return {"name": name, "parameters": {"properties": {"a": schema}, "required": list(required)}}


def check(kind: str, options: list[Any], value: Any, items: str | None = None, category: str = "simple_python") -> Any:
    return check_calls(category, [doc(kind, items)], [{"f": {"a": options}}], [{"f": {"a": value}}])


@pytest.mark.parametrize(
    ("kind", "options", "value", "error"),
    [
        ("integer", [1], 1, None),
        ("integer", [1], 1.0, "type_error:simple"),
        ("integer", [1], True, "type_error:simple"),
        ("integer", [1], 2, "value_error:others"),
        ("integer", ["n"], "n", None),
        ("integer", ["n"], "N", "value_error:others"),
        ("integer", ["n", 2], 2, None),
        ("integer", [""], "", "type_error:simple"),
        ("integer", [None, ""], None, None),
        ("integer", [], 1, "value_error:others"),
        ("float", [1.0], 1, None),
        ("float", [1.0], True, "type_error:simple"),
        ("float", [1.0], 10**400, CRASH),
        ("boolean", [True], 1, "type_error:simple"),
        ("any", [5], 5, None),
        ("any", ["x"], "X.", None),
        ("string", ["New York, NY"], "newyork ny", None),
        ("string", ['say "hi"'], "Say 'hi'", None),
        ("string", ["x", ""], " ,./-_*^", None),
        ("string", ["x"], "x!", "value_error:string"),
        ("string", [5, "x"], "x", None),
        ("string", [5, "x"], "X", "value_error:others"),
        ("dict", [{"a": [1, ""], "b": ["X"]}], {"b": "x."}, None),
        ("dict", [{"a": [1], "b": ["x"]}], {"b": "y"}, "value_error:dict_key"),
        ("dict", [{"b": ["x"]}], {"b": "y"}, "value_error:dict_value"),
        ("dict", [{"b": ["x"]}], {"b": "x", "c": 1}, "value_error:dict_key"),
        ("dict", [{"b": ["y"]}, {"b": ["x"]}], {"b": "x"}, None),
        ("dict", [""], {}, "dict_checker:unclear"),
        ("dict", [{"b": [{"c": "x"}]}], {"b": {"c": "X"}}, "value_error:dict_value"),
        ("dict", [{"b": "xyz"}], {"b": "y"}, None),
        ("dict", [{"b": 1}], {"b": 1}, CRASH),
        ("tuple", [[1, 2]], (1, 2), None),
        ("array", [[1, 2]], (1, 2), "type_error:simple"),
        ("array", [[1, 2]], [2, 1], "value_error:list/tuple"),
        ("array", [[1, 2]], [1.0, 2], "type_error:nested"),
        ("array", [["x"]], ["x"], None),
        ("array", [[1], ""], [], None),
        ("array", [[1]], [], "value_error:list/tuple"),
        ("array", [], [1], "type_error:simple"),
        ("array", ["data"], "data", None),
        ("array", [[1], None], [1], CRASH),
    ],
)
def test_values(kind: str, options: list[Any], value: Any, error: str | None) -> None:
    assert check(kind, options, value, "integer" if kind in ("array", "tuple") else None) == error


@pytest.mark.parametrize(
    ("options", "value", "error"),
    [
        ([[{"a": [1]}, {"a": [2, ""]}]], [{"a": 1}, {}], None),
        ([[{"a": [1]}]], [{"a": 1}, {}], "value_error:list_dict_count"),
        ([[{"a": [1]}]], [{"a": 2}], "value_error:dict_value"),
        ([[{"a": [1]}], ""], [], None),
        ([[{"a": [1]}], ""], [1], CRASH),
        ([[{"a": [1]}], None], [{"a": 2}], CRASH),
    ],
)
def test_lists_of_objects(options: list[Any], value: Any, error: str | None) -> None:
    assert check("array", options, value, "dict") == error


def test_texts_of_source_code() -> None:
    assert check("ArrayList", [[1, 2]], "new ArrayList<Integer>(Arrays.asList(1, 2))", "integer", "simple_java") is None
    assert check("long", [5], "5", category="simple_java") == "type_error:simple"
    assert check("long", [5], 5, category="simple_java") == "type_error:java"
    assert check("integer", [5], "9" * 5_000, category="simple_java") == CRASH
    assert check("float", [5.0], "5", category="simple_javascript") is None
    assert check("any", [5], 5, category="simple_javascript") == "type_error:js"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"b": 1}, SIMPLE + "missing_required"),
        ({"a": 1, "z": 1}, SIMPLE + "unexpected_param"),
        ({"a": 1, "d": 1}, SIMPLE + "unexpected_param"),
        ({"a": 2, "z": 1}, "value_error:others"),
        ({"a": 1}, SIMPLE + "missing_optional"),
        ({"a": 1, "b": 2}, None),
    ],
)
def test_parameters(given: dict[str, Any], error: str | None) -> None:
    properties = {name: {"type": "integer"} for name in "abcd"}
    docs = [{"name": "f", "parameters": {"properties": properties, "required": ["a"]}}]
    answers: list[Any] = [{"f": {"a": [1], "b": [2], "c": [3, ""]}}]
    assert check_calls("live_simple", docs, answers, [{"f": given}]) == error


def test_calls_of_one_kind_of_category_or_another() -> None:
    docs = [doc("integer", name="f.g"), doc("integer", name="h")]
    one, two = {"f.g": {"a": [1, 2]}}, {"f.g": {"a": [1]}}
    first, second = {"f.g": {"a": 1}}, {"f.g": {"a": 2}}
    other = {"h": {"a": 1}}
    assert check_calls("multiple", docs, [{"h": {"a": [1]}}], [other]) is None
    assert check_calls("live_multiple", docs, [one], [other]) == SIMPLE + "wrong_func_name"
    assert check_calls("multiple", docs, [one], []) == MULTIPLE + "wrong_count"
    assert check_calls("simple_python", docs, [one], [first, first]) == SIMPLE + "wrong_count"
    assert check_calls("parallel", docs, [one, two], [first]) == PARALLEL + "wrong_count"
    assert check_calls("parallel", docs, [two, one], [second, first]) is None
    assert check_calls("parallel_multiple", docs, [two, {"h": {"a": [1]}}], [other, first]) is None
    # The first expected call takes the only call that the second would accept.
    assert check_calls("live_parallel", docs, [one, two], [first, second]) == PARALLEL + "cannot_find_match"


def test_a_crash_ends_unordered_matching() -> None:
    docs, answers = [doc("float")], [{"f": {"a": [1.0]}}, {"f": {"a": [2.0]}}]
    assert check_calls("parallel", docs, answers, [{"f": {"a": 10**400}}, {"f": {"a": 1.0}}]) == CRASH
