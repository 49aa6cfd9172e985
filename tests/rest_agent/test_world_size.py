"""A run goes on with another number of ranks: DeepSpeed's universal checkpoint, of the policy and of the critic."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from rest_agent import cli
from rest_agent.metrics import read_log

# Ranks draw samples of their own. At this temperature all of them draw the likeliest tokens.
CONFIG: dict[str, Any] = {
    "environment": {
        "options": {"max_steps_per_turn": 2, "starter": {"turns": 1, "tools_shown": 1, "requests": ["post"]}}
    },
    "sft": [{"updates": 2, "batch": 4, "learning_rate": 1e-3}],
    "rl": {
        "algorithm": "ppo",
        "updates": 3,
        "tasks": 4,
        "group": 1,
        "temperature": 1e-4,
        "max_reply_tokens": 20,
        "max_tokens": 2000,
        "learning_rate": 1e-4,
        "warmup": 0,
        "critic": {"learning_rate": 1e-4},
        "supervised": {"coefficient": 1.0, "batch": 4},
    },
    "evaluation": {"tasks": 1, "sampled": False},
    "run": {"save_every": 1, "keep": 99, "tensorboard": False, "progress": False},
}


def _arguments(folder: Path, model: Path, stage: int) -> list[str]:
    config, settings = folder / "config.yaml", folder / "deepspeed.json"
    run = {**CONFIG["run"], "folder": str(folder / "runs")}
    config.write_text(yaml.safe_dump({**CONFIG, "model": {"path": str(model)}, "run": run}))
    settings.write_text(json.dumps({"zero_optimization": {"stage": stage}}))
    return ["--config", str(config), "--deepspeed_config", str(settings)]


def _play(launch: Callable[..., Any], ranks: int, *arguments: str) -> None:
    """The command to its end: in this process, or under DeepSpeed's launcher."""
    if ranks == 1:
        assert cli.main(arguments) == 0
        return
    process = launch("train_agent.py", *arguments)
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == 0, printed


@pytest.mark.parametrize(
    ("before", "after", "stage"),
    [(2, 1, 2), pytest.param(1, 2, 3, marks=pytest.mark.slow), pytest.param(2, 1, 1, marks=pytest.mark.slow)],
)
def test_a_run_goes_on_with_another_number_of_ranks(
    before: int,
    after: int,
    stage: int,
    launch: Callable[..., Any],
    folders: dict[str, Path],
    process_group: Any,
    tmp_path: Path,
) -> None:
    _play(launch, before, *_arguments(tmp_path, folders["own"], stage))
    (run,) = (tmp_path / "runs").iterdir()
    resumed = tmp_path / "resumed"
    shutil.copytree(run, resumed)
    _play(launch, after, "--resume", str(resumed / "checkpoints" / "step-000003"))  # after the first update of PPO
    assert json.loads((_last(resumed) / "state.json").read_text())["ranks"] == after
    expected, found = ({(one.stage, one.update): one.values for one in read_log(folder)} for folder in (run, resumed))
    for key in (("rl", 1), ("rl", 2)):
        for name in ("loss", "grad_norm", "critic/loss", "critic/explained", "reward", "tokens"):
            assert found[key][name] == pytest.approx(expected[key][name], rel=1e-5, abs=1e-6), (key, name)
    weights, others, earlier = (
        load_file(path / "model.safetensors")
        for path in (_last(run), _last(resumed), run / "checkpoints" / "step-000003")
    )
    for name in weights:
        torch.testing.assert_close(others[name], weights[name], rtol=0, atol=1e-6)
    assert max(float((weights[name] - earlier[name]).abs().max()) for name in weights) > 1e-4


def _last(run: Path) -> Path:
    return run / "checkpoints" / "step-000005"
