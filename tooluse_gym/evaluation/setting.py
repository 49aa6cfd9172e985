"""What is played: environments, the entries of a benchmark in them, and how a model is told of its tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import gymnasium

from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ConfigurationError


@dataclass(frozen=True)
class Setting:
    """An environment with its options, and how a model is told of its tools and of their results.

    ``tools_from``: ``system``, the environment's first message tells of them; ``template``, the model's chat template
    or server does. ``results_as``: ``user`` for models whose template knows no tool messages.
    """

    env_id: str
    options: Mapping[str, Any] = field(default_factory=dict)
    tools_from: Literal["system", "template"] = "system"
    results_as: Literal["tool", "user"] = "tool"

    def make(self) -> ToolUseEnv:
        """The environment, without wrappers.

        Raises:
            ConfigurationError: it is no tool-use environment, or does not take these options.
        """
        options = {"show_tools": self.tools_from == "system", **self.options}
        try:
            env = gymnasium.make(self.env_id, disable_env_checker=True, **options).unwrapped
        except TypeError as error:
            raise ConfigurationError(f"{self.env_id}: {error}") from error
        if not isinstance(env, ToolUseEnv):
            raise ConfigurationError(f"{self.env_id} is not a tool-use environment, but {type(env).__name__}")
        return env


class Entry(NamedTuple):
    """A task of a category, to be played for the ``sample``-th time."""

    category: str
    task: str
    sample: int = 0
