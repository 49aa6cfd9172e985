"""BFCL's multi-turn files as tasks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

from tooluse_gym.envs.bfcl.literal import literal_call
from tooluse_gym.envs.bfcl.release import (
    FILES,
    FIXTURES,
    LONG_CONTEXT,
    RELEASE,
    answers_of,
    demand,
    demand_release,
    fetch,
    literals,
    read_answered,
    read_object,
    source,
    where,
    wrong_files,
)
from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.errors import ConfigurationError, DataNotFoundError, TaskError
from tooluse_gym.formats.reply import Call
from tooluse_gym.messages import user
from tooluse_gym.sources import DataSource
from tooluse_gym.tasks import Task, Turn
from tooluse_gym.tools import Tool

__all__ = [
    "CATEGORIES",
    "MOST_STEPS",
    "REVEAL",
    "SOURCE",
    "load_payload",
    "load_tasks",
    "read_tasks",
    "verify",
    "where",
]

CATEGORIES = ("base", "miss_func", "miss_param", "long_context")
MOST_STEPS = 20
"""Executed steps that upstream's loop allows in a turn. Turns with more ground-truth calls make several per step."""

REVEAL = "I have updated some more functions you can choose from. What about now?"
"""What upstream's user says when held-out functions appear; the question file leaves that turn empty."""

QUESTION_TURNS: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": {"type": "string"}},
            "required": ["role", "content"],
        },
    },
}
"""The form of a question: the messages of every turn."""

_QUESTION = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "question": QUESTION_TURNS,
            "initial_config": {"type": "object", "additionalProperties": {"type": "object"}},
            "involved_classes": {"type": "array", "items": {"enum": list(SIMULATORS)}, "minItems": 1},
            "missed_function": {
                "type": "object",
                "propertyNames": {"pattern": "^[0-9]+$"},
                "additionalProperties": {"type": "array", "items": {"type": "string"}},
            },
        },
        "required": ["id", "question", "initial_config", "involved_classes"],
    }
)
_ANSWER = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "ground_truth": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        },
        "required": ["id", "ground_truth"],
    }
)


def load_tasks(category: str, data_dir: str | Path | None = None) -> dict[str, Task]:
    """The tasks of an official category by id, in file order.

    ``metadata`` holds ``category``, ``long_context`` and, if that is true, the ``payload`` that all tasks share.

    Raises:
        ConfigurationError: no category has that name.
        DataNotFoundError: a file is absent, or another release's.
        TaskError: an entry is malformed; the message names file, line and field.
    """
    name, folder = _category(category), where(data_dir)
    tasks = read_tasks(folder, name)
    path = _questions(folder, name)
    for file in (path, answers_of(path)):
        demand_release(file, FILES[f"data/{file.relative_to(folder).as_posix()}"])
    return tasks


def read_tasks(folder: Path, category: str) -> dict[str, Task]:
    """As :func:`load_tasks`, of any entries in BFCL's form: they need not be the release's."""
    long_context = category == "long_context"
    metadata: dict[str, Any] = {"category": category, "long_context": long_context}
    if long_context:
        metadata["payload"] = load_payload(folder)
    entries = read_answered(_questions(folder, category), _QUESTION, _ANSWER)
    return {
        question["id"]: _task(question, answer, question_place, answer_place, metadata)
        for question_place, question, answer_place, answer in entries
    }


def _category(name: str) -> str:
    short = name.removeprefix("multi_turn_")
    if short not in CATEGORIES:
        raise ConfigurationError(f"unknown BFCL category {name!r}; choose one of {', '.join(CATEGORIES)}")
    return short


def _questions(folder: Path, category: str) -> Path:
    return folder / f"BFCL_v4_multi_turn_{category}.json"


def _task(
    question: Mapping[str, Any],
    answer: Mapping[str, Any],
    question_place: str,
    answer_place: str,
    metadata: Mapping[str, Any],
) -> Task:
    gold, said, classes = answer["ground_truth"], question["question"], tuple(question["involved_classes"])
    if len(gold) != len(said):
        raise TaskError(f"{answer_place}: field ground_truth: {len(gold)} turns, but the question has {len(said)}")
    missed = {int(turn): tuple(names) for turn, names in question.get("missed_function", {}).items()}
    tools = {name: tool for simulator in classes for name, tool in SIMULATORS[simulator].tools.items()}
    for turn, names in missed.items():
        if unknown := [name for name in names if name not in tools]:
            raise TaskError(f"{question_place}: field missed_function.{turn}: no class has a function {unknown[0]!r}")
        if not turn < len(said) or said[turn]:
            raise TaskError(
                f"{question_place}: field missed_function.{turn}: the question's turn must exist and be empty"
            )
    turns = []
    for turn, (messages, calls) in enumerate(zip(said, gold, strict=True)):
        if not messages and turn not in missed:
            raise TaskError(f"{question_place}: field question.{turn}: no message")
        place = f"{answer_place}: field ground_truth.{turn}"
        gold_calls = [_call(text, tools, f"{place}.{index}") for index, text in enumerate(calls)]
        size = -(-len(gold_calls) // MOST_STEPS) or 1  # calls per step
        steps = tuple(tuple(gold_calls[start : start + size]) for start in range(0, len(gold_calls), size))
        turns.append(Turn(tuple(messages) or (user(REVEAL),), steps, missed.get(turn, ())))
    state = {name: question["initial_config"][name] for name in classes if name in question["initial_config"]}
    return Task(question["id"], tuple(turns), classes, state, split="test", metadata=metadata)


def _call(text: str, tools: Mapping[str, Tool], place: str) -> Call:
    """A ground-truth call: literal arguments, bound by position and keyword to the tool's parameters."""
    call = literal_call(text, tools)
    if call.error is not None:
        raise TaskError(f"{place}: {text[:80]!r} is {call.error}")
    if call.name not in tools:
        raise TaskError(f"{place}: no involved class has a function {call.name!r}")
    return call


PAYLOAD = (
    "WATCH_LIST_EXTENSION",
    "TRANSACTION_HISTORY_EXTENSION",
    "MA_5_EXTENSION",
    "MA_20_EXTENSION",
    "TECHNOLOGY_EXTENSION",
    "AUTOMOBILE_EXTENSION",
    "ORDER_DETAIL_EXTENSION",
    "FILE_CONTENT_EXTENSION",
    "POPULATE_FILE_EXTENSION",
    "CAR_STATUS_METADATA_EXTENSION",
    "LONG_WEATHER_EXTENSION",
    "PARKING_BRAKE_INSTRUCTION",
    "INTERMEDIARY_CITIES",
    "CREDIT_CARD_EXTENSION",
    "BOOKING_RECORD_EXTENSION",
    "FILES_TAIL_USED",
)
"""Upstream's names of the constants that long-context simulators pad their state with."""

_PAYLOAD_DIGEST = "0f7cee80c79949dc"


@lru_cache(maxsize=4)
def load_payload(folder: Path) -> Mapping[str, Any]:
    """The constants that long-context simulators pad their state with, by upstream's name.

    From ``simulator_fixtures.json`` in the data folder, else from the release's source.

    Raises:
        DataNotFoundError: neither is there, or the constants are not the release's.
        TaskError: the file is malformed, or lacks a constant.
    """
    path = folder / FIXTURES
    if path.is_file():
        found = _read_fixtures(path)
    else:
        path = source(folder, LONG_CONTEXT)
        found = literals(path, PAYLOAD)
    payload = {name: found[name] for name in PAYLOAD}
    demand_release(path, _PAYLOAD_DIGEST, repr(payload))
    return payload


def _read_fixtures(path: Path) -> Mapping[str, Any]:
    found = read_object(path, _ellipsis).get("long_context")
    if not isinstance(found, dict):
        raise TaskError(f"{path}: field long_context: there must be an object of constants by name")
    demand([f"long_context.{name}" for name in PAYLOAD], [f"long_context.{name}" for name in found], path)
    return found


def _ellipsis(record: dict[str, Any]) -> Any:
    return ... if record == {"__python__": "Ellipsis"} else record


def verify(folder: Path) -> list[str]:
    """What is wrong with the data in ``folder``, a line per file."""
    wrong = wrong_files(folder)
    if (folder / FIXTURES).is_file():
        try:
            load_payload(folder)
        except (DataNotFoundError, TaskError) as error:
            wrong.append(str(error))
    return wrong


SOURCE = DataSource(
    contents="BFCL's tasks, answers and function docs",
    licence="Apache-2.0, Berkeley Function Calling Leaderboard",
    home=f"bfcl-eval {RELEASE} on PyPI",
    where=where,
    fetch=fetch,
    verify=verify,
)
