"""Every algorithm and every preset of token weights in whole runs, from a model that has learned to make calls."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from rest_agent import cli
from rest_agent.config import WeightsConfig
from rest_agent.config_text import ALGORITHMS
from rest_agent.entropies import RegionEntropies
from rest_agent.metrics import read_log
from rest_agent.regions import Region
from rest_agent.weights import PRESETS, region_weights

EXAMPLE = Path(__file__).parents[2] / "examples" / "paper.yaml"
STARTER = {"turns": 2, "tools_shown": 1, "requests": ["post"]}
SMALL = {
    "sft": [],
    "environment.options.max_steps_per_turn": 2,
    "environment.options.starter": STARTER,
    "rl.updates": 2,
    "rl.tasks": 2,
    "rl.group": 4,
    "rl.max_reply_tokens": 60,
    "rl.max_tokens": 2000,
    "rl.warmup": 0,
    "rl.learning_rate": 1e-3,
    "optimizer.micro_batch_tokens": 600,
    "evaluation": {"tasks": 1, "sampled": False},
    "diagnostics.every": 0,
    "run.save_every": 1000,
    "run.keep": 99,
    "run.tensorboard": False,
    "run.progress": False,
}

Train = Callable[..., Path]
Metrics = list[dict[str, float]]


@pytest.fixture(scope="module")
def train(process_group: Any, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Runs the command in this process, on a file (none: an empty one) and overrides; the run's folder."""

    def run(model: Path, *overrides: str, config: Path | None = None, **changes: Any) -> Path:
        folder = tmp_path_factory.mktemp("train")
        if config is None:
            config = folder / "empty.yaml"
            config.write_text("{}")
        settings = {**SMALL, "model.path": str(model), "run.folder": str(folder / "runs"), **changes}
        written = [f"{key}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in settings.items()]
        assert cli.main(["--config", str(config), *written, *overrides]) == 0
        (found,) = (folder / "runs").iterdir()
        return found

    return run


@pytest.fixture(scope="module")
def primed(train: Train, folders: dict[str, Path]) -> Path:
    """A model that makes calls, and errs."""
    stage = {"updates": 200, "batch": 8, "learning_rate": 1e-2, "options": {"starter": {**STARTER, "turns": 1}}}
    return _checkpoints(train(folders["own"], "rl.updates=0", sft=[stage]))[-1]


def _checkpoints(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step-*"))


def _moved(before: Path, after: Path) -> bool:
    models = [AutoModelForCausalLM.from_pretrained(path) for path in (before, after)]
    return any(not torch.equal(one, two) for one, two in zip(*(model.parameters() for model in models), strict=True))


def _metrics(run: Path, stage: str = "rl") -> Metrics:
    """Those of every update, but for times."""
    records = [record.values for record in read_log(run) if record.stage == stage]
    return [{name: value for name, value in one.items() if not name.startswith("seconds")} for one in records]


# Algorithms


@pytest.mark.parametrize("algorithm", list(yaml.safe_load(ALGORITHMS.read_text())))
def test_every_algorithm_goes_with_token_weights(algorithm: str, train: Train, primed: Path) -> None:
    run = train(primed, f"rl.algorithm={algorithm}", "rl.minibatches=2", "rl.epochs=2")
    updates = _metrics(run)
    assert len(updates) == 2
    assert all(math.isfinite(value) for metrics in updates for value in metrics.values())
    assert _moved(primed, _checkpoints(run)[-1])
    assert ("kl_reference" in updates[0]) == (algorithm in ("grpo", "rloo"))
    assert ("groups_replaced" in updates[0]) == (algorithm == "dapo")
    assert ("critic/loss" in updates[0]) == (algorithm == "ppo")


def test_the_reference_stays_where_reinforcement_began(train: Train, primed: Path) -> None:
    run = train(primed, "rl.algorithm=grpo", "rl.updates=3", "rl.learning_rate=0.01")
    kl = [metrics["kl_reference"] for metrics in _metrics(run)]
    assert kl[0] == pytest.approx(0, abs=1e-4)  # the sampler's log-probabilities are the trainer's but for rounding
    assert kl[2] > 100 * abs(kl[0])
    assert not _moved(primed, run / "first_policy")


def test_an_entropy_bonus_alone_moves_a_policy_whose_rewards_are_all_the_same(train: Train, primed: Path) -> None:
    equal = ["rl.max_reply_tokens=2", "rollout.truncated_reward=0.3"]
    free, spread = (train(primed, *equal, f"rl.loss.entropy={bonus}") for bonus in (0.0, 1.0))
    assert {metrics["truncated"] for metrics in _metrics(free)} == {1.0}
    assert not _moved(primed, _checkpoints(free)[-1])
    assert _moved(primed, _checkpoints(spread)[-1])
    assert _metrics(spread)[0]["loss"] < 0


def test_a_critic_learns_what_to_expect(train: Train, primed: Path) -> None:
    run = train(
        primed, "rl.algorithm=ppo", "rl.group=1", "rl.tasks=8", "rl.updates=6", "rl.learning_rate=1e-9",
        "rl.critic.learning_rate=0.01", "rl.critic.clip=null", "rl.advantage.trace=1", "rl.max_reply_tokens=2",
        "rollout.truncated_reward=1",
    )  # fmt: skip
    losses = [metrics["critic/loss"] for metrics in _metrics(run)]
    assert losses[0] == pytest.approx(0.5)  # it expects 0, and all earn 1
    assert losses[-1] < 0.1


@pytest.mark.parametrize("source", ["demonstrations", "best"])
def test_a_supervised_term_adds_to_the_loss(source: str, train: Train, primed: Path) -> None:
    plain, mixed = (
        _metrics(
            train(primed, f"rl.supervised.source={source}", f"rl.supervised.coefficient={part}", "rl.updates=1")
        )[0]
        for part in (0.0, 0.5)
    )  # fmt: skip
    assert mixed["supervised"] > 0
    assert mixed["loss"] - plain["loss"] == pytest.approx(mixed["supervised"], rel=1e-4)


@pytest.mark.filterwarnings("ignore:Data has no positive values")  # Matplotlib's, of the chart of no loss at all
def test_the_best_of_several_rollouts_are_imitated(train: Train, primed: Path) -> None:
    stage = {"updates": 2, "batch": 2, "source": "rejection", "samples": 4, "kind": "tsft"}
    easy, hopeless = (train(primed, "rl.updates=0", sft=[{**stage, "least": least}]) for least in (-1.0, 100.0))
    assert [metrics["kept"] for metrics in _metrics(easy, "sft0")] == [1.0, 1.0]
    assert _moved(primed, _checkpoints(easy)[-1])
    assert [metrics["kept"] for metrics in _metrics(hopeless, "sft0")] == [0.0, 0.0]
    assert not _moved(primed, _checkpoints(hopeless)[-1])


def test_uninformative_groups_make_room_for_fresh_ones(train: Train, primed: Path) -> None:
    few = ["rl.group=2", "rl.max_reply_tokens=12"]
    plain, refilled = (_metrics(train(primed, *few, f"rl.refill={times}")) for times in (0, 5))
    assert sum(metrics["groups_replaced"] for metrics in refilled) > 0
    wasted = [sum(metrics["rows_without_advantage"] for metrics in run) for run in (plain, refilled)]
    assert wasted[1] < wasted[0]


# Token weights


def _measured(checkpoint: Path) -> RegionEntropies:
    return RegionEntropies.from_dict(json.loads((checkpoint / "state.json").read_text())["run"]["entropies"])


def test_paper_weights_follow_measured_entropies(train: Train, primed: Path) -> None:
    whole = train(primed, "rl.weights.preset=paper", "rl.updates=3", "run.save_every=1")
    states = [_measured(checkpoint) for checkpoint in _checkpoints(whole)]
    assert [state.updates for state in states] == [1, 2, 3]
    means = states[0].means()
    assert (means[[Region.TAG, Region.NAME, Region.ARGUMENTS, Region.THINK]] > 0).all()
    assert means[Region.NONE].isnan()
    schedule = WeightsConfig("paper")
    assert not torch.equal(region_weights(0.5, schedule, states[0]), region_weights(0.5, schedule))
    updates = _metrics(whole)
    assert all(math.isfinite(value) for one in updates for value in one.values())
    assert {one["rows_without_weight"] for one in updates} == {0.0}


def test_presets_share_the_weight_out_differently_on_the_same_rollouts(train: Train, primed: Path) -> None:
    """Of the first update, which all of them play alike; under ``uniform`` the shares are those of the tokens."""
    first = {name: _metrics(train(primed, f"rl.weights.preset={name}", "rl.updates=1"))[0] for name in PRESETS}
    assert len({one["tokens_policy"] for one in first.values()}) == 1
    shares = {
        name: {key: value for key, value in one.items() if key.startswith("weight/")} for name, one in first.items()
    }
    for name, share in shares.items():
        assert sum(share.values()) == pytest.approx(1), name
    # In `code` only these have weight; in `reference` what was taken for them, which may be a neighbour.
    weighted = {"weight/tag", "weight/name", "weight/arguments", "weight/think"}
    assert set(shares["code"]) == weighted < set(shares["structure"])
    assert shares["reference"].keys() & weighted
    assert shares["reference"] != pytest.approx(shares["code"])
    # Before anything is measured and before the curriculum begins, `paper` weighs as GRPO.
    assert shares["paper"] == pytest.approx(shares["uniform"])


# Rollouts


def test_the_papers_setting_runs(train: Train, primed: Path) -> None:
    """Single steps from all over the ground truth, their reward, and no KL."""
    run = train(primed, "rl.tasks=6", config=EXAMPLE)
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["environment"]["options"]["rubric"] == "paper"
    assert saved["rl"]["kl"]["coefficient"] == 0
    updates = _metrics(run)
    assert len(updates) == 2
    for metrics in updates:
        assert metrics["steps"] == 1
        assert metrics["reward"] == pytest.approx(metrics["reward/format"] + metrics["reward/accuracy"])
        assert 0 < metrics["reward"] < 2
    assert _moved(primed, _checkpoints(run)[-1])


def test_a_reward_moves_with_the_updates(train: Train, primed: Path) -> None:
    """What never earns anything costs less format and more correctness from update to update."""
    never = ["rl.one_step=true", "rl.max_reply_tokens=1", "rl.learning_rate=1e-9"]
    run = train(primed, *never, "environment.options.rubric=rest")
    formats = [metrics["reward/format"] for metrics in _metrics(run)]
    assert formats == pytest.approx([-2 + 2 * update / 150 for update in (1, 2)])


def test_a_corrected_sampler_is_as_good_as_none_here(train: Train, primed: Path) -> None:
    """Sampler and trainer agree but for rounding, so that the correction changes next to nothing."""
    plain, corrected = (
        _metrics(train(primed, f"rollout.importance_cap={cap}", "rl.updates=1"))[0] for cap in ("null", 2.0)
    )
    assert corrected["log_prob_gap_max"] < 1e-3
    assert corrected["grad_norm"] == pytest.approx(plain["grad_norm"], rel=1e-3)
