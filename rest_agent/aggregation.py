"""Aggregation: how the losses of tokens become the loss of an optimizer step.

The loss is the sum over tokens of coefficient x loss, / denominator. A coefficient depends on its own row alone, and
the denominators of micro-batches and ranks add up to that of the step: how rows are grouped changes no gradient. With
w the token weights and m the mask of the tokens that the policy sampled, by name:

* ``weighted-token-mean``: sum w loss / sum w. ResT's published code, over the step instead of a micro-batch.
* ``token-mean``: sum w loss / sum m. DAPO (Yu et al. 2025, arXiv 2503.14476); the same where the weights are 1.
* ``sequence-mean``: of every row sum w loss / sum m, of these the mean over rows. GRPO (Shao et al. 2024, arXiv
  2402.03300), and the paper's ResT.
* ``constant``: of every row sum w loss / a constant, of these the mean over rows. Dr. GRPO (Liu et al. 2025, arXiv
  2503.20783): a long reply is not punished less per token than a short one.

Rows without a sampled token are not counted among the rows.
"""

from __future__ import annotations

from torch import Tensor

from rest_agent.config import Aggregation


def coefficients(weights: Tensor, mask: Tensor, how: Aggregation, constant: float) -> Tensor:
    """(B, T): what the loss of each token is multiplied by.

    Args:
        weights: (B, T), 0 where mask is False.
        mask: (B, T) bool, True on tokens that the policy sampled.
        constant: tokens, for ``constant``.
    """
    if how == "sequence-mean":
        return weights / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return weights / constant if how == "constant" else weights


def denominator(weights: Tensor, mask: Tensor, how: Aggregation) -> Tensor:
    """Scalar: what these rows add to the denominator of their optimizer step. Rows without an advantage count too."""
    if how == "weighted-token-mean":
        return weights.sum()
    if how == "token-mean":
        return mask.sum()
    return mask.any(dim=1).sum()
