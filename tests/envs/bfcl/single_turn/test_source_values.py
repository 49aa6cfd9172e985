"""Values as Java and JavaScript source text."""

from __future__ import annotations

from typing import Any

import pytest

from tooluse_gym.envs.bfcl.languages import Language
from tooluse_gym.envs.bfcl.single_turn.source_values import source_value

CASES: list[tuple[Language, str, str, Any, str]] = [
    ("java", "integer", "", 7, "7"),
    ("java", "long", "", -7, "-7L"),
    ("java", "float", "", 1, "1.0f"),
    ("java", "double", "", 0.5, "0.5"),
    ("java", "boolean", "", True, "true"),
    ("java", "String", "", "a b", "a b"),
    ("java", "HashMap", "", "options", "options"),
    ("java", "Array", "integer", [1, 2], "new integer[]{1,2}"),
    ("java", "Array", "String", ["a", "b"], "new String[]{a,b}"),
    ("java", "ArrayList", "String", ["a"], 'new ArrayList<String>(Arrays.asList("a"))'),
    ("java", "ArrayList", "long", [1], "new ArrayList<long>(Arrays.asList(1L))"),
    ("java", "HashMap", "", {}, "new HashMap<String, Object>()"),
    ("java", "HashMap", "", {"a": "b", "c": 1}, 'new HashMap<String, Object>() {{ put("a", "b"); put("c", 1); }}'),
    ("javascript", "Boolean", "", False, "false"),
    ("javascript", "Bigint", "", 5, "5n"),
    ("javascript", "float", "", 3, "3.0"),
    ("javascript", "String", "", "a", "a"),
    ("javascript", "String", "", "'a'", "\"'a'\""),
    ("javascript", "array", "String", ["a", "it's"], "['a', \"it's\"]"),
    ("javascript", "array", "array", [[1], [2]], "[[1], [2]]"),
    ("javascript", "dict", "", {"a": True, "b": ["c"], "d": {"e": 1}}, "{a: true, b: ['c'], d: {e: 1}}"),
]


@pytest.mark.parametrize(("language", "kind", "item", "value", "text"), CASES)
def test_values_are_written_as_source(language: Language, kind: str, item: str, value: Any, text: str) -> None:
    doc = {"type": kind, **({"items": {"type": item}} if item else {})}
    assert source_value(value, doc, language) == text
