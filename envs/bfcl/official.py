"""A run's replies in the layout of BFCL's own program, so that it can score them.

It scores what it finds as ``result/<model>/<group>/BFCL_v4_<category>_result.json``, by the decoder of a model that it
knows. Our files stand under two of these whose decoders are the plain ones: of a list of Python calls, and of function
calls whose names have underscores for dots.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tooluse_gym.envs.bfcl.single_turn import SENSITIVITY, SINGLE_TURN
from tooluse_gym.evaluation.episodes import Episode
from tooluse_gym.evaluation.run import Plan
from tooluse_gym.formats import get_format

FOLDER = "official"
PROMPTING_MODEL, CALLING_MODEL = "google/gemma-3-1b-it", "openbmb/MiniCPM-SALA-FC"
UNFINISHED = "Error during inference: the conversation grew too long"
"""What stands for an episode without an end; the program knows it by not being a list."""

_CALLING = ("structured", "hermes", "toolrl")

Record = Callable[[str], Any]
"""A reply, as the program records it."""


def write_official(folder: Path, plan: Plan, episodes: Sequence[Episode]) -> str:
    """The first sample of every entry into ``folder/official/result``; returns the command that has it scored.

    Nothing is written of runs whose verdicts are not upstream's, or whose replies the program cannot read.
    """
    options = {**plan.chosen[0].options[plan.mode], **plan.options}
    format = options["format"]
    if options["validation"] != "official" or format not in ("prompting", *_CALLING):
        return ""
    model, record = (PROMPTING_MODEL, str) if format == "prompting" else (CALLING_MODEL, _recorder(format))
    root = folder / FOLDER / "result" / model.replace("/", "_")
    shutil.rmtree(root, ignore_errors=True)
    files: dict[Path, list[dict[str, Any]]] = {}
    for one in episodes:
        if one.sample == 0 and one.total:
            path = root / _group(one.category) / f"BFCL_v4_{official_name(one.category)}_result.json"
            files.setdefault(path, []).append({"id": one.task, "result": _result(one, record)})
    for path, entries in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries), encoding="utf-8")
    names = ",".join(dict.fromkeys(official_name(one.category) for one in episodes))
    return (
        f"BFCL's own program scores the same replies: BFCL_PROJECT_ROOT={(folder / FOLDER).resolve()} OPENAI_API_KEY=- "
        f"bfcl evaluate --partial-eval --model {model} --test-category {names}"
    )


def official_name(category: str) -> str:
    """Upstream's name: the variants of a prompt are one category there."""
    return SENSITIVITY if category.startswith("ret_fmt=") else category


def _group(category: str) -> Path:
    """The folder of a category."""
    for group in ("multi_turn", "live"):
        if category.startswith(group):
            return Path(group)
    if category.startswith("memory_"):
        return Path("agentic", "memory", category.removeprefix("memory_"))
    return Path("non_live" if category in SINGLE_TURN else SENSITIVITY)


def _result(one: Episode, record: Record) -> Any:
    if one.trajectory.verdict is None:
        return UNFINISHED
    steps = iter([record(step.action) for step in one.trajectory.steps])
    if one.category in SINGLE_TURN or official_name(one.category) == SENSITIVITY:
        return next(steps)
    return [list(islice(steps, count)) for count in one.turn_steps]


def _recorder(format: str) -> Record:
    """Replies of function calling: ``[{name: arguments as a JSON text}, …]``, or the text where that was no calls."""
    parse = get_format(format).parse

    def record(text: str) -> Any:
        calls = parse(text).calls
        if not calls or any(call.error is not None for call in calls):
            return text
        return [{call.name: json.dumps(call.arguments)} for call in calls]

    return record
