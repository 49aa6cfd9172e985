"""Generated one-step tasks: kinds, splits, and demonstrations that err."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pytest

from tooluse_gym.envs.toolrl import starter
from tooluse_gym.envs.toolrl.scoring import verdict
from tooluse_gym.envs.toolrl.starter import SPLITS, StarterTasks
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import get_format
from tooluse_gym.tasks import Task, Utterance

SOURCE = StarterTasks()


def _tasks(split: str, count: int = 300) -> list[Task]:
    rng = np.random.default_rng(0)
    return [SOURCE.sample(rng, split) for _ in range(count)]


def test_the_task_of_the_docstring() -> None:
    task = SOURCE["starter/train/7"]
    said = f"{task.turns[0].messages[0]['content']}\n{task.metadata['answer']}".replace("\n", "\n        ")
    assert f'["{task.id}"]' in str(starter.__doc__)
    assert f"\n    {said}\n" in str(starter.__doc__)


def test_every_kind_of_answer_comes_up() -> None:
    kinds = Counter((len(task.turns[0].calls), task.turns[0].response is not None) for task in _tasks("train"))
    assert set(kinds) == {(0, True), (1, False), (1, True), (2, False), (2, True), (3, False)}
    assert min(kinds.values()) >= 5


def test_answers_are_right_and_follow_from_the_request() -> None:
    for task in _tasks("train", 100):
        assert verdict(task.metadata["answer"], task.metadata["truth"]).valid
        tools = {tool.name: tool for tool in task.metadata["tools"]}
        assert len(tools) == 4
        for call in task.turns[0].calls:
            assert tools[call.name].check(call.arguments) is None
            for value in call.arguments.values():
                assert (value if isinstance(value, str) else json.dumps(value)) in task.turns[0].messages[0]["content"]


def test_splits_share_no_word() -> None:
    for split, words in SPLITS.items():
        for task in _tasks(split, 50):
            used = re.findall(r'"(\w+)"', task.turns[0].messages[0]["content"])
            assert used
            assert set(used) <= set(words)
            assert task.split == split
    assert len(set().union(*SPLITS.values())) == sum(map(len, SPLITS.values())) > 90


@pytest.mark.parametrize(
    "wrong", ["starter/train/05", "starter/dev/5", "other/train/5", "starter/train/", "starter/train/-1"]
)
def test_unknown_ids(wrong: str) -> None:
    with pytest.raises(KeyError):
        SOURCE[wrong]
    with pytest.raises(ConfigurationError, match="no tasks in split 'dev'"):
        SOURCE.sample(np.random.default_rng(0), "dev")


def _written(said: Utterance) -> str:
    return get_format("toolrl").write(said.calls, said.think, said.response)


def test_noise_is_how_often_a_demonstration_errs() -> None:
    rng = np.random.default_rng(0)
    tasks = _tasks("train")
    for noise, low, high in ((0.0, 0, 0), (0.3, 50, 110), (1.0, 180, 300)):
        said = [(task, SOURCE.demonstrate(task, rng, noise)[0]) for task in tasks]
        wrong = sum(not verdict(_written(one), task.metadata["truth"]).valid for task, one in said)
        assert low <= wrong <= high
    with pytest.raises(ConfigurationError, match="noise must be 0 to 1"):
        SOURCE.demonstrate(tasks[0], rng, 2.0)
