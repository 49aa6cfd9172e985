"""The Python decoder against recorded outputs of the official one, and its bounds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bfcl_parity
from tooluse_gym.formats import get_format
from tooluse_gym.formats.python_calls import DecodeError, decode

_ROOT = Path(__file__).parents[3]
_RECORDS = Path(os.environ.get("TOOLUSE_TEST_DATA", _ROOT / "../shared/data")) / "bfcl/decode_public.jsonl.gz"


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    if not _RECORDS.exists():
        pytest.skip(f"no recorded decodings at {_RECORDS}; set TOOLUSE_TEST_DATA")
    return [record for record in bfcl_parity.read(_RECORDS) if "raw" in record and not record.get("language")]


def test_every_recorded_decoding_agrees(records: list[dict[str, Any]]) -> None:
    cases = list(bfcl_parity.decodings(records))
    assert len(cases) == 2500
    assert bfcl_parity.differing(cases) == []


def test_parse_finds_the_calls_that_the_official_loop_executes(records: list[dict[str, Any]]) -> None:
    untagged = [record for record in records if not record["has_tool_call_tag"]]
    assert len(untagged) == 2440
    for record in untagged:
        reply = get_format("pythonic").parse(record["raw"])
        assert [call.text for call in reply.calls] == record.get("exec", []), record["raw"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("f(a=2 ** 10 - -3)", 1027),
        ("f(a=not 3)", -3),
        ("f(a=1 / 4)", 0.25),
        ("f(a='ab' * 2 + 'c')", "ababc"),
        ("f(a=[0] * 3 + [1])", [0, 0, 0, 1]),
        ("f(a={'x': 1} | {'y': (2,)})", {"x": 1, "y": (2,)}),
        ("f(a=1 + 2j)", 1 + 2j),
        (r"f(a='\d')", r"\d"),
        ("f(a=g(1, x))", "g(1, x)"),
        ("f(a=x [ 'y' ])", "x['y']"),
        ("f(a=2 ** 14283)", 2**14283),
    ],
)
def test_values(text: str, value: object) -> None:
    assert decode(text) == [{"f": {"a": value}}]


def test_calls_as_values_become_objects() -> None:
    assert decode("f(a=[g.h(b=1)])") == [{"f": {"a": [{"g.h": {"b": 1}}]}}]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("9**9**9", "4,300 digits"),
        ("2**14284", "4,300 digits"),
        ("1 << 10**9", "4,300 digits"),
        ("0x" + "f" * 5000, "4,300 digits"),
        ("'a' * 10**9", "100000 elements"),
        ("[[[0] * 1000] * 1000] * 1000", "100000 elements"),
        ("'%999999999d' % 1", "% on a text"),
        ("len('a') + 1", "arithmetic is not possible on Call"),
        ("{1} | {2}", "arithmetic is not possible on Set"),
        ("1 / 0", "cannot compute a value: division by zero"),
        ("1.5 << 1", "cannot compute a value: unsupported operand"),
        ("{[]: 1}", "cannot compute a value: unhashable"),
        ("- - 1", "a value cannot be UnaryOp"),
        ("{**x}", r"a value cannot be \*\*"),
        ("+".join(["1"] * 200), "nested deeper than 100 levels"),
        ("-" * 50_000 + "1", "nested deeper than 100 levels"),
        ("x" + "[0]" * 200, "nested deeper than 100 levels"),
        ("'" + "x" * 100_000 + "'", "longer than 100000 characters"),
    ],
    ids=lambda text: text[:30],
)
def test_refusals_say_why(value: str, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode(f"f(a={value})")


def test_the_tag_variant_reads_the_first_tagged_text() -> None:
    assert decode("Ok <TOOLCALL> 'f(a=1)' </TOOLCALL> x", tagged=True) == [{"f": {"a": 1}}]
    for text in ("f(a=1)", "<TOOLCALL>f(a=1)", "</TOOLCALL>f()<TOOLCALL>"):
        with pytest.raises(DecodeError, match="no tool-call tags"):
            decode(text, tagged=True)
