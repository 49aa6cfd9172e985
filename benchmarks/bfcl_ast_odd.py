"""What single-turn scoring is put to the test with: odd values near the accepted ones, and mangled texts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

ODD: tuple[Any, ...] = (
    *("", " ", "-", "a", "A b", "x" * 2_000, "'", '"', "é", "日本", "\n", "1", "true", "None", "\ud800"),
    *(0, 1, -1, 2, 0.0, 1.0, -0.5, 1e300, 10**30, 10**400, True, False, None, 1j, b"x"),
    *([], [1], [1.0], ["a"], [""], [None], [[]], [[1], [2]], [{}], [{"a": 1}], [1, "a"], ["a"] * 300),
    *((), (1,), (1.5, 2.5), ("a", "b"), {}, {"a": 1}, {"": ""}, {None: 1}, {1: 2}, {"a": {"b": 1}}, {"a": [1]}),
)


def odd_value(rng: random.Random, value: Any) -> Any:
    """Something near ``value``, or far from it."""
    change = rng.randrange(9)
    if change < 2:
        return rng.choice(ODD)
    if isinstance(value, str) and value and change < 8:
        return _odd_text(rng, value)
    if isinstance(value, bool):
        return rng.choice([not value, int(value), str(value), [value]])
    if isinstance(value, int | float) and abs(value) < 10**300:
        return rng.choice([float(value), int(value), value + 1, -value, str(value), [value], value == 1])
    if isinstance(value, list | tuple):
        return _odd_list(rng, list(value))
    if isinstance(value, dict):
        return _odd_dict(rng, dict(value))
    return rng.choice([value, [value], (value,), {"a": value}])


def _odd_text(rng: random.Random, text: str) -> Any:
    place = rng.randrange(len(text))
    return rng.choice(
        [
            text.upper(),
            text.swapcase(),
            text.replace(" ", ""),
            f" {text} ",
            f"{text[:place]}{rng.choice(_MARKS)}{text[place:]}",
            text[:place] + text[place + 1 :],
            text.replace("'", '"'),
            f"{text}.",
            [text],
            {text: text},
            "".join(rng.sample(text, len(text))),
        ]
    )


_MARKS = tuple(" ,./-_*^'\"!é\n:;()[]{}0")


def _odd_list(rng: random.Random, items: list[Any]) -> Any:
    place = rng.randrange(len(items)) if items else 0
    change = rng.randrange(8)
    if change == 0:
        return tuple(items)
    if change == 1:
        return [*items, rng.choice(items or ODD)]
    if change == 2:
        return items[::-1]
    if change == 3:
        return [items]
    if change == 4:
        return items[:place] + items[place + 1 :]
    return [*items[:place], odd_value(rng, items[place]), *items[place + 1 :]] if items else [rng.choice(ODD)]


def _odd_dict(rng: random.Random, items: dict[Any, Any]) -> Any:
    if not items:
        return rng.choice([{"a": 1}, [], [{}], {"": ""}])
    key, change = rng.choice(list(items)), rng.randrange(6)
    if change == 0:
        return {name: value for name, value in items.items() if name != key}
    if change == 1:
        return {**items, rng.choice(["x", "", None, 1]): rng.choice(ODD)}
    if change == 2:
        return [items]
    if change == 3:
        return dict(reversed(items.items()))
    return {**items, key: odd_value(rng, items[key])}


def mangled(rng: random.Random, text: str, tokens: Sequence[str]) -> str:
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3))):
        start = rng.randint(0, len(text))
        end = min(len(text), start + rng.choice((0, 0, 0, 1, 1, 2, 5)))
        token = rng.choice(tokens) if start == end or rng.random() < 0.5 else ""
        text = text[:start] + token + text[end:]
    return text


TOKENS: dict[str, tuple[str, ...]] = {
    "java": (
        *("new ", "int", "String", "ArrayList", "HashMap", "<", ">", "<T>", "()", "(", ")", "{", "}", "{{", "}}", "[]"),
        *(",", ", ", " ", ";", "\n", '"', "'", '"a"', "'b'", '"b, c"', "Arrays.asList(", "))", "add(", 'put("a", '),
        *("new int[]{", "new ArrayList<T>(Arrays.asList(", "new ArrayList<T>() {{ ", "new HashMap<K, V>() {{ ", "}); "),
        *("1", "-2", "3.5", "4L", "5f", "1e3", "true", "false", "null", "x", "٣", ".", "f(b=1, ", "=", "é", "@", "->"),
    ),
    "javascript": (
        *("[", "]", "[[", "]]", "{", "}", "(", ")", ",", ", ", " ", ";", "\n", '"', "'", "`", ":", ": ", "new Array("),
        *('"a"', "'b'", "`c`", '"b, c"', "a: ", '"k": ', "], [", "] ,\n[", "1", "-2", "3.5", "4n", "1e3", "true", "x"),
        *("false", "null", "٣", ".", "f(b=1, ", "=", "é", "@", "=>", "await ", "/* c */", "...", "undefined", "[1, 2]"),
    ),
    "python": (
        *(
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ",",
            ", ",
            " ",
            "\n",
            "`",
            "'",
            '"',
            "=",
            ":",
            ".",
            "-",
            "+",
            "not ",
            "*",
            "**",
        ),
        *(
            "1",
            "2.5",
            "'a'",
            "None",
            "True",
            "x",
            "f(a=1)",
            "g()",
            "[1, 2]",
            "{'a': 1}",
            "(1,)",
            "x[0]",
            "é",
            "...",
            "1j",
        ),
    ),
    "json": (
        *(
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            '"',
            " ",
            "\n",
            "`",
            "```json",
            "```",
            "null",
            "1",
            "1e5",
            "NaN",
            "true",
            "x",
            "'",
        ),
        *('{"function": "g", "parameters": {}}', '"function"', '"parameters"', '["a"]', '{"a": [{"b": 1}]}', "é", "\\"),
    ),
    "xml": (
        *(
            "<",
            ">",
            "/",
            '"',
            "'",
            " ",
            "\n",
            "&",
            "&amp;",
            "x",
            "1",
            "<functions>",
            "</functions>",
            "<function name=",
            "é",
        ),
        *(
            "<params>",
            "</params>",
            '<param name="a" type="array">[1]</param>',
            "</param>",
            "type=",
            'value="1"',
            "<!--",
        ),
        *(
            'type="integer"',
            'type="float"',
            'type="boolean"',
            'type="null"',
            'type="dict"',
            "</function>",
            "]]>",
            "\x00",
        ),
    ),
}
TOKENS |= dict.fromkeys(("verbose_xml", "concise_xml"), TOKENS["xml"])

SOURCES = {
    "java": (
        *(
            "new int[]{1, 2,3}",
            "new ArrayList<Integer>(Arrays.asList(1, 2))",
            "12",
            "-3L",
            "1.5f",
            "2e5",
            "true",
            "'c'",
        ),
        *('new ArrayList<String>() {{ add("a"); add("b"); }}', 'new HashMap<K, V>() {{ put("a", 1); put("b", "x"); }}'),
        *(
            "FLOAT",
            "a.b()",
            '"s"',
            "new Point(1, 2)",
            "A::b",
            "x -> 1",
            "(int) 2",
            "new String[]{a, b}",
            "null",
            "a[0]",
        ),
    ),
    "javascript": (
        *("[1, 2]", '[["a"],["b","c"]]', "new Array(1, 2)", '{a: 1, b: "x, y", "c d": [1, 2], e: true}', "12", "1.5"),
        *("[{a: 1}, {b: 2}]", "new Array([1],[2, 3])", "3n", '"s"', "'t'", "false", "x => 1", "/re/g", "`u`", "null"),
    ),
}
