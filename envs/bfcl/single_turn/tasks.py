"""BFCL's single-turn files as tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema

from tooluse_gym.envs.bfcl.data import QUESTION_TURNS
from tooluse_gym.envs.bfcl.docs import DOC_FORM, Documented, document, underscored
from tooluse_gym.envs.bfcl.languages import language_of
from tooluse_gym.envs.bfcl.prompt_config import FORMAT_SENSITIVITY, PromptConfig
from tooluse_gym.envs.bfcl.release import (
    FILES,
    answers_of,
    demand_release,
    digest,
    read_answered,
    read_entries,
    read_object,
    read_text,
    where,
)
from tooluse_gym.envs.bfcl.single_turn.accepted import accepted_call, any_call
from tooluse_gym.errors import ConfigurationError, TaskError
from tooluse_gym.tasks import Task, Turn

UNANSWERED = ("irrelevance", "live_irrelevance", "live_relevance")
"""Categories that ask only whether anything is called."""

SENSITIVITY = "format_sensitivity"

SINGLE_TURN = (
    *("simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple", "irrelevance"),
    *("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance"),
)

NO_CALL = "None of the functions serves this request."
"""What the ground truth says where nothing is to be called."""

_QUESTION = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "question": {**QUESTION_TURNS, "maxItems": 1, "items": {**QUESTION_TURNS["items"], "minItems": 1}},
            "function": {"type": "array", "items": DOC_FORM.schema},
        },
        "required": ["id", "question", "function"],
    }
)
_ANSWER = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "ground_truth": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": {"type": "object", "additionalProperties": {"type": "array"}},
                },
            },
        },
        "required": ["id", "ground_truth"],
    }
)


def load_single_turn(category: str, data_dir: str | Path | None = None) -> dict[str, Task]:
    """The tasks of a single-turn category by id, in file order.

    ``metadata`` holds ``category``, ``functions`` (upstream's docs as they are in the file), ``possible_answer``
    (upstream's ground truth, None where the category has none) and, where no call can be right, ``unsatisfiable``: why.
    The ground truth's calls take one accepted value for each parameter.

    Raises:
        ConfigurationError: no category has that name.
        DataNotFoundError: a file is absent, or another release's.
        TaskError: an entry is malformed; the message names file, line and field.
    """
    if category not in SINGLE_TURN:
        raise ConfigurationError(f"unknown BFCL category {category!r}; choose one of {', '.join(SINGLE_TURN)}")
    folder = where(data_dir)
    path = questions(folder, category)
    files = [path] if category in UNANSWERED else [path, answers_of(path)]
    known = {file: FILES[f"data/{file.relative_to(folder).as_posix()}"] for file in files}
    others = [file for file in files if digest(read_text(file)) != known[file]]
    tasks = read_single_turn(folder, category, checked=bool(others))  # the release's own are in good form
    for file in others:
        demand_release(file, known[file])
    return tasks


def read_single_turn(folder: Path, category: str, checked: bool = True) -> dict[str, Task]:
    """As :func:`load_single_turn`, of any entries in BFCL's form; ``checked`` looks at the form, which takes time."""
    path = questions(folder, category)
    question_form, answer_form = (_QUESTION, _ANSWER) if checked else (None, None)
    if category in UNANSWERED:
        return {entry["id"]: _unanswered(entry, category, place) for place, entry in read_entries(path, question_form)}
    return {
        question["id"]: _answered(question, answer, category, answer_place)
        for _, question, answer_place, answer in read_answered(path, question_form, answer_form)
    }


def load_format_sensitivity(config: PromptConfig, data_dir: str | Path | None = None) -> dict[str, Task]:
    """The 200 tasks that upstream asks in 26 variants of its prompt, under their ids in one of these.

    Raises:
        ConfigurationError: the variant is none of the 26.
        DataNotFoundError, TaskError: as :func:`load_single_turn`.
    """
    if config not in FORMAT_SENSITIVITY:
        raise ConfigurationError(f"{SENSITIVITY} does not ask with the prompt {str(config)!r}")
    folder = where(data_dir)
    path = questions(folder, SENSITIVITY)
    chosen = read_object(path)
    demand_release(path, FILES[f"data/{path.name}"])
    tasks = [
        task
        for category, ids in chosen.items()
        for name, task in load_single_turn(category, folder).items()
        if name in ids
    ]
    variant = FORMAT_SENSITIVITY.index(config)
    named = [
        replace(task, id=f"{SENSITIVITY}_{number * len(FORMAT_SENSITIVITY) + variant}:{config}:{task.id}")
        for number, task in enumerate(tasks)
    ]
    return {task.id: task for task in named}


def documented(task: Task) -> tuple[Documented, ...]:
    """The functions of a single-turn task as tools, in their order."""
    language = language_of(task.metadata["category"])
    return tuple(document(doc, language=language) for doc in task.metadata["functions"])


def without_dots(task: Task) -> Task:
    """The task as function-calling mode asks it: the ground truth's names are those that a model is shown there."""
    (turn,) = task.turns
    steps = tuple(tuple(replace(call, name=underscored(call.name)) for call in step) for step in turn.steps)
    return replace(task, turns=(replace(turn, steps=steps),))


def questions(folder: Path, category: str) -> Path:
    return folder / f"BFCL_v4_{category}.json"


def _unanswered(entry: Mapping[str, Any], category: str, place: str) -> Task:
    called = entry["function"][:1] if category == "live_relevance" else []
    if category == "live_relevance" and not called:
        raise TaskError(f"{place}: field function: there must be one to call")
    calls = [any_call(doc) for doc in called]
    return _task(entry, category, calls, None)


def _answered(question: Mapping[str, Any], answer: Mapping[str, Any], category: str, answer_place: str) -> Task:
    docs, language = question["function"], language_of(category)
    names = {doc["name"] for doc in docs}
    calls, reasons = [], []
    for number, expected in enumerate(answer["ground_truth"]):
        if (name := next(iter(expected))) not in names:
            raise TaskError(f"{answer_place}: field ground_truth.{number}: the question has no function {name!r}")
        call, why = accepted_call(expected, docs, language)
        calls.append(call)
        reasons += [f"{name}: {why}"] if why else []
    return _task(question, category, calls, answer["ground_truth"], reasons)


def _task(
    entry: Mapping[str, Any], category: str, calls: Sequence[Any], answer: Any, reasons: Sequence[str] = ()
) -> Task:
    metadata = {"category": category, "functions": entry["function"], "possible_answer": answer}
    if reasons:
        metadata["unsatisfiable"] = "; ".join(reasons)
    turn = Turn(tuple(entry["question"][0]), (tuple(calls),) if calls else (), response=None if calls else NO_CALL)
    return Task(entry["id"], (turn,), (), split="test", metadata=metadata, single_step=True)
