"""One update, the same for every ZeRO stage, precision and split into micro-batches."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from rest_agent import checkpoint, engine, policy
from rest_agent.config import Config, ConfigError, ModelConfig, OptimizerConfig

STAGES = (0, 1, 2, 3)
IDS = torch.arange(120).reshape(6, 20) * 7 % 250


def _config(dtype: Any = "float32", **optimizer: Any) -> Config:
    return Config(model=ModelConfig(dtype=dtype), optimizer=OptimizerConfig(**optimizer))


def _engine(folder: Path, stage: int, dtype: Any = "float32", **settings: Any) -> tuple[Any, engine.Sampler]:
    model, _ = policy.load(folder, dtype)
    return engine.make_engine(model, _config(dtype), {"zero_optimization": {"stage": stage}, **settings})


def _loss(model: Any, ids: Tensor) -> Tensor:
    """Summed over ``ids``' rows, divided by the whole batch's."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    loss: Tensor = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")
    return loss / IDS[:, 1:].numel()


def _train(running: Any, splits: Sequence[int], rate: float = 1e-2) -> list[float]:
    """An update per entry, over that many micro-batches; each update's loss."""
    losses = []
    for split in splits:
        parts: list[float] = []

        def forward(model: Any, ids: Tensor, parts: list[float] = parts) -> Tensor:
            loss = _loss(model, ids)
            parts.append(float(loss.detach()))
            return loss

        engine.update(running, IDS.tensor_split(split), forward, rate)
        losses.append(sum(parts))
    return losses


@pytest.fixture(scope="module")
def expected(folders: dict[str, Path]) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and weights after four updates of the plainest loop, without DeepSpeed."""
    model, _ = policy.load(folders["qwen"], "float32")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    losses = []
    for _ in range(4):
        loss = _loss(model, IDS)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses, {name: value.detach() for name, value in model.named_parameters()}


@pytest.mark.parametrize("splits", [(1, 1, 1, 1), (3, 1, 6, 2)], ids=["one micro-batch", "several"])
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_makes_the_updates_of_the_plain_loop(
    stage: int, splits: tuple[int, ...], folders: Any, expected: Any, process_group: Any
) -> None:
    running, sampler = _engine(folders["qwen"], stage)
    losses, weights = expected
    assert _train(running, splits) == pytest.approx(losses, rel=2e-5)
    found = engine.state_dict(running)
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-3)  # a tenth of one of four steps
    sampling = sampler.refresh()
    assert not sampling.training
    for name, value in sampling.named_parameters():
        assert torch.equal(value, found[name])


@pytest.mark.parametrize("family", ["qwen", "llama"], ids=["tied", "untied"])
@pytest.mark.parametrize("stage", STAGES)
def test_sampler_and_saved_checkpoint_have_the_engines_logits(
    stage: int, family: str, folders: Any, players: Any, process_group: Any, tmp_path: Path
) -> None:
    running, sampler = _engine(folders[family], stage)
    _train(running, (2,))
    running.eval()
    with torch.no_grad():
        expected = running(input_ids=IDS, use_cache=False).logits
    with torch.inference_mode():
        sampled = sampler.refresh()(input_ids=IDS, use_cache=False).logits
    torch.testing.assert_close(sampled, expected, rtol=1e-5, atol=1e-5)
    saved = checkpoint.save(tmp_path, running, players[family].tokenizer, {"step": 1}, keep=2)
    reloaded = AutoModelForCausalLM.from_pretrained(
        saved, attn_implementation=running.module.config._attn_implementation
    )
    with torch.no_grad():
        torch.testing.assert_close(reloaded(input_ids=IDS).logits, expected, rtol=1e-5, atol=1e-5)
    assert _train(running, (1,))[0] < 10  # and training goes on


@pytest.mark.parametrize("stage", [1, 3])
def test_a_restored_engine_goes_on_as_if_nothing_had_happened(
    stage: int, folders: Any, players: Any, process_group: Any, tmp_path: Path
) -> None:
    running, _ = _engine(folders["qwen"], stage)
    _train(running, (1, 2))
    path = checkpoint.save(tmp_path, running, players["qwen"].tokenizer, {"step": 2, "done": {"rl": 2}}, keep=2)
    losses = _train(running, (1, 1, 2))
    restored, sampler = _engine(path, stage)
    assert checkpoint.restore(path, restored) == {"step": 2, "done": {"rl": 2}}
    assert _train(restored, (1, 1, 2)) == losses
    sampler.refresh()


@pytest.mark.parametrize("stage", STAGES)
def test_bfloat16_keeps_rotary_frequencies_exact(
    stage: int, folders: Any, players: Any, process_group: Any, tmp_path: Path
) -> None:
    exact = dict(players["qwen"].model.named_buffers())["model.rotary_emb.inv_freq"]
    running, sampler = _engine(folders["qwen"], stage, "bfloat16")
    losses = _train(running, (2, 2, 2))
    assert losses[2] < losses[0]
    sampling = sampler.refresh()
    assert {parameter.dtype for parameter in sampling.parameters()} == {torch.bfloat16}
    for module in (sampling, running.module):
        assert torch.equal(dict(module.named_buffers())["model.rotary_emb.inv_freq"], exact)
    path = checkpoint.save(tmp_path, running, players["qwen"].tokenizer, {"step": 1}, keep=2)
    reloaded, _ = policy.load(path, "bfloat16")
    with torch.no_grad():
        assert torch.equal(reloaded(input_ids=IDS).logits, sampling(input_ids=IDS).logits)


def test_a_new_half_precision_model_keeps_its_buffers(folders: Any, players: Any) -> None:
    model = policy.new_model(ModelConfig(hidden_size=32, layers=1, dtype="bfloat16"), players["own"].tokenizer)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert dict(model.named_buffers())["model.rotary_emb.inv_freq"].dtype == torch.float32
    assert model.config.dtype == torch.bfloat16


def test_gradients_are_clipped_and_their_norm_is_told(folders: Any, process_group: Any) -> None:
    model, _ = policy.load(folders["qwen"], "float32")
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    settings = {"optimizer": {"type": "SGD", "params": {"lr": 1.0}}, "zero_allow_untested_optimizer": True}
    running, _ = engine.make_engine(model, _config(max_grad_norm=0.01), {"zero_optimization": {"stage": 1}, **settings})
    norm = engine.update(running, [IDS], _loss, 1.0).norm
    assert norm > 0.01
    moved = sum(float((value - before[name]).square().sum()) for name, value in engine.state_dict(running).items())
    assert moved**0.5 == pytest.approx(0.01, rel=1e-3)


def _loss_with(trouble: str | None) -> engine.Forward[Tensor]:
    """The loss of the first row fails in the way of ``trouble``."""

    def forward(model: Any, ids: Tensor) -> Tensor:
        loss = _loss(model, ids)
        if trouble is None or ids[0, 0] != IDS[0, 0]:
            return loss
        if trouble == "gradient":  # that of sqrt at 0
            return loss + (loss - loss.detach()).abs().sqrt()
        return loss.detach() * float(trouble) + loss * (trouble == "nan")  # an infinite constant has no gradient

    return forward


@pytest.mark.parametrize(
    ("dtype", "trouble"),
    [("float32", "nan"), ("float32", "inf"), ("float32", "gradient"), ("bfloat16", "gradient")],
    ids=lambda value: value,
)
@pytest.mark.parametrize("stage", STAGES)
def test_a_step_that_is_not_finite_is_skipped_and_leaves_nothing_behind(
    stage: int, dtype: Any, trouble: str, folders: Any, process_group: Any
) -> None:
    """Not in the weights, nor in the optimizer, nor in what gradients were gathered."""
    rows = IDS.tensor_split(3)
    running, _ = _engine(folders["qwen"], stage, dtype)
    other, _ = _engine(folders["qwen"], stage, dtype)
    for troubles in (None, trouble, None, trouble, trouble, None):
        step = engine.update(running, rows, _loss_with(troubles), 1e-2)
        if troubles is None:
            assert step == engine.update(other, rows, _loss, 1e-2)
            assert step.not_finite is None
        else:
            assert step.not_finite == ("gradient" if trouble == "gradient" else "loss")
            assert math.isnan(step.norm)
        expected = engine.state_dict(other)
        assert all(torch.equal(value, expected[name]) for name, value in engine.state_dict(running).items())


def test_steps_skipped_are_counted_and_so_many_in_a_row_end_the_run() -> None:
    skips = engine.Skips(_config(max_skipped=3))
    bad = engine.Step(math.nan, "gradient")
    for step in (bad, bad, engine.Step(12.5), engine.Step(40.25), bad, bad):
        skips.count(step, 1e-3)
    assert skips.metrics() == {"updates_skipped": 4}
    assert skips.metrics() == {"updates_skipped": 0}
    with pytest.raises(
        engine.Diverged, match=r"last 3 .*the last: the loss.* rate 0\.01, float32, .* 12\.5, 40\.2\. If"
    ):
        skips.count(engine.Step(math.nan, "loss"), 1e-2)


def test_a_row_of_skipped_steps_goes_on_in_a_resumed_run() -> None:
    """And the steps that another engine makes in between do not end it."""
    bad = engine.Step(math.nan, "gradient")
    skips = engine.Skips(_config(max_skipped=3))
    for step in (engine.Step(7.5), bad, bad):
        skips.count(step, 1e-3)
        skips.count(engine.Step(1.25), 1e-3, "critic")
    resumed = engine.Skips(_config(max_skipped=3), json.loads(json.dumps(skips.state())))
    resumed.count(engine.Step(1.25), 1e-3, "critic")
    with pytest.raises(engine.Diverged, match=r"last 3 optimizer steps of the policy .* steps made: 7\.5\. If"):
        resumed.count(bad, 1e-3)


def test_gradients_that_overflow_in_float16_do_not_end_the_run() -> None:
    skips = engine.Skips(_config("float16", max_skipped=2))
    for _ in range(20):
        skips.count(engine.Step(math.nan, "gradient"), 1e-3)
    assert skips.metrics() == {"updates_skipped": 20}
    skips.count(engine.Step(math.nan, "loss"), 1e-3)
    with pytest.raises(engine.Diverged):
        skips.count(engine.Step(math.nan, "loss"), 1e-3)


def test_deepspeeds_own_optimizer_is_used_as_it_is_but_for_the_rate(folders: Any, process_group: Any) -> None:
    params = {"torch_adam": True, "lr": 123.0, "weight_decay": 0.5}
    running, _ = _engine(folders["qwen"], 2, optimizer={"type": "AdamW", "params": params})
    losses = _train(running, (1, 1, 1), rate=1e-2)
    assert losses[2] < losses[0]
    assert running.optimizer.param_groups[0]["weight_decay"] == 0.5
    assert running.optimizer.param_groups[0]["lr"] == 1e-2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"--deepspeed_config .*ds\.json: .*No such file"),
        ("{", r"--deepspeed_config .*ds\.json: "),
        ("[1]", r"expected a JSON object"),
        ('{"scheduler": {"type": "WarmupLR"}}', r"remove scheduler; rl\.learning_rate"),
    ],
    ids=["missing", "not JSON", "a list", "scheduler"],
)
def test_deepspeed_settings_that_cannot_be_read(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "ds.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        engine.read_deepspeed_config(path)


def test_deepspeed_settings_of_auto_are_left_to_us(tmp_path: Path) -> None:
    path = tmp_path / "ds.json"
    zero = {"stage": 2, "reduce_bucket_size": "auto"}
    path.write_text(json.dumps({"train_batch_size": "auto", "bf16": {"enabled": "auto"}, "zero_optimization": zero}))
    assert engine.read_deepspeed_config(path) == {"bf16": {}, "zero_optimization": {"stage": 2}}
    assert engine.read_deepspeed_config(None) == {"zero_optimization": {"stage": 1}}


@pytest.mark.parametrize(
    ("dtype", "settings", "message"),
    [
        ("float32", {"bf16": {"enabled": True}}, r"bf16\.enabled is true, but model\.dtype is float32"),
        ("bfloat16", {"bf16": {"enabled": False}}, r"bf16\.enabled is false, but model\.dtype is bfloat16"),
        ("bfloat16", {"fp16": {"enabled": True}}, r"fp16\.enabled is true, but model\.dtype is bfloat16"),
        ("float32", {"zero_optimization": {"stage": 4}}, r"zero_optimization\.stage must be 0, 1, 2 or 3, got 4"),
    ],
    ids=["bf16 on", "bf16 off", "fp16 on", "stage 4"],
)
def test_deepspeed_settings_that_contradict_ours(
    dtype: Any, settings: dict[str, Any], message: str, folders: Any, process_group: Any
) -> None:
    model, _ = policy.load(folders["qwen"], dtype)
    with pytest.raises(ConfigError, match=message):
        engine.make_engine(model, _config(dtype), settings)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_room_for_gradients_is_no_larger_than_they_are(folders: dict[str, Path], stage: int) -> None:
    running, _ = _engine(folders["qwen"], stage)
    gradients = sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in running.module.parameters())
    assert running.zero_reduce_bucket_size() == gradients
    running.destroy()
    running, _ = _engine(folders["qwen"], stage, zero_optimization={"stage": stage, "reduce_bucket_size": 1_000_000})
    assert running.zero_reduce_bucket_size() == 1_000_000
    running.destroy()
