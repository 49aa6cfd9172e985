"""Evaluation: the same tasks every time, counted by the official verdict and by kind of request."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rest_agent.batch import Rollout
from rest_agent.config import Config, ConfigError, EvalConfig, RLConfig
from rest_agent.evaluate import Evaluation, _interleave, evaluate
from rest_agent.results import _score
from tooluse_gym.messages import user
from tooluse_gym.scoring import Verdict
from tooluse_gym.tasks import Task, Turn
from tooluse_gym.trajectory import Trajectory

CONFIG = Config(rl=RLConfig(max_reply_tokens=8), evaluation=EvalConfig(tasks=5))
DATA = Path(os.environ.get("TOOLUSE_TEST_DATA", Path(__file__).parents[2] / "../shared/data")) / "bfcl"


def _rollout(verdict: Verdict | None) -> Rollout:
    nothing = torch.zeros(0)
    record = Trajectory("Env-v0", {}, "t", 0, (), (), verdict)
    valid = verdict is not None and verdict.valid
    streams = (nothing, nothing, nothing, nothing, nothing)
    return Rollout(*streams, reward=float(valid), task_id="t", valid=valid, trajectory=record)


def _task(*requests: str) -> Task:
    return Task("t", (Turn((user("hi"),)),), (), metadata={"requests": list(requests)} if requests else {})


def test_kinds_count_up_to_the_first_wrong_turn() -> None:
    verdicts = [Verdict(True), Verdict(False, "state", 1), Verdict(False, "state", 0), None]
    tasks = [_task("move", "copy")] * 4
    summary = Evaluation([_rollout(verdict) for verdict in verdicts], tasks).summary()
    assert summary["by_kind"] == {"copy": [1, 3], "move": [2, 4]}
    assert summary["valid"] == 1
    assert summary["outcomes"] == [True, False, False, False]
    assert _score(summary).by_kind == {"copy": (1, 3), "move": (2, 4)}


def test_tasks_without_kinds_have_no_such_table() -> None:
    assert "by_kind" not in Evaluation([_rollout(None)], [_task()]).summary()


def test_shares_of_the_ranks_go_back_in_order() -> None:
    tasks = [_rollout(None) for _ in range(5)]
    assert _interleave([tasks[0::2], tasks[1::2]]) == tasks


def test_the_same_tasks_every_time(players: Any, process_group: Any) -> None:
    player = players["own"]
    runs = [evaluate(player.arena(), player.model, CONFIG, "test", temperature) for temperature in (0.0, 0.0, 1.0)]
    ids = [[rollout.task_id for rollout in run.rollouts] for run in runs]
    assert ids[0] == ids[1] == ids[2]
    assert all(task.startswith("starter/test/") for task in ids[0])
    assert [run.tasks[0].id for run in runs] == [run[0] for run in ids]
    assert all(torch.equal(a.token_ids, b.token_ids) for a, b in zip(runs[0].rollouts, runs[1].rollouts, strict=True))


@pytest.mark.skipif(not DATA.is_dir(), reason="BFCL's files are not here")
@pytest.mark.parametrize("dataset", ["base", "miss_func"])
def test_official_entries_are_named_one_by_one_and_never_sampled(
    dataset: str, players: Any, process_group: Any
) -> None:
    from tooluse_gym.errors import ConfigurationError

    player = players["own"]
    arena = player.arena(dataset=dataset, data_dir=str(DATA), starter=None)
    starts = arena.held_out_tasks("test", 1000)
    assert len({start.task.id for start in starts}) == len(starts) == 200
    with pytest.raises(ConfigError, match=r"rl\.max_tokens: the openings of all 5 episodes have 100 tokens or more"):
        evaluate(arena, player.model, replace(CONFIG, rl=RLConfig(max_tokens=100)), "test", 0.0)
    with pytest.raises(ConfigError, match=r"environment\.eval_split: no tasks in 'train'; choose one of test"):
        arena.held_out_tasks("train", 1)
    with pytest.raises(ConfigurationError, match="allow_test_data=True"):
        arena.sample_tasks("test", 0, 1)
    allowed = player.arena(dataset=dataset, data_dir=str(DATA), starter=None, allow_test_data=True)
    assert len(allowed.sample_tasks("test", 0, 3)) == 3
