"""The world of a dialogue: the APIs of its level over an episode's own tables, and what calls came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tooluse_gym.formats.reply import Call
from tooluse_gym.tools import Tool
from tooluse_gym.world import ToolResult, World, observation_text

from .apis.base import Frozen, Mode, RefusalError, RejectedCallError
from .descriptions import found_names
from .level import Level
from .manager import ApiManager, Result
from .retrieval import SEARCHER, Match


class Made(NamedTuple):
    """A call that reached its API, and what came of it."""

    name: str
    result: Result

    def __deepcopy__(self, memo: dict[int, Any]) -> Made:
        return self  # never changes


class ApiWorld(World):
    """The APIs of a level.

    Args:
        level: whose APIs.
        mode: whether they make the official mistakes.
        draws: recorded results by API name: what an API draws at random, its n-th call draws from the n-th of them,
            so that a dialogue can go on as it was recorded.
    """

    def __init__(self, level: Level, mode: Mode, draws: Mapping[str, Sequence[Result]] | None = None):
        sets, episode = level.episode(mode)
        super().__init__(sets)
        self.made: list[Made] = []
        self.found: tuple[str, ...] = ()
        """Tools that searches have found, in order."""
        self.searches: tuple[Match, ...] = ()
        """Searches that found something, and in which way."""
        self._level = level
        self._manager = ApiManager(sets, episode)
        self._draws = Frozen(draws or {})
        self._calls: Counter[str] = Counter()

    def execute_tool(self, tool: Tool, arguments: dict[str, Any]) -> object:
        result = self._carry_out(tool.name, arguments)
        if result["exception"] is not None:
            raise RefusalError(result["exception"])
        return result["output"]

    def call_officially(self, call: Call) -> ToolResult:
        """Carry out a call as the official program would: any API, arguments converted, nothing else checked."""
        if call.error is not None:
            return ToolResult(f"Malformed call: {call.error}", "malformed")
        try:
            result = self._carry_out(call.name, call.arguments)
        except RejectedCallError as error:
            unknown = self.tool(call.name) is None
            return ToolResult(f"Error: {error}", "unknown_tool" if unknown else "invalid_arguments")
        if result["exception"] is not None:
            return ToolResult(f"Error during execution: {result['exception']}", "exception")
        return ToolResult(observation_text(result["output"]))

    def _carry_out(self, name: str, arguments: Mapping[str, Any]) -> Result:
        recorded, number = self._draws.get(name, ()), self._calls[name]
        result = self._manager.call(name, arguments, recorded[number] if number < len(recorded) else None)
        self._calls[name] += 1
        self.made.append(Made(name, result))
        if name == SEARCHER and result["exception"] is None:
            self._note_search(result)
        return result

    def _note_search(self, result: Result) -> None:
        new = [name for name in found_names(result["output"]) if name not in self.found]
        self.found += tuple(name for name in new if self.tool(name) is not None)
        match = self._level.searcher.find(result["input"]["keywords"])
        if match is not None:
            self.searches += (match,)
