"""What the episodes of one environment have in common: worked out once, used again while it is remembered.

Nothing here changes after it was made, so that episodes and their snapshots may share it.
"""

from __future__ import annotations

import marshal
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, Generic, TypeVar

from tooluse_gym.formats import Format
from tooluse_gym.messages import Message
from tooluse_gym.scoring import GroundTruth
from tooluse_gym.tasks import Task
from tooluse_gym.tools import Tool

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """The values used last, by key; what is forgotten is made anew."""

    def __init__(self, size: int):
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        try:
            self._values.move_to_end(key)
        except KeyError:
            self._values[key] = make()
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        return self._values[key]


class ShownTools:
    """The tools an agent sees at one time, and what a model is told of them in one reply format."""

    def __init__(self, tools: tuple[Tool, ...], format: Format):
        self.tools = tools
        self.names = tuple(tool.name for tool in tools)
        self._format = format

    def openai(self) -> tuple[dict[str, Any], ...]:
        """The tools in OpenAI form; a fresh copy that the caller may change."""
        copied: tuple[dict[str, Any], ...] = marshal.loads(self._marshalled)  # ten times as fast as JSON
        return copied

    @cached_property
    def _marshalled(self) -> bytes:
        return marshal.dumps(tuple(tool.openai() for tool in self.tools))

    @cached_property
    def system_prompt(self) -> str:
        return self._format.system_prompt(self.tools)


class Prepared:
    """A task with what was found out about it: by turn, the tools it shows and the messages that open it; its truth."""

    def __init__(self, task: Task):
        self.task = task
        self.shown: dict[int, ShownTools] = {}
        self.openings: dict[int, tuple[Message, ...]] = {}
        self.truth: GroundTruth | None = None
