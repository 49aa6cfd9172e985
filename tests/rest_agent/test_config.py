"""The configuration: what is wrong is named; what is right survives YAML."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from rest_agent.config import (
    Config,
    ConfigError,
    KLConfig,
    LoRAConfig,
    LossConfig,
    ModelConfig,
    Ramp,
    RLConfig,
    SFTStage,
    WeightsConfig,
)
from rest_agent.config_text import ALGORITHMS, QUICKSTART, from_tree, load, to_tree


def test_without_a_file_the_quickstart_is_loaded() -> None:
    config = load()
    assert config == load(QUICKSTART)
    assert config.model.path is None
    assert [stage.show_tools for stage in config.sft] == [False, True]


def test_round_trip_through_yaml() -> None:
    config = Config(
        model=ModelConfig(path="some/model", dtype="bfloat16"),
        sft=(SFTStage(updates=3, noise=0.5, options={"starter": {"turns": 1}}),),
        rl=RLConfig(loss=LossConfig(dual_clip=None), weights=WeightsConfig("code", tag=Ramp(0.0, 2.0, updates=9))),
    )
    assert from_tree(Config, yaml.safe_load(yaml.safe_dump(to_tree(config)))) == config


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("rl:\n  learning_rate: 3e-5\n  weights: {preset: uniform}\nsft: []\n")
    config = load(path)
    assert config.sft == ()
    assert config.rl == RLConfig(learning_rate=3e-5, weights=WeightsConfig("uniform"))
    assert config.model == Config().model


def test_an_algorithm_of_the_file_comes_before_the_rest_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("rl: {algorithm: grpo, kl: {coefficient: 0.5}, loss: {clip_low: 0.1}}\n")
    rl = load(path, ["rl.loss.clip_high=0.3"]).rl
    assert rl.loss == LossConfig(clip_low=0.1, clip_high=0.3, dual_clip=None, aggregation="sequence-mean")
    assert rl.kl == KLConfig(coefficient=0.5)


def test_an_algorithm_of_the_command_line_replaces_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("rl: {algorithm: dapo, updates: 7, refill: 9, loss: {clip_low: 0.1}, weights: {preset: code}}\n")
    config = load(path, ["rl.kl.coefficient=0.5", "rl.algorithm=dr-grpo"])
    assert config.rl == replace(load(tmp_path / "run.yaml", ["rl.algorithm=dr-grpo"]).rl, kl=KLConfig(coefficient=0.5))
    assert (config.rl.updates, config.rl.refill, config.rl.weights.preset) == (7, 0, "code")
    assert config.rl.loss == LossConfig(aggregation="constant", dual_clip=None)
    saved = tmp_path / "config.yaml"
    saved.write_text(yaml.safe_dump(to_tree(config)))
    assert load(saved) == config


def test_every_algorithm_can_be_chosen_and_is_none_of_the_others() -> None:
    names = list(yaml.safe_load(ALGORITHMS.read_text()))
    chosen = [load(None, [f"rl.algorithm={name}"]).rl for name in names]
    assert chosen[0] == load().rl  # rest
    assert len({str(replace(rl, algorithm="")) for rl in chosen}) == len(names) >= 9


def test_choices_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"rl\.kl\.place must be loss under advantage\.credit=terms"):
        load(None, ["rl.algorithm=gdpo", "rl.kl.place=reward", "rl.kl.coefficient=0.1"])
    with pytest.raises(ConfigError, match=r"rl\.refill must be 0 under advantage\.credit=critic"):
        load(None, ["rl.algorithm=ppo", "rl.refill=1"])
    assert load(None, ["rl.algorithm=ppo", "rl.group=1"]).rl.group == 1


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("# nothing yet\n")
    assert load(path) == Config()


def test_overrides_go_over_the_file_and_into_lists_and_options(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("rl: {updates: 7, group: 4}\nsft: [{batch: 5}, {batch: 6}]\n")
    config = load(
        path,
        [
            "rl.updates=9",
            "sft.1.batch=2",
            "environment.options.starter.turns=3",
            "optimizer.betas=[0, .5]",
            "rl.loss.dual_clip=null",
            "run.name=a=b",
        ],
    )
    assert (config.rl.updates, config.rl.group, config.rl.loss.dual_clip) == (9, 4, None)
    assert [stage.batch for stage in config.sft] == [5, 2]
    assert config.environment.options == {"starter": {"turns": 3}}
    assert config.optimizer.betas == (0.0, 0.5)
    assert config.run.name == "a=b"


def test_whole_numbers_become_floats_where_floats_are_wanted() -> None:
    temperature = load(None, ["rl.temperature=2"]).rl.temperature
    assert temperature == 2.0
    assert isinstance(temperature, float)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rl.lerning_rate=1", "unknown key rl.lerning_rate; did you mean rl.learning_rate?"),
        ("modell.path=x", "unknown key modell; did you mean model?"),
        ("zzz=1", "unknown key zzz; known keys: model, environment"),
        ("sft.0.nois=1", "unknown key sft.0.nois; did you mean sft.0.noise?"),
        ("rl.updates=many", "rl.updates: expected int, got 'many'"),
        ("rl.updates=1.5", "rl.updates: expected int, got 1.5"),
        ("run.seed=true", "run.seed: expected int, got True"),
        ("run.tensorboard=1", "run.tensorboard: expected bool, got 1"),
        ("rl.learning_rate=fast", "rl.learning_rate: expected a finite number, got 'fast'"),
        ("rl.learning_rate=.nan", "rl.learning_rate: expected a finite number, got nan"),
        ("rl.learning_rate=true", "rl.learning_rate: expected a finite number, got True"),
        ("model.path=5", "model.path: expected str, got 5"),
        ("model.dtype=fp8", "model.dtype: expected one of float32, bfloat16, float16, got 'fp8'"),
        ("optimizer.betas=[0.9]", "optimizer.betas: expected 2 values, got 1"),
        ("optimizer.betas=0.9", "optimizer.betas: expected a list, got 0.9"),
        ("rl=3", "rl: expected a group of keys, got 3"),
        ("environment.options=3", "environment.options: expected dict, got 3"),
        ("sft.5.noise=0", "override sft.5.noise: expected an item from 0 to 1, got 5"),
        ("rl.group.x=3", "override rl.group.x: x is not in a group of keys"),
        ("rl.group.x.y=3", "override rl.group.x.y: x is not in a group of keys"),
        ("rl.group={", "override rl.group: '{' is not a YAML value"),
        ("rl.group", "override 'rl.group' is not of the form key.sub=value"),
        ("rl.group=1", "rl.group must be at least 2"),
        ("rl.temperature=0", "rl.temperature must be greater than 0, got 0.0"),
        ("rl.loss.dual_clip=1", "rl.loss.dual_clip must be greater than 1, or null, got 1.0"),
        ("rl.loss.clip_low=2", "rl.loss.clip_low must be greater than 0, at most 1, got 2.0"),
        ("rl.loss.aggregation=mean", "rl.loss.aggregation: expected one of weighted-token-mean, token-mean"),
        ("rl.loss.constant=0", "rl.loss.constant must be at least 1, or null, got 0"),
        ("rl.kl.estimator=k4", "rl.kl.estimator: expected one of k1, k2, k3, got 'k4'"),
        ("rl.advantage.discount=2", "rl.advantage.discount must be between 0 and 1, got 2.0"),
        ("rl.advantage.term_weights={a: b}", "rl.advantage.term_weights.a must be a number, got 'b'"),
        ("rl.critic.clip=0", "rl.critic.clip must be greater than 0, or null, got 0.0"),
        ("rl.algorithm=gpro", "rl.algorithm: expected one of rest, grpo, "),
        ("rl.supervised.emphasis=9", "rl.supervised.emphasis must be greater than 0, at most 8, got 9.0"),
        ("sft.0.emphasis=0", "sft.0.emphasis must be greater than 0, at most 8, got 0.0"),
        ("rl.weights.tag={start: -1, end: 0}", "rl.weights.tag.start must be at least 0, got -1.0"),
        ("rl.weights.tag.start=1", "rl.weights.tag.end is missing"),
        ("rl.weights.tag={start: 1, end: 0, updates: 0}", "rl.weights.tag.updates must be at least 1, or null, got 0"),
        ("rl.weights.tag={start: 1, end: 0, fraction: 0}", "rl.weights.tag.fraction must be greater than 0, at most 1"),
        ("rl.weights.preset=ours", "rl.weights.preset: expected one of structure, paper, code, reference, uniform"),
        ("rl.weights.clip=[8, 1]", "rl.weights.clip must be two numbers greater than 0 in order, got (8.0, 1.0)"),
        ("rl.weights.entropy.floor=3", "rl.weights.entropy.cap must be at least the floor (3), got 2.0"),
        ("rl.weights.entropy.name_floor=9", "rl.weights.entropy.name_floor must be from 0 to the cap (2), got 9.0"),
        ("rl.weights.entropy.smoothing=1", "rl.weights.entropy.smoothing must be at least 0 and less than 1, got 1.0"),
        ("rl.weights.entropy.freeze_after=0", "rl.weights.entropy.freeze_after must be at least 1, or null, got 0"),
        ("sft.1.noise=2", "sft.1.noise must be between 0 and 1, got 2.0"),
        (
            "model.lora={}",
            "model.path must be set with model.lora (there is nothing to adapt in a new model), got None",
        ),
        ("model.kv_heads=3", "model.kv_heads must be a divisor of heads (4), got 3"),
        ("optimizer.betas=[1, 1]", "optimizer.betas must be at least 0 and less than 1"),
        ("run.save_every=0", "run.save_every must be at least 1, got 0"),
        ("evaluation.tasks=0", "evaluation.tasks must be at least 1, got 0"),
    ],
)
def test_mistakes_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, [override])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rl: [", "is not YAML"),
        (b"- 1", "expected a mapping of keys, got list"),
        (b"rl: \xff", "is not UTF-8 text"),
        (b"model:", "model: expected a group of keys, got None"),
    ],
    ids=["syntax", "list", "encoding", "empty group"],
)
def test_bad_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*none\.yaml: No such file"):
        load(tmp_path / "none.yaml")


def test_a_group_that_is_null_by_default_can_be_filled_in() -> None:
    changes = ["rl.weights.end.start=0.5", "rl.weights.end.end=2", "rl.weights.preset=code"]
    assert load(None, changes).rl.weights == WeightsConfig("code", end=Ramp(0.5, 2.0))


@pytest.mark.parametrize(
    ("ramp", "expected"),
    [
        (Ramp(0.6, 1.2), [0.6, 0.75, 0.9, 1.2]),
        (Ramp(1.0, 0.5, fraction=0.5), [1.0, 0.75, 0.5, 0.5]),
        (Ramp(0.0, 1.0, "cosine"), [0.0, (1 - 0.5**0.5) / 2, 0.5, 1.0]),
        (Ramp(1.0, 2.0, "step", fraction=0.5), [1.0, 1.0, 2.0, 2.0]),
        (Ramp(0.7, 9.0, "constant"), [0.7] * 4),
    ],
    ids=["linear", "linear over half the run", "cosine", "step", "constant"],
)
def test_ramps_over_the_run(ramp: Ramp, expected: list[float]) -> None:
    assert [ramp.at(progress) for progress in (0, 0.25, 0.5, 1)] == pytest.approx(expected)


def test_a_ramp_over_updates_counts_them_whatever_the_run_is() -> None:
    think = Ramp(0.6, 1.0, updates=200)
    assert [think.at(1.0, update) for update in (0, 1, 100, 200, 400)] == pytest.approx([0.6, 0.602, 0.8, 1.0, 1.0])
    with pytest.raises(ValueError, match="200 updates needs the number of the update"):
        think.at(0.5)


@pytest.mark.parametrize("key", ["rl.top_p", "rl.top_k", "rollout.min_p"])
def test_truncated_sampling_is_refused_with_the_reason(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"unknown key {key}: replies are sampled from the whole distribution"):
        load(None, [f"{key}=0.9"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("history=template_", r"rollout\.history: expected one of sampled, template"),
        ("workers=-1", r"rollout\.workers must be at least 0"),
        ("step_seconds=5", r"rollout\.workers must be at least 1 with step_seconds"),
        ("importance_cap=0", r"rollout\.importance_cap must be greater than 0"),
    ],
    ids=lambda value: value.split("=")[0] if "=" in value else "",
)
def test_settings_of_rollouts_that_cannot_be_name_the_key(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(None, [f"rollout.{change}"])


def test_adapters_are_asked_for_by_any_of_their_settings() -> None:
    for override, expected in (
        ("model.lora={}", LoRAConfig()),
        ("model.lora.rank=8", LoRAConfig(rank=8)),
        ("model.lora.targets=[q_proj, v_proj]", LoRAConfig(targets=("q_proj", "v_proj"))),
    ):
        assert load(None, ["model.path=some/model", override]).model.lora == expected
    for override in ("model.lora.rank=0", "model.lora.alpha=0", "model.lora.dropout=1"):
        with pytest.raises(ConfigError, match=override.partition("=")[0].replace(".", r"\.") + " must be at least "):
            load(None, ["model.path=some/model", override])
