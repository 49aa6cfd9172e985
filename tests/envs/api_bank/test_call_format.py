from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tooluse_gym.envs.api_bank.call_format import ApiBankCalls
from tooluse_gym.formats import Call, Kind

FORMAT = ApiBankCalls()
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(["[F(", "a='", "')]", "x", ", b=", "3", "]", "\n"])).map("".join))


def test_a_call_has_its_spans() -> None:
    text = "[F(a='x')]\n[G(b=3)]"
    reply = FORMAT.parse(text)
    assert reply.calls == (Call("F", {"a": "x"}), Call("G", {"b": 3}))
    assert reply.error is None
    spans = [(segment.kind, text[segment.start : segment.end]) for segment in reply.segments]
    assert spans == [
        (Kind.SCAFFOLD, "["),
        (Kind.NAME, "F"),
        (Kind.SCAFFOLD, "("),
        (Kind.ARGUMENTS, "a='x'"),
        (Kind.SCAFFOLD, ")]\n["),
        (Kind.NAME, "G"),
        (Kind.SCAFFOLD, "("),
        (Kind.ARGUMENTS, "b=3"),
        (Kind.SCAFFOLD, ")]"),
    ]


def test_other_text_is_the_answer_or_stray() -> None:
    assert FORMAT.parse(" It is 7. ").response == "It is 7."
    reply = FORMAT.parse("Sure: [F(a='x')]")
    assert (len(reply.calls), reply.response) == (1, None)
    assert reply.error == "text outside the tags: 'Sure:'"
    assert FORMAT.parse("[F(a='x").calls[0].error == "the value of 'a' does not end"


@settings(max_examples=50)
@given(text=TEXTS)
def test_segments_cover_any_text(text: str) -> None:
    reply = FORMAT.parse(text)
    assert "".join(text[segment.start : segment.end] for segment in reply.segments) == text


@settings(max_examples=50)
@given(st.dictionaries(st.from_regex("[a-z]+", fullmatch=True), st.one_of(TEXTS, st.integers(-9, 9), st.booleans())))
def test_what_is_written_reads_back(arguments: dict[str, object]) -> None:
    calls = (Call("F", arguments), Call("G"))
    assert FORMAT.parse(FORMAT.write(calls)).calls == calls
