"""The starter of memory tasks: what a user tells in two conversations and asks for later, without end or download.

A *world* is a user with seven facts: five told in the first conversation, of which the second corrects one, and two
more. Its tasks are the conversations and a question about each fact. Every task begins with the memory that the ground
truth of the conversations before has left. An id, ``memory-starter/<backend>/<split>/<number>/<part>``, makes the same
task everywhere. The splits share no value, and so no fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np

from tooluse_gym.envs.bfcl.memory.context import CLASSES, CONTENT, begin, empty
from tooluse_gym.envs.bfcl.memory.facts import KINDS, SPLITS, Kind
from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call
from tooluse_gym.messages import user
from tooluse_gym.tasks import Steps, Task, Turn, Utterance, gold_utterances
from tooluse_gym.world import World

_NUMBERS = 2**53
_CONVERSATIONS = ("talk-0", "talk-1")
_FACTS = 7  # of a world
_CORE = 3  # of them go to the core memory of the back-end kv, the others to its archive

_PROMPT = {
    "kv": "You assist one user over many conversations. You forget all but your memory: a small core memory, which you "
    "see below, and an archive, which you have to look things up in. Keep what the user may ask for later.\n\n"
    f"Core memory:\n{CONTENT}",
    "rec_sum": "You assist one user over many conversations. You forget all but your memory, a text, which you see "
    f"below. Keep what the user may ask for later.\n\nMemory:\n{CONTENT}",
}


@dataclass(frozen=True)
class Fact:
    """What the user tells: a kind, its value, and the sentence."""

    kind: Kind
    value: str
    sentence: str


class MemoryStarter:
    """Tasks of the back-end ``kv`` or ``rec_sum``.

    A noisy demonstration keeps nothing where it should, looks nothing up, or does not know the answer.
    """

    splits = SPLITS

    def __init__(self, backend: str):
        self._backend = backend

    def sample(self, rng: np.random.Generator, split: str) -> Task:
        if split not in self.splits:
            raise ConfigurationError(f"no tasks in split {split!r}; there are {', '.join(self.splits)}")
        number = int(rng.integers(_NUMBERS))
        parts = _CONVERSATIONS if rng.random() < 0.5 else [f"question-{fact}" for fact in range(_FACTS)]
        return self[f"memory-starter/{self._backend}/{split}/{number}/{parts[int(rng.integers(len(parts)))]}"]

    def __getitem__(self, task_id: str) -> Task:
        try:
            name, backend, split, number, part = task_id.split("/")
            right = name == "memory-starter" and backend == self._backend and split in self.splits
            if not right or str(int(number)) != number or not 0 <= int(number) < _NUMBERS:
                raise KeyError(task_id)
        except ValueError:
            raise KeyError(task_id) from None
        made = _world(backend, split, int(number), task_id.removesuffix(part))
        return made[part]

    def demonstrate(self, task: Task, rng: np.random.Generator, noise: float) -> Sequence[Utterance]:
        if not 0 <= noise <= 1:
            raise ConfigurationError(f"noise must be 0 to 1, got {noise}")
        said = []
        for utterance in gold_utterances(task):
            if rng.random() >= noise:
                said.append(utterance)
            elif not utterance.calls:
                ignorant = "answers" in task.metadata
                said.append(replace(utterance, response="I do not know." if ignorant else utterance.response))
        return said


@lru_cache(maxsize=512)
def _world(backend: str, split: str, number: int, prefix: str) -> dict[str, Task]:
    """All tasks of a world by the last part of their ids."""
    rng = Random(f"{split}/{number}")
    facts = [_fact(kind, split, rng) for kind in rng.sample(KINDS, _FACTS)]
    changed = rng.randrange(5)
    first = facts[:5]
    facts[changed] = _fact(facts[changed].kind, split, rng, other_than=first[changed].value)
    talks: list[list[list[tuple[Fact, Fact | None]]]] = [  # facts, each with the one that it corrects, by turn
        [[(fact, None) for fact in first[:3]], [(fact, None) for fact in first[3:]]],
        [[(fact, None) for fact in facts[5:]], [(facts[changed], first[changed])]],
    ]
    memory = empty(backend)
    tasks: dict[str, Task] = {}
    for part, turns in zip(_CONVERSATIONS, talks, strict=True):
        places = {fact.kind.key: place < _CORE for place, fact in enumerate(facts)}
        told = [_tell(turn, backend, places) for turn in turns]
        keep = [[fact.value for fact, _ in turn] for turn in turns]
        tasks[part] = _task(prefix + part, backend, split, told, memory, {"keep": keep})
        world = World({CLASSES[backend]: SIMULATORS[CLASSES[backend]](memory)})
        for turn in told:
            for call in turn.calls:
                world.replay(call)
        memory = world.toolsets[CLASSES[backend]].state()
    for place, fact in enumerate(facts):
        part = f"question-{place}"
        steps = _look_up(fact) if backend == "kv" and place >= _CORE else ()
        turn = Turn((user(rng.choice(fact.kind.asked)),), steps, response=f"{fact.value}.")
        tasks[part] = _task(prefix + part, backend, split, [turn], memory, {"answers": [fact.value]})
    return tasks


def _fact(kind: Kind, split: str, rng: Random, other_than: str | None = None) -> Fact:
    value = rng.choice([value for value in kind.of_split(split) if value != other_than])
    return Fact(kind, value, rng.choice(kind.told).format(value))


def _tell(turn: Sequence[tuple[Fact, Fact | None]], backend: str, in_core: Mapping[str, bool]) -> Turn:
    """A turn in which the user tells facts, each with the one that it corrects, if it does; kept in a single step."""
    corrects = any(former is not None for _, former in turn)
    sentence = f"{'it has changed: ' if corrects else ''}{', and '.join(fact.sentence for fact, _ in turn)}."
    calls = [_keep(fact, former, backend, in_core[fact.kind.key]) for fact, former in turn]
    return Turn((user(sentence),), (tuple(calls),))


def _keep(fact: Fact, former: Fact | None, backend: str, in_core: bool) -> Call:
    if backend == "kv":
        doing = "add" if former is None else "replace"
        return Call(f"{'core' if in_core else 'archival'}_memory_{doing}", {"key": fact.kind.key, "value": fact.value})
    if former is None:
        return Call("memory_append", {"text": f"{fact.sentence}. "})
    return Call("memory_replace", {"old_text": former.sentence, "new_text": fact.sentence})


def _look_up(fact: Fact) -> Steps:
    search = Call("archival_memory_key_search", {"query": fact.kind.key.replace("_", " "), "k": 1})
    return (search,), (Call("archival_memory_retrieve", {"key": fact.kind.key}),)


def _task(
    task_id: str,
    backend: str,
    split: str,
    turns: Sequence[Turn],
    memory: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> Task:
    said = {"backend": backend, "system": _PROMPT[backend], **metadata}
    return begin(Task(task_id, tuple(turns), (CLASSES[backend],), split=split, metadata=said), memory)
