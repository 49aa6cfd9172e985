from __future__ import annotations

import pytest

from tooluse_gym.formats import Call, Reply, get_format

TOOLRL = get_format("toolrl")
THINK = "<think> t </think>"


def pieces(reply: Reply) -> list[tuple[str, str]]:
    return [(segment.kind.value, reply.text[segment.start : segment.end]) for segment in reply.segments]


def block(*lines: str) -> str:
    return "\n".join(("<tool_call>", *lines, "</tool_call>"))


F = '{"name": "f", "parameters": {"a": "1"}}'
G = '{"name": "g", "parameters": {}}'


def test_every_part_has_its_exact_span() -> None:
    reply = TOOLRL.parse(f"<think> ok <tool_call> then </think>\n{block(F, G)}\n<response> Hi <think> </response>")
    assert pieces(reply) == [
        ("tag", "<think>"),
        ("think", " ok <tool_call> then "),
        ("tag", "</think>"),
        ("scaffold", "\n"),
        ("tag", "<tool_call>"),
        ("scaffold", '\n{"name": "'),
        ("name", "f"),
        ("scaffold", '", "parameters": '),
        ("arguments", '{"a": "1"}'),
        ("scaffold", '}\n{"name": "'),
        ("name", "g"),
        ("scaffold", '", "parameters": '),
        ("arguments", "{}"),
        ("scaffold", "}\n"),
        ("tag", "</tool_call>"),
        ("scaffold", "\n"),
        ("tag", "<response>"),
        ("response", " Hi <think> "),
        ("tag", "</response>"),
    ]
    assert reply.calls == (Call("f", {"a": "1"}), Call("g"))
    assert (reply.think, reply.response, reply.error) == ("ok <tool_call> then", "Hi <think>", None)


@pytest.mark.parametrize(
    ("text", "names", "error"),
    [
        pytest.param(f"{THINK}\n{block(F)}", ["f"], None, id="calls only"),
        pytest.param(f" {THINK}\n{block(F)}\n", ["f"], None, id="blanks around"),
        pytest.param(f"{THINK}\n<response> r </response>", [], None, id="response only"),
        pytest.param("", [], "missing <think>", id="empty"),
        pytest.param(THINK, [], "neither <tool_call> nor <response>", id="thought only"),
        pytest.param(block(F), ["f"], "missing <think>", id="no thought"),
        pytest.param("Hello", [], "text outside the tags: 'Hello'", id="plain text"),
        pytest.param(f"{THINK} so\n{block(F)}", ["f"], "text outside the tags: 'so'", id="text between"),
        pytest.param(f"{THINK}\n{block(F)}x", ["f"], "text outside the tags: 'x'", id="text after"),
        pytest.param(
            f"{THINK}\n\n{block(F)}", ["f"], "expected one line break before <tool_call>", id="two line breaks"
        ),
        pytest.param(f"{THINK}{block(F)}", ["f"], "expected one line break before <tool_call>", id="no line break"),
        pytest.param(
            f"{THINK}\n<tool_call>{F}\n</tool_call>", ["f"], "expected a line break after <tool_call>", id="inside"
        ),
        pytest.param(f"{THINK}\n{block(F, '', G)}", ["f", "g"], "blank line in <tool_call>", id="blank line"),
        pytest.param(f"{THINK}\n{block(F)}\n{block(G)}", ["f", "g"], "more than one <tool_call>", id="two blocks"),
        pytest.param(
            f"{THINK}\n<response> r </response>\n{block(F)}", ["f"], "<tool_call> after <response>", id="order"
        ),
        pytest.param(f"{THINK}\n{THINK}\n{block(F)}", ["f"], "more than one <think>", id="two thoughts"),
        pytest.param(f"<think> {block(F)}", [], "<think> is not closed", id="thought cut off"),
        pytest.param(f"{THINK}\n<tool_call>\n{F}", ["f"], "call 1: <tool_call> is not closed", id="call cut off"),
        pytest.param(f"{THINK}\n<response> r", [], "<response> is not closed", id="response cut off"),
        pytest.param(f"{THINK}\n{block()}", [""], "call 1: there is no call between the tags", id="no call"),
        pytest.param(
            f"{THINK}\n{block('rubbish', F)}",
            ["", "f"],
            "call 1: not valid JSON: Expecting value at character 0",
            id="rubbish",
        ),
        pytest.param(
            f"{THINK}\n{block(F + ' ' + G)}", [""], "call 1: not valid JSON: Extra data at character 40", id="one line"
        ),
        pytest.param(
            f"{THINK}\n{block(F.replace(',', ',' + chr(10)))}", ["f"], "a call spans several lines", id="several lines"
        ),
        pytest.param(
            f"{THINK}\n{block(F.replace('parameters', 'arguments'))}",
            ["f"],
            'call 1: "arguments" instead of "parameters"',
            id="key",
        ),
        pytest.param(
            f"{THINK}\n{block(F[:-1], G)}",
            ["", "g"],
            "call 1: not valid JSON: Expecting ',' delimiter at character 38",
            id="brace",
        ),
        pytest.param(
            f"{THINK}\n{block('{')}",
            [""],
            "call 1: not valid JSON: Expecting property name enclosed in double quotes at character 1",
            id="cut",
        ),
    ],
)
def test_replies(text: str, names: list[str], error: str | None) -> None:
    reply = TOOLRL.parse(text)
    assert [call.name for call in reply.calls] == names
    assert reply.error == error


def test_second_thought_and_second_response_are_stray() -> None:
    reply = TOOLRL.parse(f"{THINK}\n<think> u </think>\n<response> r </response>\n<response> s </response>")
    assert (reply.think, reply.response) == ("t", "r")
    assert [text for kind, text in pieces(reply) if kind == "stray"] == [
        "<think> u </think>",
        "<response> s </response>",
    ]


def test_written_form() -> None:
    assert TOOLRL.write([Call("f", {"a": "1"}), Call("g")], "t", "r") == (
        f"{THINK}\n{block(F, G)}\n<response> r </response>"
    )
