"""The lean forward against the Hugging Face one: the same numbers, whatever the architecture and the slots' history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from rest_agent import engine
from rest_agent.config import Config
from rest_agent.sampling import decode, forward
from rest_agent.sampling.cache import SlotCache
from rest_agent.sampling.forward import Heard, LeanForward, OwnForward, forward_of, supports

VOCABULARY, COLUMNS = 300, 400
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 4096,
    "initializer_range": 0.3,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


class Plain(Qwen3ForCausalLM):  # type: ignore[no-untyped-call]
    """Computes what its base does, but is no class that the lean forward knows."""


def _make(model: type, config: type, seed: int = 0, **options: Any) -> Any:
    """A random model, biases and norms included."""
    torch.manual_seed(seed)
    made = model(config(**{**SIZES, **options})).eval().requires_grad_(False)
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            parameter.normal_()
        elif "norm" in name:
            parameter.uniform_(0.5, 1.5)
    return made


def _some(generator: torch.Generator, length: int) -> list[int]:
    found: list[int] = torch.randint(2, VOCABULARY, (length,), generator=generator).tolist()
    return found


MODELS: dict[str, tuple[type, type, dict[str, Any]]] = {
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 16, "tie_word_embeddings": True}),
    "qwen3 with biases": (Qwen3ForCausalLM, Qwen3Config, {"num_key_value_heads": 1, "attention_bias": True}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "llama": (LlamaForCausalLM, LlamaConfig, {"num_key_value_heads": 4}),
    "llama with biases": (LlamaForCausalLM, LlamaConfig, {"attention_bias": True, "mlp_bias": True}),
    "llama 3 positions": (LlamaForCausalLM, LlamaConfig, {"rope_parameters": LLAMA3}),
    "linear positions": (
        LlamaForCausalLM,
        LlamaConfig,
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
    ),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": None}),
}


@pytest.fixture(params=["fused", "apart"])
def _matrices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small models' projections are fused, large ones' are not: here both are tried on small ones."""
    if request.param == "apart":
        monkeypatch.setattr(forward, "_FUSED_BELOW", 0)


class Table:
    """Conversations in the slots of a cache, and what the model says of each when it reads it anew."""

    def __init__(self, model: Any, slots: int):
        self.model = model
        self.lean = forward_of(model, COLUMNS)
        assert isinstance(self.lean, LeanForward)
        self.cache = SlotCache(model.config.num_hidden_layers, slots, COLUMNS, model.device)
        self.texts: list[list[int]] = [[] for _ in range(slots)]
        self.fed = [0] * slots

    def seat(self, prompts: dict[int, list[int]]) -> None:
        """Begin new conversations in some slots. The last token stays to be fed."""
        filled = self.lean.prefill([prompt[:-1] for prompt in prompts.values()])
        self.cache.store(filled, range(len(prompts)), list(prompts))
        for slot, prompt in prompts.items():
            self.texts[slot] = list(prompt)
            self.fed[slot] = len(prompt) - 1

    def hear(self, heard: dict[int, list[int]]) -> None:
        """Go on in some slots; the next step feeds all that was not fed yet."""
        for slot, chunk in heard.items():
            self.texts[slot] += chunk

    def select(self, slots: list[int]) -> None:
        self.cache.select(slots)
        self.texts = [self.texts[slot] for slot in slots]
        self.fed = [self.fed[slot] for slot in slots]

    def step(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of all slots, lean and anew; every conversation goes on with the likeliest token."""
        columns = [len(text) - 1 for text in self.texts]
        listening = [slot for slot, column in enumerate(columns) if self.fed[slot] < column]
        before = [self.fed[slot] for slot in listening]
        chunks = [self.texts[slot][self.fed[slot] : -1] for slot in listening]
        self.cache.aim(torch.tensor(columns), max(columns) + 1)
        heard = Heard(listening, before, chunks) if listening else None
        logits = self.lean.step(torch.tensor([text[-1] for text in self.texts]), self.cache, heard)
        self.fed = [len(text) for text in self.texts]
        anew = torch.stack([self.model(input_ids=torch.tensor([text])).logits[0, -1] for text in self.texts])
        for text, token in zip(self.texts, anew.argmax(dim=-1).tolist(), strict=True):
            text.append(token)
        return logits, anew


@pytest.mark.usefixtures("_matrices")
@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_the_model(name: str) -> None:
    architecture, config, options = MODELS[name]
    generator = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        table = Table(_make(architecture, config, **options), 5)
        table.seat({slot: _some(generator, length) for slot, length in enumerate((3, 17, 40, 2, 9))})
        for turn in range(24):
            if turn == 6:
                table.hear({3: _some(generator, 20), 1: _some(generator, 3)})
            if turn == 10:  # in place of conversations that are over
                table.seat({2: _some(generator, 5), 0: _some(generator, 30)})
            if turn == 14:
                table.select([4, 0, 2])
            if turn == 18:
                table.hear({2: _some(generator, 260)})  # grows the buffers
            logits, anew = table.step()
            assert (logits - anew).abs().max() <= 1e-4 * anew.abs().max()


def test_bfloat16_is_as_exact_as_the_models_own() -> None:
    exact = _make(Qwen3ForCausalLM, Qwen3Config)
    rounded = _make(Qwen3ForCausalLM, Qwen3Config)
    for parameter in rounded.parameters():
        parameter.data = parameter.data.bfloat16()
    for own, source in zip(exact.parameters(), rounded.parameters(), strict=True):
        own.copy_(source)
    text = _some(torch.Generator().manual_seed(2), 120)
    errors = {}
    with torch.inference_mode():
        target = exact(input_ids=torch.tensor([text])).logits[0, 60:]
        for kind in (LeanForward(rounded, COLUMNS), OwnForward(rounded)):
            cache = SlotCache(2, 1, COLUMNS, rounded.device)
            cache.store(kind.prefill([text[:60]]), [0], [0])
            found = []
            for column, token in list(enumerate(text))[60:]:
                cache.aim(torch.tensor([column]), column + 1)
                found.append(kind.step(torch.tensor([token]), cache)[0])
            assert found[0].dtype == torch.bfloat16
            errors[type(kind)] = float((torch.stack(found).float() - target).square().mean().sqrt())
    assert errors[LeanForward] < 1.2 * errors[OwnForward]


@dataclass
class Guest:
    """Hears something after each of three replies; forgets ten tokens before the second."""

    prompt: list[int]
    heard: list[list[int]]
    replies: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tokens = len(self.prompt)

    def spoke(self, ids: list[int], log_probs: list[float]) -> None:
        self.replies.append(list(ids))
        self._tokens += len(ids)

    def answer(self) -> decode.Answer:
        if len(self.replies) > len(self.heard):
            return decode.Answer(over=True)
        heard = self.heard[len(self.replies) - 1]
        keep = self._tokens - 10 if len(self.replies) == 2 else None
        self._tokens = len(heard) + (self._tokens if keep is None else keep)
        return decode.Answer(heard, keep)

    def cut(self, ids: list[int], log_probs: list[float]) -> None:
        self.replies.append(list(ids))


def _guests() -> list[Guest]:
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, 60, (10, 4), generator=generator).tolist()
    return [Guest(_some(generator, first), [_some(generator, one) for one in rest]) for first, *rest in lengths]


@pytest.mark.parametrize("at_once", [2048, 40], ids=["heard at once", "heard in pieces"])
def test_long_greedy_rollouts_are_identical(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_HEARD", at_once)
    models = [_make(architecture, Qwen3Config, head_dim=8) for architecture in (Qwen3ForCausalLM, Plain)]
    assert [supports(model) for model in models] == [True, False]
    replies = []
    for model in models:
        guests = _guests()
        decode.decode(model, guests, decode.Sampling(0.0, 70, COLUMNS, rows=4), [1], 0, seed=0)
        replies.append([guest.replies for guest in guests])
    assert replies[0] == replies[1]
    assert sum(len(reply) for guest in replies[0] for reply in guest) > 1500


def test_what_is_heard_takes_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    run, passes = LeanForward._run, []

    def counted(self: LeanForward, ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        passes.append(len(ids))
        return run(self, ids, *rest)

    monkeypatch.setattr(LeanForward, "_run", counted)
    guest = Guest([5, 6, 7], [list(range(10, 60))])
    decode.decode(_make(Qwen3ForCausalLM, Qwen3Config), [guest], decode.Sampling(0.0, 2, COLUMNS), [], 0, seed=0)
    # Replies have two tokens. The first reply's last one is fed with all that is heard.
    assert passes == [1, 1, 51, 1]


def test_every_forward_reads_the_weights_anew() -> None:
    model = _make(Qwen3ForCausalLM, Qwen3Config)
    found = []
    for _ in range(2):
        with torch.inference_mode():
            table = Table(model, 1)
            table.seat({0: [3, 4, 5]})
            logits, anew = table.step()
        torch.testing.assert_close(logits, anew, rtol=1e-4, atol=1e-4)
        found.append(logits)
        for parameter in model.parameters():
            parameter.mul_(1.1)
    assert not torch.allclose(found[0], found[1], rtol=0.01)


class Adapter(torch.nn.Linear):
    """A linear map to which something is added, as low-rank adapters do."""


def _adapted(model: Any) -> None:
    model.model.layers[1].mlp.up_proj = Adapter(32, 64)


def _hooked(model: Any) -> None:
    model.model.layers[0].register_forward_hook(lambda *ignored: None)


@pytest.mark.parametrize(
    ("config", "change", "expected"),
    [
        (Qwen3Config(**SIZES), None, True),
        (Qwen3Config(**SIZES, use_sliding_window=True, sliding_window=8, max_window_layers=1), None, False),
        (Qwen3Config(**SIZES, hidden_act="gelu"), None, False),
        (
            Qwen3Config(**SIZES, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}),
            None,
            False,
        ),
        (Qwen3Config(**SIZES), _adapted, False),
        (Qwen3Config(**SIZES), _hooked, False),
    ],
    ids=["plain", "window", "gelu", "dynamic positions", "adapter", "hook"],
)
def test_what_is_supported(config: Any, change: Any, expected: bool) -> None:
    model = Qwen3ForCausalLM(config)
    if change is not None:
        change(model)
    assert supports(model) == expected


def test_a_mixture_of_experts_is_run_by_its_own_forward() -> None:
    options = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    model = _make(Qwen3MoeForCausalLM, Qwen3MoeConfig, **options)
    assert type(forward_of(model, COLUMNS)) is OwnForward


def test_the_trainers_engine_samples_with_it(process_group: torch.device) -> None:
    model = _make(Qwen3ForCausalLM, Qwen3Config).requires_grad_(True)
    wrapped, sampler = engine.make_engine(model, Config(), {"zero_optimization": {"stage": 1}})
    with torch.inference_mode():
        assert isinstance(forward_of(sampler.refresh(), COLUMNS), LeanForward)
    wrapped.destroy()
