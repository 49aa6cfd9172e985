"""API-Bank: dialogues over simulated APIs, at three levels of difficulty. The environment, and the official scoring.

``load_samples``, ``score_call``, ``score_response``, ``soft_match`` and ``accuracies`` load when first used; importing
this package is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gymnasium

from tooluse_gym.lazy import lazy_names

if TYPE_CHECKING:
    from tooluse_gym.envs.api_bank.scorer import load_samples, score_call, score_response
    from tooluse_gym.envs.api_bank.soft_match import accuracies, soft_match

__all__ = ["accuracies", "load_samples", "score_call", "score_response", "soft_match"]

gymnasium.register(id="APIBank-v0", entry_point="tooluse_gym.envs.api_bank.env:APIBankEnv")

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "scorer": ("load_samples", "score_call", "score_response"),
        "soft_match": ("accuracies", "soft_match"),
    },
)
