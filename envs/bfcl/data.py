"""BFCL's multi-turn files as tasks. They are read as data: no upstream code is imported or run.

The files come from the pinned release on PyPI (:func:`fetch`), or from any folder in one of two layouts: flat, with the
files listed in ``README.md``, or an unpacked wheel.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.errors import ConfigurationError, DataNotFoundError, TaskError
from tooluse_gym.formats.reply import Call
from tooluse_gym.messages import user
from tooluse_gym.tasks import Task, Turn, check, read_json_lines
from tooluse_gym.tools import Tool

RELEASE = "2026.3.23"
WHEEL_SHA256 = "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
FOLDER_VARIABLE = "TOOLUSE_BFCL_DATA"
GET = "tooluse-gym data get bfcl"

CATEGORIES = ("base", "miss_func", "miss_param", "long_context")
DOC_FILES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}
"""The benchmark's classes, and the file under ``multi_turn_func_doc`` that documents each."""

MOST_STEPS = 20
"""Executed steps that upstream's loop allows in a turn. Turns with more ground-truth calls make several per step."""

REVEAL = "I have updated some more functions you can choose from. What about now?"
"""What upstream's user says when held-out functions appear; the question file leaves that turn empty."""

_QUESTION = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "question": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "role": {"enum": ["system", "user", "assistant"]},
                            "content": {"type": "string"},
                        },
                        "required": ["role", "content"],
                    },
                },
            },
            "initial_config": {"type": "object", "additionalProperties": {"type": "object"}},
            "involved_classes": {"type": "array", "items": {"enum": list(DOC_FILES)}, "minItems": 1},
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
_DOC = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "description": {"type": "string"},
            "parameters": {"type": "object", "properties": {"properties": {"type": "object"}}},
        },
        "required": ["name", "description", "parameters"],
    }
)


# Where the files are


def where(data_dir: str | Path | None = None) -> Path:
    """The data folder: ``data_dir``, else ``$TOOLUSE_BFCL_DATA``, else what :func:`fetch` unpacked.

    Raises:
        DataNotFoundError: there is none, or it holds no multi-turn file.
    """
    named = data_dir or os.environ.get(FOLDER_VARIABLE)
    root = Path(named) if named else _unpacked(None)
    for folder in (root, root / "bfcl_eval" / "data", root / "data"):
        if any(_question_file(folder, category).is_file() for category in CATEGORIES):
            return folder
    if named:
        said = "data_dir" if data_dir else FOLDER_VARIABLE
        wrong = "has no file BFCL_v4_multi_turn_*.json" if root.is_dir() else "is not a folder"
        raise DataNotFoundError(
            f"{said} {str(root)!r} {wrong}; leave it unset and run '{GET}', or name BFCL's data folder"
        )
    raise DataNotFoundError(f"BFCL's data is not here: run '{GET}', or set {FOLDER_VARIABLE} to its folder")


def fetch(cache: str | Path | None = None) -> Path:
    """Download the pinned release with pip, check it, unpack its data under ``cache`` and return the data folder.

    Does nothing if that was done before.

    Raises:
        DataNotFoundError: pip could not download it, or the file is not the pinned one.
    """
    target = _unpacked(cache)
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".bfcl-") as scratch:
            wheel = _download(Path(scratch))
            staged = Path(scratch) / "unpacked"
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(staged, [name for name in archive.namelist() if _wanted(name)])
            with contextlib.suppress(OSError):  # another process was faster: where() finds what it made
                staged.rename(target)
    return where(target)


def _unpacked(cache: str | Path | None) -> Path:
    home = Path(cache) if cache else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tooluse-gym"
    return home / f"bfcl-eval-{RELEASE}"


def _download(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    command = [*pip, "--only-binary", ":all:", "--dest", str(folder), f"bfcl-eval=={RELEASE}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise DataNotFoundError(f"pip could not download bfcl-eval=={RELEASE}: {done.stderr.strip()[-500:]}")
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise DataNotFoundError(
            f"{wheels[0].name} has SHA-256 {found}, expected {WHEEL_SHA256}: not the pinned release"
        )
    return wheels[0]


def _wanted(name: str) -> bool:
    data = name.startswith("bfcl_eval/data/") and "/unused_datasets/" not in name
    return data or name == f"bfcl_eval/{_LITERALS}"


_LITERALS = "eval_checker/multi_turn_eval/func_source_code/long_context.py"


# Tasks


def load_tasks(category: str, data_dir: str | Path | None = None) -> dict[str, Task]:
    """The tasks of an official category by id, in file order: all whose classes are implemented (see :func:`left_out`).

    ``metadata`` holds ``category``, ``long_context`` and, if that is true, the ``payload`` that all tasks share.

    Raises:
        ConfigurationError: no category has that name.
        DataNotFoundError: a file is absent.
        TaskError: an entry is malformed; the message names file, line and field.
    """
    category, folder = _category(category), where(data_dir)
    long_context = category == "long_context"
    metadata: dict[str, Any] = {"category": category, "long_context": long_context}
    if long_context:
        metadata["payload"] = load_payload(folder)
    return {
        question["id"]: _task(question, answer, question_place, answer_place, metadata)
        for question_place, question, answer_place, answer in _entries(folder, category)
        if all(name in SIMULATORS for name in question["involved_classes"])
    }


def left_out(category: str, data_dir: str | Path | None = None) -> dict[str, tuple[str, ...]]:
    """Entries that :func:`load_tasks` leaves out, by id: the classes they need that have no simulator here."""
    needs = {
        question["id"]: tuple(name for name in question["involved_classes"] if name not in SIMULATORS)
        for _, question, _, _ in _entries(where(data_dir), _category(category))
    }
    return {task_id: names for task_id, names in needs.items() if names}


def _category(name: str) -> str:
    short = name.removeprefix("multi_turn_")
    if short not in CATEGORIES:
        raise ConfigurationError(f"unknown BFCL category {name!r}; choose one of {', '.join(CATEGORIES)}")
    return short


def _question_file(folder: Path, category: str) -> Path:
    return folder / f"BFCL_v4_multi_turn_{category}.json"


def _entries(folder: Path, category: str) -> Iterator[tuple[str, dict[str, Any], str, dict[str, Any]]]:
    """Every entry with its answer, and the places of both."""
    path = _question_file(folder, category)
    questions = _read(path, _QUESTION)
    answers = _read(folder / "possible_answer" / path.name, _ANSWER)
    if len(questions) != len(answers):
        raise TaskError(f"{path}: {len(questions)} entries, but possible_answer/{path.name} has {len(answers)}")
    seen: set[str] = set()
    for (place, question), (answer_place, answer) in zip(questions, answers, strict=True):
        if question["id"] in seen:
            raise TaskError(f"{place}: field id: {question['id']!r} occurs twice")
        seen.add(question["id"])
        if answer["id"] != question["id"]:
            raise TaskError(f"{answer_place}: field id: {answer['id']!r}, but the question there is {question['id']!r}")
        yield place, question, answer_place, answer


def _read(path: Path, validator: jsonschema.Draft202012Validator) -> list[tuple[str, dict[str, Any]]]:
    if not path.is_file():
        raise DataNotFoundError(f"{path} is missing: run '{GET}' for a complete copy of BFCL's data")
    records = list(read_json_lines(path))
    for place, record in records:
        check(validator, record, place)
    return records


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
    try:
        node = ast.parse(text, mode="eval").body
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            raise ValueError("not a plain call")
        name, positional = node.func.id, [ast.literal_eval(value) for value in node.args]
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
    except (SyntaxError, ValueError) as error:
        raise TaskError(f"{place}: {text[:80]!r} is not a call with literal arguments ({error})") from error
    if name not in tools:
        raise TaskError(f"{place}: no involved class has a function {name!r}")
    parameters = list(tools[name].parameters["properties"])
    if len(positional) > len(parameters):
        raise TaskError(f"{place}: {len(positional)} positional arguments, but {name} has {len(parameters)} parameters")
    return Call(name, {**dict(zip(parameters, positional, strict=False)), **keywords}, source=text)


# Tool docs and the long-context payload


def load_docs(classes: Sequence[str], data_dir: str | Path | None = None) -> dict[str, Tool]:
    """Upstream's docs of ``classes`` as tools by name, in upstream's order; a class without a doc file is left out."""
    folder = where(data_dir) / "multi_turn_func_doc"
    return {tool.name: tool for name in classes for tool in _read_docs(folder / f"{DOC_FILES[name]}.json")}


@lru_cache(maxsize=32)
def _read_docs(path: Path) -> tuple[Tool, ...]:
    if not path.is_file():
        return ()
    return tuple(
        Tool(doc["name"], doc["description"], {**json_schema(doc["parameters"]), "additionalProperties": False})
        for _, doc in _read(path, _DOC)
    )


_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}


def json_schema(doc: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter doc in upstream's types as a JSON Schema. A default written as the text "None" becomes null."""
    schema: dict[str, Any] = {}
    for key, value in doc.items():
        if key == "type":
            kind = _TYPES.get(value, value)
            if kind is not None:
                schema["type"] = [kind, "null"] if doc.get("default") == "None" else kind
        elif key == "properties":
            schema[key] = {name: json_schema(part) for name, part in value.items()}
        elif key == "items":
            schema[key] = json_schema(value)
        else:
            schema[key] = None if key == "default" and value == "None" else value
    return schema


@lru_cache(maxsize=4)
def load_payload(folder: Path) -> Mapping[str, Any]:
    """The constants that long-context simulators pad their state with, by upstream's name."""
    fixtures, source = folder / "simulator_fixtures.json", folder.parent / _LITERALS
    if fixtures.is_file():
        with open(fixtures, encoding="utf-8") as file:
            payload: dict[str, Any] = json.load(file, object_hook=_ellipsis)["long_context"]
        return payload
    if not source.is_file():
        raise DataNotFoundError(f"neither {fixtures} nor {source} is there: run '{GET}' for a complete copy")
    assignments = (node for node in ast.parse(source.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign))
    return {target.id: _literal(a.value) for a in assignments for target in a.targets if isinstance(target, ast.Name)}


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _literal(node.left) + _literal(node.right)
    return ast.literal_eval(node)


def _ellipsis(record: dict[str, Any]) -> Any:
    return ... if record == {"__python__": "Ellipsis"} else record
