"""A run from beginning to end: cold start, ResT over GRPO, evaluation before, between and after.

``train`` reads as the recipe. Everything random is seeded by (seed, phase, update, rank), so that a resumed run draws
what the interrupted one would have drawn.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

from rest_agent import checkpoint, engine, policy, randomness
from rest_agent.advantages import group_advantages
from rest_agent.batch import Batch, collate, idle, informative, micro_batches, pad
from rest_agent.chat import Chat
from rest_agent.config import Config, ConfigError, SFTStage
from rest_agent.evaluate import evaluate
from rest_agent.metrics import RunLog
from rest_agent.provenance import provenance
from rest_agent.regions import TokenText
from rest_agent.reinforcement import Tally, rollout_metrics
from rest_agent.results import RESULTS_NAME
from rest_agent.rollout import Arena
from rest_agent.sampling.decode import Sampling
from rest_agent.sft import demonstration_batch, sft_loss
from rest_agent.weights import token_weights, unweighted_rows
from tooluse_gym import trajectory


class Interrupted(Exception):  # noqa: N818 (it is no error)
    """SIGINT or SIGTERM came; the run was saved."""


@dataclass
class Progress:
    """How far the run is: what resuming needs besides weights, optimizer and random generators. Every field is saved.

    There is no more to it: tasks, batches, learning rates and weights follow from the number of the update.
    """

    step: int = 0
    """Optimizer updates so far, over all phases."""
    done: dict[str, int] = field(default_factory=dict)
    """Updates made in each phase."""
    results: dict[str, Any] = field(default_factory=dict)
    """Evaluations by stage."""
    seconds: dict[str, float] = field(default_factory=dict)
    best: dict[str, Any] | None = None
    """The update with the highest success on the validation split (the first of equals), and its checkpoint's step."""
    log: dict[str, int] | None = field(default_factory=dict)
    """How far the files of the log were written; None: not known."""


class Run:
    """What the phases of a run share."""

    def __init__(
        self,
        config: Config,
        settings: dict[str, Any],
        device: torch.device,
        folder: Path,
        resume: Path | None,
        command: str = "",
    ):
        self.config = config
        self.folder = folder
        self.device = device
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        torch.manual_seed(config.run.seed)
        _check_ranks(config, self.ranks)
        model, self.tokenizer = policy.make(config, resume)
        policy.check_lengths(model, config.rl.max_tokens)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        if resume is not None:
            settings = checkpoint.load_settings(resume, settings)
        self.engine, self.sampler = engine.make_engine(model.to(self.device), config, settings)
        self.text_of = TokenText(self.tokenizer)
        self.arena = self._arena(config.environment.options, show_tools=True)
        if config.sft or config.rl.updates:  # may we train on these tasks at all?
            self.arena.sample_tasks(config.environment.train_split, 0, 1)
        self.record = _record(config, command, folder)
        self.progress = Progress()
        randomness.seed(config.run.seed, self.rank)
        if resume is not None:  # last of all: the random generators must not be used before training goes on
            self.progress = Progress(**{"log": None, **checkpoint.restore(resume, self.engine)})
        self.log = RunLog(folder if self.rank == 0 else None, config.run.tensorboard, self.progress.log)
        self.skips = engine.Skips(config)
        self._interrupted = False

    # The recipe

    def train(self) -> None:
        """Every phase that is not done yet."""
        with self._listening_to_signals():
            self.evaluate("start")
            for number, stage in enumerate(self.config.sft):
                self.cold_start(f"sft{number}", stage)
            if self.config.sft:
                self.evaluate("sft")
            self.reinforce()
            if self.config.rl.updates:
                self.evaluate("rl")
        if self.progress.step:
            self.save()

    def cold_start(self, phase: str, stage: SFTStage) -> None:
        """Supervised updates on fresh demonstrations."""
        arena = self._arena({**self.config.environment.options, **stage.options}, stage.show_tools)
        for update in self._updates(phase, stage.updates):
            seeds = self._seeds(phase, update, stage.batch)[self.rank :: self.ranks]
            batch = demonstration_batch([arena.demonstration(seed, stage.noise) for seed in seeds], self._pad_id)
            denominator = self._mean_over_ranks(batch.weights.sum())
            losses: list[Tensor] = []

            def forward(
                model: Any, part: Batch, denominator: float = denominator, losses: list[Tensor] = losses
            ) -> Tensor:
                losses.append(sft_loss(model, part.to(self.device), denominator))
                return losses[-1]

            rate = stage.learning_rate * _schedule(update, stage.updates, stage.warmup, stage.final_rate)
            norm = self._step(self._micro_batches(batch), forward, rate)
            loss = self._mean_over_ranks(torch.stack(losses).detach().sum())
            figures = {"loss": loss, "grad_norm": norm, "learning_rate": rate}
            self._report(phase, update, figures | self.skips.metrics())

    def reinforce(self) -> None:
        """ResT over GRPO: rollouts in groups, advantages within the group, weights by what a token is."""
        rl = self.config.rl
        sampling = Sampling(rl.temperature, rl.max_reply_tokens, rl.max_tokens, rl.decode_rows)
        for update in self._updates("rl", rl.updates):
            progress = update / max(1, rl.updates - 1)
            seed, mine = self._seeds("rl", update, 1)[0], slice(self.rank, rl.tasks, self.ranks)
            tasks = self.arena.sample_tasks(self.config.environment.train_split, seed, rl.tasks)[mine]
            starts = [task for task in tasks for _ in range(rl.group)]
            generator = torch.Generator(self.device).manual_seed(seed + self.rank)
            began = time.monotonic()
            rollouts = self.arena.rollouts(self.sampler.refresh(), starts, sampling, generator)
            sampled_in = time.monotonic() - began

            regions = pad([rollout.regions for rollout in rollouts])
            rewards = torch.tensor([rollout.reward for rollout in rollouts])
            mask = pad([rollout.loss_mask for rollout in rollouts])
            advantages = group_advantages(rewards, rl.group, rl.scale_by_std)[:, None] * mask
            weights = token_weights(regions, progress, rl.weights)
            batch = collate(rollouts, self._pad_id, advantages, weights)
            rate = rl.learning_rate * _schedule(update, rl.updates, rl.warmup, rl.final_rate)
            metrics = self._improve(batch, rate)

            metrics |= rollout_metrics(rollouts, batch, unweighted_rows(regions, progress, rl.weights))
            metrics |= {"learning_rate": rate, "seconds_sampling": sampled_in}
            self._report("rl", update, self._mean_metrics(metrics))
            every = self.config.evaluation.every
            if every and (update + 1) % every == 0:
                self._validate(update)

    def _improve(self, batch: Batch, rate: float) -> dict[str, float]:
        """Optimizer steps on one batch of rollouts."""
        rl = self.config.rl
        tally = Tally(rl)
        norm = float("nan")
        for _ in range(rl.epochs):
            for rows in torch.arange(len(batch)).tensor_split(rl.minibatches):  # as many on every rank
                part = batch.rows(rows)
                denominator = self._mean_over_ranks(part.weights.sum()) or 1.0

                def forward(model: Any, piece: Batch, denominator: float = denominator) -> Tensor:
                    return tally.loss(model, piece.to(self.device), denominator)

                norm = self._step(self._micro_batches(informative(part), batch), forward, rate)
        return {"grad_norm": norm} | self.skips.metrics() | tally.metrics()

    def _step(self, micro_batches: list[Batch], forward: engine.Forward[Batch], rate: float) -> float:
        """An optimizer step, and the norm of its gradient."""
        step = engine.update(self.engine, micro_batches, forward, rate)
        self.skips.count(step, rate)
        return step.norm

    # Evaluation and record

    def evaluate(self, stage: str) -> None:
        """Greedy and sampled success on the held-out tasks, kept in the results under ``stage``."""
        if stage in self.progress.results:
            return
        began = time.monotonic()
        model = self.sampler.refresh()
        outcome = {}
        modes = {"greedy": 0.0, "sampled": 1.0} if self.config.evaluation.sampled else {"greedy": 0.0}
        for mode, temperature in modes.items():
            evaluation = evaluate(self.arena, model, self.config, self.config.environment.eval_split, temperature)
            outcome[mode] = evaluation.summary()
            if self.rank == 0:
                path = self.folder / "evaluations" / f"{stage}-{mode}.jsonl"
                path.parent.mkdir(exist_ok=True)
                path.unlink(missing_ok=True)
                trajectory.save(path, (r.trajectory for r in evaluation.rollouts if r.trajectory is not None))
        self.progress.results[stage] = outcome
        self._spend("evaluation", began)
        shares = ", ".join(f"{mode} {o['valid']}/{o['n']}" for mode, o in outcome.items())
        engine.say(f"evaluation [{stage}] solved: {shares}")
        self.write_results()
        self._obey_signals()

    def _validate(self, update: int) -> None:
        evaluation = evaluate(
            self.arena, self.sampler.refresh(), self.config, self.config.environment.validation_split, 0.0
        ).summary()
        figures = {"success": evaluation["valid"] / evaluation["n"], "reward": evaluation["reward"]}
        self._report("validation", update, {"n": evaluation["n"], **figures})
        best = self.progress.best
        if best is None or figures["success"] > best["success"]:
            self.progress.best = {"step": self.progress.step + 1, "update": update, "success": figures["success"]}

    def write_results(self) -> None:
        """``results.json``: what the report is made from."""
        if self.rank == 0:
            results = {
                "parameters": self.parameters,
                "vocabulary": len(self.tokenizer),
                "stages": self.progress.results,
                "seconds": self.progress.seconds,
                "updates": self.progress.done,
                "best": self.progress.best,
                **self.record,
            }
            checkpoint.write_text(self.folder / RESULTS_NAME, json.dumps(results, indent=1))

    def save(self) -> Path:
        """Write a checkpoint."""
        self.progress.log = self.log.position()
        best = self.progress.best["step"] if self.progress.best else None
        folder, keep = self.folder / "checkpoints", self.config.run.keep
        return checkpoint.save(folder, self.engine, self.tokenizer, asdict(self.progress), keep, best)

    def close(self) -> None:
        self.log.close()

    # Small parts

    def _updates(self, phase: str, total: int) -> Iterator[int]:
        """The updates of ``phase`` that are still to be made; counts, times, saves and obeys signals between them."""
        first = self.progress.done.get(phase, 0)
        hidden = self.rank != 0 or not self.config.run.progress or first >= total
        bar = tqdm(range(first, total), desc=phase, initial=first, total=total, disable=hidden, unit="update")
        self._bar = bar
        for update in bar:
            began = time.monotonic()
            yield update
            self.progress.step += 1
            self.progress.done[phase] = update + 1
            self._spend(phase, began)
            self._obey_signals()
            best_yet = self.progress.best is not None and self.progress.best["step"] == self.progress.step
            if self.progress.step % self.config.run.save_every == 0 or update + 1 == total or best_yet:
                self.save()

    def _report(self, phase: str, update: int, metrics: dict[str, float]) -> None:
        self.log.write(phase, update, metrics)
        shown = {name: metrics[name] for name in ("loss", "reward", "success") if name in metrics}
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()})

    def _arena(self, options: Any, show_tools: bool) -> Arena:
        environment = replace(self.config.environment, options=options)
        if not show_tools:
            environment = replace(environment, options={**options, "show_tools": False})
        chat = Chat(
            self.tokenizer,
            show_tools=show_tools and environment.tools_from == "template",
            results_as=environment.results_as,
            variables=self.config.model.template_variables,
        )
        return Arena(environment, chat, self.text_of)

    def _micro_batches(self, batch: Batch, whole: Batch | None = None) -> list[Batch]:
        """Micro-batches, as many on every rank; a rank with too few computes on a row of weight 0."""
        parts = micro_batches(batch, self.config.optimizer.micro_batch_tokens) if len(batch) else []
        return engine.level(parts, idle(batch if whole is None else whole))

    def _seeds(self, phase: str, update: int, count: int) -> list[int]:
        key = [self.config.run.seed, *phase.encode(), update]
        return [int(seed) for seed in np.random.SeedSequence(key).generate_state(count) >> 1]

    def _mean_over_ranks(self, value: Tensor) -> float:
        values = engine.gather(float(value))
        return sum(values) / len(values)

    def _mean_metrics(self, metrics: dict[str, float]) -> dict[str, float]:
        every = engine.gather(metrics)
        names = {name for one in every for name in one}
        return {n: float(np.mean([one[n] for one in every if n in one])) for n in sorted(names)}

    def _obey_signals(self) -> None:
        if any(engine.gather(self._interrupted)):
            raise Interrupted(str(self.save()))

    def _spend(self, what: str, since: float) -> None:
        self.progress.seconds[what] = self.progress.seconds.get(what, 0.0) + time.monotonic() - since

    @property
    def _pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    @contextmanager
    def _listening_to_signals(self) -> Iterator[None]:
        def remember(number: int, frame: FrameType | None) -> None:
            self._interrupted = True
            engine.say("interrupted: finishing this update, then saving")

        before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _check_ranks(config: Config, ranks: int) -> None:
    """Every rank must have something to do in every update.

    Raises:
        ConfigError: there are more ranks than that.
    """
    shared = {f"sft.{number}.batch": stage.batch for number, stage in enumerate(config.sft)}
    for key, count in {**shared, "rl.tasks": config.rl.tasks}.items():
        if count < ranks:
            raise ConfigError(f"{key}: {count} cannot be shared out among {ranks} ranks")


def _record(config: Config, command: str, folder: Path) -> dict[str, Any]:
    """Where the run comes from, for its results; a resumed run keeps the command that began it."""
    earlier = folder / RESULTS_NAME
    if earlier.exists():
        command = json.loads(earlier.read_text(encoding="utf-8")).get("command", command)
    notes = []
    environment = config.environment
    if config.sft or config.rl.updates:
        if environment.options.get("allow_test_data"):
            data = environment.options.get("dataset", environment.id)
            notes.append(f"trained on the benchmark's test data ({data}): no score on it says how good the model is")
        elif environment.train_split == environment.eval_split:
            notes.append(f"trained and evaluated on the same split, {environment.eval_split}")
    return {"provenance": provenance(), "command": command, "notes": notes}


def _schedule(update: int, updates: int, warmup: int, final: float) -> float:
    """The factor of the learning rate: up to 1 on a line over ``warmup`` updates, down to ``final`` on a cosine."""
    fall = final + (1 - final) * 0.5 * (1 + math.cos(math.pi * update / updates))
    return min(1.0, (update + 1) / max(1, warmup)) * fall
