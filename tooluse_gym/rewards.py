"""Rewards: an ordered set of named, weighted terms. Every step's reward comes with its parts.

A term is a function of a :class:`StepOutcome`. Terms that speak of a turn are 0 until the turn ends, and are divided by
the number of turns, so that a term of weight w adds up to at most w over an episode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats.reply import Reply
from tooluse_gym.scoring import TurnGrade, Verdict
from tooluse_gym.world import ToolResult


class StepOutcome(NamedTuple):
    """All that a reward may look at after one step.

    ``replies`` and ``results`` hold the steps of the current turn so far, this one last. ``grade`` is set when the turn
    ended with this step, ``verdict`` when the episode did.
    """

    replies: tuple[Reply, ...]
    results: tuple[tuple[ToolResult, ...], ...]
    gold_steps: int  # assistant messages in the turn's ground truth, the closing one included
    turn: int
    turns: int
    grade: TurnGrade | None = None
    verdict: Verdict | None = None


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
    return _per_turn(outcome, len(outcome.replies) > outcome.gold_steps)


def _per_turn(outcome: StepOutcome, value: float) -> float:
    return float(value) / outcome.turns


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

RUBRICS = {"official": OFFICIAL, "dense": DENSE}


def get_rubric(rubric: str | Rubric) -> Rubric:
    """The preset of that name; a rubric object is returned as it is.

    Raises:
        ConfigurationError: no preset has that name.
    """
    if not isinstance(rubric, str):
        return rubric
    if rubric not in RUBRICS:
        raise ConfigurationError(f"unknown rubric {rubric!r}; choose one of {', '.join(RUBRICS)} or pass a Rubric")
    return RUBRICS[rubric]
