"""Java's values, with what upstream's converter makes of them."""

from __future__ import annotations

import time

import pytest

from tooluse_gym.envs.bfcl.ast.java import PYTHON_TYPES, convert
from tooluse_gym.envs.bfcl.ast.scalars import OfficialError

NEW_LIST, NEW_MAP = "new ArrayList<T>", "new HashMap<K, V>() {{ %s }}"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "-5", -5),
        ("byte", "5\n", 5),
        ("short", "٣", 3),
        ("integer", "+5", "+5"),
        ("integer", "5L", "5L"),
        ("long", "5l", 5),
        ("long", "5", "5"),
        ("float", "1E-5f", 1e-5),
        ("float", "5", "5"),
        ("double", "-1.5e+3", -1500.0),
        ("double", "5.", "5."),
        ("boolean", "false", False),
        ("boolean", "False", "False"),
        ("char", "'a'", "'a'"),
        ("any", '"a"', '"a"'),
    ],
)
def test_scalars(kind: str, text: str, value: object) -> None:
    assert repr(convert(text, kind)) == repr(value)


@pytest.mark.parametrize(
    ("kind", "items", "text", "value"),
    [
        ("Array", "integer", "new int[] {1, , 2,}", [1, 2]),
        ("Array", "String", 'new String[]{"a", "b, c"}', ['"a"', '"b', 'c"']),
        ("Array", None, 'new String[]{"a", 1.5f, x}', ["a", 1.5, "x"]),
        ("Array", "integer", "new int[][]{{1}}", "new int[][]{{1}}"),
        ("Array", "integer", "{1}", "{1}"),
        ("ArrayList", "integer", f"{NEW_LIST}(Arrays.asList(1, ))", [1, ""]),
        ("ArrayList", "String", f'{NEW_LIST}(Arrays.asList("a", 12))', ["a", ""]),
        ("ArrayList", "char", f"{NEW_LIST}() {{{{ add('a'); add( 'b' ); }}}}", ["a", "b"]),
        ("ArrayList", "any", f"{NEW_LIST}(Arrays.asList(1, true))", ["1", "true"]),
        ("ArrayList", "Array", f"{NEW_LIST}(Arrays.asList(new int[]{{1}}))", [[1]]),
        ("ArrayList", "any", f"{NEW_LIST}() {{ {{ add(1); }} }}", []),
        ("ArrayList", "any", "new ArrayList<A<B>>()", "new ArrayList<A<B>>()"),
        (
            "HashMap",
            None,
            NEW_MAP % 'put("a", 1L); put("b", "x, y"); put("c", null)',
            {"a": 1, "b": "x, y", "c": "null"},
        ),
        ("HashMap", None, NEW_MAP % "put(\"a\", 'x'); put(b, 1)", {"a": "'x'"}),
        ("HashMap", None, NEW_MAP % 'put("a", true); put("b", .5); put("c", 1e5f)', {"a": True, "b": 0.5, "c": 1e5}),
        ("HashMap", None, NEW_MAP % 'put("a", new int[]{1}); put("b", 2)', {}),
        ("HashMap", None, "new HashMap<>()", {}),
        ("HashMap", None, "new HashMap()", "new HashMap()"),
    ],
)
def test_collections(kind: str, items: str | None, text: str, value: object) -> None:
    assert repr(convert(text, kind, items)) == repr(value)


@pytest.mark.parametrize(("text", "kind"), [("x", kind) for kind in ("Set", "Hashtable", "Queue", "Map")])
def test_types_without_a_rule(text: str, kind: str) -> None:
    with pytest.raises(OfficialError, match=f"no rule for Java's {kind}"):
        convert(text, kind)


def test_numbers_have_a_limit() -> None:
    with pytest.raises(OfficialError, match="4300"):
        convert("9" * 5_000, "integer")
    assert convert("9" * 400, "integer") == int("9" * 400)


@pytest.mark.parametrize("kind", [kind for kind in PYTHON_TYPES if kind in ("Array", "ArrayList", "HashMap")])
def test_no_text_takes_long(kind: str) -> None:
    texts = ("new HashMap<", "new x[]{", "new ArrayList<x>(Arrays.asList(x", 'new HashMap<>(){put("', 'put("', "new ")
    started = time.process_time()
    for text in texts:
        assert convert(text * (100_000 // len(text)), kind) == text * (100_000 // len(text))
        convert(text * (4_900 // len(text)), kind)
    assert time.process_time() - started < 20
