"""The frozen reference policy: what the KL divergence is measured from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from rest_agent import engine, lora, policy
from rest_agent.batch import Batch
from rest_agent.checkpoint import to_disk
from rest_agent.config import Config, ConfigError
from rest_agent.kl import token_kl
from rest_agent.logits import score_tokens
from rest_agent.reinforcement import by_rows


class Reference:
    """A model of its own on every rank, without optimizer: it takes as much memory as the policy's weights."""

    def __init__(self, config: Config, first_policy: str | Path, vocabulary: int, device: torch.device):
        """
        Args:
            first_policy: the policy as it was when reinforcement learning began; ``rl.kl.reference`` goes before it.
            vocabulary: of the policy's tokenizer.

        Raises:
            ConfigError: the reference has another vocabulary, or cannot be loaded.
        """
        path = config.rl.kl.reference or first_policy
        try:
            model, tokenizer = policy.load(path, config.model.dtype)
        except ConfigError as error:
            raise ConfigError(f"rl.kl.reference: {error}") from error
        if len(tokenizer) != vocabulary:
            raise ConfigError(f"rl.kl.reference: {path} has {len(tokenizer)} tokens, the policy {vocabulary}")
        self._model: Any = model.to(device).eval().requires_grad_(False)
        self._config = config
        self._device = device

    def judge(self, batch: Batch) -> Batch:
        """``batch`` with the reference's log-probabilities, at the temperature that it was sampled at."""

        def score(piece: Batch) -> Tensor:
            return score_tokens(self._model, piece.token_ids, piece.loss_mask, self._config.rl.temperature)[0]

        log_probs = by_rows(batch, self._config.optimizer.micro_batch_tokens, self._device, score)
        return replace(batch, reference_log_probs=log_probs)


class BareReference(Reference):
    """The policy itself without its adapters: exact, and no second model."""

    def __init__(self, config: Config, its_engine: Any):
        """``its_engine``: the policy's."""
        self._model = its_engine
        self._config = config
        self._device = its_engine.device

    def judge(self, batch: Batch) -> Batch:
        self._model.eval()
        with lora.off(self._model):
            return super().judge(batch)


def is_bare(config: Config) -> bool:
    """Whether the reference is the model that the policy's adapters were put on: there is no cold start before it."""
    begins_bare = config.model.lora is not None and not any(stage.updates for stage in config.sft)
    return begins_bare and config.rl.kl.reference is None


def keep_policy(folder: Path, its_engine: Any, tokenizer: Any) -> None:
    """Write the policy as it is now to ``folder``, whole, as Hugging Face files. A collective: all ranks call it."""
    weights = engine.state_dict(its_engine)
    if engine.is_first():
        unfinished = folder.with_name(f".{folder.name}.unfinished")
        for old in (unfinished, folder):
            shutil.rmtree(old, ignore_errors=True)
        its_engine.module.save_pretrained(unfinished, state_dict=weights)
        tokenizer.save_pretrained(unfinished)
        to_disk(unfinished)
        unfinished.rename(folder)
    dist.barrier()


def reference_kl(batch: Batch, estimator: str) -> Tensor:
    """(B, T): the KL divergence of the policy that sampled from the reference, at each token; 0 without a reference."""
    if batch.reference_log_probs is None:
        return torch.zeros(batch.weights.shape)
    return token_kl(batch.old_log_probs, batch.reference_log_probs, batch.loss_mask, estimator)
