"""Updates on two real ranks, each a process with gloo. Run as a script, this file is one of them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from rest_agent import engine, lora, policy
from rest_agent.batch import Batch, Rollout, collate, idle, micro_batches, pad
from rest_agent.config import Config, LoRAConfig, OptimizerConfig
from rest_agent.logits import score_tokens

STAGES = (0, 1, 2, 3)
CASES = ((0, 60), (1, 1), (1, 60), (1, 100_000), (2, 60), (3, 60))
"""ZeRO stage, and tokens of a micro-batch: of one row, of a few, of all."""
ADAPTER_CASES = tuple((stage, 60) for stage in STAGES)
RATE = 1e3  # of plain SGD: the gradient is what a step changed, to the last digits


def _batch() -> Batch:
    """Twelve rows of different lengths, weighed token by token; nothing was said in one of them."""
    generator = torch.Generator().manual_seed(0)
    rollouts = []
    for length in (5, 31, 17, 17, 40, 8, 9, 26, 12, 33, 6, 20):
        mask = torch.rand(length, generator=generator) < 0.6
        mask[0], mask[-1] = False, length != 9
        mask &= torch.tensor(length != 9)
        ids = torch.randint(500, (length,), generator=generator)
        nothing = torch.zeros(length, dtype=torch.int8)
        rollouts.append(Rollout(ids, mask, torch.zeros(length), nothing, nothing, reward=0.0, task_id="t"))
    weights = pad([rollout.loss_mask for rollout in rollouts]).float()
    weights *= torch.rand(weights.shape, generator=generator)
    return collate(rollouts, 0, torch.ones_like(weights), weights)


def _loss(model: Any, batch: Batch, denominator: float) -> Tensor:
    log_probs, _ = score_tokens(model, batch.token_ids, batch.loss_mask)
    return -(log_probs * batch.weights).sum() / denominator


def _model(folder: Path, adapters: bool) -> Any:
    model, _ = policy.load(folder, "float32")
    if adapters:
        torch.manual_seed(0)
        lora.add(model, LoRAConfig(rank=4), str(folder))
        for name, value in model.named_parameters():
            if ".lora_B." in name:  # where it is 0, A has no gradient
                torch.nn.init.normal_(value, std=0.1)
    return model


def _engine(folder: Path, stage: int, adapters: bool = False, **settings: Any) -> Any:
    model = _model(folder, adapters)
    return engine.make_engine(model, Config(), {"zero_optimization": {"stage": stage}, **settings})[0]


def _gradients(folder: Path, adapters: bool = False) -> dict[str, dict[str, Tensor]]:
    """What an update on :func:`_batch`, shared out among the ranks, changes in each case."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    whole = _batch()
    mine = whole.rows(torch.arange(rank, len(whole), ranks))
    denominator = sum(engine.gather(float(mine.weights.sum()))) / ranks
    settings = {
        "optimizer": {"type": "SGD", "params": {"lr": 1.0}},
        "zero_allow_untested_optimizer": True,
        "gradient_clipping": 0.0,
    }
    found = {}
    for stage, tokens in ADAPTER_CASES if adapters else CASES:
        running = _engine(folder, stage, adapters, **settings)
        before = engine.trained_weights(running)
        parts = engine.level(micro_batches(mine, tokens), idle(mine))
        engine.update(running, parts, lambda model, part: _loss(model, part, denominator), RATE)
        after = engine.trained_weights(running)
        found[f"stage {stage}, {tokens} tokens"] = {name: before[name] - after[name] for name in before}
    return found


def _skip(folder: Path) -> list[str]:
    """A loss that is not finite on the last rank alone: what this rank makes of it, at each ZeRO stage."""
    last = dist.get_rank() == dist.get_world_size() - 1
    batch = _batch()
    notes = []
    for stage in STAGES:
        running = _engine(folder, stage)
        skips = engine.Skips(Config(optimizer=OptimizerConfig(max_skipped=2)))
        before = engine.state_dict(running)
        try:
            for trouble in (math.nan, math.inf):

                def forward(model: Any, part: Batch, trouble: float = trouble) -> Tensor:
                    return _loss(model, part, 1.0) + (trouble if last else 0.0)

                skips.count(engine.update(running, [batch, batch], forward, 1e-2), 1e-2)
        except engine.Diverged as reason:
            after = engine.state_dict(running)
            same = all(torch.equal(after[name], before[name]) for name in before)
            notes.append(f"{same} {skips.metrics()} {reason}")
    return notes


@pytest.fixture(scope="module")
def two_ranks(
    play_ranks: Callable[..., None], folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """What each of two ranks found."""
    out = tmp_path_factory.mktemp("ranks")
    play_ranks(__file__, folders["qwen"], out)
    return [torch.load(out / f"{rank}.pt") for rank in range(2)]


def _plain_gradient(folder: Path, adapters: bool) -> dict[str, Tensor]:
    """The gradient of the plainest loop: a row at a time, without padding, with full logits."""
    model = _model(folder, adapters)
    batch = _batch()
    for row in range(len(batch)):
        ids, weights = (getattr(batch, name)[row, : int(batch.lengths[row])] for name in ("token_ids", "weights"))
        log_p = torch.log_softmax(model(input_ids=ids[None]).logits[0, :-1], dim=-1)
        chosen = log_p.gather(-1, ids[1:, None])[:, 0]
        (-(chosen * weights[1:]).sum() / batch.weights.sum()).backward()
    return {name: value.grad for name, value in model.named_parameters() if value.requires_grad}


@pytest.fixture(scope="module")
def expected(folders: dict[str, Path]) -> dict[str, Tensor]:
    return _plain_gradient(folders["qwen"], adapters=False)


def _check_gradients(found: dict[str, dict[str, Tensor]], expected: dict[str, Tensor], cases: int = len(CASES)) -> None:
    assert len(found) == cases
    for case, changes in found.items():
        assert changes.keys() == expected.keys()
        ours, theirs = (torch.cat([one[name].flatten().double() for name in expected]) for one in (changes, expected))
        error = float((ours / RATE - theirs).norm() / theirs.norm())
        assert error < 1e-6, f"{case}: the gradient is off by {error:.1e} of its norm"


def test_gradients_do_not_depend_on_the_grouping_of_rows(
    folders: dict[str, Path], expected: dict[str, Tensor], process_group: Any
) -> None:
    _check_gradients(_gradients(folders["qwen"]), expected)


def test_gradients_do_not_depend_on_the_number_of_ranks(
    two_ranks: list[dict[str, Any]], expected: dict[str, Tensor]
) -> None:
    for found in two_ranks:
        _check_gradients(found["gradients"], expected)


def test_gradients_of_adapters_do_not_either(two_ranks: list[dict[str, Any]], folders: dict[str, Path]) -> None:
    expected = _plain_gradient(folders["qwen"], adapters=True)
    for found in two_ranks:
        _check_gradients(found["adapters"], expected, len(ADAPTER_CASES))


def test_a_loss_that_is_not_finite_on_one_rank_is_skipped_by_all(two_ranks: list[dict[str, Any]]) -> None:
    first, second = (found["skipped"] for found in two_ranks)
    assert first == second
    assert len(first) == len(STAGES)
    for note in first:
        assert note.startswith("True {'updates_skipped': 2.0} the last 2 optimizer steps of the policy were skipped")
        assert "(the last: the loss)" in note


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    engine.start_process_group()
    found: dict[str, Any] = {"gradients": _gradients(options.model), "skipped": _skip(options.model)}
    found["adapters"] = _gradients(options.model, adapters=True)
    torch.save(found, options.out / f"{dist.get_rank()}.pt")


if __name__ == "__main__":
    _main()
