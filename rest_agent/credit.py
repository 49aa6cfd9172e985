"""Credit: which advantage each token of an update's rollouts gets.

``advantages`` has the estimators; here stands what of a rollout they are fed with, and how what they say is spread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rest_agent.advantages import (
    generalised_advantages,
    group_advantages,
    moments,
    returns_to_go,
    standardise,
    term_advantages,
    turn_advantages,
)
from rest_agent.batch import Rollout, pad
from rest_agent.config import AdvantageConfig

Sum = Callable[[Tensor], Tensor]
"""A tensor added up over ranks."""


def earned(rollouts: Sequence[Rollout], config: AdvantageConfig) -> Tensor:
    """(N, S) float32: what a group's rollouts are compared by. Where all its rows agree there is nothing to learn.

    ``outcome``: the reward; ``terms``: each term of it, in order of name; ``turns`` (and ``critic``): the reward of
    each turn, 0 for turns that were not reached.
    """
    if config.credit == "outcome":
        return torch.tensor([[rollout.reward] for rollout in rollouts])
    if config.credit == "terms":
        names = term_names(rollouts)
        return torch.tensor([[rollout.reward_terms.get(name, 0.0) for name in names] for rollout in rollouts])
    return pad([torch.tensor(rollout.turn_rewards) for rollout in rollouts])


def term_names(rollouts: Sequence[Rollout]) -> list[str]:
    return sorted({name for rollout in rollouts for name in rollout.reward_terms})


def token_advantages(
    rollouts: Sequence[Rollout], group: int, config: AdvantageConfig, costs: Tensor, sum_over_ranks: Sum
) -> Tensor:
    """(N, T) float32, 0 where nothing was sampled: advantages relative to the group.

    Args:
        group: rollouts of a task, which stand side by side.
        costs: (N, T), taken from the reward at each token: what the KL divergence from the reference costs.
        sum_over_ranks: under ``terms`` the whole batch is standardised.
    """
    form = {"scale_by_std": config.scale_by_std, "leave_one_out": config.leave_one_out}
    values, turns = earned(rollouts, config), pad([rollout.turns for rollout in rollouts], -1)
    if config.credit == "outcome":
        rewards = values[:, 0] - costs.sum(dim=1)
        return group_advantages(rewards, group, **form)[:, None] * (turns >= 0)
    if config.credit == "terms":
        term_weights = torch.tensor([config.term_weights.get(name, 1.0) for name in term_names(rollouts)])
        advantages = term_advantages(values, group, term_weights, **form)
        return standardise(advantages, sum_over_ranks(moments(advantages)), centre=False)[:, None] * (turns >= 0)
    returns = returns_to_go(values - turn_sums(costs, turns, values.shape[1]), config.discount)
    by_turn = turn_advantages(returns, turn_sums(turns >= 0, turns, values.shape[1]) > 0, group, **form)
    return by_turn.gather(1, turns.clamp(min=0).long()) * (turns >= 0)


def critic_advantages(
    rollouts: Sequence[Rollout], config: AdvantageConfig, costs: Tensor, values: Tensor, sum_over_ranks: Sum
) -> tuple[Tensor, Tensor]:
    """GAE's advantages, standardised over the sampled tokens of all ranks, and the critic's targets; each (N, T).

    A turn's reward is earned at its last token.

    Args:
        values: (N, T), what the critic expected before each token.
    """
    turns = pad([rollout.turns for rollout in rollouts], -1)
    rewards = token_rewards(earned(rollouts, config), turns) - costs
    advantages, targets = generalised_advantages(rewards, values, turns >= 0, config.discount, config.trace)
    sampled = turns >= 0
    scaled = standardise(advantages, sum_over_ranks(moments(advantages[sampled])), centre=True)
    return torch.where(sampled, scaled, 0.0), targets


def token_rewards(turn_rewards: Tensor, turns: Tensor) -> Tensor:
    """(N, T): ``turn_rewards`` (N, K), each at the last token of its turn. ``turns``: (N, T), -1 where not sampled."""
    rewards = torch.zeros(turns.shape)
    position = torch.arange(turns.shape[1])
    for turn, column in enumerate(turn_rewards.unbind(1)):
        last = torch.where(turns == turn, position, -1).amax(dim=1)
        rows = (last >= 0).nonzero()[:, 0]
        rewards[rows, last[rows]] = column[rows]
    return rewards


def turn_sums(values: Tensor, turns: Tensor, count: int) -> Tensor:
    """(N, ``count``) float32: ``values`` (N, T) added up over the tokens of each turn."""
    sums = torch.zeros(len(turns), count)
    sampled = turns >= 0
    return sums.scatter_add(1, torch.where(sampled, turns, 0).long(), torch.where(sampled, values, 0).float())
