"""Starter tasks of one reply: a request of the starter world, asked of functions that are declared and never run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np

from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call
from tooluse_gym.tasks import Task, Turn, Utterance
from tooluse_gym.tools import Tool

from ..simulators import SIMULATORS
from .demonstrations import NoiseProfile, some_arguments
from .phrasing import SPLITS
from .requests import STARTER_REQUESTS
from .tasks import StarterTasks

_KINDS = tuple(request.name for request in STARTER_REQUESTS if not any(act.reads for act in request.acts))
_IRRELEVANT = 5  # one task in so many has no function that serves the request
_NUMBERS = 2**53
_TOOLS: Mapping[str, Tool] = {name: tool for simulator in SIMULATORS.values() for name, tool in simulator.tools.items()}

REFUSAL = Utterance(think="no function serves this", response="none of the functions serves this")
"""What a demonstration says where nothing is to be called."""


class SingleTurnStarter:
    """One request, one reply, without end and without a download.

    The requests are those of :class:`~tooluse_gym.envs.bfcl.starter.StarterTasks` whose calls do not depend on each
    other's results. Of five tasks one hides the functions that would serve: its right answer calls nothing. An id is
    ``single/<split>/<number>``.

    Args:
        noise_profile: how noisy demonstrations err.
    """

    splits = SPLITS

    def __init__(self, *, noise_profile: NoiseProfile | Mapping[str, Any] | None = None):
        self._requests = StarterTasks(1, requests=_KINDS, noise_profile=noise_profile)

    def sample(self, rng: np.random.Generator, split: str) -> Task:
        if split not in self.splits:
            raise ConfigurationError(f"no tasks in split {split!r}; there are {', '.join(self.splits)}")
        return self[f"single/{split}/{int(rng.integers(_NUMBERS))}"]

    def __getitem__(self, task_id: str) -> Task:
        request = self._request(task_id)
        needed = [call.name for call in request.turns[0].calls]
        irrelevant = crc32(task_id.encode()) % _IRRELEVANT == 0
        shown = [name for name in request.tools or () if not (irrelevant and name in needed)]
        calls = () if irrelevant else request.turns[0].calls
        said = request.turns[0].messages
        metadata = {
            "category": "irrelevance" if irrelevant else "multiple" if len(calls) == 1 else "parallel_multiple",
            "functions": [_doc(_TOOLS[name]) for name in shown],
            "possible_answer": None if irrelevant else [_accepting(call) for call in calls],
        }
        turn = Turn(said, (), response=REFUSAL.response) if irrelevant else Turn(said, (calls,))
        return Task(task_id, (turn,), (), split=request.split, metadata=metadata, single_step=True)

    def demonstrate(self, task: Task, rng: np.random.Generator, noise: float) -> Sequence[Utterance]:
        request = self._request(task.id)
        if task.turns[0].steps:
            return [_in_one(self._requests.demonstrate(request, rng, noise))]
        if not rng.random() < noise:
            return [REFUSAL]
        tool = _TOOLS[str(rng.choice([doc["name"] for doc in task.metadata["functions"]]))]
        words = self._requests.lexicon.words
        call = Call(tool.name, some_arguments(tool, request.turns[0].calls[0], rng, words))
        return [Utterance((call,), think=f"try {tool.name}")]

    def _request(self, task_id: str) -> Task:
        """The task of several steps that this one is made of."""
        kind, _, rest = task_id.partition("/")
        if kind != "single" or "?" in rest:
            raise KeyError(task_id)
        return self._requests[f"starter/{rest}{self._requests.options}"]


def _in_one(said: Sequence[Utterance]) -> Utterance:
    """All calls of a turn in one reply; the closing, if there are none."""
    acts = [each for each in said if each.calls]
    if not acts:
        return said[-1]
    calls = tuple(call for act in acts for call in act.calls)
    return Utterance(calls, think=" ".join(act.think for act in acts if act.think))


def _accepting(call: Call) -> dict[str, dict[str, list[Any]]]:
    """The answer that accepts this call: what it leaves out may also be given with its default."""
    accepted: dict[str, list[Any]] = {name: [value] for name, value in call.arguments.items()}
    for name, schema in _TOOLS[call.name].parameters["properties"].items():
        if name not in accepted:
            accepted[name] = ["", schema.get("default")]
    return {call.name: accepted}


_TYPES = {"object": "dict", "number": "float"}


def _doc(tool: Tool) -> dict[str, Any]:
    """A tool in the form of upstream's docs."""
    properties = {name: _parameter(schema) for name, schema in tool.parameters["properties"].items()}
    parameters = {"type": "dict", "properties": properties, "required": list(tool.parameters["required"])}
    return {"name": tool.name, "description": tool.description, "parameters": parameters}


def _parameter(schema: Mapping[str, Any]) -> dict[str, Any]:
    kinds = schema.get("type", "any")
    kind = kinds if isinstance(kinds, str) else next(each for each in kinds if each != "null")
    doc = {**schema, "type": _TYPES.get(kind, kind)}
    if "items" in schema:
        doc["items"] = _parameter(schema["items"])
    return doc
