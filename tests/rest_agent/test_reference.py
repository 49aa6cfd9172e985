"""The frozen reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rest_agent.batch import Batch, collate, pad
from rest_agent.config import Config, ConfigError, KLConfig, OptimizerConfig, RLConfig
from rest_agent.logits import score_tokens
from rest_agent.reference import Reference, reference_kl

CPU = torch.device("cpu")


def _config(reference: str | None = None, tokens: int = 700) -> Config:
    rl = RLConfig(kl=KLConfig(coefficient=0.1, reference=reference), temperature=0.5)
    return replace(Config(), rl=rl, optimizer=OptimizerConfig(micro_batch_tokens=tokens))


def _batch(player: Any) -> Batch:
    arena = player.arena()
    rollouts = [arena.demonstration(seed, noise=0.5) for seed in range(5)]
    weights = pad([rollout.loss_mask for rollout in rollouts]).float()
    return collate(rollouts, 0, weights, weights)


@pytest.mark.parametrize("tokens", [1, 700, 10**6], ids=["row by row", "some rows", "all rows"])
def test_it_scores_rows_in_their_order(tokens: int, folders: Any, players: Any, process_group: Any) -> None:
    player = players["own"]
    batch = _batch(player)
    reference = Reference(_config(tokens=tokens), folders["own"], len(player.tokenizer), CPU)
    found = reference.judge(batch).reference_log_probs
    with torch.no_grad():
        expected, _ = score_tokens(player.model, batch.token_ids, batch.loss_mask, 0.5)
    assert found is not None
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_divergence_from_itself_is_nothing(folders: Any, players: Any, process_group: Any) -> None:
    player = players["own"]
    batch = _batch(player)
    assert reference_kl(batch, "k1").abs().sum().item() == 0  # no reference, no divergence
    batch = Reference(_config(), folders["own"], len(player.tokenizer), CPU).judge(batch)
    assert batch.reference_log_probs is not None
    itself = replace(batch, old_log_probs=batch.reference_log_probs)
    assert reference_kl(itself, "k3").abs().max().item() == 0
    further = replace(batch, old_log_probs=batch.reference_log_probs + 0.5)
    assert reference_kl(further, "k1")[batch.loss_mask].tolist() == pytest.approx([0.5] * int(batch.loss_mask.sum()))
    assert reference_kl(further, "k1")[~batch.loss_mask].abs().sum().item() == 0


def test_a_reference_of_another_vocabulary_is_refused(folders: dict[str, Path], process_group: Any) -> None:
    with pytest.raises(ConfigError, match=r"rl\.kl\.reference: .* has \d+ tokens, the policy 7"):
        Reference(_config(str(folders["qwen"])), folders["own"], 7, CPU)
    with pytest.raises(ConfigError, match=r"rl\.kl\.reference: .*cannot load"):
        Reference(_config("no/such/folder"), folders["own"], 7, CPU)
