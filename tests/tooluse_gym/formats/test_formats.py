"""What every reply format promises: total parsing, exact cover, linear time, and a faithful way back."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import FORMATS, Call, Format, Kind, Reply, get_format
from tooluse_gym.formats.wording import UnwritableReplyError
from tooluse_gym.tools import Tool

FRAGMENTS = (
    *(
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<response>",
        "</response>",
        "\n",
        " ",
        "text",
        "é",
        "\U0001f600",
    ),
    *(
        '{"name": "f", "arguments": {"a": 1}}',
        '{"name": "f", "parameters": {}}',
        '{"name": ',
        '"arguments": ',
        "{",
        "}",
    ),
    *(
        "[",
        "]",
        "(",
        ")",
        '"',
        "'",
        "\\",
        "\\u00e9",
        ":",
        ",",
        "NaN",
        "1e999",
        "-",
        "not ",
        "**",
        "9",
        "f(a=1)",
        "f",
        "=",
        "#",
    ),
    *(
        "`",
        "```",
        "\r",
        "\r\n",
        "\t",
        "\0",
        "\ud800",
        "'''",
        "f(",
        "a.b(",
        "x[0]",
        "{}",
        "é(a='é')",
        "<TOOLCALL>",
        "lambda: ",
    ),
)

replies = st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join))


def assert_sound(reply: Reply, text: str) -> None:
    position = 0
    for segment in reply.segments:
        assert segment.start == position < segment.end
        position = segment.end
    assert position == len(text)
    assert reply.text == text
    assert [segment.kind for segment in reply.segments].count(Kind.NAME) <= len(reply.calls)
    for call in reply.calls:
        assert isinstance(call.text, str)
        if call.error:
            assert reply.error


@pytest.mark.parametrize("name", FORMATS)
@given(text=replies)
@example(text="<think>a<think>b</think>c</think>")
@example(text='<tool_call>{"name": "f", "arguments": {"a": "</tool_call>"}}</tool_call>')
@example(text="f(a=9**9**9)")
@example(text="[(f)\r\n (é='é', b=g(1))]")
@settings(max_examples=300)
def test_any_text_is_covered_exactly(name: str, text: str) -> None:
    assert_sound(get_format(name).parse(text), text)


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "[",
            "{",
            "(",
            "<think>",
            "</think>",
            "<think></think>",
            "<tool_call>",
            "</tool_call>",
            "<tool_call>{}</tool_call>",
        ),
        *(
            "<response>",
            "<response></response>",
            '{"a": [1, 2, 3], "b":\n',
            "{x" + "\n" * 20,
            '{"a": [',
            '\\"',
            '"\\',
            "f(a=1), ",
            "-",
            "a.",
            "1+",
        ),
        *("9", "'", "`", "\0", "\ud800", "é", "(" * 20 + "\n", "[[[\n", "<TOOLCALL>", '[{"name": "f", "arguments": "'),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", FORMATS)
def test_a_megabyte_of_anything_is_read(name: str, unit: str) -> None:
    for opening in ("", "<think></think>\n<tool_call>\n"):
        text = opening + unit * (1_000_000 // len(unit))
        assert_sound(get_format(name).parse(text), text)


@pytest.mark.parametrize(
    "opening", ["", '<tool_call>{"name": "f", "arguments": {"a": ', '[{"name": "f", "arguments": {"a": ', "f(a="]
)
@pytest.mark.parametrize(
    "value", ["[" * 10**5, "{" * 10**5, "9" * 10**5, "NaN", "-Infinity", "1e999", "9**9**9", "'a'*10**9"]
)
@pytest.mark.parametrize("name", FORMATS)
def test_values_without_bounds_are_refused(name: str, value: str, opening: str) -> None:
    text = f"{opening}{value}"
    for whole in (text, f"{text}}}}}</tool_call>", f"{text}}}}}]", f"{text})"):
        reply = get_format(name).parse(whole)
        assert_sound(reply, whole)
        runs = any(call.error is None for call in reply.calls)
        assert not runs or (name, value) in (("pythonic", "NaN"), ("pythonic", "1e999"))  # a name, and inf


# What may be written. JSON has strings, finite numbers, lists and objects with text keys; Python literals have more.
texts = st.text(max_size=20)
words = st.one_of(
    texts, st.sampled_from(["<tool_call>", "</tool_call>x", "</think>", "<think>", '"name"', "\\", "it's", "\u2028"])
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), words)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3)
)
python_values = st.recursive(
    scalars | st.binary(max_size=5) | st.complex_numbers(allow_nan=False, allow_infinity=False, max_magnitude=1e6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(words | st.integers(), inner, min_size=1, max_size=3)
    ),
)
identifiers = st.from_regex(r"[a-z_][a-z0-9_]{0,8}_", fullmatch=True)  # no keyword ends with an underscore
json_calls = st.builds(Call, words.filter(bool), st.dictionaries(words, json_values, max_size=3))
python_calls = st.builds(
    Call,
    st.lists(identifiers, min_size=1, max_size=3).map(".".join),
    st.dictionaries(identifiers, python_values, max_size=3),
)
prose = st.from_regex(r"[A-Za-zé][a-z ,.'\n]{0,20}[.!]", fullmatch=True)  # stripped, and no Python
thoughts = st.one_of(
    st.just(""), prose, st.sampled_from(["a <tool_call> b", "<think> again", '{"name": "f"}', "é\n\nü"])
)


def with_signs(call: Call) -> str:
    return repr((call.name, call.arguments))  # tells -0.0 from 0.0, True from 1


@pytest.mark.parametrize("name", ["toolrl", "hermes"])
@given(calls=st.lists(json_calls, max_size=3), think=st.none() | thoughts, response=st.none() | prose)
def test_tagged_formats_read_back_what_they_write(
    name: str, calls: list[Call], think: str | None, response: str | None
) -> None:
    form = get_format(name)
    reply = form.parse(form.write(calls, think, response))
    assert reply.calls == tuple(calls)
    assert list(map(with_signs, reply.calls)) == list(map(with_signs, calls))
    assert (reply.think, reply.response) == (think, response)
    if think is not None and (calls or response):
        assert reply.error is None


@given(calls=st.lists(json_calls, min_size=1, max_size=3))
def test_structured_reads_back_what_it_writes(calls: list[Call]) -> None:
    form = get_format("structured")
    reply = form.parse(form.write(calls, think="dropped", response="dropped"))
    assert list(map(with_signs, reply.calls)) == list(map(with_signs, calls))
    assert reply.error is None


@given(calls=st.lists(python_calls, min_size=1, max_size=3))
def test_pythonic_reads_back_what_it_writes(calls: list[Call]) -> None:
    form = get_format("pythonic")
    reply = form.parse(form.write(calls, think="dropped", response="dropped"))
    assert reply.calls == tuple(calls)
    assert reply.error is None


@pytest.mark.parametrize("name", ["pythonic", "structured"])
@given(response=prose)
def test_text_only_formats_read_back_a_response(name: str, response: str) -> None:
    form = get_format(name)
    reply = form.parse(form.write((), response=response))
    assert (reply.calls, reply.response, reply.error) == ((), response, None)


@pytest.mark.parametrize(
    ("name", "calls", "think", "response"),
    [
        pytest.param("hermes", (), None, "<tool_call>", id="response opens a call"),
        pytest.param("hermes", (), "a </think> b", None, id="thought closes itself"),
        pytest.param("hermes", (Call("f", {"a": math.nan}),), None, None, id="NaN"),
        pytest.param("hermes", (Call("f", {"a": {1, 2}}),), None, None, id="set"),
        pytest.param("hermes", (Call("f", error="broken"),), None, None, id="malformed call"),
        pytest.param("hermes", (Call("", {}),), None, None, id="no name"),
        pytest.param("toolrl", (), "t", "a </response> b", id="response closes itself"),
        pytest.param("pythonic", (), None, "[f()]", id="response is a call"),
        pytest.param("pythonic", (Call("f", {"a": math.inf}),), None, None, id="infinity is a name in Python"),
        pytest.param("pythonic", (Call("f", {"class": 1}),), None, None, id="keyword"),
        pytest.param("pythonic", (Call("f", {"a": {}}),), None, None, id="empty dict is not executable"),
        pytest.param("pythonic", (Call("f", {"a": 10**5000}),), None, None, id="unprintable integer"),
        pytest.param("structured", (), None, '[{"name": 1}]', id="response looks like calls"),
    ],
)
def test_what_cannot_be_read_back_is_not_written(
    name: str, calls: tuple[Call, ...], think: str | None, response: str | None
) -> None:
    with pytest.raises(UnwritableReplyError):
        get_format(name).write(calls, think, response)


@pytest.mark.parametrize("name", FORMATS)
def test_prompt_shows_tools_and_a_readable_example(name: str) -> None:
    form = get_format(name)
    tool = Tool("touch", "Create a file – at once.", {"type": "object", "properties": {"file": {"type": "string"}}})
    prompt = form.system_prompt([tool])
    line = next(line for line in prompt.splitlines() if "touch" in line)
    assert json.loads(line) == {"name": "touch", "description": tool.description, "parameters": tool.parameters}
    assert "no tools" in form.system_prompt([])
    lines = prompt.splitlines()
    openings = {"toolrl": "<think>", "hermes": "<tool_call>", "pythonic": "[first", "structured": "[{"}
    closings = {"toolrl": "</response>", "hermes": "</tool_call>", "pythonic": "2)]", "structured": "}]"}
    first = next(i for i, line in enumerate(lines) if line.startswith(openings[name]))
    last = next(i for i, line in enumerate(lines) if i >= first and line.endswith(closings[name]))
    reply = form.parse("\n".join(lines[first : last + 1]))
    assert reply.calls
    assert reply.error is None


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("text", "after"), [("What now?", "\n\nWhat now?"), ("", "")], ids=["said", "silent"])
def test_new_tools_are_told_before_the_users_text(name: str, text: str, after: str) -> None:
    tools = [Tool(tool, "Create – at once.", {"type": "object", "properties": {}}) for tool in ("touch", "mkdir")]
    lines = [
        f'{{"name": "{tool.name}", "description": "Create – at once.", '
        '"parameters": {"type": "object", "properties": {}}}'
        for tool in tools
    ]
    expected = "\n".join(("These tools are now available as well:", *lines)) + after
    assert get_format(name).announce(tools, text) == expected


@pytest.mark.parametrize("name", FORMATS)
def test_one_result_per_call(name: str) -> None:
    calls = (Call("f", {"a": "x"}), Call("", error="broken", source="{"))
    messages = get_format(name).results(calls, ["one", "\ud800"])
    named = "f(a='x')" if name == "pythonic" else "f"
    assert messages[0] == {"role": "tool", "name": named, "content": "one"}
    assert messages[1]["name"]
    assert messages[1]["content"] == "\\ud800"
    with pytest.raises(ValueError, match="shorter"):
        get_format(name).results(calls, ["one"])


def test_formats_are_found_by_name() -> None:
    form: Format = get_format("hermes")
    assert get_format(form) is form
    assert [get_format(name).name for name in FORMATS] == list(FORMATS)
    with pytest.raises(ConfigurationError, match="unknown reply format 'xml'"):
        get_format("xml")
