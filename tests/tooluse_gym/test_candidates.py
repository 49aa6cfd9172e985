from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tooluse_gym.candidates import ConversationCalls, Said, values_said
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.messages import Message, assistant, system, tool_result, user
from tooluse_gym.tasks import CLOSING
from tooluse_gym.tools import Tool

SAID = [
    ("quoted text, not its words", [user('delete "a b" and \'c\', not "a b"')], ("a b", "c"), ()),
    ("words where nothing is quoted", [user("open notes.txt, please")], ("open", "notes.txt", "please"), ()),
    ("an apostrophe quotes nothing", [user("don't")], ("don", "t"), ()),
    ("numbers", [user('add -3 and 4.5 to "x" 3. a1')], ("x",), (-3, 4.5, 3)),
    ("a tool's JSON", [tool_result("f", '{"k": ["v", 2, true, null], "l": {"m": 1.5}}')], ("v",), (2, 1.5)),
    ("a tool's text", [tool_result("f", "there is 'x'")], ("x",), ()),
    ("neither system nor agent", [system('"s"'), user('"u"'), assistant('"a" 1')], ("u",), ()),
    (
        "the current turn first, in order",
        [user('"one" 1'), tool_result("f", '"two"'), user('"three"'), tool_result("f", '["four", 4]')],
        ("three", "four", "one", "two"),
        (4, 1),
    ),
]


@pytest.mark.parametrize(("conversation", "texts", "numbers"), [case[1:] for case in SAID], ids=[c[0] for c in SAID])
def test_values_said(conversation: list[Message], texts: tuple[str, ...], numbers: tuple[float, ...]) -> None:
    assert values_said(conversation, 9) == Said(texts, numbers)


def test_no_more_values_than_asked_for() -> None:
    assert values_said([user('"a" "b" "c" 1 2 3')], 2) == Said(("a", "b"), (1, 2))


@pytest.mark.parametrize(
    "content", ["[" * 9_999, "9" * 9_999, f"[{'9' * 4_000}]", "[1e999, NaN]", '"' * 9_999, "'" * 9_999, "-" * 9_999]
)
def test_monstrous_messages_give_no_value_that_cannot_be_used(content: str) -> None:
    said = values_said([tool_result("f", content), user(content)], 4)
    assert all(len(text) <= 200 for text in said.texts)
    assert all(abs(number) <= 2**53 for number in said.numbers)


@given(st.lists(st.builds(tool_result, st.just("f"), st.text()) | st.builds(user, st.text())))
def test_any_conversation_can_be_read(conversation: list[Message]) -> None:
    said = values_said(conversation, 3)
    assert max(map(len, said)) <= 3


def tool(required: tuple[str, ...], **properties: Any) -> Tool:
    return Tool("f", "F.", {"type": "object", "properties": properties, "required": list(required)})


def ways(made: Tool, text: str, most: int = 9) -> list[dict[str, Any]]:
    _, *places = ConversationCalls(ways=most)((made,), [user(text)])
    return [said.calls[0].arguments for said in places if said is not None]


TEXT, NUMBER = {"type": "string"}, {"type": "number"}
WAYS = [
    ("one text", tool(("a",), a=TEXT), '"x" "y"', [{"a": "x"}, {"a": "y"}]),
    (
        "no value twice, first",
        tool(("a", "b"), a=TEXT, b=TEXT),
        '"x" "y"',
        [{"a": "x", "b": "y"}, {"a": "y", "b": "x"}, {"a": "x", "b": "x"}, {"a": "y", "b": "y"}],
    ),
    (
        "early values first",
        tool(("a", "b"), a=TEXT, b=TEXT),
        '"x" "y" "z"',
        [dict(zip("ab", pair, strict=True)) for pair in ("xy", "yx", "xz", "zx", "yz", "zy", "xx", "yy", "zz")],
    ),
    ("by type", tool(("a", "b"), a=TEXT, b={"type": "integer"}), '"x" 1.5 2', [{"a": "x", "b": 2}]),
    ("nothing fits", tool(("a",), a=NUMBER), '"x"', []),
    ("no parameter", tool(()), "", [{}]),
    (
        "one optional at a time",
        tool((), a=NUMBER, b={"type": "boolean"}),
        "5",
        [{}, {"a": 5}, {"b": True}, {"b": False}],
    ),
    ("enum", tool(("a",), a={"enum": ["p", "q"]}), '"x"', [{"a": "p"}, {"a": "q"}]),
    ("const", tool(("a",), a={"const": 7}), "", [{"a": 7}]),
    ("alternatives", tool(("a",), a={"anyOf": [NUMBER, {"type": "null"}]}), "1", [{"a": 1}, {"a": None}]),
    ("types", tool(("a",), a={"type": ["string", "null"]}), '"x"', [{"a": "x"}, {"a": None}]),
    (
        "arrays: all, then each",
        tool(("a",), a={"type": "array", "items": NUMBER}),
        "1 2",
        [{"a": [1, 2]}, {"a": [1]}, {"a": [2]}],
    ),
    (
        "objects",
        tool(("a",), a={"type": "object", "properties": {"b": NUMBER}, "required": ["b"]}),
        "1",
        [{"a": {"b": 1}}],
    ),
    ("no type", tool(("a",), a={}), '"x" 1', [{"a": "x"}, {"a": 1}]),
    ("only what the schema allows", tool(("a",), a={"type": "number", "minimum": 3}), "1 2 3", [{"a": 3}]),
]


@pytest.mark.parametrize(("made", "text", "expected"), [case[1:] for case in WAYS], ids=[case[0] for case in WAYS])
def test_ways_to_call_a_tool(made: Tool, text: str, expected: list[dict[str, Any]]) -> None:
    assert ways(made, text) == expected


def test_many_parameters_take_no_time() -> None:
    names = [f"p{number}" for number in range(30)]
    assert len(ways(tool(tuple(names), **dict.fromkeys(names, TEXT)), '"a" "b" "c" "d"', most=5)) == 5


def test_places_keep_their_tools(house: Callable[..., ToolUseEnv]) -> None:
    env = house("two calls")
    shown = env.visible_tools
    places = ConversationCalls(("look", "none", "switch"), ways=2)(shown, env.conversation)
    assert [said and (said.calls[0].text if said.calls else "closing") for said in places] == [
        *("closing", "look()", None, None, None),
        *("switch(lamp='light')", "switch(lamp='the')"),
    ]
    assert places[0] == CLOSING


def test_every_call_satisfies_its_schema() -> None:
    env = gymnasium.make("tooluse_gym:BFCLMultiTurn-v0").unwrapped
    assert isinstance(env, ToolUseEnv)
    calls = 0
    for seed in range(20):
        env.reset(seed=seed)
        tools = {tool.name: tool for tool in env.visible_tools}
        for said in ConversationCalls(ways=8)(env.visible_tools, env.conversation):
            for call in said.calls if said else ():
                assert tools[call.name].check(call.arguments) is None
                calls += 1
    assert calls > 100


@pytest.mark.parametrize("wrong", [{"ways": 0}, {"values": 0}])
def test_refusals(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="must be at least 1"):
        ConversationCalls(**wrong)
