"""ResT: how much each token of a reply counts in the policy gradient.

Pure functions of regions, of how far the run is, and of measured entropies, so that any trainer can use them. What a
preset stands for is data (:data:`PRESETS`); the preset ``reference`` works on text and is in ``published``.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from rest_agent.config import Ramp, WeightsConfig
from rest_agent.entropies import RegionEntropies, measured_weights
from rest_agent.regions import Region


def _always(weight: float) -> Ramp:
    return Ramp(weight, weight, "constant")


_PUBLISHED = WeightsConfig(
    preset="code",
    tag=_always(1.0),
    name=_always(1.2),
    arguments=Ramp(0.6, 1.2, updates=300),
    think=Ramp(0.6, 1.0, updates=200),
    response=_always(0.0),
    scaffold=_always(0.0),
    stray=_always(0.0),
    end=_always(0.0),
    normalise="weighted",
    fallback="zero",
)

PRESETS: dict[str, WeightsConfig] = {
    # Ours: the published constants, spread over the run; what else belongs to the format has weight, too.
    "structure": WeightsConfig(
        preset="structure",
        tag=_always(1.0),
        name=_always(1.2),
        arguments=Ramp(0.6, 1.2),
        think=Ramp(0.6, 1.0),
        response=_always(1.0),
        scaffold=_always(1.0),
        stray=_always(0.0),
        end=_always(1.0),
        normalise="weighted",
        fallback="uniform",
    ),
    # The paper's curriculum, added to measured weights: the format's fall, those of arguments and thoughts rise, the
    # name's stays. Its slopes are not published; these are the total changes of the published code, and for the format,
    # which does not change there, that of the thoughts.
    "paper": WeightsConfig(
        preset="paper",
        tag=Ramp(0.0, -0.4),
        name=_always(0.0),
        arguments=Ramp(0.0, 0.6),
        think=Ramp(0.0, 0.4),
        response=_always(0.0),
        scaffold=Ramp(0.0, -0.4),
        stray=_always(0.0),
        end=_always(0.0),
        normalise="policy",
        fallback="uniform",
    ),
    "code": _PUBLISHED,
    "reference": replace(_PUBLISHED, preset="reference"),
    "uniform": WeightsConfig(
        preset="uniform",
        **{region.name.lower(): _always(1.0) for region in Region if region},  # type: ignore[arg-type]
        normalise="weighted",
        fallback="uniform",
    ),
}


@lru_cache
def resolve(schedule: WeightsConfig) -> WeightsConfig:
    """``schedule`` with its preset's values where it has none of its own."""
    preset = PRESETS[schedule.preset]
    unset = [field.name for field in fields(schedule) if getattr(schedule, field.name) is None]
    return replace(schedule, **{name: getattr(preset, name) for name in unset})


def aggregation(schedule: WeightsConfig) -> Literal["weighted-token-mean", "sequence-mean"]:
    """The mean that the preset's loss is.

    ``weighted-token-mean``: sum of loss x weight over all tokens of an optimizer step / the sum of their weights.
    ``sequence-mean``: of each row the sum / its number of policy tokens; of these the mean over rows (the paper's).
    """
    return "sequence-mean" if schedule.preset == "paper" else "weighted-token-mean"


def token_weights(
    regions: Tensor,
    progress: float,
    schedule: WeightsConfig,
    entropies: RegionEntropies | None = None,
    *,
    update: int | None = None,
) -> Tensor:
    """The weight of every token.

    Each row is normalised on its own: divided by the mean of its weights, over its tokens of positive weight
    (``schedule.normalise`` is ``weighted``: a row's weights add up to the number of these) or over all tokens that the
    policy sampled (``policy``: to the number of those). A row with policy tokens but no positive weight gets what
    ``schedule.fallback`` says: with 0 a malformed reply escapes its negative advantage. :func:`unweighted_rows` counts
    these rows.

    Args:
        regions: (B, T) integers, values of :class:`Region`.
        progress: how far the run is, in [0, 1].
        entropies: what ``paper`` has measured so far; the other presets need none.
        update: the number of this update, the first is 1, as the published code counts. Needed only where a ramp is one
            of updates: in ``code``.

    Returns:
        (B, T) float32, 0 where the region is NONE.
    """
    schedule = resolve(schedule)
    raw = region_weights(progress, schedule, entropies, update=update).to(regions.device)[regions.long()]
    sampled = regions != Region.NONE
    raw = torch.where(raw > 0, raw.clamp(*schedule.clip), 0.0)
    if schedule.fallback == "uniform":
        raw = torch.where((raw > 0).any(dim=1, keepdim=True), raw, sampled.float())
    counted = sampled if schedule.normalise == "policy" else raw > 0
    total = raw.sum(dim=1, keepdim=True)
    return raw * counted.sum(dim=1, keepdim=True) / torch.where(total > 0, total, 1.0)


def unweighted_rows(
    regions: Tensor,
    progress: float,
    schedule: WeightsConfig,
    entropies: RegionEntropies | None = None,
    *,
    update: int | None = None,
) -> Tensor:
    """(B,) bool: rows with policy tokens none of which has a positive weight of its own."""
    positive = region_weights(progress, schedule, entropies, update=update) > 0
    weighted = positive.to(regions.device)[regions.long()].any(dim=1)
    return (regions != Region.NONE).any(dim=1) & ~weighted


def region_weights(
    progress: float, schedule: WeightsConfig, entropies: RegionEntropies | None = None, *, update: int | None = None
) -> Tensor:
    """(len(Region),) float32: the weight of each region before rows are normalised.

    Under ``paper`` the measured weight plus the curriculum's share, between the floor and the cap of
    ``schedule.entropy``; before anything was measured the measured weight is 1.
    """
    if schedule.preset == "reference":
        raise ValueError("the preset 'reference' weighs text, not regions: use rest_agent.published")
    schedule = resolve(schedule)
    ramps = (getattr(schedule, region.name.lower()) for region in Region if region is not Region.NONE)
    weights = torch.tensor([0.0, *(ramp.at(progress, update) for ramp in ramps)], dtype=torch.float64)
    if schedule.preset == "paper":
        rule = schedule.entropy
        weights = (measured_weights(entropies or RegionEntropies(), rule) + weights).clamp(rule.floor, rule.cap)
        weights[Region.NAME] = weights[Region.NAME].clamp(min=rule.name_floor)
        weights[Region.NONE] = 0.0
    return weights.float()


def region_sums(values: Tensor, regions: Tensor) -> Tensor:
    """Sums of ``values`` (B, T) over the tokens of each region, for means and shares by region.

    Returns:
        (len(Region),) float64, not divided by anything: add them up over micro-batches and ranks first.
    """
    sums = torch.zeros(len(Region), dtype=torch.float64, device=values.device)
    return sums.index_add(0, regions.flatten().long(), values.detach().flatten().double())
