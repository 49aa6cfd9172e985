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

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from tooluse_gym.formats.reply import Reply
from tooluse_gym.tasks import Task
from tooluse_gym.world import Attributes, World

ErrorType = Literal[
    "empty_turn_model_response",
    "instance_state_mismatch",
    "execution_response_mismatch",
    "force_terminated",
    "inference_error",
    "needless_call",
]
"""What :class:`WorldJudge` finds; other judges have words of their own."""


@dataclass(frozen=True, slots=True)
class TurnGrade:
    """How a finished turn compares with its ground truth. ``error_type`` is None when the turn is right.

    ``results_seen`` is the fraction of the turn's ground-truth results that the agent has seen (1.0 if there are none).
    """

    error_type: str | None
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

    def record(self) -> dict[str, Any]:
        """As plain data; without ``turn`` if it is None, as vector environments cannot batch numbers with None."""
        where = {} if self.turn is None else {"turn": self.turn}
        differing = {name: list(attributes) for name, attributes in self.differing.items()}
        return {"valid": self.valid, "error_type": self.error_type, **where, "differing": differing}


@dataclass(frozen=True, slots=True)
class TurnTruth:
    """What the ground truth of one turn comes to: the texts of its results, and the public attributes after it."""

    results: Counter[str]
    attributes: Attributes

    def __deepcopy__(self, memo: dict[int, Any]) -> TurnTruth:
        return self  # never changes


GroundTruth = tuple[TurnTruth, ...]
"""Every turn of a task's ground truth, played beforehand."""


def play_ground_truth(task: Task, world: World) -> GroundTruth:
    """Play all turns on ``world`` once, for any number of episodes.

    Only right where the agent's world cannot change what the ground truth does in its own.
    """
    turns: list[TurnTruth] = []
    for turn in task.turns:
        results = Counter(world.replay(call) for call in turn.calls)
        before: Attributes = turns[-1].attributes if turns else {}
        after = {
            name: before[name] if before.get(name) == attributes else copy.deepcopy(attributes)
            for name, attributes in world.attributes().items()
        }
        turns.append(TurnTruth(results, after))
    return tuple(turns)


class Judge(Protocol):
    """Grades an episode turn by turn. A deep copy of it is part of a snapshot."""

    agent: World
    """The world in which the agent's calls are carried out."""

    @property
    def shared(self) -> Sequence[object]:
        """What the judge holds that never changes: a deep copy shares it."""

    def end_turn(self, steps: Sequence[Sequence[str]], replies: Sequence[Reply] = ()) -> TurnGrade:
        """Grade the turn just finished: the result texts of each of its steps that made calls, and all its replies."""

    def verdict(self) -> Verdict:
        """The verdict over all turns; an episode that stopped before its last turn was graded is force-terminated."""


class WorldJudge:
    """Compares the agent's world with the ground truth, grades each turn, and remembers the first failure.

    Args:
        task: what is graded.
        agent: the agent's world.
        gold: a world to play the ground truth on, turn by turn beside the agent; or what was played beforehand.
        strict: demand that no call is made in a turn whose ground truth is empty.
    """

    def __init__(self, task: Task, agent: World, gold: World | GroundTruth, strict: bool = False):
        self._task = task
        self.agent = agent
        self.gold = gold
        self._strict = strict
        self._seen: Counter[str] = Counter()
        self._turn = 0
        self._failure: Verdict | None = None

    @property
    def shared(self) -> Sequence[object]:
        return (self._task,) if isinstance(self.gold, World) else (self._task, self.gold)

    def end_turn(self, steps: Sequence[Sequence[str]], replies: Sequence[Reply] = ()) -> TurnGrade:
        for step in steps:
            self._seen.update(step)
        grade = self._grade(self._truth(), steps)
        if grade.error_type is not None and self._failure is None:
            self._failure = Verdict(False, grade.error_type, self._turn, grade.differing)
        self._turn += 1
        return grade

    def _truth(self) -> TurnTruth:
        if not isinstance(self.gold, World):
            return self.gold[self._turn]
        results = Counter(self.gold.replay(call) for call in self._task.turns[self._turn].calls)
        return TurnTruth(results, self.gold.attributes())

    def _grade(self, truth: TurnTruth, steps: Sequence[Sequence[str]]) -> TurnGrade:
        required = truth.results
        differing = self.agent.differs(truth.attributes)
        missing = sum(max(0, count - self._seen[text]) for text, count in required.items())
        total = required.total()
        seen = (total - missing) / total if total else 1.0
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
        return overall(self._failure, self._turn, self._task)


class ReplyJudge:
    """Grades single-step tasks by what is said: ``score(turn, reply)`` is the verdict on the reply to one turn."""

    def __init__(self, task: Task, agent: World, score: Callable[[int, Reply], Verdict]):
        self._task = task
        self.agent = agent
        self._score = score
        self._turn = 0
        self._failure: Verdict | None = None

    @property
    def shared(self) -> Sequence[object]:
        return (self._task, self._score)

    def end_turn(self, steps: Sequence[Sequence[str]], replies: Sequence[Reply] = ()) -> TurnGrade:
        found = self._score(self._turn, replies[-1])
        if not found.valid and self._failure is None:
            self._failure = replace(found, turn=self._turn)
        self._turn += 1
        return TurnGrade(None if found.valid else found.error_type or "wrong", found.valid, float(found.valid))

    def verdict(self) -> Verdict:
        return overall(self._failure, self._turn, self._task)


def overall(failure: Verdict | None, graded: int, task: Task) -> Verdict:
    """The verdict on an episode whose first wrong turn is known, after so many graded turns."""
    if graded < len(task.turns):
        return Verdict(False, "force_terminated", graded)
    return Verdict(True) if failure is None else failure
