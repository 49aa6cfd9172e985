"""The method's own claims, measured on the run: entropies, gradient variance, angle to the plain gradient, spikes.

ResT argues that reweighted tokens make a gradient of lower variance, and a smoother training. A measurement looks at
all rollouts of an update before and after its optimizer steps, with a forward pass each and no backward pass. Its
values are over the tokens and tasks of all ranks:

* ``entropy/<region>``, ``entropy_after/<region>``: mean entropy, in nats, of the distributions that the region's tokens
  are drawn from, before and after. Denominator: all sampled tokens of the region, whatever their advantage.
* ``gradient/variance``: unbiased estimate of the variance (trace of the covariance matrix) of the policy gradient
  g = sum over tokens of weight x advantage x grad log p, / the denominator of the loss. Tasks are the independent
  draws: where g_j is the part of g that task j of n brings, it is (n sum_j |g_j|^2 - |g|^2) / (n - 1). The denominator
  counts as a constant. Unit: that of a squared gradient.
* ``gradient/noise``: this variance / |g|^2. 0 if all tasks ask for the same; about 1 if g is nothing but noise.
* ``gradient/variance_plain``, ``gradient/noise_plain``: of the plain gradient, where every row spreads its sum of
  weights evenly over its sampled tokens.
* ``gradient/cosine``: of the angle between the two.
* ``control/ratio_mean``, ``control/ratio_max``: probability after / before of the sampled tag tokens;
  ``control/change_mean``, ``control/change_max``: size of the change of their log-probability. Denominator: these.

Gradients are with respect to the weight of the model's head, and multiplied by a fixed random matrix of ``projection``
rows that keeps squared lengths on average; they are taken where the ratio of probabilities is 1 and nothing is clipped,
and without KL terms. That takes the hidden states and the logits alone, so it works under every ZeRO stage, and with a
head that is tied to the embeddings or frozen. What the other layers would say is not measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from rest_agent import engine
from rest_agent.aggregation import coefficients, denominator
from rest_agent.batch import Batch, split_rows
from rest_agent.config import Config
from rest_agent.logits import score_tokens
from rest_agent.regions import Region
from rest_agent.segments import split
from rest_agent.weights import aggregation, region_sums

_ENTRIES = 1 << 25  # logits held at a time: 128 MiB in float32
_MAX_LOG_RATIO = 20.0


class Probe:
    """Measures one update at a time: :meth:`before` its optimizer steps, then :meth:`after` them."""

    def __init__(self, model: Any, config: Config):
        """``model``: DeepSpeed's engine around a causal language model, on its device."""
        self._model = model
        self._config = config
        self._projection: Tensor | None = None

    def due(self, update: int) -> bool:
        """Whether ``update`` is to be measured."""
        every = self._config.diagnostics.every
        return every > 0 and update % every == 0

    def before(self, batch: Batch) -> None:
        """Look at the policy that the rollouts of ``batch`` were sampled from, and at their gradient."""
        began = time.monotonic()
        rl, device = self._config.rl, self._model.device
        if self._projection is None:
            vocabulary = self._model.get_output_embeddings().out_features
            self._projection = random_projection(vocabulary, self._config.diagnostics.projection).to(device)
        how = rl.loss.aggregation or aggregation(rl.weights)
        weights = coefficients(batch.weights, batch.loss_mask, how, rl.loss.constant or rl.max_tokens)
        total, tasks = float(denominator(batch.weights, batch.loss_mask, how)), tasks_of_rows(batch, rl.group)
        weighted, plain = gradient_shares(batch, weights)  # of whole episodes; the model sees their segments
        self._batch = split(replace(batch, weights=weighted, plain_weights=plain))
        assert self._batch.plain_weights is not None
        shares = torch.stack([self._batch.weights, self._batch.plain_weights])
        sketch = GradientSketch(self._projection, shares, tasks, rl.temperature)
        self._log_probs, entropies = self._look(sketch)
        self._metrics = region_means(entropies, self._batch.regions, "entropy") | sketch.metrics(total)
        self._seconds = time.monotonic() - began

    def after(self) -> dict[str, float]:
        """All values, and ``seconds_diagnostics``: what they took."""
        began = time.monotonic()
        regions = self._batch.regions
        log_probs, entropies = self._look()
        self._metrics |= region_means(entropies, regions, "entropy_after")
        self._metrics |= control_changes((log_probs - self._log_probs)[regions == Region.TAG])
        del self._batch, self._log_probs
        return self._metrics | {"seconds_diagnostics": self._seconds + time.monotonic() - began}

    @torch.no_grad()
    def _look(self, sketch: GradientSketch | None = None) -> tuple[Tensor, Tensor]:
        """(B, T) log-probabilities and entropies of the sampled tokens, 0 elsewhere, on CPU; fills ``sketch``."""
        batch, model = self._batch, self._model
        model.eval()
        found = torch.zeros(2, *batch.token_ids.shape)
        pieces = split_rows(batch.lengths, self._config.optimizer.micro_batch_tokens)
        # Under ZeRO stage 3 a forward pass is collective: a rank with fewer pieces repeats its last one.
        for number, rows in enumerate(map(torch.tensor, engine.level(pieces, pieces[-1]))):
            piece = batch.rows(rows).to(model.device)
            listening: AbstractContextManager[None] = nullcontext()
            if sketch is not None and number < len(pieces):
                listening = sketch.listening(model.get_output_embeddings(), piece.token_ids, rows)
            with listening:
                scores = score_tokens(model, piece.token_ids, piece.loss_mask, self._config.rl.temperature)
            found[:, rows, : piece.token_ids.shape[1]] = torch.stack(scores).float().cpu()
        return found[0], found[1]


class GradientSketch:
    """The weighted and the plain policy gradient of every task, with respect to the head's weight, projected.

    For a token with hidden state h, d log p(id) / d weight is (onehot(id) - p) h^T / temperature. Each task's sum over
    tokens of share x S (onehot(id) - p) h^T / temperature is kept, S the (k, V) projection.
    """

    def __init__(self, projection: Tensor, shares: Tensor, tasks: Tensor, temperature: float):
        """
        Args:
            projection: (k, V), on the model's device.
            shares: (2, B, T), how often each token's grad log p counts in either gradient.
            tasks: (B,), the task of each row, counted from 0 to the last row's.
        """
        self._projection = projection
        self._shares = shares
        self._tasks = tasks
        self._temperature = temperature
        self.sums: Tensor | None = None
        """(2, tasks, k, H): weighted and plain."""

    @contextmanager
    def listening(self, head: Any, token_ids: Tensor, rows: Tensor) -> Iterator[None]:
        """Add the tokens of the forward pass that is made meanwhile, of ``token_ids`` (B, T), the rows ``rows``.

        The call of the linear ``head`` is the place: only there has ZeRO stage 3 gathered its weight.
        """

        def hear(module: Any, arguments: tuple[Tensor]) -> None:
            self._add(module, arguments[0], token_ids, rows)

        handle = head.register_forward_pre_hook(hear)
        try:
            yield
        finally:
            handle.remove()

    def _add(self, head: Any, hidden: Tensor, token_ids: Tensor, rows: Tensor) -> None:
        shares = self._shares[:, rows, : token_ids.shape[1]].to(hidden.device)
        tasks = self._tasks[rows].to(hidden.device)
        if self.sums is None:
            shape = 2, int(self._tasks[-1]) + 1, len(self._projection), hidden.shape[-1]
            self.sums = torch.zeros(shape, device=hidden.device)
        spoken, before = (shares[..., 1:] != 0).any(dim=0).nonzero(as_tuple=True)  # nothing predicts column 0
        size = max(1, _ENTRIES // len(head.weight))
        for row, column in zip(torch.split(spoken, size), torch.split(before + 1, size), strict=True):
            h = hidden[row, column - 1]
            p = torch.softmax(torch.nn.functional.linear(h, head.weight, head.bias).float() / self._temperature, dim=-1)
            slopes = (self._projection[:, token_ids[row, column]].T - p @ self._projection.T) / self._temperature
            for task in set(tasks[row].tolist()):
                mine = tasks[row] == task
                parts = shares[:, row[mine], column[mine], None] * slopes[mine]
                self.sums[:, task] += parts.transpose(1, 2) @ h[mine].float()

    def metrics(self, denominator: float) -> dict[str, float]:
        """``gradient/…``, over all ranks; nothing with fewer than two tasks, or where no token has an advantage.

        Args:
            denominator: this rank's share of the loss's.
        """
        assert self.sums is not None
        every = engine.gather(
            (denominator, len(self.sums[0]), [float(each.double().square().sum()) for each in self.sums])
        )
        total, n = sum(part[0] for part in every), sum(part[1] for part in every)
        gradients = self.sums.sum(dim=1)
        dist.all_reduce(gradients)
        weighted, plain = gradients.flatten(1).double()
        if n < 2 or not weighted.any() or not plain.any():
            return {}
        metrics = {"gradient/cosine": float(torch.cosine_similarity(weighted, plain, dim=0))}
        for kind, (gradient, suffix) in enumerate(((weighted, ""), (plain, "_plain"))):
            length = float(gradient.square().sum())
            variance = (n * sum(part[2][kind] for part in every) - length) / (n - 1)
            metrics[f"gradient/variance{suffix}"] = variance / total**2
            metrics[f"gradient/noise{suffix}"] = variance / length
        return metrics


def random_projection(vocabulary: int, rows: int) -> Tensor:
    """(rows, vocabulary) of N(0, 1 / rows), always the same; the unit matrix if there are no fewer rows than columns.

    E[|S x|^2] = |x|^2. For one x the standard deviation is sqrt(2 / rows) |x|^2, for a matrix of many directions less.
    """
    if rows >= vocabulary:
        return torch.eye(vocabulary)
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(0)) / math.sqrt(rows)


def gradient_shares(batch: Batch, weights: Tensor) -> Tensor:
    """(2, B, T): weight x advantage, and the same with each row's weights spread evenly over its sampled tokens."""
    sampled = batch.loss_mask.float()
    even = sampled * weights.sum(dim=1, keepdim=True) / sampled.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.stack([weights, even]) * batch.advantages


def tasks_of_rows(batch: Batch, group: int) -> Tensor:
    """The task of each row of ``split(batch)``: of every ``group`` rollouts, side by side, and their segments."""
    tasks = torch.arange(len(batch)) // group
    return tasks if batch.segments is None else tasks.repeat_interleave(batch.segments.amax(dim=1) + 1)


def region_means(values: Tensor, regions: Tensor, name: str) -> dict[str, float]:
    """``name/<region>``: means of ``values`` (B, T) over the tokens of each region, on all ranks."""
    parts = torch.stack([region_sums(values, regions), region_sums(torch.ones_like(values), regions)])
    sums, tokens = torch.tensor(engine.gather(parts.tolist()), dtype=torch.float64).sum(dim=0)
    return {f"{name}/{r.name.lower()}": float(sums[r] / tokens[r]) for r in Region if r and tokens[r]}


def control_changes(changes: Tensor) -> dict[str, float]:
    """``control/…`` of (N,) changes of log-probability on this rank; nothing where no rank has any."""
    ratios = changes.clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO).exp()
    streams = {"ratio": ratios, "change": changes.abs()}
    every = engine.gather(
        {name: (len(s), float(s.double().sum()), float(s.max()) if len(s) else 0.0) for name, s in streams.items()}
    )
    metrics: dict[str, float] = {}
    for name in streams:
        counts, sums, largest = zip(*(part[name] for part in every), strict=True)
        if sum(counts):
            metrics |= {f"control/{name}_mean": sum(sums) / sum(counts), f"control/{name}_max": max(largest)}
    return metrics
