"""API-Bank's dialogues as tasks, and ToolRL's edition of it: one call for a given beginning of a dialogue."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tooluse_gym.envs.toolrl.rows import task_from_row
from tooluse_gym.errors import DataNotFoundError, TaskError
from tooluse_gym.formats.reply import Call
from tooluse_gym.messages import user
from tooluse_gym.sources import DataSource
from tooluse_gym.tasks import Task, Turn

from .apis.base import RejectedCallError
from .database import GET, read_json
from .descriptions import found_names
from .dialogues import ApiCall, Dialogue, Line
from .level import Level, level_tools
from .manager import convert
from .release import HOMES, call_file, fetch, where, wrong_files
from .retrieval import SEARCHER

__all__ = ["CALLS", "DIALOGUES", "SOURCE", "dialogue_task", "load_calls", "load_dialogues", "where"]

DIALOGUES = {"level-1": 1, "level-2": 2, "level-3": 3}
CALLS = {"call-1": 1, "call-2": 2, "call-3": 3}


def load_dialogues(level: Level, split: str = "test") -> list[Task]:
    """The dialogues of a level as tasks, those without a user's word left out (one file of level 1 is empty).

    ``metadata`` holds ``level`` and, turn by turn, the calls as they were ``recorded``: ``name``, ``params`` and
    ``result``.

    Raises:
        TaskError: a call names no API of the level, or has arguments that the API does not take.
    """
    return [dialogue_task(dialogue, level, split) for dialogue in level.dialogues if dialogue.lines]


def dialogue_task(dialogue: Dialogue, level: Level, split: str) -> Task:
    """One dialogue as a task: a turn is what the user says, and the calls until the user speaks again.

    What the AI says last in a turn is its response. What it says between two calls is left out: a reply without a call
    hands the turn back. Level 1 shows the APIs of the dialogue, in order of their names; the others show the search,
    and whatever the recorded dialogue uses without having found it.

    Raises:
        TaskError: as :func:`load_dialogues`.
    """
    parts = list(_turns(dialogue))
    return Task(
        id=dialogue.id,
        turns=tuple(_turn(lines, level) for lines in parts),
        toolsets=(f"level-{level.number}",),
        tools=_shown_first(dialogue),
        split=split,
        metadata={
            "level": level.number,
            "recorded": [[_recorded(line.call) for line in lines if line.call is not None] for lines in parts],
        },
    )


def _shown_first(dialogue: Dialogue) -> tuple[str, ...]:
    used = dict.fromkeys(call.name for call in dialogue.calls)
    if dialogue.level == 1:
        return tuple(sorted(used))
    found: set[str] = set()
    unfound = []
    for call in dialogue.calls:
        if call.name == SEARCHER:
            found.update(found_names(call.result["output"]))
        elif call.name not in found:
            unfound.append(call.name)
    return tuple(dict.fromkeys((SEARCHER, *unfound)))


def _turns(dialogue: Dialogue) -> Iterator[Sequence[Line]]:
    """The lines of each turn, the user's first."""
    if dialogue.lines[0].role != "User":
        raise TaskError(f"dialogue {dialogue.id!r} does not begin with the user")
    lines: list[Line] = []
    for line in dialogue.lines:
        if line.role == "User" and any(said.role != "User" for said in lines):
            yield lines
            lines = []
        lines.append(line)
    yield lines


def _turn(lines: Sequence[Line], level: Level) -> Turn:
    said = "\n".join(line.text for line in lines if line.role == "User")
    calls = [line.call for line in lines if line.call is not None]
    response = lines[-1].text if lines[-1].role == "AI" else None
    return Turn((user(said),), tuple((_gold(call, level),) for call in calls), response=response)


def _gold(call: ApiCall, level: Level) -> Call:
    """A recorded call with its arguments in the types that the API declares."""
    if call.name not in level.tools:
        raise TaskError(f"{call.place}: field api_name: there is no API {call.name!r} at level {level.number}")
    try:
        return Call(call.name, convert(level.tools[call.name], dict(call.params), "corrected"))
    except RejectedCallError as error:
        raise TaskError(f"{call.place}: field param_dict: {error}") from None


def _recorded(call: ApiCall) -> dict[str, Any]:
    return {"name": call.name, "params": dict(call.params), "result": call.result}


def load_calls(level: int, data_dir: str | Path | None = None, own_prompt: bool = True) -> list[Task]:
    """ToolRL's edition of a level, one call for a given beginning of a dialogue, as single-step tasks.

    Args:
        level: 1, 2 or 3.
        data_dir: as for :func:`where`.
        own_prompt: keep the system message that shows tools and reply format.

    Raises:
        DataNotFoundError: the file is absent.
        TaskError: an entry is malformed, occurs twice, or calls no API of the level; the message names the entry.
    """
    folder = where(data_dir)
    path = folder / call_file(level)
    if not path.is_file():
        raise DataNotFoundError(f"{path} is missing: it is ToolRL's edition of API-Bank, which '{GET}' gets as well")
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise TaskError(f"{path}: expected a list of entries")
    known = level_tools(level)
    tasks: dict[str, Task] = {}
    for number, entry in enumerate(entries):
        place = f"{path}: entry {number}"
        task_id = _call_id(entry, level, place)
        if task_id in tasks:
            raise TaskError(f"{place}: field other: {task_id!r} occurs twice")
        task = task_from_row(entry, place, task_id, "test")
        calls = [call for turn in task.turns for call in turn.calls]
        if len(calls) != 1:
            raise TaskError(f"{place}: field answer: expected one call, got {len(calls)}")
        if calls[0].name not in known:
            raise TaskError(f"{place}: field answer: there is no API {calls[0].name!r} at level {level}")
        tasks[task_id] = task if own_prompt else _without_prompt(task)
    return list(tasks.values())


def _without_prompt(task: Task) -> Task:
    (turn,) = task.turns
    return replace(task, turns=(replace(turn, messages=turn.messages[1:]),))


def _call_id(entry: Any, level: int, place: str) -> str:
    names = ("sample_id", "api_id") if level == 3 else ("file", "id")
    other = entry.get("other") if isinstance(entry, dict) else None
    if not isinstance(other, dict) or any(not isinstance(other.get(name), str | int) for name in names):
        raise TaskError(f"{place}: field other: expected {' and '.join(names)}, got {json.dumps(other)[:80]}")
    return f"call-{level}/{str(other[names[0]]).removesuffix('.jsonl')}#{other[names[1]]}"


SOURCE = DataSource(
    contents="API-Bank's dialogues, databases and chains, and ToolRL's edition of them",
    licence="Apache-2.0 (API-Bank's folder; its repository MIT), Apache-2.0 (ToolRL)",
    home=", ".join(f"{home.url} at {home.commit[:8]}" for home in HOMES),
    where=where,
    fetch=fetch,
    verify=wrong_files,
)
