"""What the phases of a run share: engine, environments, progress, record; and how it begins, saves and stops."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Mapping
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
from rest_agent.batch import Batch, idle, micro_batches
from rest_agent.chat import Chat, stop_ids
from rest_agent.config import Config, ConfigError
from rest_agent.critic import Critic
from rest_agent.evaluate import evaluate
from rest_agent.metrics import RunLog
from rest_agent.provenance import provenance
from rest_agent.reference import BareReference, Reference, is_bare, keep_policy
from rest_agent.regions import TokenText
from rest_agent.results import RESULTS_NAME
from rest_agent.rollout import Arena
from rest_agent.sampling.decode import Sampling
from rest_agent.sampling.vllm import Vllm
from rest_agent.watchdog import beat
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
        self.arena = self.make_arena(config.environment.options, show_tools=True)
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

    def begin_reinforcement(self) -> Reference | None:
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

    def step(self, micro_batches: list[Item], forward: engine.Forward[Item], rate: float) -> float:
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

    def validate(self, update: int) -> None:
        """Greedy success on the validation split; notes whether the policy is the best so far."""
        evaluation = evaluate(
            self.arena, self.sampler.refresh(), self.config, self.config.environment.validation_split, 0.0
        ).summary()
        figures = {"success": evaluation["valid"] / evaluation["n"], "reward": evaluation["reward"]}
        self.report("validation", update, {"n": evaluation["n"], **figures})
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

    # For the phases

    def updates(self, phase: str, total: int) -> Iterator[int]:
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

    def report(self, phase: str, update: int, metrics: dict[str, float]) -> None:
        """Write the figures of an update to the log, and some of them on the screen."""
        self.log.write(phase, update, metrics)
        shown = {name: metrics[name] for name in ("loss", "reward", "success") if name in metrics}
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()})

    def make_arena(self, options: Mapping[str, Any], show_tools: bool) -> Arena:
        """Where episodes are played, with these options of the environment."""
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

    def micro_batches(self, batch: Batch, whole: Batch | None = None) -> list[Batch]:
        """Micro-batches, as many on every rank; a rank with too few computes on a row of weight 0."""
        parts = micro_batches(batch, self.config.optimizer.micro_batch_tokens) if len(batch) else []
        return engine.level(parts, idle(batch if whole is None else whole))

    def seeds(self, phase: str, update: int, count: int) -> list[int]:
        """The same on every rank, and in a resumed run."""
        key = [self.config.run.seed, *phase.encode(), update]
        return [int(seed) for seed in np.random.SeedSequence(key).generate_state(count) >> 1]

    def sum_over_ranks(self, value: Tensor) -> Tensor:
        return torch.stack(engine.gather(value)).sum(dim=0)

    def mean_over_ranks(self, value: Tensor) -> float:
        values = engine.gather(float(value))
        return sum(values) / len(values)

    def mean_metrics(self, metrics: dict[str, float]) -> dict[str, float]:
        """Means over the ranks that have a figure."""
        every = engine.gather(metrics)
        names = {name for one in every for name in one}
        return {n: float(np.mean([one[n] for one in every if n in one])) for n in sorted(names)}

    def _obey_signals(self) -> None:
        if any(engine.gather(self._interrupted)):
            raise Interrupted(str(self.save()))

    def _spend(self, what: str, since: float) -> None:
        self.progress.seconds[what] = self.progress.seconds.get(what, 0.0) + time.monotonic() - since

    @property
    def sampling(self) -> Sampling:
        rl = self.config.rl
        return Sampling(rl.temperature, rl.max_reply_tokens, rl.max_tokens, rl.decode_rows)

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    @contextmanager
    def listening_to_signals(self) -> Iterator[None]:
        """While it lasts, SIGINT and SIGTERM end the run after the update, saved, by :class:`Interrupted`."""

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
