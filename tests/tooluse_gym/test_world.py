from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ToolUseError
from tooluse_gym.formats import Call
from tooluse_gym.tools import ToolSet
from tooluse_gym.world import World, observation_text


class Counter(ToolSet):
    def __init__(self, start: int = 0):
        self.value = start

    def add(self, amount: int) -> int:
        """Add."""
        self.value += amount
        return self.value

    def look(self) -> dict[str, int]:
        """Look."""
        return {"value": self.value}

    def fail(self) -> None:
        """Fail."""
        raise RuntimeError("broken")

    def keep(self, value: list) -> int:  # type: ignore[type-arg]
        """Keep whatever it is."""
        self.value = len(value)
        return self.value

    def exhaust(self) -> None:
        """Recurse without end."""
        self.exhaust()


class Clash(ToolSet):
    def look(self) -> str:
        """Look elsewhere."""
        return "clash"


@pytest.fixture
def world() -> World:
    return World({"Counter": Counter(1)})


@pytest.mark.parametrize(
    ("call", "text", "failure"),
    [
        (Call("add", {"amount": 2}), "3", None),
        (Call("look"), '{"value": 1}', None),
        (Call("add", {"amount": "2"}), "Invalid call: add: argument 'amount': expected integer, got '2'", "invalid"),
        (Call("add"), "Invalid call: add: missing argument 'amount'", "invalid"),
        (Call("ad"), "Unknown tool 'ad'. Available: add, look, fail, keep, exhaust.", "unknown_tool"),
        (Call("__init__"), "Unknown tool '__init__'. Available: add, look, fail, keep, exhaust.", "unknown_tool"),
        (Call("state"), "Unknown tool 'state'. Available: add, look, fail, keep, exhaust.", "unknown_tool"),
        (Call("add", {"amount": 2}, error="no JSON"), "Malformed call: no JSON", "malformed"),
        (Call("fail"), "Error during execution: broken", "exception"),
    ],
    ids=lambda value: value.text if isinstance(value, Call) else "",
)
def test_call(world: World, call: Call, text: str, failure: str | None) -> None:
    before = copy.deepcopy(world)
    result = world.call(call)
    assert result.text == text
    assert result.failure == ("invalid_arguments" if failure == "invalid" else failure)
    if failure:
        assert world.differs(before) == {}


def test_whatever_a_tool_raises_is_an_observation(world: World) -> None:
    assert world.call(Call("exhaust")).failure == "exception"


@pytest.mark.parametrize("depth", [900, 100_000])
def test_arguments_too_deep_to_copy_are_refused(world: World, depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    assert world.tools["keep"].check({"value": value}) is None
    result = world.call(Call("keep", {"value": value}))
    assert (result.text, result.failure) == (
        "Invalid call: keep: an argument is nested too deeply",
        "invalid_arguments",
    )
    assert world.state() == {"Counter": {"value": 1}}
    assert world.call(Call("keep", {"value": [[[]]]})).text == "1"


def test_hidden_tools_are_unknown(world: World) -> None:
    result = world.call(Call("add", {"amount": 1}), visible=["look"])
    assert (result.text, result.failure) == ("Unknown tool 'add'. Available: look.", "unknown_tool")


def test_later_tool_set_wins_a_name_clash() -> None:
    world = World({"Counter": Counter(), "Clash": Clash()})
    assert world.replay(Call("look")) == "clash"
    assert world.tools["look"].description == "Look elsewhere."
    assert list(world.tools) == ["add", "look", "fail", "keep", "exhaust"]


def test_differs_names_attributes(world: World) -> None:
    other = copy.deepcopy(world)
    assert world.differs(other) == {}
    other.call(Call("add", {"amount": 1}))
    assert world.differs(other) == {"Counter": ["value"]}
    assert world.state() == {"Counter": {"value": 1}}


def test_an_attribute_that_one_world_lacks_is_none(world: World) -> None:
    other = copy.deepcopy(world)
    other.toolsets["Counter"].note = None  # type: ignore[attr-defined]
    assert (world.differs(other), other.differs(world)) == ({}, {})
    other.toolsets["Counter"].note = ""  # type: ignore[attr-defined]
    assert world.differs(other) == {"Counter": ["note"]}


def test_a_copy_is_independent(world: World) -> None:
    copied = copy.deepcopy(world)
    copied.call(Call("add", {"amount": 5}))
    assert world.state() == {"Counter": {"value": 1}}
    assert copied.state() == {"Counter": {"value": 6}}


def test_tools_get_copies_of_arguments(house: Callable[..., ToolUseEnv]) -> None:
    """The toy's ``paint`` changes and keeps its argument; the ground truth must not change with it."""
    env = house("reveal")
    agent, gold = env.make_world(env.task), env.make_world(env.task)
    call = env.task.turns[1].calls[0]
    agent.call(call)
    gold.call(call)
    assert call.arguments == {"colors": ["red"]}
    assert agent.state()["House"]["colors"] == ["red", "white"]
    assert agent.state()["House"]["colors"] is not gold.state()["House"]["colors"]


def test_a_world_can_bound_what_tools_are_given() -> None:
    class Frugal(World):
        def copy_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
            if arguments["amount"] > 9:
                raise ToolUseError("too much")
            return {"amount": arguments["amount"] + 1}

    world = Frugal({"Counter": Counter(1)})
    assert world.call(Call("add", {"amount": 2})).text == "4"
    result = world.call(Call("add", {"amount": 10}))
    assert (result.text, result.failure) == ("Invalid call: add: too much", "invalid_arguments")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ({"a": None}, '{"a": null}'),
        ({"a": {1}}, "{'a': {1}}"),
        ([True, None], "[True, None]"),
        (None, "None"),
        (1.0, "1.0"),
    ],
)
def test_observation_text(value: Any, text: str) -> None:
    assert observation_text(value) == text
