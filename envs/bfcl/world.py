"""The world of one BFCL episode: the simulators of its task, called as upstream calls them or strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tooluse_gym.world
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats.python_calls import MAX_BITS
from tooluse_gym.formats.reply import Call

from .executor import execute, execute_call
from .simulators import SIMULATORS
from .simulators.file_tree import Directory, File, Node
from .simulators.limits import LARGEST_ARGUMENTS, MOST_NODES, Budget, RefusedError

_DEEPEST_STATE = 100  # levels of directories in an encoded state


class World(tooluse_gym.world.World):
    """Simulators by class name.

    Args:
        classes: names of the simulated APIs, in upstream's ``involved_classes`` order.
        scenario: upstream's ``initial_config``: scenario by class name. Never changed.
        long_context: load the long-context variant.
        payload: upstream's long-context texts and lists by name.
        commons: pass one dict to the worlds of model and ground truth to share between them what upstream shares in a
            process. None: the world shares with nobody.
        actor: who acts in this world, an identifier. Worlds that are compared in official mode need different ones:
            the simulators' instance names, ``<actor>_<class>_instance``, can get into strings as they do upstream.

    Raises:
        ConfigurationError: a class is unknown.
        DataNotFoundError: ``long_context`` needs a payload that is not there.
    """

    def __init__(
        self,
        classes: Sequence[str],
        scenario: Mapping[str, Any] | None = None,
        long_context: bool = False,
        *,
        payload: Mapping[str, Any] | None = None,
        commons: dict[str, Any] | None = None,
        actor: str = "model",
    ):
        commons = {} if commons is None else commons
        scenario = scenario or {}
        super().__init__(
            {
                name: _simulator(name)(scenario.get(name), long_context=long_context, payload=payload, commons=commons)
                for name in classes
            }
        )
        self._instances = {f"{actor}_{name}_instance": toolset for name, toolset in self.toolsets.items()}

    def execute(self, text: str) -> str:
        """Official mode: execute a call text as upstream would and return the observation. Never raises."""
        return execute(text, self._instances)

    def execute_call(self, call: Call) -> str:
        """As :meth:`execute` of the call's text, faster."""
        return execute_call(call, self._owner.get(call.name), self._instances)

    def copy_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """As the core's, in bounded size and depth."""
        copied: dict[str, Any] = Budget(LARGEST_ARGUMENTS, "the arguments").copy(arguments)
        return copied

    def replay(self, call: Call) -> str:
        """Execute a ground-truth call: upstream's by their text, since they may bind arguments by position."""
        return super().replay(call) if call.source is None else self.execute_call(call)

    def state(self) -> dict[str, dict[str, Any]]:
        """Public attributes by class, as JSON data (a copy).

        For records and hashes: 1 and 1.0 differ, and the order of integer keys counts. To compare two worlds as the
        benchmark does, use :meth:`differs`.
        """
        return {
            name: {attribute: encode(value) for attribute, value in toolset.state().items()}
            for name, toolset in self.toolsets.items()
        }


def _simulator(name: str) -> Any:
    if name not in SIMULATORS:
        raise ConfigurationError(f"no simulator of {name!r}; there are {', '.join(SIMULATORS)}")
    return SIMULATORS[name]


def encode(value: Any) -> Any:
    """A state value as JSON data.

    Trees, sets, mappings with other than string keys, integers too large to print, and foreign objects are marked.
    """
    if isinstance(value, Directory | File):
        return _encode_node(value, Budget(MOST_NODES, "the tree"), 0)
    if isinstance(value, dict):
        return _encode_mapping({key: encode(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, set):
        return {"__set__": sorted(value)}
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return {"__repr__": hex(value)}
    if value is None or isinstance(value, str | int | float):
        return value
    return {"__repr__": repr(value)}


def _encode_mapping(mapping: dict[Any, Any]) -> dict[str, Any]:
    """A mapping whose values are encoded."""
    if all(isinstance(key, str) for key in mapping):
        return mapping
    return {"__items__": [[encode(key), item] for key, item in mapping.items()]}


def _encode_node(node: Node, budget: Budget, depth: int) -> Any:
    if isinstance(node, File):
        return {"type": "file", "name": encode(node.name), "content": encode(node.content)}
    try:
        budget.charge(len(node.contents))
    except RefusedError:
        depth = _DEEPEST_STATE
    contents: dict[Any, Any] = {"__repr__": "more than a state can hold"}  # a directory may contain itself
    if depth < _DEEPEST_STATE:
        contents = {name: _encode_node(child, budget, depth + 1) for name, child in node.contents.items()}
    return {"type": "directory", "name": encode(node.name), "contents": _encode_mapping(contents)}
