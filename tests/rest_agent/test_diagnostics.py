"""What is measured on an update is what autograd and the definitions say, on any number of ranks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rest_agent import engine, policy
from rest_agent.batch import Batch
from rest_agent.config import Config, DiagnosticsConfig, LossConfig, OptimizerConfig, RLConfig
from rest_agent.diagnostics import (
    GradientSketch,
    Probe,
    control_changes,
    gradient_shares,
    random_projection,
    region_means,
    tasks_of_rows,
)
from rest_agent.logits import score_tokens
from rest_agent.regions import Region
from rest_agent.segments import split

GROUP, TEMPERATURE = 2, 0.7
EXACT = 10**6  # rows of the projection: no fewer rows than any vocabulary here


def _batch(tasks: int = 4, advantages: Tensor | None = None) -> Batch:
    """Random rows of 9 to 16 tokens, two per task; the policy says about half of each."""
    draw = torch.Generator().manual_seed(0)
    rows, width = tasks * GROUP, 16
    lengths = torch.randint(9, width, (rows,), generator=draw).clamp(max=width)
    lengths[0] = width
    inside = torch.arange(width)[None] < lengths[:, None]
    mask = (torch.rand(rows, width, generator=draw) < 0.6) & inside
    mask[:, 0], mask[:, 8] = False, True
    regions = torch.randint(1, len(Region), (rows, width), generator=draw)
    regions[:, 8] = Region.TAG
    if advantages is None:
        advantages = torch.randn(rows, generator=draw)
    return Batch(
        token_ids=torch.randint(0, 250, (rows, width), generator=draw) * inside,
        attention_mask=inside.long(),
        loss_mask=mask,
        old_log_probs=torch.zeros(rows, width),
        regions=(regions * mask).to(torch.int8),
        advantages=advantages[:, None] * mask,
        weights=torch.rand(rows, width, generator=draw) * mask,
    )


def _probe(model: Any, projection: int = EXACT, every: int = 1, **loss: Any) -> Probe:
    rl = RLConfig(group=GROUP, temperature=TEMPERATURE, loss=LossConfig(**loss))
    diagnostics = DiagnosticsConfig(every, projection)
    return Probe(model, Config(rl=rl, diagnostics=diagnostics, optimizer=OptimizerConfig(micro_batch_tokens=50)))


def _engine(folder: Path, stage: int) -> Any:
    model, _ = policy.load(folder, "float32")
    return engine.make_engine(model, Config(), {"zero_optimization": {"stage": stage}})[0]


def _step(running: Any, batch: Batch) -> None:
    def forward(model: Any, part: Batch) -> Tensor:
        return -(score_tokens(model, part.token_ids, part.loss_mask)[0] * part.advantages).sum() / 100

    engine.update(running, [batch], forward, 1e-2)


def _head_gradients(model: Any, batch: Batch, weights: Tensor, tasks: Tensor | None = None) -> Tensor:
    """(tasks, V, H): of sum weight x advantage x log p, by autograd, with respect to the use of the head's weight."""
    hidden = model.model(input_ids=batch.token_ids).last_hidden_state
    tasks = torch.arange(len(batch)) // GROUP if tasks is None else tasks
    found = []
    for task in range(int(tasks[-1]) + 1):
        rows = tasks == task
        weight = model.get_output_embeddings().weight.detach().clone().requires_grad_()
        log_p = ((hidden[rows, :-1] @ weight.T) / TEMPERATURE).log_softmax(-1)
        chosen = log_p.gather(-1, batch.token_ids[rows, 1:, None])[..., 0]
        total = (chosen * (weights * batch.advantages)[rows, 1:]).sum()
        found.append(torch.autograd.grad(total, weight)[0])
    return torch.stack(found).double()


@pytest.mark.parametrize("family", ["llama", "qwen"], ids=["head of its own", "tied head"])
def test_variance_noise_and_angle_are_those_of_gradients_by_autograd(
    family: str, players: Any, process_group: Any
) -> None:
    model, batch = players[family].model, _batch()
    probe = _probe(model)
    probe.before(batch)
    metrics = probe.after()
    even = batch.loss_mask * batch.weights.sum(1, keepdim=True) / batch.loss_mask.sum(1, keepdim=True)
    means = []
    for weights, suffix in ((batch.weights, ""), (even, "_plain")):
        n = len(batch) // GROUP
        draws = n * _head_gradients(model, batch, weights).flatten(1) / batch.weights.sum()
        means.append(draws.mean(dim=0))
        variance = float(draws.var(dim=0).sum() / n)  # denominator n - 1, then of the mean of n
        assert metrics[f"gradient/variance{suffix}"] == pytest.approx(variance, rel=1e-4)
        assert metrics[f"gradient/noise{suffix}"] == pytest.approx(variance / float(means[-1].square().sum()), rel=1e-4)
    cosine = float(torch.cosine_similarity(means[0], means[1], dim=0))
    assert 0 < cosine < 0.99
    assert metrics["gradient/cosine"] == pytest.approx(cosine, abs=1e-5)


def test_the_plain_gradient_spreads_the_weight_of_a_row_evenly() -> None:
    batch = _batch()
    weighted, plain = gradient_shares(batch, batch.weights)
    torch.testing.assert_close(plain.sum(dim=1), weighted.sum(dim=1))  # a row here has one advantage
    assert not torch.allclose(plain, weighted)
    assert all(len(row[mask].unique()) == 1 for row, mask in zip(plain, batch.loss_mask, strict=True))
    torch.testing.assert_close(*gradient_shares(batch, batch.loss_mask * torch.rand(len(batch), 1)))


def test_the_gradient_is_that_of_the_loss_as_it_is_aggregated(players: Any, process_group: Any) -> None:
    model, batch = players["llama"].model, _batch()
    probe = _probe(model, aggregation="sequence-mean")
    probe.before(batch)
    draws = _head_gradients(model, batch, batch.weights / batch.loss_mask.sum(1, keepdim=True)).flatten(1)
    n = len(batch) // GROUP
    variance = float((n * draws / len(batch)).var(dim=0).sum() / n)
    assert probe.after()["gradient/variance"] == pytest.approx(variance, rel=1e-4)


@pytest.mark.parametrize("how", ["weighted-token-mean", "sequence-mean"])
def test_segments_are_seen_one_by_one_and_belong_to_their_rollout(how: Any, players: Any, process_group: Any) -> None:
    """To its task and to its mean: a rollout of two segments counts as one."""
    model, batch = players["llama"].model, _batch()
    cuts = torch.zeros_like(batch.token_ids)
    cuts[0, 9:], cuts[5, 7:] = 1, 1
    segmented = replace(batch, segments=cuts)
    tasks = tasks_of_rows(segmented, GROUP)
    assert tasks.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    probe = _probe(model, aggregation=how)
    probe.before(segmented)
    metrics = probe.after()
    even = batch.loss_mask * batch.weights.sum(1, keepdim=True) / batch.loss_mask.sum(1, keepdim=True)
    for weights, suffix in ((batch.weights, ""), (even, "_plain")):
        if how == "sequence-mean":
            weights, total = weights / batch.loss_mask.sum(1, keepdim=True), torch.tensor(len(batch))
        else:
            total = batch.weights.sum()
        rows = split(replace(segmented, weights=weights))
        draws = _head_gradients(model, rows, rows.weights, tasks).flatten(1) / total
        variance = float((4 * draws).var(dim=0).sum() / 4)
        assert metrics[f"gradient/variance{suffix}"] == pytest.approx(variance, rel=1e-4)


def test_every_sampled_token_counts_in_the_entropies_whatever_its_advantage(players: Any, process_group: Any) -> None:
    model, batch = players["own"].model, _batch(advantages=torch.zeros(8))
    probe = _probe(model)
    probe.before(batch)
    metrics = probe.after()
    log_p = (model(input_ids=batch.token_ids).logits[:, :-1] / TEMPERATURE).log_softmax(-1)
    entropies = -(log_p.exp() * log_p).sum(-1)
    for region in Region:
        name = f"entropy/{region.name.lower()}"
        if region:
            mine = batch.regions[:, 1:] == region
            assert metrics[name] == pytest.approx(float(entropies[mine].mean()), rel=1e-5)
            assert metrics[f"entropy_after/{region.name.lower()}"] == metrics[name]  # nothing was updated
    assert "entropy/none" not in metrics
    assert metrics["control/ratio_max"] == metrics["control/ratio_mean"] == 1
    assert metrics["control/change_max"] == 0
    assert not any(name.startswith("gradient/") for name in metrics)  # no advantage, no gradient


def test_changes_of_control_tokens_are_told_from_before_to_after(folders: Any, process_group: Any) -> None:
    running, batch = _engine(folders["qwen"], 1), _batch()
    tags = batch.regions == Region.TAG
    probe = _probe(running)
    with torch.no_grad():
        before = score_tokens(running, batch.token_ids, batch.loss_mask, TEMPERATURE)[0][tags]
    probe.before(batch)
    _step(running, batch)
    metrics = probe.after()
    with torch.no_grad():
        changes = score_tokens(running, batch.token_ids, batch.loss_mask, TEMPERATURE)[0][tags] - before
    assert float(changes.abs().max()) > 0.01
    assert metrics["control/ratio_max"] == pytest.approx(float(changes.exp().max()), rel=1e-4)
    assert metrics["control/ratio_mean"] == pytest.approx(float(changes.exp().mean()), rel=1e-4)
    assert metrics["control/change_max"] == pytest.approx(float(changes.abs().max()), rel=1e-3)
    assert metrics["control/change_mean"] == pytest.approx(float(changes.abs().mean()), rel=1e-3)
    assert metrics["entropy_after/tag"] != metrics["entropy/tag"]
    assert metrics["seconds_diagnostics"] > 0


def test_a_measurement_leaves_the_training_as_it_was(folders: Any, process_group: Any) -> None:
    weights = []
    for measured in (False, True):
        running, batch = _engine(folders["llama"], 2), _batch()
        for _ in range(2):
            probe = _probe(running)
            if measured:
                probe.before(batch)
            _step(running, batch)
            if measured:
                probe.after()
        weights.append(engine.state_dict(running))
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_the_estimate_is_unbiased(process_group: Any) -> None:
    """Over many updates of 3 tasks whose gradients have a known variance, and a mean that is not 0."""
    torch.manual_seed(0)
    spread, n, k, h = 0.5, 3, 4, 5
    found = []
    for _ in range(2000):
        sketch = GradientSketch(torch.eye(k), torch.zeros(2, n, 1), torch.arange(n), 1.0)
        sketch.sums = 1 + spread * torch.randn(2, n, k, h)
        found.append(sketch.metrics(denominator=2.0)["gradient/variance"])
    truth = n * spread**2 * k * h / 2.0**2  # of a sum of n independent parts, divided by the denominator
    assert torch.tensor(found).mean().item() == pytest.approx(truth, rel=0.02)


def test_one_task_says_nothing_about_variance(process_group: Any) -> None:
    sketch = GradientSketch(torch.eye(2), torch.zeros(2, 1, 1), torch.arange(1), 1.0)
    sketch.sums = torch.ones(2, 1, 2, 2)
    assert sketch.metrics(denominator=1.0) == {}


def test_a_projection_keeps_lengths_and_angles_on_average() -> None:
    torch.manual_seed(0)
    projection = random_projection(1000, 64)
    assert torch.equal(projection, random_projection(1000, 64))
    matrices = torch.randn(50, 1000, 20)
    ratios = (projection @ matrices).square().sum((1, 2)) / matrices.square().sum((1, 2))
    assert ratios.mean().item() == pytest.approx(1, abs=0.03)
    assert ratios.std().item() < 0.1
    assert torch.equal(random_projection(5, 64), torch.eye(5))


def test_the_projected_gradient_is_close_to_the_whole_one(players: Any, process_group: Any) -> None:
    found = []
    for rows in (EXACT, 64):
        probe = _probe(players["qwen"].model, projection=rows)
        probe.before(_batch(tasks=16))
        found.append(probe.after())
    exact, projected = found
    for name in ("gradient/variance", "gradient/variance_plain", "gradient/noise"):
        assert projected[name] == pytest.approx(exact[name], rel=0.2)
    assert projected["gradient/cosine"] == pytest.approx(exact["gradient/cosine"], abs=0.05)


def test_no_tag_and_no_region_make_no_value(process_group: Any) -> None:
    assert control_changes(torch.zeros(0)) == {}
    assert region_means(torch.ones(1, 2), torch.tensor([[0, int(Region.NAME)]]), "entropy") == {"entropy/name": 1.0}


@pytest.mark.parametrize(("every", "due"), [(0, []), (1, [0, 1, 2, 3, 4]), (3, [0, 3])])
def test_updates_are_measured_every_so_often(every: int, due: list[int], players: Any) -> None:
    probe = _probe(players["own"].model, every=every)
    assert [update for update in range(5) if probe.due(update)] == due


_RANK = """
import json, os, pathlib, runpy, sys
from rest_agent import engine
engine.start_process_group()
test = runpy.run_path(sys.argv[1])
rank = int(os.environ["RANK"])
whole = test["_batch"]()
batch = whole.rows(test["torch"].tensor([0, 1, 2, 3, 4, 5] if rank == 0 else [6, 7]))  # 3 tasks and 1
running = test["_engine"](sys.argv[2], 3)
probe = test["_probe"](running)
probe.before(batch)
values = probe.after()
pathlib.Path(sys.argv[3]).with_suffix(f".{rank}").write_text(json.dumps(values))
"""


def test_two_ranks_at_stage_3_measure_what_one_does(
    play_ranks: Any, folders: Any, players: Any, process_group: Any, tmp_path: Path
) -> None:
    probe = _probe(players["qwen"].model)
    probe.before(_batch())
    expected = probe.after()
    play_ranks("-c", _RANK, __file__, folders["qwen"], tmp_path / "values")
    for rank in range(2):
        values = json.loads((tmp_path / f"values.{rank}").read_text())
        del values["seconds_diagnostics"]
        assert values == pytest.approx({name: expected[name] for name in values}, rel=1e-4, abs=1e-7)
        assert len(values) == len(expected) - 1
