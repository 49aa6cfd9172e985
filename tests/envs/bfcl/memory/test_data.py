"""BFCL's own memory tasks: loaded, opened, demonstrated and graded as its program does."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import bfcl_memory
from tooluse_gym.envs.bfcl.memory.context import CLASSES
from tooluse_gym.envs.bfcl.memory.data import SCENARIOS, load_memory_tasks
from tooluse_gym.envs.bfcl.memory.judge import found
from tooluse_gym.errors import DataNotFoundError, TaskError, ToolUseError


@pytest.mark.parametrize("backend", CLASSES)
def test_tasks_are_upstreams(memory_release: Path, backend: str) -> None:
    tasks = load_memory_tasks(backend, memory_release)
    talks = [task for task in tasks.values() if "answers" not in task.metadata]
    assert Counter(task.metadata["scenario"] for task in talks) == dict(zip(SCENARIOS, (10, 10, 7, 5, 5), strict=True))
    assert len(tasks) == len(talks) + 155
    first, second = tasks[f"memory_{backend}_prereq_15-finance-0"], tasks[f"memory_{backend}_prereq_16-finance-1"]
    assert (first.metadata["depends_on"], second.metadata["depends_on"]) == ([], [first.id])
    question = tasks[f"memory_{backend}_109-student-29"]
    assert question.metadata["depends_on"] == [f"memory_{backend}_prereq_{22 + n}-student-{n}" for n in range(10)]
    assert [message["role"] for message in question.turns[0].messages] == ["system", "user"]


@pytest.mark.parametrize("backend", CLASSES)
def test_demonstrations_keep_what_is_asked_for(memory_release: Path, backend: str) -> None:
    assert bfcl_memory.demonstrate(memory_release, backend) == (155, 155)


def test_the_program_opens_and_grades_in_the_same_way(memory_release: Path) -> None:
    interpreter = os.environ.get("TOOLUSE_BFCL_ORACLE")
    if not interpreter:
        pytest.skip("TOOLUSE_BFCL_ORACLE names no interpreter with bfcl_eval")
    memories = bfcl_memory.MEMORIES[1]
    said = bfcl_memory.replies(load_memory_tasks("kv", memory_release), 1, 1_000)
    answer = bfcl_memory.ask(interpreter, memories, said)
    assert answer["openings"] == bfcl_memory.openings(memory_release, memories)
    assert answer["verdicts"] == [found(accepted, text) for text, accepted in said]
    assert {True, False} <= set(answer["verdicts"])


TALK, QUESTIONS = "memory_prereq_conversation/memory_student.json", "BFCL_v4_memory.json"
ANSWERS = f"possible_answer/{QUESTIONS}"
WRONG: dict[str, tuple[str, Callable[[str], str | None], type[ToolUseError], str]] = {
    "conversation missing": (TALK, lambda _: None, DataNotFoundError, f"{TALK} is missing: run"),
    "conversation cut": (TALK, lambda text: text[:-9], TaskError, rf"{TALK}:10: not JSON \("),
    "other words": (TALK, lambda text: text.replace("the", "a", 1), DataNotFoundError, f"{TALK} is not that of BFCL"),
    "no topic": (TALK, lambda text: text.replace('"topic"', '"t"', 1), TaskError, f"{TALK}:1: the record: 'topic'"),
    "id twice": (
        QUESTIONS,
        lambda text: text.replace("memory_1-customer-1", "memory_0-customer-0"),
        TaskError,
        f"{QUESTIONS}:2: field id: 'memory_0-customer-0' occurs twice",
    ),
    "unknown scenario": (
        QUESTIONS,
        lambda text: text.replace('"scenario": "customer"', '"scenario": "toaster"', 1),
        TaskError,
        f"{QUESTIONS}:1: field scenario: 'toaster' is not one of",
    ),
    "answer is a number": (
        ANSWERS,
        lambda text: text.replace('["Michael"]', "[5]", 1),
        TaskError,
        f"{ANSWERS}:1: field ground_truth.0: 5 is not of type 'string'",
    ),
}


@pytest.mark.parametrize(("name", "change", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_files_are_named(
    memory_release: Path,
    tmp_path: Path,
    name: str,
    change: Callable[[str], str | None],
    error: type[ToolUseError],
    message: str,
) -> None:
    for path in (
        "memory_prereq_conversation",
        "possible_answer",
        "BFCL_v4_memory.json",
        "BFCL_v4_multi_turn_base.json",
    ):
        copy = shutil.copytree if (memory_release / path).is_dir() else shutil.copy
        copy(memory_release / path, tmp_path / path)
    text = (tmp_path / name).read_text(encoding="utf-8")
    changed = change(text)
    assert changed != text
    (tmp_path / name).unlink()
    if changed is not None:
        (tmp_path / name).write_text(changed, encoding="utf-8")
    with pytest.raises(error, match=message):
        load_memory_tasks("kv", tmp_path)
