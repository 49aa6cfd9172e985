"""JavaScript's values, with what upstream's converter makes of them."""

from __future__ import annotations

import time

import pytest

from tooluse_gym.envs.bfcl.ast.javascript import convert
from tooluse_gym.envs.bfcl.ast.scalars import OfficialError


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("String", "'a'", "a"),
        ("String", '"a"b"', 'a"b'),
        ("String", '"', ""),
        ("String", "\"a'", "\"a'"),
        ("String", "`a`", "`a`"),
        ("String", "a", "a"),
        ("integer", "-5", -5),
        ("integer", "5.0", "5.0"),
        ("float", "5", 5.0),
        ("float", "1e5", "1e5"),
        ("Bigint", "-5n", -5),
        ("Bigint", "5", "5"),
        ("Boolean", "true", True),
        ("Boolean", "True", "True"),
        ("any", "'a'", "'a'"),
    ],
)
def test_scalars(kind: str, text: str, value: object) -> None:
    assert repr(convert(text, kind)) == repr(value)


@pytest.mark.parametrize(
    ("items", "text", "value"),
    [
        ("integer", " [1, 2] ", [1, 2]),
        ("integer", "[1, , x]", [1, "", "x"]),
        ("String", "['a', \"b, c\"]", ["a", '"b', 'c"']),
        ("float", "new Array(1, 2.5)", [1.0, 2.5]),
        ("any", "[ ]", []),
        (None, "[true, 1e3, 2n, 'a', null]", [True, 1000.0, "2n", "a", "null"]),
        ("String", "[[1, 2], ['a']]", [[1, 2], ["a"]]),
        ("integer", "[[1] ,\n[2]]", [[1], [2]]),
        ("any", "[\n[[1], [[2]]]", [[1], ["[2"]]),
        ("integer", "[[1, 2], 3]", ["[1", 2]),
        ("integer", "new Array([1], [2, 3])", [[1], [2, 3]]),
        ("dict", "[{a: 1}, {}]", [{"a": 1}, {}]),
        ("dict", "[{a: 1, b: 2}]", ["{a: 1", "b: 2}"]),
        ("Map", "[1, 2]", "[1, 2]"),
        ("integer", "[1\n]", "[1\n]"),
        ("integer", "x", "x"),
    ],
)
def test_arrays(items: str | None, text: str, value: object) -> None:
    assert repr(convert(text, "array", items)) == repr(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" {} ", {}),
        ("{a: 1, \"b c\": 'x, y', 'd' : true}", {"a": 1, "b c": "x, y", "d": True}),
        ('{a: "1", b: "x: y"}', {"a": 1, "b": "x: y"}),
        ("{a: [1, 'x'], b: [[1], [2]]}", {"a": [1, "x"], "b": [[1], [2]]}),
        ("{a: {b: 1, c: 2}, d: 3}", {"a": "{b: 1", "c": 2}),
        ("{a: x,y,z: 1}", {"a": "x,y", "z": 1}),
        ("{a, b: 1}", {"a, b": 1}),
        ('{a: 1, "b:c": 2}', {"a": 1, "b": 'c": 2'}),
        ("{a: 1, : b: 2}", {"a": 1, "b": 2}),
        ("{a:\n1}", "{a:\n1}"),
        ("a: 1", "a: 1"),
    ],
)
def test_objects(text: str, value: object) -> None:
    assert repr(convert(text, "dict")) == repr(value)


def test_what_has_no_rule() -> None:
    with pytest.raises(OfficialError, match="no rule for JavaScript's Map"):
        convert("x", "Map")
    with pytest.raises(OfficialError):
        convert("5n\n", "Bigint")


@pytest.mark.parametrize("kind", ["array", "dict"])
def test_no_text_takes_long(kind: str) -> None:
    texts = ("[", "[1],", "[[1],", "]", "{", "{a,", "{a:,", "a", ",", "new Array([1],", "new Array(", " ", "{a: ,\t")
    started = time.process_time()
    for opening in ("", "[[", "{", "{a:"):
        for text in texts:
            convert(opening + text * (4_900 // len(text)), kind)
            long = opening + text * (100_000 // len(text))
            assert convert(long, kind) == long.strip()
    assert time.process_time() - started < 20
