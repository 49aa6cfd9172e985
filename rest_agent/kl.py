"""How far the policy has gone from its reference, estimated from the sampled tokens (Schulman 2020, "Approximating KL
Divergence", joschu.net/blog/kl-approx.html).

With x = log pi(token) - log ref(token), for tokens sampled from pi:

* ``k1`` = x: unbiased, of either sign. For the reward (RLOO, PPO). In the loss its expected gradient is 0: what is
  missing is x grad log pi, which a reward gets from the policy gradient.
* ``k2`` = x**2 / 2: biased, small variance. In the loss its gradient is x grad log pi, that of the true KL divergence.
* ``k3`` = exp(-x) - 1 + x: unbiased, never negative. In the loss: GRPO. Its gradient, (1 - exp(-x)) grad log pi, agrees
  with k2's near the reference.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_MAX_LOG_RATIO = 20.0

ESTIMATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "k1": lambda x: x,
    "k2": lambda x: x.pow(2) / 2,
    "k3": lambda x: (-x).clamp(max=_MAX_LOG_RATIO).exp() - 1 + x,
}


def token_kl(log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor, estimator: str) -> Tensor:
    """(B, T): the estimate at every sampled token, 0 where mask (B, T) is False. Not summed, not divided.

    Args:
        log_probs: (B, T) of the policy.
        reference_log_probs: (B, T) of the same tokens under the reference.
    """
    return ESTIMATORS[estimator](torch.where(mask, log_probs - reference_log_probs, 0.0))
