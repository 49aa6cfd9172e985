"""What the simulated APIs of the benchmark share: how their state is loaded, copied and, on request, shared."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from typing import Any, ClassVar

from tooluse_gym.errors import DataNotFoundError
from tooluse_gym.tools import ToolSet


class Simulator(ToolSet):
    """One simulated API with its own state.

    Subclasses set ``defaults`` (public attribute to default value) and, if they draw random numbers, ``default_seed``.
    Whatever else their scenario needs they do in :meth:`_load`. Class names are upstream's, because Python's own error
    messages show them.

    Args:
        scenario: values of public attributes; those it lacks get a fresh copy of their default, unknown keys are
            ignored. Never changed.
        long_context: load the benchmark's long-context variant.
        payload: upstream's long-context texts and lists by name; needed by some simulators if ``long_context``.
            Never changed, never copied.
        commons: what upstream shares between all instances in a process. None: this instance shares with nobody.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}
    default_seed: ClassVar[int | None] = None

    def __init__(
        self,
        scenario: Mapping[str, Any] | None = None,
        *,
        long_context: bool = False,
        payload: Mapping[str, Any] | None = None,
        commons: dict[str, Any] | None = None,
    ):
        self._payload = payload
        self._commons = {} if commons is None else commons
        self._load(scenario or {}, long_context)

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        for name, default in self.defaults.items():
            setattr(self, name, data_copy(scenario.get(name, default)))
        self._seed = scenario.get("random_seed", self.default_seed)

    @property
    def _random(self) -> random.Random:
        if self._generator is None:  # most episodes never draw, and seeding takes longer than most calls
            self._generator = random.Random(self._seed)
        return self._generator

    _seed: Any = None
    _generator: random.Random | None = None

    def _extension(self, name: str) -> Any:
        """A long-context text or list of the benchmark.

        Raises:
            DataNotFoundError: the payload has no such entry.
        """
        if self._payload is None or name not in self._payload:
            raise DataNotFoundError(
                f"{type(self).__name__} needs {name} of BFCL for its long-context variant; "
                "get it with `tooluse-gym data get bfcl`"
            )
        return self._payload[name]

    def __deepcopy__(self, memo: dict[int, Any]) -> Simulator:
        memo[id(self._payload)] = self._payload  # read-only and large
        clone = memo[id(self)] = object.__new__(type(self))
        for name, value in vars(self).items():
            clone.__dict__[name] = shared_copy(value, memo)
        return clone


def data_copy(value: Any) -> Any:
    """A deep copy of JSON data, which shares nothing with itself."""
    if type(value) is dict:
        return {key: item if type(item) in _SCALARS else data_copy(item) for key, item in value.items()}
    if type(value) is list:
        return [item if type(item) in _SCALARS else data_copy(item) for item in value]
    return value if type(value) in _SCALARS else copy.deepcopy(value)


def shared_copy(value: Any, memo: dict[int, Any]) -> Any:
    """``copy.deepcopy``, five times as fast on plain data: what was one object inside ``value`` is one in the copy."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if id(value) in memo:
        return memo[id(value)]
    if kind is dict:
        mapping = memo[id(value)] = {}
        for key, item in value.items():
            mapping[key] = item if type(item) in _SCALARS else shared_copy(item, memo)
        return mapping
    if kind is list:
        items = memo[id(value)] = []
        items.extend(item if type(item) in _SCALARS else shared_copy(item, memo) for item in value)
        return items
    if kind is random.Random:
        generator = memo[id(value)] = random.Random(0)
        generator.setstate(value.getstate())
        return generator
    return copy.deepcopy(value, memo)


_SCALARS = frozenset({str, int, float, bool, type(None)})
