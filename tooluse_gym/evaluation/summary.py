"""What a run comes to: rates with intervals, kinds of errors, calls too many; and runs against each other.

Intervals are 95 % bootstrap intervals over base tasks: tasks made from the same base, and samples of the same task, are
drawn together, and categories of one family share the draws. Where all of a category is right, or nothing is, draws
are all the same: then the interval is Wilson's, for as many tasks as there are bases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tooluse_gym.evaluation.benchmark import Benchmark, Tally, find_benchmark
from tooluse_gym.evaluation.episodes import Episode, ResultError
from tooluse_gym.evaluation.intervals import (
    Difference,
    Scored,
    bootstrap,
    of_each_draw,
    paired_difference,
    pass_at_k,
    percentiles,
    wilson,
)
from tooluse_gym.evaluation.run import Plan, tallies
from tooluse_gym.evaluation.setting import Entry


@dataclass(frozen=True)
class Rate:
    """A value in [0, 1] with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CategorySummary:
    """A category. ``rate`` is the mean over samples (avg@k); ``pass_at`` the chance that one of k samples is right."""

    name: str
    tasks: int
    samples: int
    right: float
    total: float
    rate: Rate
    measures: Mapping[str, Rate]
    """What else was counted."""
    pass_at: Mapping[int, float]
    reward: float
    needless_calls: float
    """Calls beyond the ground truth's, per episode."""
    calls: float
    truncated: int
    errors: Mapping[str, int]
    """Episodes by what was wrong, the most frequent first."""


@dataclass(frozen=True)
class Summary:
    """A run: its categories, what they add up to, and which of the benchmark's were not played."""

    plan: Plan
    categories: Sequence[CategorySummary]
    figures: Mapping[str, Rate]
    missing: Sequence[str] = field(default_factory=tuple)


def summarize(plan: Plan, episodes: Sequence[Episode]) -> Summary:
    """The summary of what was played.

    Raises:
        ResultError: nothing was.
    """
    episodes = [one for one in episodes if one.total]
    if not episodes:
        raise ResultError(f"nothing was played of {plan.benchmark} by {plan.model}")
    benchmark = find_benchmark(plan.benchmark)
    counted = tallies(episodes, benchmark)
    drawn = bootstrap([_scored(one, benchmark) for one in episodes])
    figures = benchmark.figures(counted)

    def of_draw(means: Mapping[str, float]) -> Mapping[str, float]:
        totals = {name: counted[name].total for name in means}
        return benchmark.figures({name: Tally(means[name] * totals[name], totals[name]) for name in means}).values

    spread = of_each_draw(drawn, of_draw)
    played = {name: [one for one in episodes if one.category == name] for name in counted}
    return Summary(
        plan,
        [_category(name, played[name], counted[name], percentiles(drawn[name]), benchmark) for name in counted],
        {name: Rate(value, *percentiles(spread[name])) for name, value in figures.values.items()},
        figures.missing,
    )


def _scored(one: Episode, benchmark: Benchmark) -> Scored:
    family = benchmark.categories[one.category].family or one.category
    return Scored(one.category, family, one.base, one.right, one.total)


def _measures(episodes: Sequence[Episode], benchmark: Benchmark) -> dict[str, Rate]:
    """Of the episodes of a category; samples of a task are equal in number or count as they are."""
    found: dict[str, Rate] = {}
    for name in episodes[0].measures:
        tallies = [(one, one.measures[name]) for one in episodes]
        total = sum(tally.total for _, tally in tallies)
        if total:
            scored = [replace(_scored(one, benchmark), value=tally.right, weight=tally.total) for one, tally in tallies]
            (drawn,) = bootstrap(scored).values()
            found[name] = Rate(sum(tally.right for _, tally in tallies) / total, *percentiles(drawn))
    return found


def _category(
    name: str, episodes: Sequence[Episode], tally: Tally, interval: tuple[float, float], benchmark: Benchmark
) -> CategorySummary:
    bases = len({one.base for one in episodes})
    rate = tally.right / tally.total
    if rate in (0.0, 1.0):
        interval = wilson(round(rate * bases), bases)
    by_task: dict[str, list[bool]] = {}
    for one in episodes:
        by_task.setdefault(one.task, []).append(one.right == one.total)
    samples = min(len(outcomes) for outcomes in by_task.values())
    ks = [k for k in (1, 2, 4, 8, 16, 32, 64) if k <= samples] if samples > 1 else []
    wrong = Counter(one.error_type for one in episodes if one.error_type is not None)
    return CategorySummary(
        name=name,
        tasks=len(by_task),
        samples=samples,
        right=tally.right,
        total=tally.total,
        rate=Rate(rate, *interval),
        measures=_measures(episodes, benchmark),
        pass_at={k: _mean([pass_at_k(len(found), sum(found), k) for found in by_task.values()]) for k in ks},
        reward=_mean([one.reward for one in episodes]),
        needless_calls=_mean([one.needless for one in episodes]),
        calls=_mean([one.calls for one in episodes]),
        truncated=sum(one.truncated for one in episodes),
        errors=dict(wrong.most_common()),
    )


@dataclass(frozen=True)
class Comparison:
    """One run against another on the entries that both have played. ``difference`` = second - first.

    ``outcomes`` counts tasks gained and lost, where all of them are right or wrong.
    """

    name: str
    entries: int
    first: float
    second: float
    difference: Rate
    outcomes: Difference | None


def compare(benchmark: Benchmark, first: Sequence[Episode], second: Sequence[Episode]) -> list[Comparison]:
    """Category by category; the last is all of them together.

    Raises:
        ResultError: the runs have no entry in common.
    """
    before, after = ({one.entry: one for one in episodes if one.total} for episodes in (first, second))
    common = [entry for entry in before if entry in after]
    if not common:
        raise ResultError("the runs have no entry in common")
    names = [name for name in benchmark.categories if any(entry.category == name for entry in common)]
    found = [_comparison(name, [e for e in common if e.category == name], before, after, benchmark) for name in names]
    return found if len(names) == 1 else [*found, _comparison("all", common, before, after, benchmark)]


def _comparison(
    name: str,
    entries: Sequence[Entry],
    before: Mapping[Entry, Episode],
    after: Mapping[Entry, Episode],
    benchmark: Benchmark,
) -> Comparison:
    scored = []
    for entry in entries:
        one = _scored(before[entry], benchmark)
        scored.append(Scored("difference", one.family, one.cluster, after[entry].right - one.value, one.weight))
    total = sum(one.weight for one in scored)
    old, new = (sum(episodes[entry].right for entry in entries) / total for episodes in (before, after))
    played = [[episodes[entry] for entry in entries] for episodes in (before, after)]
    whole = all(one.right in (0.0, one.total) for episodes in played for one in episodes)
    first, second = ([one.right > 0 for one in episodes] for episodes in played)
    low, high = percentiles(bootstrap(scored)["difference"])
    return Comparison(
        name, len(entries), old, new, Rate(new - old, low, high), paired_difference(first, second) if whole else None
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
