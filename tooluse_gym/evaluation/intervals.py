"""How sure a measured rate is: intervals that respect how the tasks were made, and paired comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_SEED = 0
DRAWS = 2_000


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for a success rate; (0, 1) for n = 0. z = 1.96 gives 95 %."""
    if not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n, got {successes} of {n}")
    if n == 0:
        return 0.0, 1.0
    rate, spread = successes / n, z * z / n
    centre = (rate + spread / 2) / (1 + spread)
    half = z * math.sqrt(rate * (1 - rate) / n + spread / (4 * n)) / (1 + spread)
    # At the ends the interval is closed exactly, which rounding would miss by an ulp.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


@dataclass(frozen=True)
class Difference:
    """How a success rate changed on the same n tasks: ``value`` = after - before, in [``low``, ``high``].

    ``gained`` tasks failed before and succeed after, ``lost`` the other way round; ``p_value`` is McNemar's, exact and
    two-sided.
    """

    value: float
    low: float
    high: float
    n: int
    gained: int
    lost: int
    p_value: float


def paired_difference(before: Sequence[bool], after: Sequence[bool], z: float = 1.96) -> Difference:
    """The change between two measurements of the same tasks, in the same order.

    The interval is Agresti and Min's: the normal approximation after adding 1/2 to each cell of the 2 x 2 table, which
    keeps its level for small n and for no change at all.
    """
    n = len(before)
    if n == 0 or n != len(after):
        raise ValueError(f"expected two outcomes for each of at least one task, got {n} and {len(after)}")
    gained = sum(not first and bool(second) for first, second in zip(before, after, strict=True))
    lost = sum(bool(first) and not second for first, second in zip(before, after, strict=True))
    up, down, total = gained + 0.5, lost + 0.5, n + 2
    centre = (up - down) / total
    half = z * math.sqrt((up + down) - (up - down) ** 2 / total) / total
    changed = gained + lost
    tail = sum(math.comb(changed, k) for k in range(min(gained, lost) + 1)) / 2**changed
    value = (gained - lost) / n
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    return Difference(value, min(low, value), max(high, value), n, gained, lost, min(1.0, 2 * tail))


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The chance that one of ``k`` samples is right, from ``right`` of ``samples`` (unbiased; Chen et al. 2021, eq. 1).

    Raises:
        ValueError: fewer than k samples.
    """
    if not 0 <= right <= samples or not 1 <= k <= samples:
        raise ValueError(f"expected 0 <= right <= samples and 1 <= k <= samples, got {right}, {samples} and {k}")
    return 1.0 - math.comb(samples - right, k) / math.comb(samples, k)


@dataclass(frozen=True)
class Scored:
    """One measured value, and where it comes from.

    Values of one ``cluster`` of a ``family`` rise and fall together: tasks made from the same base task, samples of the
    same task. Draws are shared by all values of a family.
    """

    category: str
    family: str
    cluster: str
    value: float
    weight: float = 1.0
    """What the value is a part of: a category's mean is the sum of its values over the sum of their weights."""


def bootstrap(scored: Sequence[Scored], draws: int = DRAWS) -> dict[str, Floats]:
    """Means of each category when clusters are drawn anew with replacement: (draws,) each. Always the same draws."""
    families: dict[str, dict[str, int]] = {}
    for one in scored:
        clusters = families.setdefault(one.family, {})
        clusters.setdefault(one.cluster, len(clusters))
    sums: dict[tuple[str, str], Floats] = {}
    for one in scored:
        size = len(families[one.family])
        table = sums.setdefault((one.family, one.category), np.zeros((2, size)))
        place = families[one.family][one.cluster]
        table[0, place] += one.value
        table[1, place] += one.weight
    totals: dict[str, Floats] = {}
    for number, (family, clusters) in enumerate(families.items()):
        rng = np.random.default_rng([_SEED, number])
        times = rng.multinomial(len(clusters), np.full(len(clusters), 1 / len(clusters)), size=draws)
        for (owner, category), table in sums.items():
            if owner == family:
                totals[category] = totals.get(category, np.zeros((2, draws))) + table @ times.T
    return {category: _ratio(*total) for category, total in totals.items()}


def _ratio(sums: Floats, counts: Floats) -> Floats:
    """Where a draw holds none of a category's tasks, the mean over the other draws."""
    found = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return np.where(np.isnan(found), np.nanmean(found), found)


def percentiles(draws: Floats, level: float = 0.95) -> tuple[float, float]:
    """The middle ``level`` of the draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def of_each_draw(
    means: Mapping[str, Floats], figure: Callable[[Mapping[str, float]], Mapping[str, float]]
) -> dict[str, Floats]:
    """What ``figure`` makes of the categories' means, in every draw: (draws,) for each of its names."""
    count = len(next(iter(means.values())))
    made = [figure({category: float(draws[number]) for category, draws in means.items()}) for number in range(count)]
    return {name: np.array([one[name] for one in made]) for name in made[0]}
