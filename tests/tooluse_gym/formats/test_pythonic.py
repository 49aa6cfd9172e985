from __future__ import annotations

import pytest

from tooluse_gym.formats import Call, Reply, get_format

PYTHONIC = get_format("pythonic")


def pieces(reply: Reply) -> list[tuple[str, str]]:
    return [(segment.kind.value, reply.text[segment.start : segment.end]) for segment in reply.segments]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "[f(a=1), ns.g(b='x')]",
            [*("[", "*f", "(", "+a=1", "), ", "*ns.g", "(", "+b='x'", ")]")],
            id="list",
        ),
        pytest.param("f()", ["*f", "()"], id="bare, no arguments"),
        pytest.param(" ```\nf(a=1)] \n", [" ```\n", "*f", "(", "+a=1", ")] \n"], id="fence"),
        pytest.param("f(é='é', b=2), g(ü=1)", ["*f", "(", "+é='é', b=2", "), ", "*g", "(", "+ü=1", ")"], id="UTF-8"),
        pytest.param(
            "[f(a='é',\r\n  b=(1, 2)),\r é . g # (\n (c=')')]",
            ["[", "*f", "(", "+a='é',\r\n  b=(1, 2)", "),\r ", "*é . g", " # (\n (", "+c=')'", ")]"],
            id="lines, comment",
        ),
        pytest.param("[(f)(a=1)]", ["[(", "*f", ")(", "+a=1", ")]"], id="function in parentheses"),
    ],
)
def test_every_part_has_its_exact_span(text: str, expected: list[str]) -> None:
    kinds = {"*": "name", "+": "arguments"}
    reply = PYTHONIC.parse(text)
    assert pieces(reply) == [(kinds.get(piece[0], "scaffold"), piece.lstrip("*+")) for piece in expected]
    assert reply.error is None


@pytest.mark.parametrize(
    ("text", "response", "error"),
    [
        pytest.param("Done.\n", "Done.", None, id="text"),
        pytest.param("Done", "Done", None, id="one word is a name, not a call"),
        pytest.param("", None, None, id="empty"),
        pytest.param("[]", None, None, id="empty list"),
        pytest.param("```python\n[f()]\n```", "```python\n[f()]\n```", None, id="fence with language"),
        pytest.param("Sure: [f()]", "Sure: [f()]", None, id="prose before"),
        pytest.param("[f(a=1]", None, "not a Python expression: ", id="parenthesis"),
        pytest.param("[f(a={})]", None, "an empty dict cannot be executed", id="empty dict"),
        pytest.param("[f(a=x==1)]", None, "a value cannot be Compare", id="comparison"),
        pytest.param("[[f()]]", None, "expected a call, got List", id="nested list"),
        pytest.param("[f()][0]", None, "expected a list of calls, got Subscript", id="index"),
        pytest.param("[f(\0)]", None, "not a Python expression: ", id="NUL"),
    ],
)
def test_anything_else_hands_the_turn_back(text: str, response: str | None, error: str | None) -> None:
    reply = PYTHONIC.parse(text)
    assert (reply.calls, reply.response) == ((), response)
    assert (reply.error or "").startswith(error or "")
    assert (reply.error is None) == (error is None)


def test_text_is_the_official_rendering() -> None:
    reply = PYTHONIC.parse("[f(7, a = x, b={'g': {'c': +1}}, **{'q': 1})]")
    assert reply.calls == (Call("f", {"a": "x", "b": {"g": {"c": -1}}, "**": {"q": 1}}),)
    assert reply.calls[0].text == "f(a='x', b=g(c=-1), None={'q': 1})"


def test_written_form() -> None:
    assert PYTHONIC.write([Call("f", {"a": "it's"}), Call("a.g", {"b": (1,), "c": None})]) == (
        """[f(a="it's"), a.g(b=(1,), c=None)]"""
    )
