from __future__ import annotations

import pytest

from tooluse_gym.formats import Call, Reply, get_format

HERMES = get_format("hermes")


def pieces(reply: Reply) -> list[tuple[str, str]]:
    return [(segment.kind.value, reply.text[segment.start : segment.end]) for segment in reply.segments]


def test_every_part_has_its_exact_span() -> None:
    reply = HERMES.parse(
        "<think>\nuse <tool_call> now\n</think>\n\nI look.\n"
        '<tool_call>\n{"name": "Get\\u004eews", "arguments": {"name": "x", "b": {"arguments": "}"}}}\n</tool_call>\n'
        '<tool_call>\n{"arguments": {}, "name": "g"}\n</tool_call>\n'
    )
    assert pieces(reply) == [
        ("tag", "<think>"),
        ("think", "\nuse <tool_call> now\n"),
        ("tag", "</think>"),
        ("scaffold", "\n\n"),
        ("response", "I look."),
        ("scaffold", "\n"),
        ("tag", "<tool_call>"),
        ("scaffold", '\n{"name": "'),
        ("name", "Get\\u004eews"),
        ("scaffold", '", "arguments": '),
        ("arguments", '{"name": "x", "b": {"arguments": "}"}}'),
        ("scaffold", "}\n"),
        ("tag", "</tool_call>"),
        ("scaffold", "\n"),
        ("tag", "<tool_call>"),
        ("scaffold", '\n{"arguments": '),
        ("arguments", "{}"),
        ("scaffold", ', "name": "'),
        ("name", "g"),
        ("scaffold", '"}\n'),
        ("tag", "</tool_call>"),
        ("scaffold", "\n"),
    ]
    assert reply.calls == (Call("GetNews", {"name": "x", "b": {"arguments": "}"}}), Call("g"))
    assert (reply.think, reply.response, reply.error) == ("use <tool_call> now", "I look.", None)


def call(body: str) -> str:
    return f"<tool_call>\n{body}\n</tool_call>"


@pytest.mark.parametrize(
    ("text", "think", "response", "error"),
    [
        pytest.param("Hello.\n", None, "Hello.", None, id="text"),
        pytest.param("", None, None, "neither text nor a tool call", id="empty"),
        pytest.param("<think>\n\n</think>\n\nHi", "", "Hi", None, id="empty thought"),
        pytest.param("plan\n</think>\n\nHi", "plan", "Hi", None, id="thought opened by the template"),
        pytest.param(
            "a <think> b </think> Hi", "a <think> b", "Hi", "text before <think>", id="text before the thought"
        ),
        pytest.param("<think> a", "a", None, "<think> is not closed", id="thought cut off"),
        pytest.param(
            "<think>" + call('{"name": "f"}'), call('{"name": "f"}'), None, "<think> is not closed", id="call in it"
        ),
        pytest.param("Use <think> to think", None, "Use <think> to think", None, id="tag mentioned"),
        pytest.param(
            "<think>a</think>Hi<think>" + call("{}") + "</think>", "a", "Hi", "a second thought", id="second thought"
        ),
    ],
)
def test_replies_without_calls(text: str, think: str | None, response: str | None, error: str | None) -> None:
    reply = HERMES.parse(text)
    assert (reply.calls, reply.think, reply.response, reply.error) == ((), think, response, error)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(
            '{"name": "f" "arguments": {}}', "not valid JSON: Expecting ',' delimiter at character 13", id="comma"
        ),
        pytest.param("", "there is no call between the tags", id="empty"),
        pytest.param("f(a=1)", "not valid JSON: Expecting value at character 0", id="Python"),
        pytest.param('{"arguments": {"name": "f"}}', 'missing "name"', id="only a nested name"),
        pytest.param('{"name": 1, "arguments": {}}', '"name" must be a string, got number', id="name type"),
        pytest.param('{"name": "", "arguments": {}}', '"name" is empty', id="empty name"),
        pytest.param('{"name": "f"}', 'missing "arguments"', id="no arguments"),
        pytest.param('{"name": "f", "arguments": []}', '"arguments" must be an object, got list', id="list"),
        pytest.param('{"name": "f", "arguments": "{}"}', '"arguments" must be an object, got string', id="string"),
        pytest.param('{"name": "f", "arguments": null}', '"arguments" must be an object, got null', id="null"),
        pytest.param("[]", "a call must be an object, got list", id="list of calls"),
        pytest.param(
            '{"name": "f", "arguments": {}}\n{"name": "g", "arguments": {}}',
            "not valid JSON: Extra data at character 31",
            id="two in a block",
        ),
        pytest.param('{"name": "f", "arguments": {"a": NaN}}', "not valid JSON: NaN is not a JSON value", id="NaN"),
        pytest.param('{"name": "f", "arguments": {"a": 1e999}}', "the number 1e999 is too large", id="infinite"),
        pytest.param(
            f'{{"name": "f", "arguments": {{"a": {"9" * 4301}}}}}',
            "an integer of 4301 digits is too long (at most 4300)",
            id="long integer",
        ),
        pytest.param(
            f'{{"name": "f", "arguments": {{"a": {"[" * 99}{"]" * 99}}}}}', "nested deeper than 100 levels", id="deep"
        ),
    ],
)
def test_malformed_calls_say_why(body: str, error: str) -> None:
    reply = HERMES.parse(call(body))
    assert [made.error for made in reply.calls] == [error]
    assert reply.calls[0].text == body
    assert reply.error == f"call 1: {error}"


def test_a_malformed_call_leaves_the_others_alone() -> None:
    reply = HERMES.parse(call("{") + "\n" + call('{"name": "f", "arguments": {"a": 1}}'))
    assert [made.name for made in reply.calls] == ["", "f"]
    assert reply.calls[1].error is None


def test_an_unclosed_call_is_read_but_not_valid() -> None:
    reply = HERMES.parse('<tool_call>\n{"name": "f", "arguments": {"a": 1}}')
    assert reply.calls == (Call("f", {"a": 1}, "<tool_call> is not closed"),)
    assert ("name", "f") in pieces(reply)


@pytest.mark.parametrize(
    ("body", "arguments", "error"),
    [
        pytest.param(
            '{"name": "f", "parameters": {"a": 1}}', {"a": 1}, '"parameters" instead of "arguments"', id="key"
        ),
        pytest.param('{"name": "f", "arguments": {}, "id": 7}', {}, 'unexpected key "id"', id="extra key"),
        pytest.param('{"name": "x", "arguments": {"a": 1}, "name": "f", "arguments": {}}', {}, None, id="last of two"),
    ],
)
def test_departures_are_tolerated(body: str, arguments: dict[str, int], error: str | None) -> None:
    reply = HERMES.parse(call(body))
    assert reply.calls == (Call("f", arguments),)
    assert reply.error == (error and f"call 1: {error}")


def test_text_after_a_call_is_stray() -> None:
    reply = HERMES.parse(call('{"name": "f", "arguments": {}}') + "\n\nDone. ")
    assert pieces(reply)[-3:] == [("scaffold", "\n\n"), ("stray", "Done."), ("scaffold", " ")]
    assert reply.response is None
    assert reply.error == "text outside the tags: 'Done.'"


def test_calls_have_the_text_of_official_function_calling() -> None:
    reply = HERMES.parse(call('{"name": "f", "arguments": {"a": null, "b": "it\'s", "c": [true, 1.5]}}'))
    assert reply.calls[0].text == """f(a=None,b="it's",c=[True, 1.5])"""


def test_written_form() -> None:
    assert HERMES.write([Call("f", {"a": "</tool_call>"})], think="t", response="r") == (
        '<think>\nt\n</think>\n\nr\n<tool_call>\n{"name": "f", "arguments": {"a": "\\u003c/tool_call>"}}\n</tool_call>'
    )
