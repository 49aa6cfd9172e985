"""Whole runs: any model, any ZeRO stage, interrupted and resumed."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from rest_agent import cli, policy
from rest_agent.metrics import Record, read_log
from rest_agent.results import read_results
from tooluse_gym import trajectory

TINY: dict[str, Any] = {
    "environment": {
        "options": {"max_steps_per_turn": 2, "starter": {"turns": 1, "tools_shown": 1, "requests": ["post"]}}
    },
    "sft": [{"updates": 3, "batch": 6, "learning_rate": 1e-2}],
    "rl": {
        "updates": 3,
        "tasks": 2,
        "group": 4,
        "max_reply_tokens": 40,
        "max_tokens": 2000,
        "warmup": 0,
        "minibatches": 2,
        "epochs": 2,
    },
    "optimizer": {"micro_batch_tokens": 600},
    "evaluation": {"tasks": 3, "every": 2, "sampled": False},
    "run": {"save_every": 1, "keep": 99, "tensorboard": False, "progress": False},
}

Train = Callable[..., Path]


def _write(folder: Path, changes: dict[str, Any]) -> Path:
    tree = {key: {**TINY.get(key, {}), **value} if isinstance(value, dict) else value for key, value in changes.items()}
    tree["run"] = {**TINY["run"], **tree.get("run", {}), "folder": str(folder / "runs")}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**TINY, **tree}))
    return path


@pytest.fixture(scope="module")
def train(process_group: Any, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Runs the command in this process; the run's folder."""

    def run(path: Path, *arguments: str, **changes: Any) -> Path:
        folder = tmp_path_factory.mktemp("train")
        config = _write(folder, {**changes, "model": {"path": str(path), **changes.get("model", {})}})
        assert cli.main(["--config", str(config), *arguments]) == 0
        (found,) = (folder / "runs").iterdir()
        return found

    return run


@pytest.fixture(scope="module")
def primed(train: Train, folders: dict[str, Path]) -> Path:
    """A run whose model has learned just enough to earn different rewards."""
    return train(
        folders["own"],
        sft=[{"updates": 60, "batch": 8, "learning_rate": 1e-2}],
        rl={"updates": 0},
        evaluation={"sampled": True},
        run={"save_every": 100},
    )


def _checkpoint(run: Path) -> Path:
    return sorted((run / "checkpoints").iterdir())[-1]


def _values(records: Sequence[Record], *without: str) -> dict[tuple[str, int], dict[str, float]]:
    return {
        (record.stage, record.update): {name: value for name, value in record.values.items() if name not in without}
        for record in records
    }


def _deepspeed(folder: Path, **settings: Any) -> str:
    path = folder / "deepspeed.json"
    path.write_text(json.dumps(settings))
    return f"--deepspeed_config={path}"


@pytest.mark.parametrize(
    ("family", "format", "stage"), [("qwen", "hermes", 3), ("llama", "pythonic", 2), ("thinking", "toolrl", 1)]
)
def test_any_model_trains_under_its_own_template(
    family: str, format: str, stage: int, train: Train, folders: dict[str, Path], tmp_path: Path
) -> None:
    environment = {**TINY["environment"], "format": format}
    settings = _deepspeed(tmp_path, zero_optimization={"stage": stage})
    run = train(folders[family], settings, environment=environment, rl={"updates": 2}, evaluation={"tasks": 1})
    losses = [record.values["loss"] for record in read_log(run) if record.stage == "sft0"]
    assert losses[-1] < losses[0]
    results = read_results(run)
    assert list(results.stages) == ["start", "sft", "rl"]
    assert results.updates == {"sft0": 3, "rl": 2}
    before, after = (
        next(AutoModelForCausalLM.from_pretrained(folder).parameters())
        for folder in (folders[family], _checkpoint(run))
    )
    assert not torch.equal(before, after)
    tokenizer = AutoTokenizer.from_pretrained(_checkpoint(run))
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(folders[family]).chat_template
    assert (
        tokenizer("a <tool_call>").input_ids
        == AutoTokenizer.from_pretrained(folders[family])("a <tool_call>").input_ids
    )


def test_a_run_leaves_a_complete_record(primed: Path) -> None:
    results = read_results(primed)
    assert list(results.stages) == ["start", "sft"]  # no RL, so nothing to measure after it
    assert results.command is not None
    assert " train_agent.py --config " in results.command
    assert results.provenance["versions"]["torch"] == torch.__version__
    assert results.notes == []
    for stage in ("start", "sft"):
        for mode in ("greedy", "sampled"):
            score = results.stages[stage][mode]
            assert score.n == len(score.outcomes) == 3
            assert score.by_kind.keys() == {"post"}
            records = list(trajectory.load(primed / "evaluations" / f"{stage}-{mode}.jsonl"))
            assert [record.verdict is not None and record.verdict.valid for record in records] == list(score.outcomes)
            assert [trajectory.replay(record).verdict for record in records] == [record.verdict for record in records]
    for name in ("report.md", "config.yaml", "deepspeed.json", "metrics.jsonl"):
        assert (primed / name).exists()


@pytest.fixture(scope="module")
def whole(train: Train, primed: Path) -> Path:
    """An uninterrupted run from the primed model."""
    return train(_checkpoint(primed))


def test_reinforcement_learns_from_different_rewards(whole: Path) -> None:
    records = [record.values for record in read_log(whole) if record.stage == "rl"]
    assert len(records) == 3
    assert any(0 < values["rows_without_advantage"] < 1 or values["rows_without_advantage"] == 0 for values in records)
    assert any(values["grad_norm"] > 0 for values in records)
    assert all(math.isfinite(value) for values in records for value in values.values())
    for values in records:  # two passes of two steps: the first is on policy up to rounding
        assert abs(values["ratio"] - 1) < 0.2
        shares = [value for name, value in values.items() if name.startswith("weight/")]
        assert sum(shares) == pytest.approx(1)
    assert ["seconds_diagnostics" in values for values in records] == [True, False, False]  # every fifth
    assert records[0]["gradient/noise"] > 0
    assert records[0]["entropy_after/think"] != records[0]["entropy/think"] > 0
    validation = [record for record in read_log(whole) if record.stage == "validation"]
    assert [(record.update, record.values["n"]) for record in validation] == [(1, 3)]


@pytest.mark.parametrize("stage", [0, 3])
def test_every_zero_stage_makes_the_same_run(
    stage: int, train: Train, primed: Path, whole: Path, tmp_path: Path
) -> None:
    # Rounding may one day change a sampled token: the first RL update is the last that can be compared.
    settings = _deepspeed(tmp_path, zero_optimization={"stage": stage})
    run = train(_checkpoint(primed), settings, rl={"updates": 1}, evaluation={"tasks": 1})
    found, expected = (_values(read_log(one)) for one in (run, whole))
    assert list(found) == [("sft0", 0), ("sft0", 1), ("sft0", 2), ("rl", 0)]
    for key, values in found.items():
        names = {"loss", "reward", "ratio", "kl", "tokens", "gradient/noise", "gradient/cosine", "entropy_after/think"}
        for name in names & values.keys():
            assert values[name] == pytest.approx(expected[key][name], rel=2e-3, abs=2e-5), (key, name)


def test_bfloat16_runs(train: Train, primed: Path, tmp_path: Path) -> None:
    settings = _deepspeed(tmp_path, zero_optimization={"stage": 2}, bf16={"enabled": "auto"})
    run = train(_checkpoint(primed), settings, model={"dtype": "bfloat16"}, rl={"updates": 1})
    assert all(math.isfinite(record.values["loss"]) for record in read_log(run) if "loss" in record.values)
    assert json.loads((_checkpoint(run) / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_finished_run_resumed_with_more_updates_goes_on(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    assert cli.main(["--resume", str(run), "rl.updates=4"]) == 0
    assert [record.update for record in read_log(run) if record.stage == "rl"] == [0, 1, 2, 3]
    assert yaml.safe_load((run / "config.yaml").read_text())["rl"]["updates"] == 4


def test_training_on_the_split_of_the_evaluation_is_noted(train: Train, folders: dict[str, Path]) -> None:
    environment = {**TINY["environment"], "train_split": "test"}
    run = train(folders["own"], environment=environment, sft=[], rl={"updates": 1})
    assert read_results(run).notes == ["trained and evaluated on the same split, test"]
    assert "trained and evaluated on the same split" in (run / "report.md").read_text()


def test_the_reference_of_adapters_is_the_policy_without_them(train: Train, primed: Path, tmp_path: Path) -> None:
    settings = _deepspeed(tmp_path, zero_optimization={"stage": 3})
    rl = {"updates": 2, "learning_rate": 1e-2, "kl": {"coefficient": 0.1}}
    run = train(_checkpoint(primed), settings, model={"lora": {"rank": 4}}, sft=[], rl=rl, diagnostics={"every": 1})
    assert not (run / "first_policy").exists()
    records = [record.values for record in read_log(run) if record.stage == "rl"]
    assert abs(records[0]["kl_reference"]) < 1e-5 < records[1]["kl_reference"]
    assert records[0]["log_prob_gap"] < 1e-5

    found = policy.load(_checkpoint(run), "float32")[0].state_dict()
    merged = policy.load(run / "merged", "float32")[0].state_dict()
    assert all(torch.equal(value, found[name]) for name, value in merged.items())
    again = train(_checkpoint(run), sft=[], rl={"updates": 0})
    assert read_results(again).stages["start"] == read_results(run).stages["rl"]


def test_a_critic_trains_beside_adapters(train: Train, primed: Path) -> None:
    changes: dict[str, Any] = {"model": {"lora": {"rank": 4}}, "rl": {"updates": 1, "algorithm": "ppo"}}
    run = train(_checkpoint(primed), **changes, evaluation={"tasks": 1})
    assert all(math.isfinite(record.values["critic/loss"]) for record in read_log(run) if record.stage == "rl")
