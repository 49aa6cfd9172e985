"""Replies in other formats and languages: recorded decodings, odd texts with upstream's answers, bounds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from benchmarks import bfcl_parity
from tooluse_gym.envs.bfcl.ast import grammars
from tooluse_gym.envs.bfcl.ast.return_formats import ReturnFormat, decode_reply
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats.python_calls import DecodeError

FIRST = '{"function": "f", "parameters": {}}'
XML = '<functions><function name="f">{}</function></functions>'


def test_every_recorded_decoding_agrees(bfcl_records: Callable[[str], list[dict[str, Any]]]) -> None:
    pytest.importorskip("tree_sitter", reason="needs the extra bfcl")
    cases = list(bfcl_parity.other_decodings(bfcl_records(bfcl_parity.DECODINGS)))
    assert len(cases) == 390
    assert bfcl_parity.differing(cases) == []


@pytest.mark.parametrize(
    ("return_format", "text", "decoded"),
    [
        ("json", f"[{FIRST}]", [{"f": {}}]),
        ("json", f"Sure: {FIRST}", []),
        ("json", FIRST, [{"f": {}}]),
        ("json", f"x [1] [{FIRST}] [{FIRST}]", [{"f": {}}]),
        ("json", f"[[{FIRST}], 1]", [{"f": {}}]),
        ("json", f"[1, {FIRST.replace('{}', 'null')}]", [{"f": None}]),
        ("json", '[{"function": "f", "parameters": {"a": [{"b": 1}]}}]', []),
        ("json", "[1, 2]", []),
        ("json", "no", []),
        ("verbose_xml", XML.format('<params><param name="a" value=" 1 " type="integer"/></params>'), [{"f": {"a": 1}}]),
        ("verbose_xml", XML.format('<param name="a" value="(1, 2)" type="tuple"/>'), [{"f": {"a": (1, 2)}}]),
        ("verbose_xml", XML.format('<param name="a" value="x" type="boolean"/>'), [{"f": {"a": False}}]),
        ("verbose_xml", XML.format('<param value="x" type="null"/>'), [{"f": {None: None}}]),
        ("concise_xml", "Hi " + XML.format('<param name="a"> x &amp; y </param>'), [{"f": {"a": "x & y"}}]),
        ("concise_xml", XML.format('<param name="a" type="float">1e3</param>'), [{"f": {"a": 1000.0}}]),
        ("concise_xml", XML.format('<param name="a" type="number">1e3</param>'), [{"f": {"a": "1e3"}}]),
        ("concise_xml", "<functions></functions>", []),
    ],
)
def test_json_and_xml(return_format: ReturnFormat, text: str, decoded: object) -> None:
    assert repr(decode_reply(text, return_format)) == repr(decoded)


@pytest.mark.parametrize(
    ("return_format", "text"),
    [
        ("json", "[{}]"),
        ("json", '[{"function": ["f"], "parameters": {}}]'),
        ("json", "[" * 50_000),
        ("json", f"[{'9' * 5_000}]"),
        ("verbose_xml", "<functions/>"),
        ("verbose_xml", '<functions a="b"><function name="f"/></functions>'),
        ("verbose_xml", "<functions><function/></functions>"),
        ("verbose_xml", XML.format('<param name="a" value="x" type="integer"/>')),
        ("verbose_xml", XML.format(f'<param name="a" value="{"[" * 5_000}" type="array"/>')),
        ("verbose_xml", XML.format('<param name="a" value="{[]: 1}" type="dict"/>')),
        ("verbose_xml", XML.format('<param name="a" value="f(1)" type="dict"/>')),
        ("concise_xml", XML.format("<param>x</param>")),
        ("concise_xml", XML.format("&nbsp;")),
        ("concise_xml", XML.format("\ud800")),
        ("concise_xml", XML.format("x" * 100_000)),
    ],
)
def test_what_does_not_decode(return_format: ReturnFormat, text: str) -> None:
    with pytest.raises(DecodeError):
        decode_reply(text, return_format)


@pytest.mark.parametrize(
    ("return_format", "text", "decoded"),
    [
        ("java", "a.f(b=1, c=2)", [{"a.f": {"b": "1", "c": "2"}}]),
        ("java", "a.f(b=1)", DecodeError),
        ("java", "f(b=1); g(c=2)", [{"f": {"b": "1"}}]),
        ("java", "int x = 1;", {}),
        ("java", "f(x, 2, b=\"s\", c='t');", [{"f": {None: "x", "b": "s", "c": "t"}}]),
        ("java", "f(b=new F<A , B>( 1  , new int[ ]{1 , 2}));", [{"f": {"b": "new F<A,B>(1, new int[]{1,2})"}}]),
        ("java", 'f(b=new F() {{ put("a", 1); }});', [{"f": {"b": "new F()"}}]),
        ("java", "f(b=1  +  g( 2 ));", [{"f": {"b": "1+g( 2 )"}}]),
        ("java", "f(b=1, b=2);", DecodeError),
        ("java", "f(b=new int[3]);", DecodeError),
        ("java", 'ééé.f(b="é è", c="日本");', [{"ééé.f(.=": {"é": '", c=', '"': ""}}]),
        ("javascript", "a . f(b=1, 'x')", [{"a . f": {"b": "1"}}]),
        ("javascript", "f(b=[1 , 2], c='é', d=`e`)", [{"f": {"b": "[1 , 2]", "c": "é", "d": "`e`"}}]),
        ("javascript", "f(b=1), g(c=2)", None),
        ("javascript", "f(b=1", DecodeError),
        ("javascript", "f(b=1, b=2)", DecodeError),
    ],
)
def test_java_and_javascript(return_format: ReturnFormat, text: str, decoded: object) -> None:
    pytest.importorskip("tree_sitter", reason="needs the extra bfcl")
    if decoded is DecodeError:
        with pytest.raises(DecodeError):
            decode_reply(text, return_format)
    else:
        assert decode_reply(text, return_format) == decoded


@pytest.mark.parametrize(
    "text", ["(" * 3_900, "f(a=" * 900, "f(a=-" * 100 + ")" * 100, '"' * 3_900, "()" * 1_900, "->" * 600, "x" * 5_000]
)
@pytest.mark.parametrize("return_format", ["java", "javascript"])
def test_no_text_takes_long(return_format: ReturnFormat, text: str) -> None:
    pytest.importorskip("tree_sitter", reason="needs the extra bfcl")
    started = time.process_time()
    with suppress(DecodeError):
        decode_reply(f"{text};", return_format)
    assert time.process_time() - started < 20


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tree_sitter_java", None)
    grammars._parser.cache_clear()
    with pytest.raises(ConfigurationError, match=r"tree_sitter_java is missing\): pip install 'tooluse-gym\[bfcl\]'"):
        decode_reply("f();", "java")


def test_formats_are_named() -> None:
    with pytest.raises(ConfigurationError, match="unknown return format 'yaml'; choose one of python, java"):
        decode_reply("f()", "yaml")  # type: ignore[arg-type]
