"""Where a run starts, and that one which goes on ends as one that never stopped, to the last bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from benchmarks.kill import differences, outcome
from rest_agent import cli, randomness
from rest_agent.results import read_results

ONE_TURN = {"max_steps_per_turn": 2, "starter": {"turns": 1, "tools_shown": 1, "requests": ["post"]}}
TINY: dict[str, Any] = {
    "environment": {"options": ONE_TURN},
    "sft": [{"updates": 2, "batch": 4, "learning_rate": 1e-3}],
    "rl": {
        "updates": 2,
        "tasks": 2,
        "group": 2,
        "max_reply_tokens": 30,
        "max_tokens": 2000,
        "learning_rate": 1e-3,
        "warmup": 0,
        "loss": {"entropy": 0.01},
    },
    "evaluation": {"tasks": 1, "every": 1, "sampled": False},
    "run": {"save_every": 1, "keep": 99, "progress": False},
}

Begin = Callable[..., Path]


@pytest.fixture(scope="module")
def dropping(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that draws from the global random generators: attention weights are dropped."""
    folder = tmp_path_factory.mktemp("dropping") / "model"
    shutil.copytree(folders["own"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.1}))
    return folder


@pytest.fixture
def begin(process_group: Any, tmp_path: Path) -> Begin:
    """Runs the command in this process, from the beginning to the end; the run's folder."""

    def run(model: Path, *arguments: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({**TINY, "model": {"path": str(model)}}))
        assert cli.main(["--config", str(path), *arguments, f"run.folder={tmp_path / 'runs'}"]) == 0
        (found,) = (tmp_path / "runs").iterdir()
        return found

    return run


def _back_to(step: int, run: Path, copy: Path) -> Path:
    """A copy of a run that was killed right after it had saved ``step``."""
    shutil.copytree(run, copy)
    for path in (copy / "checkpoints").glob("step-*"):
        if path.name > f"step-{step:06d}":
            shutil.rmtree(path)
    (copy / "checkpoints" / "head").write_text(f"step-{step:06d}")
    return copy


@pytest.mark.parametrize(
    ("stage", "step", "settings"),
    [
        (3, 3, ["rl.algorithm=ppo", "rl.kl.coefficient=0.1", "rl.kl.place=reward"]),
        (1, 2, ["rl.algorithm=grpo", "rl.weights.preset=paper"]),
        (2, 1, ["rl.supervised.coefficient=0.1", "rl.refill=1", "rollout.importance_cap=2"]),
    ],
    ids=["in RL", "after the cold start", "in the cold start"],
)
def test_a_resumed_run_ends_as_the_one_that_never_stopped(
    stage: int, step: int, settings: list[str], begin: Begin, dropping: Path, tmp_path: Path
) -> None:
    deepspeed = tmp_path / "deepspeed.json"
    deepspeed.write_text(json.dumps({"zero_optimization": {"stage": stage}}))
    run = begin(dropping, "--deepspeed_config", str(deepspeed), *settings)
    resumed = _back_to(step, run, tmp_path / "resumed")
    torch.rand(step)  # another process has drawn other numbers
    assert cli.main(["--resume", str(resumed)]) == 0
    assert differences(outcome(run), outcome(resumed)) == []
    assert read_results(resumed).command == read_results(run).command
    assert (resumed / "report.md").exists()


def test_a_run_without_a_critic_cannot_go_on_with_one(
    begin: Begin, dropping: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begin(dropping, "sft=[]", "rl.updates=1", "rl.algorithm=grpo")
    before = (run / "config.yaml").read_bytes()
    (run / "first_policy").rename(run / "elsewhere")
    for missing in (run / "first_policy", "a critic in "):
        assert cli.main(["--resume", str(run), "rl.algorithm=ppo", "rl.updates=2"]) == 2
        assert f"the run has not kept {missing}" in capsys.readouterr().err
        assert (run / "config.yaml").read_bytes() == before
        if not (run / "first_policy").exists():
            (run / "elsewhere").rename(run / "first_policy")


def test_a_block_leaves_the_random_generators_untouched() -> None:
    before = randomness.state()
    with randomness.untouched():
        randomness.seed(3, 1)
        assert randomness.state() != before
    assert randomness.state() == before
