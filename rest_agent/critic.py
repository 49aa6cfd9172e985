"""PPO's critic: a model that predicts, before every token, what the rest of the episode will earn.

The same architecture as the policy, from the same weights, with one number in place of the vocabulary. That number
begins at 0, so that the first advantages are returns. It trains on its own DeepSpeed engine, after each step of the
policy, on the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForTokenClassification
from transformers.utils import logging

from rest_agent import engine, policy
from rest_agent.batch import Batch
from rest_agent.config import Config
from rest_agent.reinforcement import by_rows


def value_loss(
    values: Tensor, old_values: Tensor, targets: Tensor, mask: Tensor, clip: float | None, denominator: float
) -> Tensor:
    """Half the squared error, summed over the tokens of ``mask``, / ``denominator``; all tensors are (B, T).

    With ``clip`` the larger of two errors counts: that of the value, and that of the value moved no further than
    ``clip`` from the old one (as OpenAI's PPO2 does). A prediction that has moved far enough towards its target stays.
    """
    error = (values - targets).pow(2)
    if clip is not None:
        near = old_values + (values - old_values).clamp(-clip, clip)
        error = torch.maximum(error, (near - targets).pow(2))
    return torch.where(mask, error / 2, 0.0).sum() / denominator


def explained_variance(values: Tensor, targets: Tensor) -> float:
    """1 - variance of the error / variance of the targets, over (n,) tokens: 1 is perfect, 0 as good as a constant."""
    spread = float(targets.double().var(correction=0)) if len(targets) else 0.0
    return 1 - float((targets - values).double().var(correction=0)) / spread if spread else 0.0


class Critic:
    """The value model on its engine."""

    def __init__(self, config: Config, settings: Mapping[str, Any], first_policy: Path, device: torch.device):
        """
        Args:
            settings: DeepSpeed's, the same as the policy's.
            first_policy: the policy as it was when reinforcement learning began.
        """
        self._config = config
        self._device = device
        self._losses: list[float] = []
        self.engine, _ = engine.make_engine(value_model(first_policy, config).to(device), config, settings)

    def expect(self, batch: Batch) -> Tensor:
        """(B, T) on CPU: its prediction before each sampled token, 0 elsewhere."""
        self.engine.eval()
        return by_rows(batch, self._config.optimizer.micro_batch_tokens, self._device, self._values)

    def loss(self, model: Any, piece: Batch, denominator: float) -> Tensor:
        """What a micro-batch adds to the loss of its optimizer step, the mean over all sampled tokens."""
        assert piece.values is not None
        assert piece.targets is not None
        values = self._values(piece, model)
        clip = self._config.rl.critic.clip
        loss = value_loss(values, piece.values, piece.targets, piece.loss_mask, clip, denominator)
        self._losses.append(float(loss.detach()))
        return loss

    def metrics(self, batch: Batch) -> dict[str, float]:
        """``critic/loss`` since it was last asked, and ``critic/explained``: what it knew of ``batch`` beforehand."""
        loss, self._losses = sum(self._losses), []
        assert batch.values is not None
        assert batch.targets is not None
        explained = explained_variance(batch.values[batch.loss_mask], batch.targets[batch.loss_mask])
        return {"critic/loss": loss, "critic/explained": explained}

    def _values(self, piece: Batch, model: Any = None) -> Tensor:
        # What is known before a token is what its predecessor's hidden state knows.
        seen = (self.engine if model is None else model)(input_ids=piece.token_ids, use_cache=False).logits[:, :-1, 0]
        return torch.nn.functional.pad(seen.float(), (1, 0)) * piece.loss_mask


def value_model(path: str | Path, config: Config) -> Any:
    """The model in ``path`` with a head of one number, which is 0 for everything."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # (it would warn that the head is new)
    shape = AutoConfig.from_pretrained(path, num_labels=1)
    shape.classifier_dropout = 0.0  # its default is .1
    options: dict[str, Any] = {"config": shape, "dtype": getattr(torch, config.model.dtype)}
    model: Any = AutoModelForTokenClassification.from_pretrained(path, **options)
    logging.set_verbosity(verbosity)
    torch.nn.init.zeros_(model.score.weight)
    torch.nn.init.zeros_(model.score.bias)
    if config.model.gradient_checkpointing:
        policy.checkpoint_activations(model)
    return model
