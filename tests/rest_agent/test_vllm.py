"""vLLM as the sampler: what it says is what the trainer would say, before and after an update."""

from __future__ import annotations

from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from rest_agent.batch import collate, pad
from rest_agent.config import Config, ConfigError, RLConfig, RolloutConfig
from rest_agent.engine import Sampler
from rest_agent.sampling.decode import Sampling
from rest_agent.sampling.vllm import Vllm

INSTALLED = find_spec("vllm") is not None
CONFIG = Config(
    rl=RLConfig(max_tokens=1024, decode_rows=4),
    rollout=RolloutConfig(backend="vllm", vllm={"enforce_eager": True}),
)


def _log_probs(model: Any, rollouts: Any, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Of all sampled tokens, by the sampler and by a plain forward pass."""
    ones = pad([rollout.loss_mask for rollout in rollouts]).float()
    batch = collate(rollouts, 0, ones, ones)
    with torch.no_grad():
        logits = model(input_ids=batch.token_ids, use_cache=False).logits[:, :-1] / temperature
    found = torch.log_softmax(logits, dim=-1).gather(-1, batch.token_ids[:, 1:, None])[..., 0]
    mask = batch.loss_mask[:, 1:]
    return batch.old_log_probs[:, 1:][mask], found[mask]


def _model(tokenizer: Any, tied: bool) -> Any:
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        intermediate_size=128,
        max_position_embeddings=1024,
        initializer_range=0.1,
        tie_word_embeddings=tied,
    )
    return Qwen3ForCausalLM(config).eval().requires_grad_(False)  # type: ignore[no-untyped-call]


@pytest.mark.filterwarnings("ignore")  # vLLM's own
@pytest.mark.skipif(not INSTALLED, reason="vLLM is not installed")
def test_replies_are_the_trainers_own(players: Any, process_group: Any) -> None:
    player = players["own"]
    torch.manual_seed(0)
    model = _model(player.tokenizer, tied=False)
    engine = Vllm(Sampler(SimpleNamespace(module=model)), CONFIG)
    arena = player.arena()
    starts = arena.sample_tasks("train", 0, 6)
    for change in (0.0, 0.3):
        for weight in model.parameters():
            weight.mul_(1 + change * torch.rand(weight.shape))
        greedy = Sampling(0.0, max_reply_tokens=24, max_tokens=1024, rows=4)
        mine, theirs = (arena.rollouts(one, starts, greedy, 0) for one in (model, engine.refresh()))
        assert [one.token_ids.tolist() for one in mine] == [one.token_ids.tolist() for one in theirs]
        warm = Sampling(0.7, max_reply_tokens=24, max_tokens=1024, rows=4)
        one, again, other = (arena.rollouts(engine, starts, warm, seed) for seed in (1, 1, 2))
        assert [r.token_ids.tolist() for r in one] == [r.token_ids.tolist() for r in again]
        assert [r.token_ids.tolist() for r in one] != [r.token_ids.tolist() for r in other]
        assert all(rollout.steps > 1 for rollout in one)
        torch.testing.assert_close(*_log_probs(model, one, 0.7), atol=1e-3, rtol=0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not INSTALLED or torch.cuda.is_available(), reason="vLLM is not installed, or runs on a GPU")
def test_tied_embeddings_are_refused_on_cpu(players: Any, process_group: Any) -> None:
    model = _model(players["own"].tokenizer, tied=True)
    with pytest.raises(ConfigError, match="tied embeddings; use own"):
        Vllm(Sampler(SimpleNamespace(module=model)), CONFIG)


@pytest.mark.skipif(INSTALLED, reason="vLLM is installed")
def test_without_vllm_the_backend_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"rollout\.backend: vllm cannot be imported; install it, or use own"):
        Vllm(Sampler(None), CONFIG)
