"""Rewards: an ordered set of named, weighted terms. Every step's reward comes with its parts.

A term is a function of a :class:`StepOutcome`. Terms that speak of a turn are 0 until the turn ends, and are divided by
the number of turns, so that a term of weight w adds up to at most w over an episode. Terms of the presets ``paper``,
``toolrl`` and ``rest`` score every step against the ground truth's message in its place, and add up undivided: those
rewards are made for single steps (reset option ``prefix``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from tooluse_gym.agreement import Switches, between, call_agreement, published_agreement, scale, thought_length
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats.reply import Call, Reply
from tooluse_gym.scoring import TurnGrade, Verdict
from tooluse_gym.tasks import Task
from tooluse_gym.world import ToolResult


class StepOutcome(NamedTuple):
    """All that a reward may look at after one step.

    ``replies`` and ``results`` hold the steps of the current turn so far, this one last. ``grade`` is set when the turn
    ended with this step, ``verdict`` when the episode did.
    """

    task: Task
    turn: int
    replies: tuple[Reply, ...]
    results: tuple[tuple[ToolResult, ...], ...]
    grade: TurnGrade | None = None
    verdict: Verdict | None = None
    update: int = 1  # of the trainer, as reset was told it; the first is 1

    @property
    def gold(self) -> tuple[Call, ...]:
        """Calls of the ground truth's message in the place of this one; none: it hands back."""
        steps = self.task.turns[self.turn].steps
        return steps[len(self.replies) - 1] if len(self.replies) <= len(steps) else ()


Term = Callable[[StepOutcome], float]


@dataclass(frozen=True)
class Rubric:
    """Named, weighted terms: ``{name: (weight, term)}``."""

    terms: Mapping[str, tuple[float, Term]]

    def __call__(self, outcome: StepOutcome) -> tuple[float, dict[str, float]]:
        """The step's reward, and the weighted value of every term; the reward is their sum."""
        parts = {name: weight * term(outcome) + 0.0 for name, (weight, term) in self.terms.items()}  # + 0.0: no -0.0
        return math.fsum(parts.values()), parts

    def zeros(self) -> dict[str, float]:
        """A value of 0 for every term, as ``reset`` reports it."""
        return dict.fromkeys(self.terms, 0.0)


def verdict(outcome: StepOutcome) -> float:
    """1 at the end of an episode that the scorer accepts."""
    return float(outcome.verdict is not None and outcome.verdict.valid)


def turn_right(outcome: StepOutcome) -> float:
    """A turn the scorer accepts."""
    return _per_turn(outcome, outcome.grade is not None and outcome.grade.error_type is None)


def state_agrees(outcome: StepOutcome) -> float:
    """At the end of a turn the agent's world equals the ground truth's."""
    return _per_turn(outcome, outcome.grade is not None and outcome.grade.state_agrees)


def results_seen(outcome: StepOutcome) -> float:
    """Fraction of the turn's required results that the agent has seen."""
    return _per_turn(outcome, outcome.grade.results_seen if outcome.grade is not None else 0.0)


def well_formed(outcome: StepOutcome) -> float:
    """Fraction of the turn's replies that obey the reply format in full."""
    if outcome.grade is None:
        return 0.0
    return _per_turn(outcome, sum(reply.error is None for reply in outcome.replies) / len(outcome.replies))


def calls_valid(outcome: StepOutcome) -> float:
    """Fraction of the turn's calls that name a visible tool and satisfy its schema; 1 for a turn without calls."""
    if outcome.grade is None:
        return 0.0
    made = [result for step in outcome.results for result in step]
    return _per_turn(outcome, sum(r.failure in (None, "exception") for r in made) / len(made) if made else 1.0)


def needless_steps(outcome: StepOutcome) -> float:
    """1 for every step of a turn beyond the number the ground truth takes (give it a negative weight)."""
    return _per_turn(outcome, len(outcome.replies) > outcome.task.gold_steps_of(outcome.turn))


def imitates_format(outcome: StepOutcome) -> float:
    """The reply obeys its format in full, and makes calls just where the ground truth does."""
    reply = outcome.replies[-1]
    return float(reply.error is None and bool(reply.calls) == bool(outcome.gold))


def imitates_calls(outcome: StepOutcome) -> float:
    """How far the reply's calls agree with the ground truth's, in [0, 1]: the accuracy of ResT's paper."""
    said = _said(outcome)
    return 0.0 if said is None else call_agreement(said, _calls(outcome.gold), "sets")


def published(switches: Switches) -> Rubric:
    """The reward of ToolRL's and ResT's programs, for replies in any format: format + correctness (+ length).

    The reply format's own parser says what is right; otherwise it is :func:`tooluse_gym.agreement.published_scores`.
    """

    def right_format(outcome: StepOutcome) -> float:
        return between(scale(switches, outcome.update).format, imitates_format(outcome))

    def correctness(outcome: StepOutcome) -> float:
        if not outcome.gold:
            return 0.0
        agreement = published_agreement(_said(outcome), _calls(outcome.gold), switches)
        return between(scale(switches, outcome.update).correctness, agreement)

    def length(outcome: StepOutcome) -> float:
        words = len((outcome.replies[-1].think or "").split())
        return thought_length(words, switches, outcome.update)

    terms: dict[str, tuple[float, Term]] = {"format": (1.0, right_format), "correctness": (1.0, correctness)}
    if switches.length and switches.version == "toolrl":
        terms["length"] = (1.0, length)
    return Rubric(terms)


def _said(outcome: StepOutcome) -> list[dict[str, Any]] | None:
    """The calls of the reply; None if one of them cannot be read."""
    calls = outcome.replies[-1].calls
    return None if any(call.error is not None for call in calls) else _calls(calls)


def _calls(calls: tuple[Call, ...]) -> list[dict[str, Any]]:
    return [{"name": call.name, "parameters": call.arguments} for call in calls]


def _per_turn(outcome: StepOutcome, value: float) -> float:
    return float(value) / len(outcome.task.turns)


OFFICIAL = Rubric({"verdict": (1.0, verdict)})
"""Sparse: BFCL's verdict at the end of the episode."""

DENSE = Rubric(
    {
        "turn": (0.6, turn_right),
        "state": (0.1, state_agrees),
        "results": (0.1, results_seen),
        "format": (0.1, well_formed),
        "schema": (0.1, calls_valid),
        "steps": (-0.05, needless_steps),
    }
)
"""Progress turn by turn; an episode without a fault earns 1."""

PAPER = Rubric({"format": (1.0, imitates_format), "accuracy": (1.0, imitates_calls)})
"""Step by step: the reward of ResT's paper. Its scaling over training is a factor common to a group of rollouts, which
relative advantages do not see; the published programs scale the two terms differently."""

SWITCHES = {"toolrl": Switches(), "rest": Switches(version="rest", schedule=True)}
"""Step by step: the rewards of ToolRL's program, and of ResT's as its authors ran it."""

RUBRICS = {
    "official": OFFICIAL,
    "dense": DENSE,
    "paper": PAPER,
    **{name: published(switches) for name, switches in SWITCHES.items()},
}


def get_rubric(rubric: str | Mapping[str, Any] | Rubric, published: Callable[[Switches], Rubric] = published) -> Rubric:
    """The preset of that name; a rubric object is returned as it is.

    ``{"name": "toolrl", "coarse": True}`` is a preset with other switches (:class:`tooluse_gym.agreement.Switches`).

    Args:
        published: how the published programs' rewards are scored, for an environment that has another way.

    Raises:
        ConfigurationError: no preset has that name, or it has no such switch.
    """
    if isinstance(rubric, Rubric):
        return rubric
    changes = {"name": rubric} if isinstance(rubric, str) else dict(rubric)
    name = changes.pop("name", None)
    if name not in RUBRICS:
        raise ConfigurationError(f"unknown rubric {name!r}; choose one of {', '.join(RUBRICS)} or pass a Rubric")
    if name in SWITCHES:
        return published(get_switches(name, changes))
    for switch, on in changes.items():
        raise ConfigurationError(f"rubric {name!r} takes no switches, got {switch}={on!r}")
    return RUBRICS[name]


def get_switches(name: str, changes: Mapping[str, Any]) -> Switches:
    """The switches of a published program, ``toolrl`` or ``rest``, with ``changes``.

    Raises:
        ConfigurationError: there is no such program, or no such switch.
    """
    if name not in SWITCHES:
        raise ConfigurationError(f"unknown preset {name!r}; choose one of {', '.join(SWITCHES)}")
    known = [switch.name for switch in fields(Switches) if switch.name != "version"]
    for switch, on in changes.items():
        if switch not in known or not isinstance(on, bool):
            raise ConfigurationError(f"rubric {name!r} takes true or false for {', '.join(known)}, got {switch}={on!r}")
    return replace(SWITCHES[name], **changes)
