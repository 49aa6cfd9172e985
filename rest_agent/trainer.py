"""Training from beginning to end: cold start, ResT over GRPO, evaluation before, between and after.

``train`` reads as the recipe. Everything random is seeded by (seed, phase, update, rank), so that a resumed run draws
what the interrupted one would have drawn.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rest_agent import engine
from rest_agent.advantages import equal_groups
from rest_agent.batch import Batch, Rollout, collate, pad, sampled
from rest_agent.config import SFTStage
from rest_agent.credit import critic_advantages, earned, token_advantages
from rest_agent.diagnostics import Probe
from rest_agent.entropies import RegionEntropies
from rest_agent.logits import score_tokens
from rest_agent.mismatch import LogProbGap, corrected
from rest_agent.published import rollout_weights
from rest_agent.reference import keep_policy, reference_kl
from rest_agent.reinforcement import Tally, by_rows, rollout_metrics
from rest_agent.rollout import Arena, fill_in_lost, reward_truncated
from rest_agent.run import Run
from rest_agent.segments import split
from rest_agent.sft import best_of, demonstration_batch, sft_loss
from rest_agent.watchdog import Watchdog
from rest_agent.weights import token_weights, unweighted_rows


def train(run: Run) -> None:
    """Every phase that is not done yet."""
    with Watchdog(run.config.run.hang_minutes, run.folder, run.rank), run.listening_to_signals():
        run.evaluate("start")
        for number, stage in enumerate(run.config.sft):
            cold_start(run, f"sft{number}", stage)
        if run.config.sft:
            run.evaluate("sft")
        reinforce(run)
        if run.config.rl.updates:
            run.evaluate("rl")
    if run.progress.step:
        run.save()
        if run.config.model.lora is not None:  # of which a checkpoint holds the adapters alone
            keep_policy(run.folder / "merged", run.engine, run.tokenizer)


def cold_start(run: Run, phase: str, stage: SFTStage) -> None:
    """Supervised updates on fresh examples: demonstrations, or the best of the policy's own rollouts."""
    arena = run.make_arena({**run.config.environment.options, **stage.options}, stage.show_tools)
    for update in run.updates(phase, stage.updates):
        seeds = run.seeds(phase, update, stage.batch)[run.rank :: run.ranks]
        if stage.source == "demonstrations":
            examples, keep = [arena.demonstration(seed, stage.noise) for seed in seeds], None
        else:
            examples, keep = _best_of(run, arena, seeds, stage)
        batch = demonstration_batch(examples, run.pad_id, stage.kind, stage.emphasis, keep)
        denominator = run.mean_over_ranks(batch.weights.sum()) or 1.0
        losses: list[Tensor] = []

        def forward(model: Any, part: Batch, denominator: float = denominator, losses: list[Tensor] = losses) -> Tensor:
            losses.append(sft_loss(model, part.to(run.device), denominator))
            return losses[-1]

        rate = stage.learning_rate * _schedule(update, stage.updates, stage.warmup, stage.final_rate)
        norm = run.step(run.micro_batches(batch), forward, rate)
        loss = run.mean_over_ranks(torch.stack(losses).detach().sum())
        figures = {"loss": loss, "grad_norm": norm, "learning_rate": rate}
        if keep is not None:
            figures["kept"] = run.mean_over_ranks(keep.float().mean())
        run.report(phase, update, figures | run.skips.metrics())


def _best_of(run: Run, arena: Arena, seeds: Sequence[int], stage: SFTStage) -> tuple[list[Rollout], Tensor]:
    """Rejection sampling: the policy's best rollout of each task, and whether it is good enough."""
    tasks = [arena.sample_tasks(run.config.environment.train_split, seed, 1)[0] for seed in seeds]
    starts = [task for task in tasks for _ in range(stage.samples)]
    rollouts = arena.rollouts(run.sampler.refresh(), starts, run.sampling, seeds[0])
    rewards = torch.tensor([rollout.reward for rollout in rollouts])
    rows, keep = best_of(rewards, stage.samples, stage.least)
    return [rollouts[row] for row in rows], keep


def reinforce(run: Run) -> None:
    """Rollouts in groups, what each token of them deserves, weights by what it is, optimizer steps."""
    rl = run.config.rl
    reference = run.begin_reinforcement()
    probe = Probe(run.engine, run.config)
    for update in run.updates("rl", rl.updates):
        began = time.monotonic()
        rollouts, replaced = _play(run, update)
        sampled_in = time.monotonic() - began

        weights, unweighted = _weigh(run, rollouts, update)
        batch = collate(rollouts, run.pad_id, torch.zeros_like(weights), weights)
        if reference is not None:
            batch = reference.judge(batch)
        kl = reference_kl(batch, rl.kl.estimator)
        costs = kl * (rl.kl.coefficient if rl.kl.place == "reward" else 0.0)
        if run.critic is None:
            advantages = token_advantages(rollouts, rl.group, rl.advantage, costs, run.sum_over_ranks)
            batch = replace(batch, advantages=advantages)
        else:
            values = run.critic.expect(batch)
            advantages, targets = critic_advantages(rollouts, rl.advantage, costs, values, run.sum_over_ranks)
            batch = replace(batch, advantages=advantages, values=values, targets=targets)
        rate = rl.learning_rate * _schedule(update, rl.updates, rl.warmup, rl.final_rate)
        batch, gap = _corrected(run, batch)
        if probe.due(update):
            probe.before(batch)
        metrics = _improve(run, batch, _examples(run, update, rollouts), rate) | gap
        if probe.due(update):
            metrics |= probe.after()

        metrics |= rollout_metrics(rollouts, batch, unweighted)
        metrics |= {"learning_rate": rate, "seconds_sampling": sampled_in}
        metrics |= {"groups_replaced": float(replaced)} if rl.refill else {}
        metrics |= {"kl_reference": float(kl.sum() / batch.loss_mask.sum().clamp(min=1))} if reference else {}
        run.report("rl", update, run.mean_metrics(metrics))
        every = run.config.evaluation.every
        if every and (update + 1) % every == 0:
            run.validate(update)


def _play(run: Run, update: int) -> tuple[list[Rollout], int]:
    """This rank's rollouts, in groups, and how many groups made room for others.

    A group in which all earned the same teaches nothing: ``rl.refill`` times such groups are replaced by those of
    fresh tasks. Those that are left then stay.
    """
    rl, split = run.config.rl, run.config.environment.train_split
    mine = slice(run.rank, rl.tasks, run.ranks)
    model = run.sampler.refresh()
    groups: dict[int, list[Rollout]] = {}
    places, replaced = list(range(rl.tasks)[mine]), 0
    for attempt, seed in enumerate(run.seeds("rl", update, 1 + rl.refill)):
        tasks = run.arena.sample_tasks(split, seed, rl.tasks, update + 1, rl.one_step)[mine][: len(places)]
        starts = [task for task in tasks for _ in range(rl.group)]
        rollouts = run.arena.rollouts(model, starts, run.sampling, seed + run.rank)
        rollouts = fill_in_lost(reward_truncated(rollouts, run.config.rollout.truncated_reward), rl.group)
        replaced += len(places) if attempt else 0
        for number, place in enumerate(places):
            groups[place] = rollouts[number * rl.group : (number + 1) * rl.group]
        equal = equal_groups(earned(rollouts, rl.advantage), rl.group).tolist()
        places = [place for place, same in zip(places, equal, strict=True) if same]
        if not places:
            break
    return [rollout for place in sorted(groups) for rollout in groups[place]], replaced


def _weigh(run: Run, rollouts: Sequence[Rollout], update: int) -> tuple[Tensor, Tensor]:
    """(B, T) token weights, and (B,) bool, the rows without a weight of their own."""
    schedule, number = run.config.rl.weights, update + 1  # published training steps count from 1
    if schedule.preset == "reference":
        streams = [(rollout.token_ids, rollout.loss_mask) for rollout in rollouts]
        weights = pad([rollout_weights(ids, mask, run.tokenizer, number) for ids, mask in streams])
        return weights, ~(weights > 0).any(dim=1) & pad([mask for _, mask in streams]).any(dim=1)
    regions = pad([rollout.regions for rollout in rollouts])
    progress = update / max(1, run.config.rl.updates - 1)
    entropies = RegionEntropies.from_dict(run.progress.entropies)
    return (
        token_weights(regions, progress, schedule, entropies, update=number),
        unweighted_rows(regions, progress, schedule, entropies, update=number),
    )


def _corrected(run: Run, batch: Batch) -> tuple[Batch, dict[str, float]]:
    """The batch, by ``rollout.importance_cap`` as if the trainer had sampled it; and how far the two are apart."""
    cap = run.config.rollout.importance_cap
    if cap is None:
        return batch, {}

    def score(piece: Batch) -> Tensor:
        return score_tokens(run.engine, piece.token_ids, piece.loss_mask, run.config.rl.temperature)[0]

    run.engine.eval()
    log_probs = by_rows(batch, run.config.optimizer.micro_batch_tokens, run.device, score)
    gap = LogProbGap()
    gap.add(log_probs, batch.old_log_probs, batch.loss_mask)
    return corrected(batch, log_probs, cap), gap.metrics()


def _examples(run: Run, update: int, rollouts: Sequence[Rollout]) -> Batch | None:
    """What the supervised term of the loss imitates in this update."""
    term = run.config.rl.supervised
    if not term.coefficient:
        return None
    if term.source == "demonstrations":
        seeds = run.seeds("rl-demonstrations", update, term.batch)[run.rank :: run.ranks]
        examples, keep = [run.arena.demonstration(seed, term.noise) for seed in seeds], None
    else:
        rows, keep = best_of(torch.tensor([rollout.reward for rollout in rollouts]), run.config.rl.group)
        examples = [rollouts[row] for row in rows]
    return demonstration_batch(examples, run.pad_id, term.kind, term.emphasis, keep)


def _improve(run: Run, batch: Batch, examples: Batch | None, rate: float) -> dict[str, float]:
    """Optimizer steps on one batch of rollouts."""
    rl, critic = run.config.rl, run.critic
    tally, count = Tally(rl), rl.minibatches  # as many on every rank
    norm = float("nan")

    def forward(model: Any, item: tuple[Callable[..., Tensor], Batch, Any]) -> Tensor:
        loss, piece, denominator = item
        return loss(model, piece.to(run.device), denominator)

    for _ in range(rl.epochs):
        for number, rows in enumerate(torch.arange(len(batch)).tensor_split(count)):
            part = batch.rows(rows)
            totals = [run.mean_over_ranks(value) or 1.0 for value in tally.denominators(part)]
            part = split(tally.weighed(part)) if len(part) else part
            used = run.micro_batches(tally.useful(part), batch)
            pieces: list[Any] = [(tally.loss, piece, totals) for piece in used]
            if examples is not None:
                shown = examples.rows(torch.arange(len(examples)).tensor_split(count)[number])
                total = run.mean_over_ranks(shown.weights.sum()) or 1.0
                pieces += [(tally.supervised, piece, total) for piece in run.micro_batches(shown, examples)]
            norm, tally.moved = run.step(pieces, forward, rate), True
            if critic is not None:
                total = run.mean_over_ranks(part.loss_mask.sum()) or 1.0
                pieces = [(critic.loss, piece, total) for piece in run.micro_batches(sampled(part), batch)]
                step = engine.update(critic.engine, pieces, forward, rl.critic.learning_rate)
                run.skips.count(step, rl.critic.learning_rate, "critic")
    sums, tokens = torch.tensor(engine.gather(tally.entropies.tolist()), dtype=torch.float64).sum(dim=0)
    entropies = RegionEntropies.from_dict(run.progress.entropies)
    run.progress.entropies = entropies.update(sums, tokens, rl.weights.entropy).to_dict()
    metrics = {"grad_norm": norm} | run.skips.metrics() | tally.metrics()
    return metrics if critic is None else metrics | critic.metrics(batch)


def _schedule(update: int, updates: int, warmup: int, final: float) -> float:
    """The factor of the learning rate: up to 1 on a line over ``warmup`` updates, down to ``final`` on a cosine."""
    fall = final + (1 - final) * 0.5 * (1 + math.cos(math.pi * update / updates))
    return min(1.0, (update + 1) / max(1, warmup)) * fall
