from __future__ import annotations

import numpy as np
import pytest

from tooluse_gym.envs.api_bank.starter import SPLITS, StarterTasks
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.tasks import Task


def drawn(split: str, count: int = 60) -> list[Task]:
    rng = np.random.default_rng(7)
    return [StarterTasks().sample(rng, split) for _ in range(count)]


def opening(task: Task) -> str:
    return task.turns[0].messages[0]["content"]


def test_an_id_makes_the_task_again() -> None:
    for task in drawn("train", 9):
        assert StarterTasks()[task.id] == task
        assert task.split == "train"


def test_no_request_is_in_two_splits() -> None:
    said = {split: {opening(task) for task in drawn(split)} for split in SPLITS}
    assert not said["train"] & said["validation"]
    assert not said["test"] & (said["train"] | said["validation"])


def test_all_levels_and_most_apis_occur() -> None:
    tasks = drawn("train", 200)
    assert {task.metadata["level"] for task in tasks} == {1, 2, 3}
    names = {call.name for task in tasks for turn in task.turns for call in turn.calls}
    assert len(names) >= 30
    assert all(name in (task.tools or ()) for task in tasks if task.metadata["level"] == 1 for name in _names(task))
    assert all(task.tools == ("ToolSearcher",) for task in tasks if task.metadata["level"] > 1)


def _names(task: Task) -> set[str]:
    return {call.name for turn in task.turns for call in turn.calls}


@pytest.mark.parametrize(
    "task_id",
    ["", "starter/level-1/train", "starter/level-9/train/1", "starter/level-1/dev/1", "starter/level-1/train/x"],
)
def test_other_ids_are_of_no_task(task_id: str) -> None:
    with pytest.raises(KeyError):
        StarterTasks()[task_id]


def test_there_are_no_noisy_demonstrations() -> None:
    (task,) = drawn("train", 1)
    with pytest.raises(ConfigurationError, match="noise=0"):
        StarterTasks().demonstrate(task, np.random.default_rng(0), 0.5)
