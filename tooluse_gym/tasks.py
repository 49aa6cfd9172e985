"""Tasks: what an episode is about. Read from JSON Lines, or made by a generator; never changed by an episode."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import jsonschema
import numpy as np

from tooluse_gym.errors import ConfigurationError, TaskError
from tooluse_gym.formats.reply import Call
from tooluse_gym.messages import Message

Steps = tuple[tuple[Call, ...], ...]


@dataclass(frozen=True)
class Turn:
    """One user request.

    ``steps`` is its ground truth: the calls of each assistant message before the closing reply that hands back; empty
    where the right answer makes no call. ``reveals`` names the tools that become visible with this turn. ``response``
    is what the ground truth says when it hands back, where that matters.
    """

    messages: tuple[Message, ...]
    steps: Steps = ()
    reveals: tuple[str, ...] = ()
    response: str | None = None

    @property
    def calls(self) -> tuple[Call, ...]:
        """The ground-truth calls of the turn, in order."""
        return tuple(call for step in self.steps for call in step)


@dataclass(frozen=True)
class Task:
    """A task of one or several turns over named tool sets.

    ``initial_state`` maps a tool set's name to its scenario. ``tools`` names the visible tools (None: all of them);
    tools that any turn reveals are hidden until then. ``single_step``: every turn is one assistant message, whose calls
    are judged and not carried out; a turn has one ground-truth step then, or none.
    """

    id: str
    turns: tuple[Turn, ...]
    toolsets: tuple[str, ...]
    initial_state: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[str, ...] | None = None
    split: str = "train"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    single_step: bool = False

    def gold_steps_of(self, turn: int) -> int:
        """Assistant messages in the ground truth of one turn, the closing reply included."""
        return 1 if self.single_step else len(self.turns[turn].steps) + 1

    @property
    def gold_steps(self) -> int:
        """Assistant messages in the ground truth, the closing reply of every turn included."""
        return sum(map(self.gold_steps_of, range(len(self.turns))))

    def visible(self, turn: int, names: Sequence[str]) -> tuple[str, ...]:
        """Those of ``names`` the agent sees during ``turn``; revealed tools come last, as upstream appends them."""
        hidden = {name for later in self.turns for name in later.reveals}
        shown = [name for name in names if (self.tools is None or name in self.tools) and name not in hidden]
        return (*shown, *(name for past in self.turns[: turn + 1] for name in past.reveals))


@dataclass(frozen=True)
class Utterance:
    """What one assistant message says, before a reply format writes it as text."""

    calls: tuple[Call, ...] = ()
    think: str | None = None
    response: str | None = None


PLAN = "The request needs these calls."
CLOSING = Utterance(think="The request is served.", response="Done.")
"""How the ground truth hands a turn back."""


def gold_utterances(task: Task) -> list[Utterance]:
    """Every assistant message of the ground truth, the closing reply of each turn included.

    Ground truths hold no thoughts; the same few words stand for them, because some formats demand one.
    """
    return [said for turn in task.turns for said in _said(turn, task.single_step)]


def _said(turn: Turn, single_step: bool) -> tuple[Utterance, ...]:
    closing = CLOSING if turn.response is None else replace(CLOSING, response=turn.response)
    if single_step and turn.steps:
        return (Utterance(turn.steps[0], PLAN, turn.response),)
    return (*(Utterance(calls, PLAN) for calls in turn.steps), closing)


class TaskSource(Protocol):
    """Where an environment gets its tasks from: a list, a benchmark's files, or a generator without end."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, the default one first."""

    def sample(self, rng: np.random.Generator, split: str) -> Task:
        """Draw one task of ``split``."""

    def __getitem__(self, task_id: str) -> Task:
        """The task with this id; KeyError if there is none."""

    def demonstrate(self, task: Task, rng: np.random.Generator, noise: float) -> Sequence[Utterance]:
        """What an agent would say in ``task``; ``noise`` in [0, 1] is how often it errs, 0 is the ground truth."""


class TaskList:
    """A finite task source."""

    def __init__(self, tasks: Sequence[Task]):
        if not tasks:
            raise TaskError("a task list needs at least one task")
        self._by_id: dict[str, Task] = {}
        self._by_split: dict[str, list[Task]] = {}
        for task in tasks:
            if task.id in self._by_id:
                raise TaskError(f"task id {task.id!r} occurs twice")
            self._by_id[task.id] = task
            self._by_split.setdefault(task.split, []).append(task)
        self.splits = tuple(self._by_split)

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._by_id.values())

    def __getitem__(self, task_id: str) -> Task:
        return self._by_id[task_id]

    def demonstrate(self, task: Task, rng: np.random.Generator, noise: float) -> Sequence[Utterance]:
        if noise:
            raise ConfigurationError("a task list has no noisy demonstrations; use noise=0")
        return gold_utterances(task)

    def sample(self, rng: np.random.Generator, split: str) -> Task:
        if split not in self._by_split:
            raise ConfigurationError(f"no tasks in split {split!r}; there are {', '.join(self.splits)}")
        tasks = self._by_split[split]
        return tasks[int(rng.integers(len(tasks)))]


class TestTasks(TaskList):
    """A benchmark's own test data: named task by task, as evaluation does, and sampled only with leave.

    Args:
        tasks: all of them.
        data: what they are, in a sentence about sampling from it.
        allowed: the environment's ``allow_test_data``.
    """

    __test__ = False  # pytest takes the name for that of a test

    def __init__(self, tasks: Sequence[Task], data: str, allowed: bool):
        super().__init__(tasks)
        self._data = data
        self._allowed = allowed

    def sample(self, rng: np.random.Generator, split: str) -> Task:
        if not self._allowed:
            raise ConfigurationError(
                f"reset() would sample from {self._data}, and whoever trains on it can no longer be measured by it. To "
                'evaluate, name each task: reset(options={"task_id": …}), ids are in env.unwrapped.tasks. To train on '
                "it all the same, make the environment with allow_test_data=True"
            )
        return super().sample(rng, split)


_CALL = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "arguments": {"type": "object"}, "source": {"type": ["string", "null"]}},
    "required": ["name", "arguments"],
    "additionalProperties": False,
}
_MESSAGE = {
    "type": "object",
    "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": {"type": "string"}},
    "required": ["role", "content"],
    "additionalProperties": {"type": "string"},
}
_TASK = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "turns": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {
                        "messages": {"type": "array", "items": _MESSAGE, "minItems": 1},
                        "steps": {"type": "array", "items": {"type": "array", "items": _CALL, "minItems": 1}},
                        "reveals": {"type": "array", "items": {"type": "string"}},
                        "response": {"type": ["string", "null"]},
                    },
                    "required": ["messages"],
                    "additionalProperties": False,
                },
            },
            "toolsets": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "initial_state": {"type": "object"},
            "tools": {"type": ["array", "null"], "items": {"type": "string"}},
            "split": {"type": "string"},
            "metadata": {"type": "object"},
            "single_step": {"type": "boolean"},
        },
        "required": ["id", "turns", "toolsets"],
        "additionalProperties": False,
    }
)


def task_from_json(record: Any, place: str) -> Task:
    """Build a task from parsed JSON.

    Raises:
        TaskError: a field is missing or wrong; the message begins with ``place`` and names the field.
    """
    check(_TASK, record, place)
    if record.get("single_step") and any(len(turn.get("steps", ())) > 1 for turn in record["turns"]):
        raise TaskError(f"{place}: field single_step: its turns must have one step, or none")
    turns = tuple(
        Turn(
            messages=tuple(turn["messages"]),
            steps=tuple(tuple(_call_from_json(call) for call in step) for step in turn.get("steps", ())),
            reveals=tuple(turn.get("reveals", ())),
            response=turn.get("response"),
        )
        for turn in record["turns"]
    )
    tools = record.get("tools")
    return Task(
        id=record["id"],
        turns=turns,
        toolsets=tuple(record["toolsets"]),
        initial_state=record.get("initial_state", {}),
        tools=None if tools is None else tuple(tools),
        split=record.get("split", "train"),
        metadata=record.get("metadata", {}),
        single_step=record.get("single_step", False),
    )


def task_to_json(task: Task) -> dict[str, Any]:
    """The inverse of :func:`task_from_json`."""
    record = asdict(task)
    for turn, made in zip(task.turns, record["turns"], strict=True):
        made["steps"] = [[_call_to_json(call) for call in step] for step in turn.steps]
    return record


def _call_from_json(record: dict[str, Any]) -> Call:
    return Call(record["name"], record["arguments"], source=record.get("source"))


def _call_to_json(call: Call) -> dict[str, Any]:
    record = {"name": call.name, "arguments": call.arguments}
    return record if call.source is None else {**record, "source": call.source}


def load_tasks(path: str | Path) -> TaskList:
    """Read a JSON Lines file of tasks.

    Raises:
        TaskError: a line is not JSON or not a task, with file, line and field; or an id occurs twice, or there is none.
    """
    tasks = [task_from_json(record, place) for place, record in read_json_lines(path)]
    try:
        return TaskList(tasks)
    except TaskError as error:
        raise TaskError(f"{path}: {error}") from None


def read_json_lines(path: str | Path) -> Iterator[tuple[str, Any]]:
    """Yield ``("file:line", parsed record)`` of every non-empty line.

    Raises:
        TaskError: a line is not JSON, with file and line.
    """
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise TaskError(f"{place}: not JSON ({error.msg} at column {error.colno})") from error
            yield place, record


def check(validator: jsonschema.Draft202012Validator, record: Any, place: str) -> None:
    """Raise TaskError naming ``place`` and the first wrong field of ``record``."""
    error = next(iter(validator.iter_errors(record)), None)
    if error is not None:
        where = ".".join(str(part) for part in error.absolute_path)
        raise TaskError(f"{place}: {f'field {where}' if where else 'the record'}: {error.message[:200]}")
