"""Scores of tokens against the plain way, which holds all logits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GraniteConfig, GraniteForCausalLM

from rest_agent import engine, logits, policy
from rest_agent.config import Config, ConfigError, ModelConfig
from rest_agent.logits import check_head, score_tokens

ROWS, WIDTH = 3, 40


def _model(folder: Path, dtype: torch.dtype) -> Any:
    model, _ = policy.load(folder, "float32")
    return model.to(dtype)


def _case(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, a mask that differs from row to row (one row has none), and what the two results are weighed with."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(250, (ROWS, WIDTH), generator=generator)
    mask = torch.rand(ROWS, WIDTH, generator=generator) < 0.4
    mask[:, 0], mask[1] = False, False
    return ids, mask, torch.randn(2, ROWS, WIDTH, generator=generator)


def _plain(model: Any, ids: Tensor, mask: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    log_p = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[:, :-1] / temperature, dim=-1)
    log_probs = log_p.gather(-1, ids[:, 1:, None])[..., 0]
    entropies = -(log_p.exp() * log_p).sum(-1)
    first = torch.zeros(len(ids), 1, dtype=log_p.dtype)
    log_probs, entropies = (torch.cat([first, value], dim=1) for value in (log_probs, entropies))
    return torch.where(mask, log_probs, 0.0), torch.where(mask, entropies, 0.0)


def _sum(results: tuple[Tensor, Tensor], weights: Tensor) -> Tensor:
    return (torch.stack(results) * weights).sum()


def _gradients(model: Any, results: tuple[Tensor, Tensor], weights: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    _sum(results, weights).backward()  # type: ignore[no-untyped-call]
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("entries", [1, 3 * 505, 1 << 25], ids=["one token", "three tokens", "all tokens at a time"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-5)], ids=str)
@pytest.mark.parametrize("family", ["qwen", "llama"], ids=["tied", "untied"])
def test_values_and_gradients_are_those_of_full_logits(
    family: str,
    dtype: torch.dtype,
    tolerance: float,
    temperature: float,
    entries: int,
    folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logits, "_ENTRIES", entries)
    model = _model(folders[family], dtype)
    ids, mask, weights = _case()
    expected, found = (way(model, ids, mask, temperature) for way in (_plain, score_tokens))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
    for used in (weights, weights * torch.tensor([1.0, 0.0])[:, None, None]):  # with and without entropy
        ours, theirs = _gradients(model, found, used), _gradients(model, expected, used)
        assert ours.keys() == theirs.keys()
        for name, gradient in theirs.items():
            torch.testing.assert_close(ours[name], gradient, rtol=tolerance, atol=tolerance * float(gradient.norm()))
        expected, found = (way(model, ids, mask, temperature) for way in (_plain, score_tokens))


def test_a_bias_of_the_head_gets_its_gradient() -> None:
    torch.manual_seed(0)
    hidden, weight, bias = torch.randn(5, 4).double(), torch.randn(7, 4).double(), torch.randn(7).double()
    inputs = [value.requires_grad_() for value in (hidden, weight, bias)]
    ids = torch.tensor([0, 6, 3, 3, 1])
    assert torch.autograd.gradcheck(lambda *given: logits._Scores.apply(*given, ids, 0.7), inputs)  # type: ignore[no-untyped-call]


def test_entropies_of_known_distributions() -> None:
    weight = torch.tensor([[0.0, 0.0, 100.0], [0.0, -1e4, 0.0], [0.0, -1e4, 0.0], [0.0, 0.0, 0.0]])
    found = logits._Scores.apply(torch.eye(3), weight, None, torch.tensor([1, 0, 0]), 1.0)  # type: ignore[no-untyped-call]
    assert found[:, 0].tolist() == pytest.approx([-math.log(4), -math.log(2), 0.0], abs=1e-6)
    assert found[:, 1].tolist() == pytest.approx([math.log(4), math.log(2), 0.0], abs=1e-6)


def test_half_precision_is_as_good_as_its_logits(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over many chunks are not rounded: the error against float32 is that of full logits in bfloat16."""
    monkeypatch.setattr(logits, "_ENTRIES", 505)
    ids, mask, weights = _case()
    exact = _model(folders["llama"], torch.float32)
    theirs = _plain(exact, ids, mask, 1.0)
    wanted = _gradients(exact, theirs, weights)
    half = _model(folders["llama"], torch.bfloat16)
    ours = score_tokens(half, ids, mask)
    assert ours[0].dtype == ours[1].dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.15)
    found = _gradients(half, ours, weights)["lm_head.weight"]
    rounded = _gradients(half, _plain(half, ids, mask, 1.0), weights)["lm_head.weight"]
    truth = wanted["lm_head.weight"]
    wrong, plainly_wrong = (float((gradient.float() - truth).norm()) for gradient in (found, rounded))
    assert wrong < 1.05 * plainly_wrong
    assert wrong < 0.05 * float(truth.norm())


class _Seen(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The sizes of all tensors that are made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.sizes += [
            value.numel() for value in (out if isinstance(out, tuple | list) else [out]) if isinstance(value, Tensor)
        ]
        return out


def test_no_logits_are_made_but_of_trained_tokens_and_few_at_a_time(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary, together = 505, 4
    monkeypatch.setattr(logits, "_ENTRIES", together * vocabulary)
    asked: list[int] = []
    made = logits._logits

    def counting(hidden: Tensor, *rest: Any) -> Tensor:
        asked.append(len(hidden))
        return made(hidden, *rest)

    monkeypatch.setattr(logits, "_logits", counting)
    model = _model(folders["qwen"], torch.float32)
    ids, mask, _ = _case()
    with _Seen() as seen:
        log_probs, _ = score_tokens(model, ids, mask)
        log_probs.sum().backward()  # type: ignore[no-untyped-call]
    weight = model.lm_head.weight.numel()
    assert sum(asked) == 2 * int(mask.sum())  # once forward, once backward
    assert max(asked) == together
    assert max(seen.sizes) == weight < ROWS * WIDTH * vocabulary


def test_a_batch_without_trained_tokens_has_gradients_of_zero(folders: dict[str, Path]) -> None:
    model = _model(folders["llama"], torch.float32)
    ids, mask, weights = _case()
    found = score_tokens(model, ids, torch.zeros_like(mask))
    gradients = _gradients(model, found, weights)
    assert gradients.keys() == dict(model.named_parameters()).keys()
    assert not any(gradient.any() for gradient in gradients.values())


def test_the_first_token_is_never_predicted(folders: dict[str, Path]) -> None:
    model = _model(folders["qwen"], torch.float32)
    ids, mask, _ = _case()
    expected = score_tokens(model, ids, mask)
    mask[:, 0] = True
    torch.testing.assert_close(score_tokens(model, ids, mask), expected, rtol=0, atol=0)
    assert mask[:, 0].all()  # and the caller's mask stays as it was


def test_the_model_gives_logits_again_afterwards(folders: dict[str, Path]) -> None:
    model = _model(folders["qwen"], torch.float32)
    ids, mask, _ = _case()
    before = model(input_ids=ids).logits
    score_tokens(model, ids, mask)
    with pytest.raises(IndexError):
        score_tokens(model, ids + 10_000, mask)
    assert torch.equal(model(input_ids=ids).logits, before)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "computed again"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_every_zero_stage_gives_the_gradients_of_full_logits(
    stage: int,
    dtype: Any,
    checkpointing: bool,
    folders: dict[str, Path],
    process_group: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen in the weights after a step of plain SGD, in micro-batches that differ in their number of chunks."""
    monkeypatch.setattr(logits, "_ENTRIES", 4 * 505)
    ids, mask, weights = _case()

    plain, _ = policy.load(folders["qwen"], "float32")
    wanted = _gradients(plain, _plain(plain, ids, mask, 1.0), weights)

    path = folders["qwen"]
    config = Config(model=ModelConfig(path=str(path), dtype=dtype, gradient_checkpointing=checkpointing))
    model, _ = policy.make(config, None)
    settings = {
        "zero_optimization": {"stage": stage},
        "optimizer": {"type": "SGD", "params": {"lr": 1.0}},
        "zero_allow_untested_optimizer": True,
        "gradient_clipping": 0.0,
    }
    running, _ = engine.make_engine(model, config, settings)
    before = engine.state_dict(running)
    rate = 1.0 if dtype == "float32" else 16.0  # a step that bfloat16 can tell from none

    def forward(model: Any, rows: slice) -> Tensor:
        return _sum(score_tokens(model, ids[rows], mask[rows]), weights[:, rows])

    engine.update(running, [slice(0, 1), slice(1, 3)], forward, rate)
    after = engine.state_dict(running)
    for name, gradient in wanted.items():
        found = (before[name] - after[name]).float() / rate
        error = float((found - gradient).norm() / gradient.norm())
        assert error < (1e-5 if dtype == "float32" else 0.1), name


def test_a_head_that_does_not_end_the_model_is_refused(folders: dict[str, Path]) -> None:
    for family in ("qwen", "llama"):
        check_head(_model(folders[family], torch.bfloat16))
    shape: dict[str, Any] = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16}
    scaled = GraniteForCausalLM(
        GraniteConfig(**shape, num_attention_heads=2, logits_scaling=8.0, initializer_range=0.5)
    )
    with pytest.raises(ConfigError, match=r"model\.path: GraniteForCausalLM changes its logits behind the head"):
        check_head(scaled)
    model = _model(folders["qwen"], torch.float32)
    model.lm_head = torch.nn.Sequential(model.lm_head)
    with pytest.raises(ConfigError, match=r"the head of Qwen3ForCausalLM is Sequential, not a linear layer"):
        check_head(model)
