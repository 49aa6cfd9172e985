"""The environments of a run: made once, used again, and where the episodes in them begin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np

from rest_agent.config import ConfigError, EnvironmentConfig
from tooluse_gym.env import Snapshot, ToolUseEnv
from tooluse_gym.errors import ToolUseError
from tooluse_gym.tasks import Task, TaskList

_TASK_SEED = 1_000_003  # everything is evaluated on the same tasks


@dataclass(frozen=True)
class Start:
    """Where a rollout begins: the first moment of an episode."""

    snapshot: Snapshot
    task: Task
    steps: int | None = None
    """Assistant messages after which the rollout ends; None: at the episode's end."""


class Environments:
    """Environments of one configuration."""

    def __init__(self, config: EnvironmentConfig):
        self.config = config
        self._idle: list[ToolUseEnv] = []

    def take(self, start: Start, fresh: bool = False) -> ToolUseEnv:
        """An environment at the first moment of an episode; a ``fresh`` one if wanted."""
        try:
            env = make_env(self.config) if fresh else self._idle.pop()
        except IndexError:
            env = make_env(self.config)
        env.restore(start.snapshot)
        return env

    def give_back(self, env: ToolUseEnv) -> None:
        """An environment that is free again."""
        self._idle.append(env)

    @property
    def env(self) -> ToolUseEnv:
        """An environment at hand while no rollouts are sampled."""
        if not self._idle:
            self._idle.append(make_env(self.config))
        return self._idle[-1]

    def sample_tasks(self, split: str, seed: int, count: int, update: int = 1, one_step: bool = False) -> list[Start]:
        """The beginnings of ``count`` episodes; the same for the same seed.

        Args:
            update: told to the environment, whose reward may change with it.
            one_step: a single step of each task, after a prefix of its ground truth. All of a task's steps are as
                likely.
        """
        env = self.env
        env.reset(seed=seed)
        starts = [self._start(env, split=split, update=update) for _ in range(count)]
        if not one_step:
            return starts
        draw = np.random.default_rng([seed, 2])
        prefixes = [int(draw.integers(start.task.gold_steps)) for start in starts]
        return [
            replace(self._start(env, task_id=start.task.id, prefix=prefix, update=update), steps=1)
            for start, prefix in zip(starts, prefixes, strict=True)
        ]

    def held_out_tasks(self, split: str, count: int) -> list[Start]:
        """The beginnings of ``count`` episodes to be measured on, always the same: the first of a list, else drawn.

        A list may have fewer. Its tasks are named one by one, as benchmarks forbid to sample from their test data.
        """
        env = self.env
        if not isinstance(env.tasks, TaskList):
            return self.sample_tasks(split, _TASK_SEED, count)
        chosen = [task.id for task in env.tasks if task.split == split]
        if not chosen:
            raise ConfigError(
                f"environment.eval_split: no tasks in {split!r}; choose one of {', '.join(env.tasks.splits)}"
            )
        return [self._start(env, task_id=task_id) for task_id in chosen[:count]]

    def start(self, task_id: str) -> Start:
        """The beginning of a task's episode."""
        return self._start(self.env, task_id=task_id)

    def _start(self, env: ToolUseEnv, **options: Any) -> Start:
        env.reset(options=options)
        return Start(env.snapshot(), env.task)


def make_env(config: EnvironmentConfig, **options: Any) -> ToolUseEnv:
    """The configured environment, without wrappers.

    Raises:
        ConfigError: there is no such environment, or it does not take these options.
    """
    merged = {"format": config.format, "show_tools": config.tools_from == "system", **config.options, **options}
    try:
        env = gymnasium.make(config.id, disable_env_checker=True, **merged).unwrapped
    except gymnasium.error.Error as error:
        raise ConfigError(f"environment.id: {error}") from error
    except (ToolUseError, TypeError) as error:
        raise ConfigError(f"environment.options: {error}") from error
    if not isinstance(env, ToolUseEnv):
        raise ConfigError(f"environment.id: {config.id} is not a tool-use environment, but {type(env).__name__}")
    return env
