"""A toy environment: a house with lamps. Small enough to compute every expectation by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tooluse_gym.env import ToolUseEnv
from tooluse_gym.formats import Call
from tooluse_gym.messages import user
from tooluse_gym.tasks import Task, TaskList, Turn, Utterance
from tooluse_gym.tools import ToolSet

SWITCH = Call("switch", {"lamp": "hall", "on": True})
LOOK = Call("look")
PAINT = Call("paint", {"colors": ["red"]})


class House(ToolSet):
    def __init__(self, lamps: dict[str, bool]):
        self.lamps = lamps  # kept without a copy, on purpose
        self.colors: list[str] = []

    def switch(self, lamp: str, on: bool = True) -> dict[str, bool]:
        """Switch a lamp.

        Args:
            lamp: which one.
            on: whether it shall burn.
        """
        if lamp not in self.lamps:
            raise ValueError(f"no lamp {lamp}")
        self.lamps[lamp] = on
        return {lamp: on}

    def look(self) -> list[str]:
        """List the lamps that burn."""
        return [lamp for lamp, on in self.lamps.items() if on]

    def paint(self, colors: list[str]) -> str:
        """Paint the house.

        Args:
            colors: from bottom to top.
        """
        colors.append("white")  # changes its argument and keeps it, on purpose
        self.colors = colors
        return "painted"


def task(name: str, *turns: Turn, split: str = "train") -> Task:
    return Task(name, turns, ("House",), {"House": {"lamps": {"hall": False, "door": False}}}, split=split)


def turn(text: str, *steps: tuple[Call, ...], reveals: tuple[str, ...] = ()) -> Turn:
    return Turn((user(text),), steps, reveals)


TASKS = (
    task("two turns", turn("light the hall", (SWITCH,)), turn("what burns?", (LOOK,))),
    task("two calls", turn("light the hall and look", (SWITCH, LOOK))),
    task("vague", turn("light it"), turn("the hall", (SWITCH,)), split="test"),
    task("reveal", turn("paint it"), turn("now you can", (PAINT,), reveals=("paint",)), split="test"),
)


class HouseEnv(ToolUseEnv):
    """A house with lamps."""

    toolsets = (House,)

    def __init__(self, **options: Any):
        super().__init__(TaskList(TASKS), **options)


MakeEnv = Callable[..., ToolUseEnv]


@pytest.fixture
def house() -> MakeEnv:
    """Makes the toy environment; ``house(task_id, **options)`` has it reset to a task."""

    def make(task_id: str | None = None, prefix: int = 0, **options: Any) -> ToolUseEnv:
        env = HouseEnv(**options)
        if task_id is not None:
            env.reset(seed=0, options={"task_id": task_id, "prefix": prefix})
        return env

    return make


@pytest.fixture(scope="session")
def house_class() -> MakeEnv:
    return HouseEnv


@pytest.fixture
def say() -> Callable[..., str]:
    """Writes calls in the hermes format: ``say(("switch", {...}), ("look", {}))``."""

    def write(*calls: tuple[str, dict[str, Any]], response: str | None = None) -> str:
        said = Utterance(tuple(Call(name, arguments) for name, arguments in calls), response=response)
        return HouseEnv().write(said)

    return write
