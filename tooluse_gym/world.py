"""A world: the tool sets of one episode, and the one place where a tool is executed in strict mode."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from tooluse_gym.errors import ToolUseError
from tooluse_gym.formats.reply import Call
from tooluse_gym.tools import Tool, ToolSet

Failure = Literal["malformed", "unknown_tool", "invalid_arguments", "exception"]
Attributes = Mapping[str, Mapping[str, Any]]
"""Public attributes by tool set name."""


class ToolResult(NamedTuple):
    """What came of one call: the observation text, and why it was not executed (or what raised), if so."""

    text: str
    failure: Failure | None = None


class World:
    """Tool sets by class name, with their tools by tool name. On a name clash the later set wins."""

    found: tuple[str, ...] = ()
    """Tools that the agent's calls have made visible, in order: a world with a search for tools says so here."""

    def __init__(self, toolsets: Mapping[str, ToolSet]):
        self.toolsets = dict(toolsets)
        self._owner = {name: toolset for toolset in self.toolsets.values() for name in toolset.tools}

    @property
    def tools(self) -> dict[str, Tool]:
        """Every tool, in the order of the tool sets."""
        return {name: owner.tools[name] for name, owner in self._owner.items()}

    def call(self, call: Call, visible: Collection[str] | None = None) -> ToolResult:
        """Validate and execute one call. Refused calls change nothing; what a tool raises becomes its observation.

        Tools outside ``visible`` (None: all are inside) are unknown to the caller.
        """
        if call.error is not None:
            return ToolResult(f"Malformed call: {call.error}", "malformed")
        tool = self.tool(call.name)
        if tool is None or (visible is not None and call.name not in visible):
            known = ", ".join(self.tools if visible is None else visible)
            return ToolResult(f"Unknown tool '{call.name[:80]}'. Available: {known}.", "unknown_tool")
        try:
            arguments = self.copy_arguments(call.arguments)
        except ToolUseError as error:
            return ToolResult(f"Invalid call: {tool.name}: {error}", "invalid_arguments")
        problem = tool.check(arguments)
        if problem is not None:
            return ToolResult(f"Invalid call: {problem}", "invalid_arguments")
        try:
            return ToolResult(observation_text(self.execute_tool(tool, arguments)))
        except Exception as error:  # the boundary: whatever a simulated API raises is data for the agent
            return ToolResult(f"Error during execution: {error}", "exception")

    def tool(self, name: str) -> Tool | None:
        """The tool of that name, if there is one."""
        owner = self._owner.get(name)
        return None if owner is None else owner.tools[name]

    def execute_tool(self, tool: Tool, arguments: dict[str, Any]) -> object:
        """What the tool returns for arguments that satisfy its schema. May raise what it likes."""
        return getattr(self._owner[tool.name], tool.name)(**arguments)

    def copy_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The copy that a tool gets: what it keeps must not be shared with the task's ground truth or a reply.

        Raises:
            ToolUseError: they are more than a tool can be given; the message says in what.
        """
        try:
            return copy.deepcopy(arguments)
        except RecursionError:
            raise ToolUseError("an argument is nested too deeply") from None

    def replay(self, call: Call) -> str:
        """Execute a ground-truth call: the observation text."""
        return self.call(call).text

    def attributes(self) -> dict[str, dict[str, Any]]:
        """Public attributes by tool set name, live (not copies)."""
        return {name: toolset.state() for name, toolset in self.toolsets.items()}

    def differs(self, other: World | Attributes) -> dict[str, list[str]]:
        """Names of the public attributes that are not equal (``==``), by tool set; empty if the worlds agree."""
        others = other.attributes() if isinstance(other, World) else other
        differences: dict[str, list[str]] = {}
        for name, toolset in self.toolsets.items():
            mine, theirs = toolset.state(), others[name]
            if mine == theirs:
                continue
            unequal = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
            if unequal:  # an attribute that only one of them has may be None
                differences[name] = unequal
        return differences

    def state(self) -> dict[str, dict[str, Any]]:
        """Public attributes by tool set name."""
        return self.attributes()


class DeclaredWorld(World):
    """A world of tools that are known by their schemas alone: calls are checked, and nothing is carried out.

    Of tools with the same name the last counts.
    """

    def __init__(self, tools: Iterable[Tool]):
        super().__init__({})
        self._declared = {tool.name: tool for tool in tools}

    @property
    def tools(self) -> dict[str, Tool]:
        return dict(self._declared)

    def tool(self, name: str) -> Tool | None:
        return self._declared.get(name)

    def execute_tool(self, tool: Tool, arguments: dict[str, Any]) -> object:
        return "The call is well-formed; it is judged, not carried out."

    def __deepcopy__(self, memo: dict[int, Any]) -> DeclaredWorld:
        return self  # never changes


def observation_text(value: object) -> str:
    """A tool's result as the text the agent sees: text as it is, a dict as JSON (else its repr), the rest as ``str``.

    This is BFCL's rule; lists and None therefore show in Python syntax.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        try:
            return json.dumps(value)
        except TypeError:
            return str(value)
    return str(value)
