"""API-Bank as a benchmark of the evaluator: its dialogues, and ToolRL's edition of it, one call at a time.

What counts of a dialogue is every gold call, in the corrected scoring; of one call, the soft match of ToolRL and ResT.
The other scoring of each is a measure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tooluse_gym.evaluation.benchmark import Benchmark, Category, Figures, Tally, by_verdict
from tooluse_gym.outcome import Played

from .apis.base import Mode
from .data import CALLS, DIALOGUES


def _calls(scoring: Mode) -> Callable[[Played], Tally]:
    """Gold calls that were made rightly."""

    def count(played: Played) -> Tally:
        total = float(played.report["gold_calls"])
        return Tally(played.report["accuracy"][scoring] * total, total)

    return count


def _answers(played: Played) -> Tally:
    return Tally(played.report["rouge_l"], 1.0)


def _dialogues(name: str) -> Category:
    return Category(
        name,
        "APIBank-v0",
        {"prompting": {"dataset": name, "format": "api_bank"}, "fc": {"dataset": name, "format": "structured"}},
        score=_calls("corrected"),
        measures={"calls, reference": _calls("reference"), "whole dialogues": by_verdict, "answers, ROUGE-L": _answers},
    )


def _single_calls(name: str) -> Category:
    options = {"dataset": name, "scoring": "reference"}
    return Category(
        name,
        "APIBank-v0",
        {"prompting": {**options, "format": "toolrl"}, "fc": {**options, "format": "structured"}},
        base=_dialogue,
        score=_calls("reference"),
        measures={"corrected": _calls("corrected")},
    )


def _dialogue(task_id: str) -> str:
    """Calls of one dialogue share its words."""
    return task_id.partition("#")[0]


def figures(tallies: Mapping[str, Tally]) -> Figures:
    """``calls``: the accuracy of ToolRL and ResT, over all calls of the levels played; ``dialogues``: likewise."""
    values = {}
    for kind, names in (("calls", CALLS), ("dialogues", DIALOGUES)):
        played = [tallies[name] for name in names if name in tallies]
        if played:
            values[kind] = sum(tally.right for tally in played) / sum(tally.total for tally in played)
    return Figures(values)


_CATEGORIES = [*map(_single_calls, CALLS), *map(_dialogues, DIALOGUES)]

BENCHMARKS = (Benchmark("api-bank", {category.name: category for category in _CATEGORIES}, figures),)
