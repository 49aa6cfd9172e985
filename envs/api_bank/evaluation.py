"""API-Bank for the evaluation of models: ToolRL's edition call by call, as published, and whole dialogues."""

from __future__ import annotations

from collections.abc import Mapping

from tooluse_gym.evaluation.benchmark import Benchmark, Category, Figures, Tally

from .data import CALLS, DIALOGUES


def _category(dataset: str, **options: str) -> Category:
    modes = {"prompting": {"format": "toolrl"}, "fc": {"format": "structured"}}
    return Category(
        dataset, "APIBank-v0", {mode: {"dataset": dataset, **options, **more} for mode, more in modes.items()}
    )


def figures(tallies: Mapping[str, Tally]) -> Figures:
    """``calls``: the accuracy of ToolRL and ResT, over all calls of the levels played; ``dialogues``: likewise."""
    values = {}
    for name, datasets in (("calls", CALLS), ("dialogues", DIALOGUES)):
        played = [tallies[dataset] for dataset in datasets if dataset in tallies]
        if played:
            values[name] = sum(tally.right for tally in played) / sum(tally.total for tally in played)
    return Figures(values)


BENCHMARKS = (
    Benchmark(
        "api_bank",
        {
            **{dataset: _category(dataset, scoring="reference") for dataset in CALLS},
            **{dataset: _category(dataset) for dataset in DIALOGUES},
        },
        figures,
    ),
)
