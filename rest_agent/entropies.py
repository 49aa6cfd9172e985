"""How uncertain the policy is in each region, measured over the run; the paper's weights follow from it.

A weight lowers the entropy of its region, and a lower entropy raises the weight. Two things keep the loop from running
away: the measurement is a moving average, and the weights are bounded whatever is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from rest_agent.config import EntropyRule
from rest_agent.regions import Region

_FORGOTTEN = 1e-9  # tokens: a region with fewer left in the average counts as not measured


@dataclass(frozen=True)
class RegionEntropies:
    """Moving sums of token entropies and of tokens by region; their quotient is a region's mean entropy.

    Sums rather than means are averaged, so that an update in which a region has three tokens counts little for it, and
    one in which it has none leaves its mean as it was.
    """

    sums: tuple[float, ...] = (0.0,) * len(Region)
    """(len(Region),) in nats, those of earlier updates discounted."""
    tokens: tuple[float, ...] = (0.0,) * len(Region)
    """(len(Region),) discounted likewise."""
    updates: int = 0
    """Updates measured so far."""

    def update(self, sums: Tensor, tokens: Tensor, rule: EntropyRule) -> RegionEntropies:
        """The state after one more update of the policy; itself once it is frozen.

        A region whose sum is not finite is left out of this update, as the average would never recover from it. An
        update that measured nothing at all does not count.

        Args:
            sums: (len(Region),) entropies added up by region, over all micro-batches and ranks (:func:`region_sums`).
            tokens: (len(Region),) the number of tokens in each sum.
        """
        if rule.freeze_after is not None and self.updates >= rule.freeze_after:
            return self
        sound = torch.isfinite(sums) & (tokens > 0)
        if not sound.any():
            return self
        old, count = (torch.tensor(stream, dtype=torch.float64) for stream in (self.sums, self.tokens))
        old = rule.smoothing * old + torch.where(sound, sums, 0.0).double().cpu()
        count = rule.smoothing * count + torch.where(sound, tokens, 0.0).double().cpu()
        return RegionEntropies(tuple(old.tolist()), tuple(count.tolist()), self.updates + 1)

    def means(self) -> Tensor:
        """(len(Region),) float64: mean entropy of a token in nats, NaN where none was measured."""
        sums, tokens = (torch.tensor(stream, dtype=torch.float64) for stream in (self.sums, self.tokens))
        return torch.where(tokens > _FORGOTTEN, sums / tokens, torch.nan)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which keeps every digit."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> RegionEntropies:
        """The inverse of :meth:`to_dict`; an empty record is a run that has measured nothing yet."""
        return cls(tuple(record["sums"]), tuple(record["tokens"]), record["updates"]) if record else cls()


def measured_weights(entropies: RegionEntropies, rule: EntropyRule) -> Tensor:
    """The paper's weights before curriculum and normalisation: w_r proportional to 1 / beta_r.

    beta_r = 1 - exp(-H_r), which bounds the variance of a token's score, or H_r. The constant is the mean of beta over
    the measured tokens: a token of average beta weighs 1. Then the bounds of ``rule``.

    Returns:
        (len(Region),) float64 in [floor, cap]; 1 (within the bounds) for a region without a measurement.
    """
    means, tokens = entropies.means(), torch.tensor(entropies.tokens, dtype=torch.float64)
    measured = ~means.isnan()
    means = torch.where(measured, means, 0.0).clamp(min=0.0)
    beta = -torch.expm1(-means) if rule.beta == "variance" else means
    average = (beta * tokens)[measured].sum() / tokens[measured].sum().clamp(min=_FORGOTTEN)
    if average == 0:  # nothing measured, or a policy without any doubt: no token differs from the average
        return torch.ones(len(Region), dtype=torch.float64).clamp(rule.floor, rule.cap)
    return torch.where(measured, average / beta, 1.0).clamp(rule.floor, rule.cap)
