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
            setattr(self, name, copy.deepcopy(scenario.get(name, default)))
        if self.default_seed is not None:
            self._random = random.Random(scenario.get("random_seed", self.default_seed))

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
        clone.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return clone
