"""LoRA: adapters alone are trained, and the plain model with their sum computes what they compute."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from rest_agent import checkpoint, engine, lora, merge, policy
from rest_agent.config import Config, ConfigError, LoRAConfig, ModelConfig
from rest_agent.logits import score_tokens
from rest_agent.sampling import forward

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # by peft

STAGES = (0, 1, 2, 3)
IDS = torch.arange(120).reshape(6, 20) * 7 % 250
RATE = 3e-2


def _config(path: Path, dtype: Any = "float32", checkpointing: bool = False, **options: Any) -> Config:
    adapters = LoRAConfig(**{"rank": 4, **options})
    return Config(model=ModelConfig(path=str(path), dtype=dtype, gradient_checkpointing=checkpointing, lora=adapters))


def _engine(config: Config, stage: int, **settings: Any) -> tuple[Any, engine.Sampler]:
    torch.manual_seed(0)
    model, _ = policy.make(config, None)
    return engine.make_engine(model, config, {"zero_optimization": {"stage": stage}, **settings})


def _loss(model: Any, ids: Tensor) -> Tensor:
    """Mean over all predicted tokens of ``IDS``, of which ``ids`` are some rows."""
    log_probs, _ = score_tokens(model, ids, torch.ones_like(ids, dtype=torch.bool))
    return -log_probs.sum() / IDS[:, 1:].numel()


def _train(running: Any, updates: int) -> list[float]:
    """Updates of two micro-batches each; their losses."""
    losses = []
    for _ in range(updates):
        parts: list[float] = []

        def told(model: Any, ids: Tensor, parts: list[float] = parts) -> Tensor:
            loss = _loss(model, ids)
            parts.append(float(loss.detach()))
            return loss

        engine.update(running, IDS.tensor_split(2), told, RATE)
        losses.append(sum(parts))
    return losses


def _logits(model: Any) -> Tensor:
    model.eval()
    with torch.no_grad():
        logits: Tensor = model(input_ids=IDS, use_cache=False).logits
    return logits


def _base(running: Any) -> dict[str, Tensor]:
    """The weights that have no part in training, whole."""
    named = running.module.named_parameters()
    frozen = (lora.Weight(name, (value,)) for name, value in named if not value.requires_grad)
    whole = engine._whole(running, frozen)
    return {weight.name.replace(".base_layer", ""): weight.value().detach().clone() for weight in whole}


@pytest.fixture(scope="module")
def expected(folders: dict[str, Path]) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and adapters after three updates of a plain loop over peft's own model."""
    torch.manual_seed(0)
    model, _ = policy.load(folders["qwen"], "float32")
    settings = peft.LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    wrapped: Any = peft.get_peft_model(model, settings)
    optimizer = torch.optim.AdamW(wrapped.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.0)
    losses = []
    for _ in range(3):
        logits = wrapped(input_ids=IDS, use_cache=False).logits[:, :-1]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), IDS[:, 1:].flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(wrapped.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    trained = {
        name.removeprefix("base_model.model."): value.detach()
        for name, value in wrapped.named_parameters()
        if value.requires_grad
    }
    return losses, trained


@pytest.mark.parametrize(
    ("stage", "checkpointing"),
    [(0, False), (1, False), (2, False), (3, False), (1, True), (3, True)],
    ids=["0", "1", "2", "3", "1, gradient checkpointing", "3, gradient checkpointing"],
)
def test_every_stage_makes_the_updates_of_a_plain_loop_over_pefts_model(
    stage: int, checkpointing: bool, folders: Any, expected: Any, process_group: Any
) -> None:
    running, _ = _engine(_config(folders["qwen"], checkpointing=checkpointing), stage)
    losses, adapters = expected
    assert _train(running, 3) == pytest.approx(losses, rel=2e-5)
    found = engine.trained_weights(running)
    assert found.keys() == adapters.keys()
    for name, value in adapters.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=RATE / 10)  # a tenth of one of three steps


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("stage", STAGES)
def test_adapters_move_and_nothing_else(stage: int, dtype: Any, folders: Any, process_group: Any) -> None:
    running, _ = _engine(_config(folders["qwen"], dtype), stage)
    loaded = dict(policy.load(folders["qwen"], dtype)[0].named_parameters())
    before = engine.trained_weights(running)
    losses = _train(running, 4)
    assert losses[-1] < losses[0]
    after = engine.trained_weights(running)
    assert len(after) == 2 * 2 * 7  # A and B, two layers, seven projections
    assert not any(torch.equal(after[name], before[name]) for name in after)
    base = _base(running)
    assert base.keys() == loaded.keys()
    assert all(torch.equal(value, loaded[name]) for name, value in base.items())


@pytest.mark.parametrize(
    ("stage", "dtype", "gap"), [*((stage, "float32", 1e-5) for stage in STAGES), (2, "bfloat16", 0.2)]
)
def test_the_sampler_is_a_plain_model_that_computes_what_the_adapters_do(
    stage: int, dtype: Any, gap: float, folders: Any, process_group: Any
) -> None:
    running, sampler = _engine(_config(folders["qwen"], dtype), stage)
    bare = _logits(running)
    for _ in range(2):  # each update anew
        _train(running, 1)
        model = sampler.refresh()
        assert forward.supports(model)  # no adapter, no hook
        assert not model.training
        scored, sampled = (_logits(one).float().log_softmax(-1) for one in (running, model))
        assert float((sampled - scored).abs().max()) <= gap
    assert float((scored - bare.float().log_softmax(-1)).abs().max()) > 20 * gap * (dtype == "float32")
    with lora.off(running):
        assert torch.equal(_logits(running), bare)
    assert not torch.equal(_logits(running), bare)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("stage", [1, 3])
def test_a_checkpoint_is_an_adapter_that_others_can_load(
    stage: int, dtype: Any, folders: Any, players: Any, process_group: Any, tmp_path: Path
) -> None:
    running, sampler = _engine(_config(folders["qwen"], dtype), stage)
    _train(running, 2)
    path = checkpoint.save(tmp_path, running, players["qwen"].tokenizer, {"step": 2}, keep=2)
    base = AutoModelForCausalLM.from_pretrained(folders["qwen"], dtype=getattr(torch, dtype))
    theirs = peft.PeftModel.from_pretrained(base, str(path), autocast_adapter_dtype=False)
    assert torch.equal(_logits(theirs), _logits(running))
    assert torch.equal(_logits(AutoModelForCausalLM.from_pretrained(path, dtype=base.dtype)), _logits(running))
    tokenizer = AutoTokenizer.from_pretrained(path)
    assert tokenizer.chat_template == players["qwen"].tokenizer.chat_template

    expected = dict(sampler.refresh().named_parameters())
    assert merge.main([str(path), str(tmp_path / "merged")]) == 0
    assert not lora.is_adapter(tmp_path / "merged")
    for ours in (path, tmp_path / "merged"):
        model, _ = policy.load(ours, dtype)
        assert not lora.layers(model)
        assert all(torch.equal(value, expected[name]) for name, value in model.named_parameters())
        assert all(value.requires_grad for value in model.parameters())
    with safe_open(tmp_path / "merged" / "model.safetensors", framework="pt") as file:
        assert set(file.keys()) == expected.keys()
        assert file.get_tensor("model.norm.weight").dtype == getattr(torch, dtype)


def test_a_checkpoint_has_nothing_in_it_that_is_not_trained(
    folders: Any, players: Any, process_group: Any, tmp_path: Path
) -> None:
    running, _ = _engine(_config(folders["qwen"]), 1)  # whose head is tied to its embeddings: two names, one weight
    path = checkpoint.save(tmp_path, running, players["qwen"].tokenizer, {"step": 1}, keep=2)
    shard = torch.load(path / "deepspeed" / "mp_rank_00_model_states.pt", weights_only=False)
    assert shard["module"].keys() == engine.trained_weights(running).keys()
    assert not (path / "model.safetensors").exists()
    assert "lm_head.weight" in running.module.state_dict()  # as it is outside of saving


@pytest.mark.parametrize(("stage", "dtype"), [(1, "float32"), (2, "float32"), (3, "float32"), (1, "bfloat16")])
def test_a_restored_engine_goes_on_as_if_nothing_had_happened(
    stage: int, dtype: Any, folders: Any, players: Any, process_group: Any, tmp_path: Path
) -> None:
    config = _config(folders["qwen"], dtype, dropout=0.3)
    running, original = _engine(config, stage)
    _train(running, 2)
    path = checkpoint.save(tmp_path, running, players["qwen"].tokenizer, {"step": 2}, keep=2)
    losses = _train(running, 3)
    restored, sampler = _engine(config, stage)
    checkpoint.restore(path, restored)
    assert _train(restored, 3) == losses
    ours, expected = engine.trained_weights(restored), engine.trained_weights(running)
    assert all(torch.equal(ours[name], value) for name, value in expected.items())
    assert torch.equal(_logits(sampler.refresh()), _logits(original.refresh()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ("q_proj", "nothing")}, r"targets: nothing is not in the model; there are down_proj, "),
        ({"targets": ("lm_head",)}, r"targets: lm_head is not a linear layer below the head"),
        ({"targets": ("embed_tokens",)}, r"targets: embed_tokens is not a linear layer"),
        ({"targets": ("proj",)}, r"targets: proj is not in the model"),
    ],
    ids=["unknown", "head", "embedding", "part of a name"],
)
def test_targets_that_cannot_have_adapters(options: dict[str, Any], message: str, folders: Any) -> None:
    with pytest.raises(ConfigError, match=r"model\.lora\." + message):
        policy.make(_config(folders["qwen"], **options), None)


def test_only_the_named_targets_have_adapters(folders: Any) -> None:
    targets = ("q_proj", "model.layers.1.mlp.up_proj")
    model, _ = policy.make(_config(folders["qwen"], targets=targets), None)
    attention = [f"model.layers.{layer}.self_attn.q_proj" for layer in (0, 1)]
    assert sorted(lora.layers(model)) == sorted([*attention, targets[1]])


def test_another_shape_than_the_checkpoints_is_refused(
    folders: Any, players: Any, process_group: Any, tmp_path: Path
) -> None:
    running, _ = _engine(_config(folders["qwen"]), 1)
    path = checkpoint.save(tmp_path, running, players["qwen"].tokenizer, {"step": 1}, keep=2)
    for other, message in (
        (_config(folders["qwen"], rank=8), "size mismatch"),
        (_config(folders["qwen"], targets=("q_proj",)), r"saved from another model \(or with another model\.lora\)"),
        (Config(model=ModelConfig(path=str(folders["qwen"]))), r"saved from another model \(or with"),
    ):
        with pytest.raises(checkpoint.CheckpointError, match=message):
            checkpoint.restore(path, _engine(other, 1)[0])
    with pytest.raises(ConfigError, match=r"model\.path: .* is an adapter itself.* python -m rest_agent\.merge "):
        policy.make(_config(path), None)


def test_an_adapter_whose_sum_is_another_is_refused(folders: Any, players: Any, tmp_path: Path) -> None:
    for options in ({"use_dora": True}, {"bias": "lora_only"}, {"target_modules": ["embed_tokens"]}):
        model, tokenizer = policy.load(folders["llama"], "float32")
        settings: dict[str, Any] = {"r": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM", **options}
        wrapped = peft.get_peft_model(model, peft.LoraConfig(**settings))
        wrapped.peft_config["default"].base_model_name_or_path = str(folders["llama"])
        wrapped.save_pretrained(str(tmp_path), save_embedding_layers=False)
        tokenizer.save_pretrained(tmp_path)
        with pytest.raises(ConfigError, match=r"model\.path: .*LoRA"):
            policy.load(tmp_path, "float32")


def test_without_peft_the_command_that_installs_it_is_named(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r'LoRA needs peft .*: pip install -c constraints\.txt -e "\.\[train\]"'):
        policy.make(_config(folders["qwen"]), None)


def test_merging_what_is_no_adapter(folders: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert merge.main([str(folders["qwen"]), str(tmp_path / "merged")]) == 2
    assert "there is no adapter_config.json" in capsys.readouterr().err
