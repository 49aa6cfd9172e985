"""The starter source: multi-turn tasks without end, each made from its id alone and verified by execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlencode
from zlib import crc32

import numpy as np

from tooluse_gym import messages
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call
from tooluse_gym.tasks import Task, Turn, Utterance
from tooluse_gym.tools import Tool

from ..simulators import SIMULATORS
from ..world import World
from .demonstrations import NoiseProfile, demonstrate
from .lexicon import WORDS, Lexicon
from .phrasing import SPLITS
from .requests import DISTRACTORS, STARTER_REQUESTS, Request
from .scene import Scene, random_scenario
from .slots import Value
from .verification import every_call_counts, outcome

_MOST_TOOLSETS = 2  # in one task
_MOST_DRAWS = 1_000  # per task; the built-in requests need fewer than two on average
_DRAWS_PER_CHOICE = 20  # before other kinds of requests are tried, so that no kind is made rare by its demands
_REMEMBERED = 4_096  # tasks
_NUMBERS = 2**53


@dataclass(frozen=True)
class Options:
    """What decides a task beside split and number. An id says those that differ from the defaults here."""

    turns: int = 2
    tools: int = 5
    requests: tuple[str, ...] = tuple(request.name for request in STARTER_REQUESTS)
    lexicon: str = WORDS.name

    def __str__(self) -> str:
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        changed = {
            name: ",".join(value) if isinstance(value, tuple) else value
            for name, value in said.items()
            if value != getattr(_DEFAULTS, name)
        }
        return f"?{urlencode(changed, safe=',')}" if changed else ""


_DEFAULTS = Options()


class StarterTasks:
    """Tasks over GorillaFileSystem, MathAPI and TwitterAPI, without end and without a download.

    An id is ``starter/<split>/<number>``, with ``?turns=3&…`` for whatever differs from the defaults. It makes the same
    task in every process and from every source that knows its requests and its lexicon.

    Args:
        turns: requests per task.
        lexicon: the names in the tasks.
        requests: kinds of requests, by name or as objects; None means :data:`STARTER_REQUESTS`.
        tools_shown: visible tools; a task that needs more shows those it needs.
        noise_profile: how noisy demonstrations err.

    ``lexicon`` and ``noise_profile`` may be given as mappings of their fields, as a YAML file has them.

    Raises:
        ConfigurationError: an argument is out of range, or an unknown request.
    """

    splits = SPLITS

    def __init__(
        self,
        turns: int = 2,
        *,
        lexicon: Lexicon | Mapping[str, Any] | None = None,
        requests: Sequence[Request | str] | None = None,
        tools_shown: int = 5,
        noise_profile: NoiseProfile | Mapping[str, Any] | None = None,
    ):
        if turns < 1:
            raise ConfigurationError(f"turns must be at least 1, got {turns}")
        if tools_shown < 1:
            raise ConfigurationError(f"tools_shown must be at least 1, got {tools_shown}")
        self.lexicon = Lexicon(**lexicon) if isinstance(lexicon, Mapping) else lexicon or WORDS
        self.noise_profile = (
            NoiseProfile(**noise_profile) if isinstance(noise_profile, Mapping) else noise_profile or NoiseProfile()
        )
        self._known = {request.name: request for request in STARTER_REQUESTS}
        names = tuple(self._learn(request) for request in (STARTER_REQUESTS if requests is None else requests))
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(
                f"requests must be different kinds, at least one; got {', '.join(names) or 'none'}"
            )
        self.options = Options(turns, tools_shown, names, self.lexicon.name)
        self._made: dict[str, Task] = {}

    def sample(self, rng: np.random.Generator, split: str) -> Task:
        if split not in self.splits:
            raise ConfigurationError(f"no tasks in split {split!r}; there are {', '.join(self.splits)}")
        return self[f"starter/{split}/{int(rng.integers(_NUMBERS))}{self.options}"]

    def __getitem__(self, task_id: str) -> Task:
        task = self._made.get(task_id)
        if task is None:
            split, options = self._read(task_id)
            task = self._make(task_id, split, options)
            if len(self._made) >= _REMEMBERED:
                del self._made[next(iter(self._made))]
            self._made[task_id] = task
        return task

    def demonstrate(self, task: Task, rng: np.random.Generator, noise: float) -> Sequence[Utterance]:
        if not 0 <= noise <= 1:
            raise ConfigurationError(f"noise must be 0 to 1, got {noise}")
        return demonstrate(task, rng, noise, self.noise_profile, _tools(task.toolsets), self.lexicon.words)

    def _learn(self, request: Request | str) -> str:
        if isinstance(request, str):
            if request not in self._known:
                raise ConfigurationError(f"unknown request {request!r}; known: {', '.join(self._known)}")
            return request
        if self._known.setdefault(request.name, request) is not request:
            raise ConfigurationError(f"there is another request named {request.name!r}; ids need different names")
        return request.name

    def _read(self, task_id: str) -> tuple[str, Options]:
        """Split and options of an id; KeyError unless it is written exactly as ``sample`` writes it."""
        path, _, query = task_id.partition("?")
        try:
            _, split, number = path.split("/")
            said: dict[str, Any] = dict(parse_qsl(query, strict_parsing=True)) if query else {}
            said.update({name: int(said[name]) for name in ("turns", "tools") if name in said})
            if "requests" in said:
                said["requests"] = tuple(said["requests"].split(","))
            options = Options(**said)
            written = f"starter/{split}/{int(number)}{options}"
        except (ValueError, TypeError):
            raise KeyError(task_id) from None
        known = set(options.requests) <= self._known.keys() and options.lexicon == self.lexicon.name
        if (
            written != task_id
            or not known
            or split not in self.splits
            or min(int(number), options.turns - 1, options.tools - 1) < 0
        ):
            raise KeyError(task_id)
        return split, options

    def _make(self, task_id: str, split: str, options: Options) -> Task:
        random = Random(task_id)
        requests = [self._known[name] for name in options.requests]
        chosen: list[Request] | None = None
        for draw in range(_MOST_DRAWS):
            if draw % _DRAWS_PER_CHOICE == 0:
                chosen = _choose(random, requests, options.turns, split)
            task = chosen and self._attempt(task_id, random, chosen, split, options)
            if task:
                return task
        raise ConfigurationError(f"{_MOST_DRAWS} draws gave no sound task {task_id!r}: its requests do not go together")

    def _attempt(
        self, task_id: str, random: Random, requests: Sequence[Request], split: str, options: Options
    ) -> Task | None:
        """A task that makes these requests in this order, or None if the random world does not allow it."""
        needed_sets = {name for request in requests for name in request.toolsets}
        toolsets = tuple(name for name in SIMULATORS if name in needed_sets)
        signed_in = next((request.signed_in for request in requests if request.signed_in is not None), True)
        scenario = random_scenario(random, self.lexicon, toolsets, signed_in)
        scene = Scene(World(toolsets, scenario), self.lexicon, random)
        turns, plans = [], []
        for request in requests:
            made = _ask(request, scene, split)
            if made is None:
                return None
            turns.append(made[0])
            plans.append(made[1])
        needed = {call.name for turn in turns for call in turn.calls}
        pool = {act.tool for name in options.requests for act in self._known[name].acts} | set(DISTRACTORS)
        spare = [name for name in scene.world.tools if name in pool - needed]
        shown = needed.union(random.sample(spare, min(len(spare), max(0, options.tools - len(needed)))))
        task = Task(
            id=task_id,
            turns=tuple(turns),
            toolsets=toolsets,
            initial_state=scenario,
            tools=tuple(name for name in scene.world.tools if name in shown),
            split=split,
            metadata={"requests": [request.name for request in requests], "plans": plans},
        )
        return task if every_call_counts(task, lambda: World(toolsets, scenario)) else None


def pair_split(one: str, other: str) -> str | None:
    """The only split in which two kinds of requests may meet in a task; None: they may meet in all.

    One pair in ten is held out for validation and one for test; a kind always meets itself.
    """
    if one == other:
        return None
    draw = crc32("+".join(sorted((one, other))).encode()) % 10
    return {0: "validation", 1: "test"}.get(draw)


def _choose(random: Random, requests: Sequence[Request], turns: int, split: str) -> list[Request] | None:
    """Kinds that may meet in a task, in order; None if the first ones leave no choice for a later one."""
    chosen: list[Request] = []
    for _ in range(turns):
        fitting = [request for request in requests if _fits(request, chosen, split)]
        if not fitting:
            return None
        chosen.append(random.choice(fitting))
    return chosen


def _fits(request: Request, before: Sequence[Request], split: str) -> bool:
    if request.signed_in is False and any(other.signed_in is not None for other in before):
        return False
    if any(pair_split(request.name, other.name) not in (None, split) for other in before):
        return False
    return len(set(request.toolsets).union(*(other.toolsets for other in before))) <= _MOST_TOOLSETS


def _ask(request: Request, scene: Scene, split: str) -> tuple[Turn, list[str]] | None:
    """Make a request in the scene and serve it there; its turn, and a plan per call."""
    values: dict[str, Value] = {}
    for name, slot in request.slots.items():
        value = slot(scene, values)
        if value is None:
            return None
        values[name] = value
    sentence = scene.random.choice(request.sentences[split]).format_map(values)
    steps, plans = [], []
    for act in request.acts:
        call = Call(act.tool, {name: _fill(value, values) for name, value in act.arguments.items()})
        plans.append(act.plan.format_map(values))
        steps.append((call,))
        result = outcome(scene.world.call(call))
        if result is None:
            return None
        values.update({name: result[key] for name, key in act.reads.items()})
    return Turn((messages.user(sentence),), tuple(steps)), plans


def _fill(argument: Any, values: dict[str, Value]) -> Any:
    named = isinstance(argument, str) and argument.startswith("{") and argument.endswith("}")
    return values[argument[1:-1]] if named else argument


@cache
def _tools(toolsets: tuple[str, ...]) -> dict[str, Tool]:
    return World(toolsets, {}).tools
