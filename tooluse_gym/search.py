"""Planning with the environment itself as the model: Monte-Carlo tree search by snapshot and restore."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import gymnasium

from tooluse_gym.env import Observation, Snapshot, inside
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.tasks import Task

Policy = Callable[[Any], Mapping[Any, float]]
"""``policy(env)``: the actions that may be taken now (at least one), with their probabilities."""


def greedy(env: gymnasium.Env[Any, Any], policy: Policy) -> Any:
    """The most probable action; of equals the first."""
    actions = policy(env)
    return max(actions, key=actions.__getitem__)


@dataclass
class Branch:
    """An action at a node: its probability, and what trying it has shown."""

    probability: float
    visits: int = 0
    reward: float = 0.0  # of this step
    best: float = 0.0  # sum of rewards, from this step to the best end found behind it
    node: Node | None = None  # where it leads to; None: not tried yet, or the episode ends
    exhausted: bool = False  # nothing behind it is left to try


@dataclass
class Node:
    """An episode before an action."""

    task: Task
    conversation: Observation
    snapshot: Snapshot
    branches: dict[Hashable, Branch] = field(default_factory=dict)

    @property
    def exhausted(self) -> bool:
        return all(branch.exhausted for branch in self.branches.values())

    def choose(self, exploration: float) -> Hashable:
        """The action to try next, by PUCT; one that was not tried counts as much as the others' average."""
        tried = [branch.best for branch in self.branches.values() if branch.visits]
        unknown = sum(tried) / len(tried) if tried else 0.0
        visits = sqrt(1 + sum(branch.visits for branch in self.branches.values()))

        def score(action: Hashable) -> float:
            branch = self.branches[action]
            value = branch.best if branch.visits else unknown
            return value + exploration * branch.probability * visits / (1 + branch.visits)

        return max((action for action, branch in self.branches.items() if not branch.exhausted), key=score)


class TreeSearch:
    """An agent that tries what may follow before it acts (:func:`tooluse_gym.agents.play` plays it).

    A simulation walks down the tree by PUCT to an action that was not tried yet, takes it, and lets the policy finish
    the episode greedily. It earns the sum of the rewards: what is sought is what the rubric of ``env`` rewards. As
    nothing is left to chance, a branch is worth its best end, and is left alone once all behind it was tried. The agent
    takes the action with the best end (of equals the most probable) and keeps the part of the tree behind it.

    Args:
        env: what is played, a :class:`~tooluse_gym.env.ToolUseEnv` or wrappers around one that remember nothing, as
            those of :mod:`tooluse_gym.wrappers`. Its episode is restored before the agent acts.
        policy: which actions there are, and which to try first: texts, or what a wrapper takes in their place.
        simulations: number of them before each action.
        exploration: weight of the policy's probabilities beside what was found, in units of reward.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], policy: Policy, simulations: int = 64, exploration: float = 1.0):
        if simulations < 1:
            raise ConfigurationError(f"simulations must be at least 1, got {simulations}")
        self._env = env
        self._inner = inside(env, "TreeSearch")
        self._policy = policy
        self._simulations = simulations
        self._exploration = exploration
        self._root: Node | None = None

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any:
        root = self._root
        if root is None or root.task is not self._inner.task or root.conversation != self._inner.conversation:
            root = self._node()
        for _ in range(self._simulations):
            if root.exhausted:
                break
            self._simulate(root)
        self._inner.restore(root.snapshot)
        action, branch = max(root.branches.items(), key=lambda item: _rank(item[1]))
        self._root = branch.node
        return action

    def _node(self) -> Node:
        actions = self._policy(self._env)
        if not actions:
            raise ConfigurationError("the policy knows no action")
        branches = {action: Branch(probability) for action, probability in actions.items()}
        return Node(self._inner.task, self._inner.conversation, self._inner.snapshot(), branches)

    def _simulate(self, node: Node) -> float:
        """Walk from ``node`` to an end that is new; the sum of the rewards on the way."""
        action = node.choose(self._exploration)
        branch = node.branches[action]
        if branch.node is None:
            self._inner.restore(node.snapshot)
            _, reward, terminated, truncated, _ = self._env.step(action)
            branch.reward = float(reward)
            branch.node = None if terminated or truncated else self._node()
            earned = branch.reward + (0.0 if branch.node is None else self._finish(branch.node))
        else:
            earned = branch.reward + self._simulate(branch.node)
        branch.best = max(branch.best, earned) if branch.visits else earned
        branch.visits += 1
        branch.exhausted = branch.node is None or branch.node.exhausted
        return earned

    def _finish(self, node: Node) -> float:
        """Let the policy play greedily to the end; the sum of the rewards."""
        action = max(node.branches, key=lambda action: node.branches[action].probability)
        earned = 0.0
        while True:
            _, reward, terminated, truncated, _ = self._env.step(action)
            earned += float(reward)
            if terminated or truncated:
                return earned
            action = greedy(self._env, self._policy)


def _rank(branch: Branch) -> tuple[bool, float, float]:
    return branch.visits > 0, branch.best, branch.probability
