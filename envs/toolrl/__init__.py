"""ToolRL's one-step task (RLLA), on which ToolRL and ResT train: the environment, and the published rewards.

``reward``, ``scores`` and ``task_from_row`` load when first used; importing this package is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gymnasium

from tooluse_gym.lazy import lazy_names

if TYPE_CHECKING:
    from tooluse_gym.envs.toolrl.rows import task_from_row
    from tooluse_gym.envs.toolrl.scoring import reward, scores

__all__ = ["reward", "scores", "task_from_row"]

gymnasium.register(id="ToolRL-v0", entry_point="tooluse_gym.envs.toolrl.env:ToolRLEnv")

__getattr__, __dir__ = lazy_names(__name__, {"rows": ("task_from_row",), "scoring": ("reward", "scores")})
