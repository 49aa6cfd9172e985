from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks import bfcl_parity
from tooluse_gym.formats import Call, Reply, get_format

STRUCTURED = get_format("structured")
_ROOT = Path(__file__).parents[3]
_RECORDS = Path(os.environ.get("TOOLUSE_TEST_DATA", _ROOT / "../shared/data")) / "bfcl/decode_public.jsonl.gz"


def pieces(reply: Reply) -> list[tuple[str, str]]:
    return [(segment.kind.value, reply.text[segment.start : segment.end]) for segment in reply.segments]


def test_every_part_has_its_exact_span() -> None:
    reply = STRUCTURED.parse(
        ' [{"name": "f", "arguments": {"a": "é"}},\n{"arguments": "{\\"name\\": 1}", "name": "g"}]'
    )
    assert pieces(reply) == [
        ("scaffold", ' [{"name": "'),
        ("name", "f"),
        ("scaffold", '", "arguments": '),
        ("arguments", '{"a": "é"}'),
        ("scaffold", '},\n{"arguments": "'),
        ("arguments", '{\\"name\\": 1}'),
        ("scaffold", '", "name": "'),
        ("name", "g"),
        ("scaffold", '"}]'),
    ]
    assert reply.calls == (Call("f", {"a": "é"}), Call("g", {"name": 1}))
    assert reply.error is None


@pytest.mark.parametrize(
    ("text", "response"),
    [
        ("Hello. ", "Hello."),
        ("", None),
        ("[]", None),
        ("[1, 2]", "[1, 2]"),
        ('{"name": "f", "arguments": {}}', '{"name": "f", "arguments": {}}'),
        ("[f(a=1)]", "[f(a=1)]"),
    ],
)
def test_anything_else_is_the_response(text: str, response: str | None) -> None:
    reply = STRUCTURED.parse(text)
    assert (reply.calls, reply.response, reply.error) == ((), response, None)


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        pytest.param('[{"name": "f"', ["not valid JSON: Expecting ',' delimiter at character 13"], id="cut off"),
        pytest.param(
            '[{"name": "f", "arguments": {}}] x', ["not valid JSON: Extra data at character 33"], id="text behind"
        ),
        pytest.param(
            '[{"name": "f", "arguments": {}}, 1, {"name": "g", "arguments": "x"}]',
            [
                None,
                "a call must be an object, got number",
                '"arguments" is a string that is not valid JSON: Expecting value at character 0',
            ],
            id="one good, two bad",
        ),
        pytest.param('[{"name": "f", "arguments": "[1]"}]', ['"arguments" must be an object, got list'], id="list"),
    ],
)
def test_malformed_calls_say_why(text: str, errors: list[str | None]) -> None:
    reply = STRUCTURED.parse(text)
    assert [call.error for call in reply.calls] == errors
    assert reply.error


def test_recorded_function_calls_have_the_official_texts() -> None:
    if not _RECORDS.exists():
        pytest.skip(f"no recorded decodings at {_RECORDS}; set TOOLUSE_TEST_DATA")
    records = [record for record in bfcl_parity.read(_RECORDS) if "fc" in record]
    assert len(records) == 8
    assert bfcl_parity.differing(bfcl_parity.decodings(records)) == []
    for record in records:
        if "exec" in record:
            calls = record["fc"] if isinstance(record["fc"], list) else [record["fc"]]
            listed = [{"name": name, "arguments": value} for call in calls for name, value in call.items()]
            assert [call.text for call in STRUCTURED.parse(json.dumps(listed)).calls] == record["exec"]


def test_written_form() -> None:
    assert STRUCTURED.write([Call("f", {"a": 1}), Call("g")]) == (
        '[{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}]'
    )
