"""A run from beginning to end: cold start, ResT over GRPO, evaluation before, between and after.

``train`` reads as the recipe. Everything random is seeded by (seed, phase, update, rank), so that a resumed run draws
what the interrupted one would have drawn.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

from rest_agent import checkpoint, engine, policy, randomness
from rest_agent.advantages import equal_groups
from rest_agent.batch import Batch, Rollout, collate, idle, micro_batches, pad, sampled
from rest_agent.chat import Chat, stop_ids
from rest_agent.config import Config, ConfigError, SFTStage
from rest_agent.credit import critic_advantages, earned, token_advantages
from rest_agent.critic import Critic
from rest_agent.diagnostics import Probe
from rest_agent.entropies import RegionEntropies
from rest_agent.evaluate import evaluate
from rest_agent.logits import score_tokens
from rest_agent.metrics import RunLog
from rest_agent.mismatch import LogProbGap, corrected
from rest_agent.provenance import provenance
from rest_agent.published import rollout_weights
from rest_agent.reference import BareReference, Reference, is_bare, keep_policy, reference_kl
from rest_agent.regions import TokenText
from rest_agent.reinforcement import Tally, by_rows, rollout_metrics
from rest_agent.results import RESULTS_NAME
from rest_agent.rollout import Arena, fill_in_lost, reward_truncated
from rest_agent.sampling.decode import Sampling
from rest_agent.sampling.vllm import Vllm
from rest_agent.segments import split
from rest_agent.sft import best_of, demonstration_batch, sft_loss
from rest_agent.watchdog import Watchdog, beat
from rest_agent.weights import token_weights, unweighted_rows
from tooluse_gym import trajectory

Item = TypeVar("Item")
_FIRST_POLICY = "first_policy"


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
    entropies: dict[str, Any] = field(default_factory=dict)
    """Those of the policy by region: :class:`RegionEntropies`."""
    skips: dict[str, Any] = field(default_factory=dict)
    """Optimizer steps skipped in a row: :class:`engine.Skips`."""


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
        self._settings, self._resumed_from = settings, resume
        if config.model.lora is not None:
            trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
            engine.say(f"LoRA: {trained:,} of {self.parameters:,} parameters are trained")
        self.engine, weights = engine.make_engine(model.to(self.device), config, settings)
        self.sampler = Vllm(weights, config) if config.rollout.backend == "vllm" else weights
        self.text_of = TokenText(self.tokenizer)
        self.arena = self._arena(config.environment.options, show_tools=True)
        if config.sft or config.rl.updates:  # may we train on these tasks at all?
            self.arena.sample_tasks(config.environment.train_split, 0, 1)
        self.record = _record(config, command, folder)
        self.critic: Critic | None = None
        self.progress = Progress()
        randomness.seed(config.run.seed, self.rank)
        if resume is not None:  # last of all: the random generators must not be used before training goes on
            self.progress = Progress(**{"log": None, **checkpoint.restore(resume, self.engine)})
            self._check_algorithm(resume)
        self.log = RunLog(folder if self.rank == 0 else None, config.run.tensorboard, self.progress.log)
        self.skips = engine.Skips(config, self.progress.skips)
        self._interrupted = False

    # The recipe

    def train(self) -> None:
        """Every phase that is not done yet."""
        with Watchdog(self.config.run.hang_minutes, self.folder, self.rank), self._listening_to_signals():
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
            if self.config.model.lora is not None:  # of which a checkpoint holds the adapters alone
                keep_policy(self.folder / "merged", self.engine, self.tokenizer)

    def cold_start(self, phase: str, stage: SFTStage) -> None:
        """Supervised updates on fresh examples: demonstrations, or the best of the policy's own rollouts."""
        arena = self._arena({**self.config.environment.options, **stage.options}, stage.show_tools)
        for update in self._updates(phase, stage.updates):
            seeds = self._seeds(phase, update, stage.batch)[self.rank :: self.ranks]
            if stage.source == "demonstrations":
                examples, keep = [arena.demonstration(seed, stage.noise) for seed in seeds], None
            else:
                examples, keep = self._best_of(arena, seeds, stage)
            batch = demonstration_batch(examples, self._pad_id, stage.kind, stage.emphasis, keep)
            denominator = self._mean_over_ranks(batch.weights.sum()) or 1.0
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
            if keep is not None:
                figures["kept"] = self._mean_over_ranks(keep.float().mean())
            self._report(phase, update, figures | self.skips.metrics())

    def _best_of(self, arena: Arena, seeds: Sequence[int], stage: SFTStage) -> tuple[list[Rollout], Tensor]:
        """Rejection sampling: the policy's best rollout of each task, and whether it is good enough."""
        tasks = [arena.sample_tasks(self.config.environment.train_split, seed, 1)[0] for seed in seeds]
        starts = [task for task in tasks for _ in range(stage.samples)]
        rollouts = arena.rollouts(self.sampler.refresh(), starts, self._sampling, seeds[0])
        rewards = torch.tensor([rollout.reward for rollout in rollouts])
        rows, keep = best_of(rewards, stage.samples, stage.least)
        return [rollouts[row] for row in rows], keep

    def reinforce(self) -> None:
        """Rollouts in groups, what each token of them deserves, weights by what it is, optimizer steps."""
        rl = self.config.rl
        reference = self._begin_reinforcement()
        probe = Probe(self.engine, self.config)
        for update in self._updates("rl", rl.updates):
            began = time.monotonic()
            rollouts, replaced = self._play(update)
            sampled_in = time.monotonic() - began

            weights, unweighted = self._weigh(rollouts, update)
            batch = collate(rollouts, self._pad_id, torch.zeros_like(weights), weights)
            if reference is not None:
                batch = reference.judge(batch)
            kl = reference_kl(batch, rl.kl.estimator)
            costs = kl * (rl.kl.coefficient if rl.kl.place == "reward" else 0.0)
            if self.critic is None:
                advantages = token_advantages(rollouts, rl.group, rl.advantage, costs, self._sum_over_ranks)
                batch = replace(batch, advantages=advantages)
            else:
                values = self.critic.expect(batch)
                advantages, targets = critic_advantages(rollouts, rl.advantage, costs, values, self._sum_over_ranks)
                batch = replace(batch, advantages=advantages, values=values, targets=targets)
            rate = rl.learning_rate * _schedule(update, rl.updates, rl.warmup, rl.final_rate)
            batch, gap = self._corrected(batch)
            if probe.due(update):
                probe.before(batch)
            metrics = self._improve(batch, self._examples(update, rollouts), rate) | gap
            if probe.due(update):
                metrics |= probe.after()

            metrics |= rollout_metrics(rollouts, batch, unweighted)
            metrics |= {"learning_rate": rate, "seconds_sampling": sampled_in}
            metrics |= {"groups_replaced": float(replaced)} if rl.refill else {}
            metrics |= {"kl_reference": float(kl.sum() / batch.loss_mask.sum().clamp(min=1))} if reference else {}
            self._report("rl", update, self._mean_metrics(metrics))
            every = self.config.evaluation.every
            if every and (update + 1) % every == 0:
                self._validate(update)

    def _play(self, update: int) -> tuple[list[Rollout], int]:
        """This rank's rollouts, in groups, and how many groups made room for others.

        A group in which all earned the same teaches nothing: ``rl.refill`` times such groups are replaced by those of
        fresh tasks. Those that are left then stay.
        """
        rl, split = self.config.rl, self.config.environment.train_split
        mine = slice(self.rank, rl.tasks, self.ranks)
        model = self.sampler.refresh()
        groups: dict[int, list[Rollout]] = {}
        places, replaced = list(range(rl.tasks)[mine]), 0
        for attempt, seed in enumerate(self._seeds("rl", update, 1 + rl.refill)):
            tasks = self.arena.sample_tasks(split, seed, rl.tasks, update + 1, rl.one_step)[mine][: len(places)]
            starts = [task for task in tasks for _ in range(rl.group)]
            rollouts = self.arena.rollouts(model, starts, self._sampling, seed + self.rank)
            rollouts = fill_in_lost(reward_truncated(rollouts, self.config.rollout.truncated_reward), rl.group)
            replaced += len(places) if attempt else 0
            for number, place in enumerate(places):
                groups[place] = rollouts[number * rl.group : (number + 1) * rl.group]
            equal = equal_groups(earned(rollouts, rl.advantage), rl.group).tolist()
            places = [place for place, same in zip(places, equal, strict=True) if same]
            if not places:
                break
        return [rollout for place in sorted(groups) for rollout in groups[place]], replaced

    def _weigh(self, rollouts: Sequence[Rollout], update: int) -> tuple[Tensor, Tensor]:
        """(B, T) token weights, and (B,) bool, the rows without a weight of their own."""
        schedule, number = self.config.rl.weights, update + 1  # published training steps count from 1
        if schedule.preset == "reference":
            streams = [(rollout.token_ids, rollout.loss_mask) for rollout in rollouts]
            weights = pad([rollout_weights(ids, mask, self.tokenizer, number) for ids, mask in streams])
            return weights, ~(weights > 0).any(dim=1) & pad([mask for _, mask in streams]).any(dim=1)
        regions = pad([rollout.regions for rollout in rollouts])
        progress = update / max(1, self.config.rl.updates - 1)
        entropies = RegionEntropies.from_dict(self.progress.entropies)
        return (
            token_weights(regions, progress, schedule, entropies, update=number),
            unweighted_rows(regions, progress, schedule, entropies, update=number),
        )

    def _corrected(self, batch: Batch) -> tuple[Batch, dict[str, float]]:
        """The batch, by ``rollout.importance_cap`` as if the trainer had sampled it; and how far the two are apart."""
        cap = self.config.rollout.importance_cap
        if cap is None:
            return batch, {}

        def score(piece: Batch) -> Tensor:
            return score_tokens(self.engine, piece.token_ids, piece.loss_mask, self.config.rl.temperature)[0]

        self.engine.eval()
        log_probs = by_rows(batch, self.config.optimizer.micro_batch_tokens, self.device, score)
        gap = LogProbGap()
        gap.add(log_probs, batch.old_log_probs, batch.loss_mask)
        return corrected(batch, log_probs, cap), gap.metrics()

    def _examples(self, update: int, rollouts: Sequence[Rollout]) -> Batch | None:
        """What the supervised term of the loss imitates in this update."""
        term = self.config.rl.supervised
        if not term.coefficient:
            return None
        if term.source == "demonstrations":
            seeds = self._seeds("rl-demonstrations", update, term.batch)[self.rank :: self.ranks]
            examples, keep = [self.arena.demonstration(seed, term.noise) for seed in seeds], None
        else:
            rows, keep = best_of(torch.tensor([rollout.reward for rollout in rollouts]), self.config.rl.group)
            examples = [rollouts[row] for row in rows]
        return demonstration_batch(examples, self._pad_id, term.kind, term.emphasis, keep)

    def _improve(self, batch: Batch, examples: Batch | None, rate: float) -> dict[str, float]:
        """Optimizer steps on one batch of rollouts."""
        rl, critic = self.config.rl, self.critic
        tally, count = Tally(rl), rl.minibatches  # as many on every rank
        norm = float("nan")

        def forward(model: Any, item: tuple[Callable[..., Tensor], Batch, Any]) -> Tensor:
            loss, piece, denominator = item
            return loss(model, piece.to(self.device), denominator)

        for _ in range(rl.epochs):
            for number, rows in enumerate(torch.arange(len(batch)).tensor_split(count)):
                part = batch.rows(rows)
                totals = [self._mean_over_ranks(value) or 1.0 for value in tally.denominators(part)]
                part = split(tally.weighed(part)) if len(part) else part
                used = self._micro_batches(tally.useful(part), batch)
                pieces: list[Any] = [(tally.loss, piece, totals) for piece in used]
                if examples is not None:
                    shown = examples.rows(torch.arange(len(examples)).tensor_split(count)[number])
                    total = self._mean_over_ranks(shown.weights.sum()) or 1.0
                    pieces += [(tally.supervised, piece, total) for piece in self._micro_batches(shown, examples)]
                norm, tally.moved = self._step(pieces, forward, rate), True
                if critic is not None:
                    total = self._mean_over_ranks(part.loss_mask.sum()) or 1.0
                    pieces = [(critic.loss, piece, total) for piece in self._micro_batches(sampled(part), batch)]
                    step = engine.update(critic.engine, pieces, forward, rl.critic.learning_rate)
                    self.skips.count(step, rl.critic.learning_rate, "critic")
        sums, tokens = torch.tensor(engine.gather(tally.entropies.tolist()), dtype=torch.float64).sum(dim=0)
        entropies = RegionEntropies.from_dict(self.progress.entropies)
        self.progress.entropies = entropies.update(sums, tokens, rl.weights.entropy).to_dict()
        metrics = {"grad_norm": norm} | self.skips.metrics() | tally.metrics()
        return metrics if critic is None else metrics | critic.metrics(batch)

    def _begin_reinforcement(self) -> Reference | None:
        """Make the reference and the critic, if the algorithm has them; both begin as the policy does in this phase.

        A resumed run makes them too, with the random generators restored already: they stay where they are.
        """
        rl, path = self.config.rl, self.folder / _FIRST_POLICY
        if not rl.updates:
            return None
        if self._needs_first_policy and not self._has_begun:
            keep_policy(path, self.engine, self.tokenizer)
        with randomness.untouched():
            if rl.advantage.credit == "critic":
                self.critic = Critic(self.config, self._settings, path, self.device)
                if self._has_begun and self._resumed_from is not None:
                    checkpoint.restore_critic(self._resumed_from, self.critic.engine)
            if not rl.kl.coefficient:
                return None
            if is_bare(self.config):
                return BareReference(self.config, self.engine)
            return Reference(self.config, path, len(self.tokenizer), self.device)

    def _check_algorithm(self, resume: Path) -> None:
        """Whether the run can go on with its algorithm, which may not be the one that it was begun with.

        Raises:
            ConfigError: the run has no reference, or no critic.
        """
        lacks = None
        if self._needs_first_policy and not (self.folder / _FIRST_POLICY).is_dir():
            lacks = f"{self.folder / _FIRST_POLICY}, the policy as it was when this phase began"
        elif self.config.rl.advantage.credit == "critic" and not checkpoint.has_critic(resume):
            lacks = f"a critic in {resume}"
        if lacks is not None and self._has_begun:
            raise ConfigError(f"rl.algorithm, rl.kl: the run has not kept {lacks}; to change this, begin a new run")

    @property
    def _needs_first_policy(self) -> bool:
        rl = self.config.rl
        return rl.advantage.credit == "critic" or (
            rl.kl.coefficient > 0 and rl.kl.reference is None and not is_bare(self.config)
        )

    @property
    def _has_begun(self) -> bool:
        """Whether an update of reinforcement learning was made."""
        return self.progress.done.get("rl", 0) > 0

    def _step(self, micro_batches: list[Item], forward: engine.Forward[Item], rate: float) -> float:
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
        beat()
        self.progress.log, self.progress.skips = self.log.position(), self.skips.state()
        best = self.progress.best["step"] if self.progress.best else None
        folder, keep = self.folder / "checkpoints", self.config.run.keep
        critic = None if self.critic is None else self.critic.engine
        return checkpoint.save(folder, self.engine, self.tokenizer, asdict(self.progress), keep, best, critic)

    def close(self) -> None:
        self.log.close()

    # Small parts

    def _updates(self, phase: str, total: int) -> Iterator[int]:
        """The updates of ``phase`` that are still to be made; counts, times, saves and obeys signals between them."""
        first = self.progress.done.get(phase, 0)
        hidden = self.rank != 0 or not self.config.run.progress or first >= total
        bar = tqdm(range(first, total), desc=phase, initial=first, total=total, disable=hidden, unit="update")
        self._bar = bar
        due = False
        for update in bar:
            began = time.monotonic()
            beat()
            yield update
            self.progress.step += 1
            self.progress.done[phase] = update + 1
            self._spend(phase, began)
            self._obey_signals()
            best_yet = self.progress.best is not None and self.progress.best["step"] == self.progress.step
            due |= self.progress.step % self.config.run.save_every == 0
            # Weights that no step can be made from may be broken: they must not take the place of the last sound ones.
            if (due and not self.skips.going_on) or update + 1 == total or best_yet:
                self.save()
                due = False

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
            stops=stop_ids(self.engine.module),
        )
        return Arena(environment, chat, self.text_of, self.config.rollout)

    def _micro_batches(self, batch: Batch, whole: Batch | None = None) -> list[Batch]:
        """Micro-batches, as many on every rank; a rank with too few computes on a row of weight 0."""
        parts = micro_batches(batch, self.config.optimizer.micro_batch_tokens) if len(batch) else []
        return engine.level(parts, idle(batch if whole is None else whole))

    def _seeds(self, phase: str, update: int, count: int) -> list[int]:
        key = [self.config.run.seed, *phase.encode(), update]
        return [int(seed) for seed in np.random.SeedSequence(key).generate_state(count) >> 1]

    def _sum_over_ranks(self, value: Tensor) -> Tensor:
        return torch.stack(engine.gather(value)).sum(dim=0)

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
    def _sampling(self) -> Sampling:
        rl = self.config.rl
        return Sampling(rl.temperature, rl.max_reply_tokens, rl.max_tokens, rl.decode_rows)

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
    if config.rl.supervised.coefficient and config.rl.supervised.source == "demonstrations":
        shared["rl.supervised.batch"] = config.rl.supervised.batch
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
