from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tooluse_gym.envs.api_bank.calls import find_calls, literal, official_text, reference_call, write_call
from tooluse_gym.formats import Call

SYNTAX = st.lists(
    st.sampled_from(["[f(", "[", "]", "(", ")", ")]", "'", '"', "\\", "a", "=", "b = ", ", ", "-3", "\n", "ä"])
).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[F(a='x', b='y z')]", {"a": "x", "b": "y z"}),
        ("so: [F()] done", {}),
        ("[F(a='Don't go', b='y')]", {"a": "Don", "b": "y"}),
        ("[F(a='', b='y')]", {"a": "', b="}),
        ("[F(a=-3, b=1.5, c=7)]", {"b": "1", "c": "7"}),
        ("[F(a=[1, 2], b='[x]')]", {"a": "[1, 2], b='[x]"}),
        ("[F(a='x', noise a='z')]", {"a": "z"}),
        ("[F(a='x')] [G(b='y')]", {"a": "x", "b": "y"}),
        ("[F(a='x'\n)]", None),
        ("F(a='x')", None),
        ("[F(a='x') [G(\n[H(b='y')]", {"b": "y"}),
    ],
    ids=[
        "two values", "no value", "an apostrophe cuts", "an empty value swallows", "signs and points", "a greedy list",
        "the last of two", "two calls on a line", "no line breaks", "no brackets", "the first that ends on its line",
    ],
)  # fmt: skip
def test_the_reference_reading_keeps_the_official_faults(text: str, expected: dict[str, str] | None) -> None:
    call = reference_call(text)
    assert (None if call is None else call.arguments) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[F(a='Don't go', b='it's')]", {"a": "Don't go", "b": "it's"}),
        ("[F(a='', b=\"y\")]", {"a": "", "b": "y"}),
        ("[F(a=-3, b=1.5, c=True, d=None)]", {"a": -3, "b": 1.5, "c": True, "d": None}),
        ("[F(a=['x', 'y'], b='['x', 'y']')]", {"a": ["x", "y"], "b": "['x', 'y']"}),
        ("[F( a = 'x' ,\n b = 'y' , )]", {"a": "x", "b": "y"}),
        (r"[F(a='it\'s, b=', c='\\')]", {"a": "it's, b=", "c": "\\"}),
        ("[F(a=next week)]", {"a": "next week"}),
    ],
    ids=["apostrophes", "empty", "numbers", "lists", "blanks", "escapes", "bare text"],
)
def test_the_strict_reading_gets_what_is_meant(text: str, expected: dict[str, Any]) -> None:
    (found,) = find_calls(text)
    assert found.call == Call("F", expected)
    assert (found.start, found.end) == (0, len(text))


def test_every_call_of_a_text_is_found() -> None:
    text = "First [F(a='x')], then [G()]\n[H(b=1)]"
    assert [found.call for found in find_calls(text)] == [Call("F", {"a": "x"}), Call("G"), Call("H", {"b": 1})]
    assert [text[found.start : found.end] for found in find_calls(text)] == ["[F(a='x')]", "[G()]", "[H(b=1)]"]
    assert [text[found.arguments_start : found.arguments_end] for found in find_calls(text)] == ["a='x'", "", "b=1"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[F(a='x", "the value of 'a' does not end"),
        ("[F('x')]", "expected key='value'"),
        ("[F(a='x', a='y')]", "the parameter 'a' is given twice"),
    ],
    ids=["open", "positional", "twice"],
)
def test_a_malformed_call_says_why(text: str, error: str) -> None:
    (found, *later) = find_calls(f"{text}")
    assert found.call.error == error
    assert not later


@settings(max_examples=50)
@given(text=st.one_of(st.text(), SYNTAX))
def test_any_text_can_be_read(text: str) -> None:
    reference_call(text)
    position = 0
    for found in find_calls(text):
        assert position <= found.start < found.arguments_start <= found.arguments_end <= found.end <= len(text)
        position = found.end


@settings(max_examples=50)
@given(st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), st.one_of(st.text(), SYNTAX, st.integers(-99, 99))))
def test_a_written_call_reads_back(arguments: dict[str, Any]) -> None:
    assert [found.call for found in find_calls(write_call("F", arguments))] == [Call("F", arguments)]


def test_a_literal_that_is_none_stays_text() -> None:
    assert literal("[1, {'a': -2}]") == [1, {"a": -2}]
    assert literal("1), g(x=2") == "1), g(x=2"
    assert literal("open('/etc')") != ""
    assert literal("[" * 5_000) == "[" * 5_000


@pytest.mark.parametrize(
    "text",
    ["[f(a='" * 20_000, "[f(" * 20_000,
     "[f(a=" + " " * 100_000, "[f(a='" + "' " * 50_000, "[f(" + "a= " * 50_000 + ")]",
     "[f(a=" + ", " * 50_000, "[f(" + "a" * 100_000 + ")]", "[f(a='" + "\\" * 100_000, "[" * 100_000],
    ids=["unclosed", "heads", "blanks", "quotes", "keys", "commas", "a word", "backslashes", "brackets"],
)  # fmt: skip
def test_long_texts_take_linear_time(text: str) -> None:
    before = time.process_time()
    reference_call(text)
    find_calls(text)
    assert time.process_time() - before < 2.0


def test_every_recorded_call_is_read(api_bank_records: Callable[[str], list[dict[str, Any]]]) -> None:
    texts = [record["call_text"] for record in api_bank_records("expected.jsonl.gz") if "call_text" in record]
    assert len(texts) == 1_015
    for text in texts:
        (found,) = find_calls(text)
        assert found.call.error is None
        assert official_text(found.call.name, found.call.arguments) == text
