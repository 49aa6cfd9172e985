"""The one scorer: did the agent reach the ground truth's state, and see the results the ground truth saw?

The rules are those of BFCL's multi-turn checker. Turn by turn, after the agent has handed back, the ground truth's
calls are played on a world of their own; then

* a turn whose ground truth is empty is not judged (strict mode: it must hold no call);
* a turn without any call, where the ground truth has one, fails;
* every public attribute of every tool set must be equal in both worlds;
* every result of this turn's ground-truth calls must be among all results the agent has seen so far, each of the
  agent's results serving once per turn (multiset inclusion, exact text).

Order, number and detours of the agent's calls do not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tooluse_gym.tasks import Task
from tooluse_gym.world import World

ErrorType = Literal[
    "empty_turn_model_response",
    "instance_state_mismatch",
    "execution_response_mismatch",
    "force_terminated",
    "inference_error",
    "needless_call",
]


@dataclass(frozen=True, slots=True)
class TurnGrade:
    """How a finished turn compares with its ground truth. ``error_type`` is None when the turn is right.

    ``results_seen`` is the fraction of the turn's ground-truth results that the agent has seen (1.0 if there are none).
    """

    error_type: ErrorType | None
    state_agrees: bool
    results_seen: float
    differing: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a whole episode; the first wrong turn decides."""

    valid: bool
    error_type: str | None = None
    turn: int | None = None
    differing: Mapping[str, list[str]] = field(default_factory=dict)


class Judge:
    """Plays the ground truth beside the agent, grades each turn, and remembers the first failure.

    ``strict`` also demands that no call is made in a turn whose ground truth is empty.
    """

    def __init__(self, task: Task, agent: World, gold: World, strict: bool = False):
        self._task = task
        self.agent = agent
        self.gold = gold
        self._strict = strict
        self._seen: Counter[str] = Counter()
        self._turn = 0
        self._failure: Verdict | None = None

    def end_turn(self, steps: Sequence[Sequence[str]]) -> TurnGrade:
        """Grade the turn just finished, given the result texts of each of its steps (the agent's own, in order)."""
        self._seen.update(text for step in steps for text in step)
        required = Counter(self.gold.replay(call) for call in self._task.turns[self._turn].calls)
        grade = self._grade(required, steps)
        if grade.error_type is not None and self._failure is None:
            self._failure = Verdict(False, grade.error_type, self._turn, grade.differing)
        self._turn += 1
        return grade

    def _grade(self, required: Counter[str], steps: Sequence[Sequence[str]]) -> TurnGrade:
        differing = self.agent.differs(self.gold)
        missing = (required - self._seen).total()
        seen = (required.total() - missing) / required.total() if required else 1.0
        error: ErrorType | None = None
        if not required:
            if self._strict and any(steps):
                error = "needless_call"
        elif not steps or (len(steps) == 1 and not steps[0]):
            error = "empty_turn_model_response"
        elif differing:
            error = "instance_state_mismatch"
        elif missing:
            error = "execution_response_mismatch"
        return TurnGrade(error, not differing, seen, differing if error == "instance_state_mismatch" else {})

    def verdict(self) -> Verdict:
        """The verdict over all turns; an episode that stopped before its last turn was graded is force-terminated."""
        if self._failure is None and self._turn == len(self._task.turns):
            return Verdict(True)
        if self._turn < len(self._task.turns):
            return Verdict(False, "force_terminated", self._turn)
        assert self._failure is not None
        return self._failure
