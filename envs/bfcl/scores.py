"""From counts per category to BFCL's scores: the leaderboard's formulas, those of v4 and those of v3.

All scores are fractions; the leaderboard prints them as percentages with two decimals.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tooluse_gym.errors import ConfigurationError

Counts = Mapping[str, tuple[float, int]]
"""How many entries were right, and how many there were, by category (or configuration)."""

TOTALS = {
    "simple_python": 400,
    "simple_java": 100,
    "simple_javascript": 50,
    "multiple": 200,
    "parallel": 200,
    "parallel_multiple": 200,
    "irrelevance": 240,
    "live_simple": 258,
    "live_multiple": 1053,
    "live_parallel": 16,
    "live_parallel_multiple": 24,
    "live_irrelevance": 884,
    "live_relevance": 16,
    "multi_turn_base": 200,
    "multi_turn_miss_func": 200,
    "multi_turn_miss_param": 200,
    "multi_turn_long_context": 200,
    "web_search_base": 100,
    "web_search_no_snippet": 100,
    "memory_kv": 155,
    "memory_vector": 155,
    "memory_rec_sum": 155,
}
"""Entries of each category. A missing category weighs as much in a mean over entries."""

_LIVE = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
_WEIGHED = "live"  # the one group that is a mean over entries; the others are means over their parts
_COMMON: dict[str, tuple[str, ...]] = {
    "simple_ast": ("simple_python", "simple_java", "simple_javascript"),
    "multi_turn": ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context"),
}
_GROUPS: dict[str, dict[str, tuple[str, ...]]] = {  # each after those it is made of
    "v4": {
        **_COMMON,
        "non_live": ("simple_ast", "multiple", "parallel", "parallel_multiple"),
        "live": _LIVE,
        "irrelevance": ("irrelevance", "live_irrelevance"),
        "web_search": ("web_search_base", "web_search_no_snippet"),
        "memory": ("memory_kv", "memory_vector", "memory_rec_sum"),
        "agentic": ("web_search", "memory"),
    },
    "v3": {
        **_COMMON,
        "non_live": ("simple_ast", "multiple", "parallel", "parallel_multiple", "irrelevance"),
        "live": (*_LIVE, "live_irrelevance", "live_relevance"),
    },
}
_OVERALL = {
    "v4": {"non_live": 0.1, "live": 0.1, "irrelevance": 0.1, "multi_turn": 0.3, "agentic": 0.4},
    "v3": {"live": 1 / 3, "non_live": 1 / 3, "multi_turn": 1 / 3},
}
_OLD_NAMES = {"simple": "simple_python", "java": "simple_java", "javascript": "simple_javascript"}


@dataclass(frozen=True)
class Scores:
    """What a model scores.

    ``missing`` names the categories that ``overall`` needs and that were not given: in groups and overall they count
    as 0, as on the leaderboard.
    """

    version: str
    categories: Mapping[str, float]
    groups: Mapping[str, float]
    overall: float
    missing: tuple[str, ...]


def aggregate_scores(counts: Counts, version: Literal["v4", "v3"] = "v4") -> Scores:
    """The scores of a model that got ``counts[category] = (correct, total)``.

    ``live_relevance`` is no part of v4's overall score. With v3, its names ``simple``, ``java`` and ``javascript`` are
    understood, too; its own entries were partly others, so that such scores are comparable in their formula alone.

    Raises:
        ConfigurationError: there is no such version or category, or a count is impossible.
    """
    if version not in _GROUPS:
        raise ConfigurationError(f"unknown version {version!r}; choose one of {', '.join(_GROUPS)}")
    groups = _GROUPS[version]
    needed = [name for parts in groups.values() for name in parts if name in TOTALS]
    known = [name for name in TOTALS if name in needed or name == "live_relevance"]
    given = {_OLD_NAMES.get(name, name) if version == "v3" else name: count for name, count in counts.items()}
    if len(given) < len(counts):
        raise ConfigurationError("a category is given under both of its names")
    if unknown := [name for name in given if name not in known]:
        raise ConfigurationError(f"BFCL {version} has no category {unknown[0]!r}; it has {', '.join(known)}")
    categories = _accuracies(given)
    totals = {name: given[name][1] if name in given else TOTALS[name] for name in known}
    accuracies = {name: categories.get(name, 0.0) for name in known}
    made: dict[str, float] = {}
    for group, parts in groups.items():
        weights = {part: totals[part] if group == _WEIGHED else 1 for part in parts}
        total = sum(weight * (made if part in made else accuracies)[part] for part, weight in weights.items())
        made[group] = total / sum(weights.values())
    overall = sum(weight * made[group] for group, weight in _OVERALL[version].items())
    return Scores(version, categories, made, overall, tuple(name for name in needed if name not in given))


def categories_of(group: str, version: Literal["v4", "v3"]) -> tuple[str, ...]:
    """The categories of a group, those of the groups in it included."""
    return tuple(
        category
        for part in _GROUPS[version][group]
        for category in ((part,) if part in TOTALS else categories_of(part, version))
    )


@dataclass(frozen=True)
class FormatSensitivity:
    """How much a model's accuracy depends on the prompt's form. No part of the overall score.

    ``max_delta`` and ``standard_deviation`` are in percentage points, ``variance`` in their squares; the last two are
    those of a sample.
    """

    accuracies: Mapping[str, float]
    max_delta: float
    variance: float
    standard_deviation: float


def format_sensitivity(counts: Counts) -> FormatSensitivity:
    """The spread of accuracy over configurations, ``counts[configuration] = (correct, total)``; 0 if there is but one.

    Raises:
        ConfigurationError: there is none, or a count is impossible.
    """
    if not counts:
        raise ConfigurationError("no configuration was given")
    accuracies = _accuracies(counts)
    percent = [100 * accuracy for accuracy in accuracies.values()]
    several = len(percent) > 1
    return FormatSensitivity(
        accuracies=accuracies,
        max_delta=max(percent) - min(percent),
        variance=statistics.variance(percent) if several else 0.0,
        standard_deviation=statistics.stdev(percent) if several else 0.0,
    )


def _accuracies(counts: Counts) -> dict[str, float]:
    for name, (correct, total) in counts.items():
        if not (total > 0 and 0 <= correct <= total):
            raise ConfigurationError(f"{name}: {correct} right of {total} is impossible; leave out what was not run")
    return {name: correct / total for name, (correct, total) in counts.items()}
