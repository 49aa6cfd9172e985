"""ResT: how much each token of a reply counts in the policy gradient.

A pure function of regions and progress, so any trainer can use it. What differs from the published code is told in
``regions``: the spans are exact, every call counts, and the end-of-turn token has a weight of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rest_agent.config import WeightsConfig
from rest_agent.regions import Region


def token_weights(regions: Tensor, progress: float, config: WeightsConfig) -> Tensor:
    """The weight of every token.

    Each row is normalised on its own: divided by the mean weight of its tokens of positive weight, so that their mean
    becomes 1 and the row's weights add up to their number. A row with policy tokens but no positive weight weighs 1 on
    all of them, as a malformed reply must not escape its negative advantage; :func:`unweighted_rows` counts these.

    Args:
        regions: (B, T) integers, values of :class:`Region`.
        progress: how far the run is, in [0, 1].

    Returns:
        (B, T) float32, 0 where the region is NONE.
    """
    raw = _raw(regions, progress, config)
    raw = torch.where((raw > 0).any(dim=1, keepdim=True), raw, (regions != Region.NONE).float())
    total = raw.sum(dim=1, keepdim=True)
    return raw * (raw > 0).sum(dim=1, keepdim=True) / torch.where(total > 0, total, 1.0)


def unweighted_rows(regions: Tensor, progress: float, config: WeightsConfig) -> Tensor:
    """(B,) bool: rows with policy tokens none of which has a positive weight of its own."""
    raw = _raw(regions, progress, config)
    return (regions != Region.NONE).any(dim=1) & ~(raw > 0).any(dim=1)


def region_weights(progress: float, config: WeightsConfig) -> Tensor:
    """(len(Region),) float32: the weight of each region before rows are normalised."""
    weights = torch.zeros(len(Region))
    for region in Region:
        if region is not Region.NONE:
            weights[region] = 1.0 if config.uniform else getattr(config, region.name.lower()).at(progress)
    return weights


def region_sums(values: Tensor, regions: Tensor) -> Tensor:
    """Sums of ``values`` (B, T) over the tokens of each region, for means and shares by region.

    Returns:
        (len(Region),) float64, not divided by anything: add them up over micro-batches and ranks first.
    """
    sums = torch.zeros(len(Region), dtype=torch.float64, device=values.device)
    return sums.index_add(0, regions.flatten().long(), values.detach().flatten().double())


def _raw(regions: Tensor, progress: float, config: WeightsConfig) -> Tensor:
    return region_weights(progress, config).to(regions.device)[regions.long()]
