"""What a benchmark is: categories, and how their results add up.

The folder of a benchmark offers its own: a module ``evaluation`` with ``BENCHMARKS``, a tuple of them. ``builtin`` has
no folder: it is every registered environment's own tasks, which need no download.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tooluse_gym import envs
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.evaluation.setting import Entry, Setting
from tooluse_gym.outcome import Played
from tooluse_gym.tasks import Task, TaskList

if TYPE_CHECKING:
    from tooluse_gym.evaluation.episodes import Episode
    from tooluse_gym.evaluation.run import Plan

MODES = ("prompting", "fc")
"""How a model is told of tools: in the first message, or as the tools of its chat template or server."""
_SEED = 1_000_003  # everything is evaluated on the same generated tasks


class Tally(NamedTuple):
    """``right`` of ``total``; a fraction may be right. Of a total of 0, an episode counts for nothing."""

    right: float
    total: float


def by_verdict(played: Played) -> Tally:
    """One task, right or wrong."""
    return Tally(float(played.valid), 1.0)


def itself(task_id: str) -> str:
    """The base of a task that was made from no other."""
    return task_id


def _nothing(task: Task) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Chain:
    """Tasks that are played one after the other: each begins with what the agent has left in the one before.

    Args:
        before: the ids of the tasks to be played before this one, in order.
        handed_on: what is handed on, by its name in the report of an episode, which is the name of the ``reset``
            option as well.
    """

    before: Callable[[Task], Sequence[str]] = _nothing
    handed_on: str | None = None


@dataclass(frozen=True)
class Category:
    """Tasks of one kind.

    Args:
        name: as reports show it.
        env_id: the environment.
        options: of the environment, by mode. A mode that is not there is not offered.
        generated: how many tasks to draw from a source without end; None: the category is a list, and all of it.
        family: categories of one family have tasks in common, see ``base``. None: none.
        base: the task from which the one with this id was made. Those made from one rise and fall together.
        score: what an episode counts.
        measures: what else is counted of an episode, by name; reported, but no part of the scores.
        chain: which tasks are played in order.
    """

    name: str
    env_id: str
    options: Mapping[str, Mapping[str, Any]]
    generated: int | None = None
    family: str | None = None
    base: Callable[[str], str] = itself
    score: Callable[[Played], Tally] = by_verdict
    measures: Mapping[str, Callable[[Played], Tally]] = field(default_factory=dict)
    chain: Chain = Chain()

    def setting(self, mode: str, **changes: Any) -> Setting:
        """The environment in a mode, with other options if wanted.

        Raises:
            ConfigurationError: the mode is not offered.
        """
        if mode not in self.options:
            raise ConfigurationError(f"{self.name} is not offered in mode {mode!r}, but in {', '.join(self.options)}")
        options = {**self.options[mode], **changes}
        return Setting(self.env_id, options, "template" if mode == "fc" else "system")

    def entries(self, env: ToolUseEnv, samples: int = 1, limit: int | None = None) -> list[Entry]:
        """What is to be played: each task ``samples`` times; the first ``limit`` tasks alone if wanted.

        Tasks that come before others in a chain are not among those that are limited.
        """
        if isinstance(env.tasks, TaskList):
            before = {task.id: self.chain.before(task) for task in env.tasks}
            needed = {name for names in before.values() for name in names}
            last = [name for name in before if name not in needed][:limit]
            ids = list(dict.fromkeys(name for task_id in last for name in (*before[task_id], task_id)))
        else:
            env.reset(seed=_SEED, options={"split": "test"})
            drawn = {env.task.id: None}
            wanted = self.generated or 0
            while len(drawn) < wanted:
                env.reset(options={"split": "test"})
                drawn[env.task.id] = None
            ids = list(drawn)[:limit]
        return [Entry(self.name, task, sample) for task in ids for sample in range(samples)]


class Figures(NamedTuple):
    """What categories add up to: values in [0, 1] by name, and the categories that were missing and count as 0."""

    values: Mapping[str, float]
    missing: Sequence[str] = ()


def plain_mean(tallies: Mapping[str, Tally]) -> Figures:
    """The mean over the categories that were played."""
    rates = [tally.right / tally.total for tally in tallies.values()]
    return Figures({"mean": sum(rates) / len(rates)})


@dataclass(frozen=True)
class Benchmark:
    """Categories by name, and how they add up."""

    name: str
    categories: Mapping[str, Category]
    figures: Callable[[Mapping[str, Tally]], Figures] = plain_mean
    not_offered: Mapping[str, str] = field(default_factory=dict)
    """Categories that cannot be had here, with the reason."""
    official: Callable[[Path, Plan, Sequence[Episode]], str] | None = None
    """Writes a run's episodes into its folder as the official program reads them; returns how to have them scored."""

    def choose(self, names: Sequence[str]) -> list[Category]:
        """The categories called so; a name may be the beginning of several (``multi_turn``). None named: all.

        Raises:
            ConfigurationError: there is none of that name.
        """
        found: dict[str, Category] = {}
        for name in names or [""]:
            for missing, reason in self.not_offered.items():
                if name.startswith(missing):
                    raise ConfigurationError(f"{self.name} has no category {name!r} here: {reason}")
            exact = [self.categories[name]] if name in self.categories else []
            chosen = exact or [one for key, one in self.categories.items() if key.startswith(name)]
            if not chosen:
                raise ConfigurationError(f"{self.name} has no category {name!r}; it has {', '.join(self.categories)}")
            found |= {one.name: one for one in chosen}
        return list(found.values())


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        ConfigurationError: there is none.
    """
    known = {benchmark.name: benchmark for benchmark in benchmarks()}
    if name not in known:
        raise ConfigurationError(f"there is no benchmark {name!r}; there are {', '.join(known)}")
    return known[name]


def benchmarks() -> Iterator[Benchmark]:
    """Every benchmark: the folders' own, then the built-in tasks."""
    for folder in pkgutil.iter_modules(envs.__path__):
        package = importlib.import_module(f"{envs.__name__}.{folder.name}")
        if any(module.name == "evaluation" for module in pkgutil.iter_modules(package.__path__)):
            yield from importlib.import_module(f"{package.__name__}.evaluation").BENCHMARKS
    yield builtin()


def builtin(tasks: int = 100) -> Benchmark:
    """Every registered environment of this package as a category, with its own tasks."""
    ids = [spec.id for spec in envs.registered()]
    options: dict[str, dict[str, Any]] = {"prompting": {}, "fc": {"format": "structured"}}
    return Benchmark("builtin", {id: Category(id, id, options, generated=tasks) for id in ids})
