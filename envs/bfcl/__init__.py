"""BFCL's function-calling tasks: the environments, and the scoring interface.

The public names load when first used; importing this package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import gymnasium

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

_HOMES = {
    "Verdict": "tooluse_gym.scoring",
    "World": "tooluse_gym.envs.bfcl.world",
    "aggregate_scores": "tooluse_gym.envs.bfcl.scores",
    "format_sensitivity": "tooluse_gym.envs.bfcl.scores",
    "load_format_sensitivity": "tooluse_gym.envs.bfcl.single_turn",
    "load_single_turn": "tooluse_gym.envs.bfcl.single_turn",
    "load_tasks": "tooluse_gym.envs.bfcl.data",
    "score_answer": "tooluse_gym.envs.bfcl.memory.judge",
    "score_ast": "tooluse_gym.envs.bfcl.ast.scorer",
    "score_ast_calls": "tooluse_gym.envs.bfcl.ast.scorer",
    "score_calls": "tooluse_gym.envs.bfcl.scorer",
    "score_replies": "tooluse_gym.envs.bfcl.scorer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
