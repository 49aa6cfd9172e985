"""API-Bank: dialogues over simulated APIs, at three levels of difficulty. The environment, and the official scoring.

``load_samples``, ``score_call``, ``score_response``, ``soft_match`` and ``accuracies`` load when first used; importing
this package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import gymnasium

if TYPE_CHECKING:
    from tooluse_gym.envs.api_bank.scorer import load_samples, score_call, score_response
    from tooluse_gym.envs.api_bank.soft_match import accuracies, soft_match

__all__ = ["accuracies", "load_samples", "score_call", "score_response", "soft_match"]

gymnasium.register(id="APIBank-v0", entry_point="tooluse_gym.envs.api_bank.env:APIBankEnv")

_HOMES = {
    "accuracies": "tooluse_gym.envs.api_bank.soft_match",
    "load_samples": "tooluse_gym.envs.api_bank.scorer",
    "score_call": "tooluse_gym.envs.api_bank.scorer",
    "score_response": "tooluse_gym.envs.api_bank.scorer",
    "soft_match": "tooluse_gym.envs.api_bank.soft_match",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
