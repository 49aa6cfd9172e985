"""ToolRL's one-step task (RLLA), on which ToolRL and ResT train: the environment, and the published rewards.

``reward``, ``scores`` and ``task_from_row`` load when first used; importing this package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import gymnasium

if TYPE_CHECKING:
    from tooluse_gym.envs.toolrl.rows import task_from_row
    from tooluse_gym.envs.toolrl.scoring import reward, scores

__all__ = ["reward", "scores", "task_from_row"]

gymnasium.register(id="ToolRL-v0", entry_point="tooluse_gym.envs.toolrl.env:ToolRLEnv")

_HOMES = {
    "reward": "tooluse_gym.envs.toolrl.scoring",
    "scores": "tooluse_gym.envs.toolrl.scoring",
    "task_from_row": "tooluse_gym.envs.toolrl.rows",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
