"""The reward of API-Bank's dialogues: calls first, then how they were made and what was said."""

from __future__ import annotations

from tooluse_gym.rewards import (
    Rubric,
    StepOutcome,
    calls_valid,
    needless_steps,
    results_seen,
    turn_right,
    well_formed,
)

from .rouge import response_score


def answer(outcome: StepOutcome) -> float:
    """ROUGE-L of what hands the turn back, where the dialogue was recorded with an answer; 1 where it was not."""
    if outcome.grade is None:
        return 0.0
    expected = outcome.task.turns[outcome.turn].response
    score = 1.0 if expected is None else response_score(outcome.replies[-1].response or "", expected)
    return score / len(outcome.task.turns)


def needless_calls(outcome: StepOutcome) -> float:
    """At the end of a turn, the share of its calls beyond the number that the ground truth makes."""
    if outcome.grade is None:
        return 0.0
    made = sum(map(len, outcome.results))
    beyond = max(0, made - len(outcome.task.turns[outcome.turn].calls))
    return beyond / made / len(outcome.task.turns) if made else 0.0


RUBRIC = Rubric(
    {
        "turn": (0.4, turn_right),
        "calls": (0.3, results_seen),
        "answer": (0.1, answer),
        "format": (0.1, well_formed),
        "schema": (0.1, calls_valid),
        "needless": (-0.1, needless_calls),
        "steps": (-0.05, needless_steps),
    }
)
"""Progress turn by turn; an episode without a fault earns 1. Gold calls are counted by the environment's scoring."""
