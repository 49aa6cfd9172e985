"""The generated tasks: the same from every source, apart by split, and right in every part of a world."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from tooluse_gym.envs.bfcl.memory.context import CLASSES
from tooluse_gym.envs.bfcl.memory.env import BFCLMemoryEnv
from tooluse_gym.envs.bfcl.memory.facts import KINDS, SPLITS
from tooluse_gym.envs.bfcl.memory.starter import MemoryStarter
from tooluse_gym.errors import ConfigurationError

PARTS = ("talk-0", "talk-1", *(f"question-{fact}" for fact in range(7)))


@pytest.mark.parametrize("backend", CLASSES)
@pytest.mark.parametrize("split", SPLITS)
def test_every_part_is_served_by_its_demonstration(backend: str, split: str) -> None:
    env = BFCLMemoryEnv(backend=backend)
    for number in range(5):
        memory = None
        for part in PARTS:
            task_id = f"memory-starter/{backend}/{split}/{number}/{part}"
            record = env.demonstrate(seed=0, options={"task_id": task_id})
            assert record.verdict is not None
            assert record.verdict.valid, task_id
            assert record.reward == pytest.approx(1)
            if memory is not None:  # what the ground truth left is what the next one begins with
                handed = env.demonstrate(seed=0, options={"task_id": task_id, "memory": memory})
                assert (handed.opening, handed.steps) == (record.opening, record.steps)
            memory = env.memory


def test_a_correction_is_what_is_asked_for() -> None:
    tasks = MemoryStarter("kv")
    corrected = 0
    for number in range(20):
        talk = tasks[f"memory-starter/kv/train/{number}/talk-1"]
        (call,) = talk.turns[1].calls
        assert call.name in ("core_memory_replace", "archival_memory_replace")
        questions = [tasks[f"memory-starter/kv/train/{number}/question-{fact}"] for fact in range(7)]
        values = [question.metadata["answers"][0] for question in questions]
        corrected += values.count(call.arguments["value"])
        old = {
            **talk.initial_state["MemoryAPI_kv"]["core_memory"],
            **talk.initial_state["MemoryAPI_kv"]["archival_memory"],
        }
        assert old[call.arguments["key"]] != call.arguments["value"]
    assert corrected >= 20


def test_splits_share_no_value() -> None:
    for kind in KINDS:
        values = [kind.of_split(split) for split in SPLITS]
        assert min(map(len, values)) >= 2  # one to tell, one to correct it with
        assert sorted(chain.from_iterable(values)) == sorted(kind.values)
        assert len(set(kind.values)) == len(kind.values)


def test_tasks_are_those_of_their_id() -> None:
    rng = np.random.default_rng(0)
    drawn = [MemoryStarter("rec_sum").sample(rng, "validation") for _ in range(40)]
    assert all(MemoryStarter("rec_sum")[task.id] == task for task in drawn)
    assert {task.split for task in drawn} == {"validation"}
    assert 10 < sum("answers" in task.metadata for task in drawn) < 30


@pytest.mark.parametrize(
    "task_id",
    [
        "memory-starter/rec_sum/train/1/talk-0",
        "memory-starter/kv/train/01/talk-0",
        "memory-starter/kv/train/x/talk-0",
        "memory-starter/kv/exam/1/talk-0",
        "memory-starter/kv/train/1/talk-2",
        "memory-starter/kv/train/1",
        "other/kv/train/1/talk-0",
    ],
)
def test_other_ids_are_unknown(task_id: str) -> None:
    with pytest.raises(KeyError):
        MemoryStarter("kv")[task_id]


def test_noise_forgets() -> None:
    tasks = MemoryStarter("kv")
    talk, question = tasks["memory-starter/kv/train/1/talk-0"], tasks["memory-starter/kv/train/1/question-6"]
    said = tasks.demonstrate(talk, np.random.default_rng(0), 1.0)
    assert [(one.calls, one.response) for one in said] == [((), "Done.")] * 2
    (said_last,) = tasks.demonstrate(question, np.random.default_rng(0), 1.0)
    assert said_last.response == "I do not know."
    with pytest.raises(ConfigurationError, match="noise must be 0 to 1"):
        tasks.demonstrate(talk, np.random.default_rng(0), 2.0)
    with pytest.raises(ConfigurationError, match="no tasks in split 'exam'"):
        tasks.sample(np.random.default_rng(0), "exam")
