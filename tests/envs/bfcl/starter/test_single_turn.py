"""Starter tasks of one reply: sound, the same everywhere, in disjoint splits, with a noise that errs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tooluse_gym.envs.bfcl.ast.scorer import score_ast_calls
from tooluse_gym.envs.bfcl.single_turn import documented
from tooluse_gym.envs.bfcl.starter import SingleTurnStarter
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.tasks import Task, Utterance


def sampled(count: int, split: str = "train") -> list[Task]:
    source, rng = SingleTurnStarter(), np.random.default_rng(0)
    return [source.sample(rng, split) for _ in range(count)]


def is_valid(task: Task, said: Utterance) -> bool:
    calls = [{call.name: call.arguments} for call in said.calls]
    return score_ast_calls(task.metadata["category"], task, calls).valid


def test_tasks_are_sound() -> None:
    source = SingleTurnStarter()
    kinds = Counter[str]()
    for task in sampled(150):
        kinds[task.metadata["category"]] += 1
        assert source[task.id] == SingleTurnStarter()[task.id] == task
        (said,) = source.demonstrate(task, np.random.default_rng(0), 0.0)
        assert said.calls == task.turns[0].calls
        assert said.think
        assert is_valid(task, said)
        tools = {tool.name: tool for tool in documented(task)}
        assert len(tools) >= 3
        assert all(tools[call.name].check(call.arguments) is None for call in said.calls)
    assert set(kinds) == {"irrelevance", "multiple", "parallel_multiple"}
    assert 0.15 < kinds["irrelevance"] / 150 < 0.3


def test_leaving_defaults_out_is_as_right_as_giving_them() -> None:
    source = SingleTurnStarter()
    post = next(task for task in sampled(200) if any(call.name == "post_tweet" for call in task.turns[0].calls))
    (said,) = source.demonstrate(post, np.random.default_rng(0), 0.0)
    for call in said.calls:
        if call.name == "post_tweet":
            call.arguments["tags"] = []
    assert is_valid(post, said)


def test_splits_are_disjoint() -> None:
    questions = {
        split: {task.turns[0].messages[0]["content"] for task in sampled(150, split)} for split in ("train", "test")
    }
    assert not questions["train"] & questions["test"]
    assert {task.split for task in sampled(3, "validation")} == {"validation"}


def test_noise_errs() -> None:
    source, rng = SingleTurnStarter(), np.random.default_rng(0)
    right = Counter[bool]()
    for task in sampled(150):
        (said,) = source.demonstrate(task, rng, 0.5)
        right[is_valid(task, said)] += 1
    assert 0.3 < right[True] / 150 < 0.7


@pytest.mark.parametrize("name", ["", "single/train/x", "starter/train/1", "single/train/1?turns=2", "single/dev/1"])
def test_unknown_ids_are_no_keys(name: str) -> None:
    with pytest.raises(KeyError):
        SingleTurnStarter()[name]


def test_unknown_split_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no tasks in split 'dev'; there are train, validation, test"):
        SingleTurnStarter().sample(np.random.default_rng(0), "dev")
