"""BFCL's function-calling tasks: the environments, and the scoring interface.

The public names load when first used; importing this package is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gymnasium

from tooluse_gym.lazy import lazy_names

if TYPE_CHECKING:
    from tooluse_gym.envs.bfcl.ast.scorer import score_ast, score_ast_calls
    from tooluse_gym.envs.bfcl.data import load_tasks
    from tooluse_gym.envs.bfcl.memory.judge import score_answer
    from tooluse_gym.envs.bfcl.scorer import score_calls, score_replies
    from tooluse_gym.envs.bfcl.scores import aggregate_scores, format_sensitivity
    from tooluse_gym.envs.bfcl.single_turn import load_format_sensitivity, load_single_turn
    from tooluse_gym.envs.bfcl.world import World
    from tooluse_gym.scoring import Verdict

__all__ = [
    "Verdict",
    "World",
    "aggregate_scores",
    "format_sensitivity",
    "load_format_sensitivity",
    "load_single_turn",
    "load_tasks",
    "score_answer",
    "score_ast",
    "score_ast_calls",
    "score_calls",
    "score_replies",
]

gymnasium.register(id="BFCLMultiTurn-v0", entry_point="tooluse_gym.envs.bfcl.env:BFCLMultiTurnEnv")
gymnasium.register(id="BFCLSingleTurn-v0", entry_point="tooluse_gym.envs.bfcl.single_turn.env:BFCLSingleTurnEnv")
gymnasium.register(id="BFCLMemory-v0", entry_point="tooluse_gym.envs.bfcl.memory.env:BFCLMemoryEnv")

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ast.scorer": ("score_ast", "score_ast_calls"),
        "data": ("load_tasks",),
        "memory.judge": ("score_answer",),
        "scorer": ("Verdict", "score_calls", "score_replies"),
        "scores": ("aggregate_scores", "format_sensitivity"),
        "single_turn": ("load_format_sensitivity", "load_single_turn"),
        "world": ("World",),
    },
)
