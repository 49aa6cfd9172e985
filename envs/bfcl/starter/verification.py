"""Is a task sound: is its ground truth right by the scorer, and wrong without any one of its calls?"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tooluse_gym.scoring import WorldJudge
from tooluse_gym.tasks import Task
from tooluse_gym.world import ToolResult, World


def outcome(result: ToolResult) -> dict[str, Any] | None:
    """What a call gave, by key (empty if nothing); None if it was refused or reports an error or a false status."""
    if result.failure is not None:
        return None
    try:
        values = json.loads(result.text)
    except json.JSONDecodeError:
        return {}
    if not isinstance(values, dict):
        return {}
    return None if "error" in values or any(value is False for value in values.values()) else values


def every_call_counts(task: Task, make_world: Callable[[], World]) -> bool:
    """Whether the ground truth passes, and fails without any one of its calls.

    The scorer fails any turn without a call, so that turns of one call need no trial.
    """
    if not all(turn.steps for turn in task.turns) or not _passes(task, make_world):
        return False
    return not any(
        _passes(task, make_world, left_out=(number, place))
        for number, turn in enumerate(task.turns)
        for place in (range(len(turn.calls)) if len(turn.calls) > 1 else ())
    )


def _passes(task: Task, make_world: Callable[[], World], left_out: tuple[int, int] | None = None) -> bool:
    """Whether the scorer accepts the ground truth without the call at ``left_out`` (turn, place in the turn)."""
    judge = WorldJudge(task, make_world(), make_world(), strict=True)
    for number, turn in enumerate(task.turns):
        kept = [call for place, call in enumerate(turn.calls) if (number, place) != left_out]
        if judge.end_turn([[judge.agent.call(call).text] for call in kept]).error_type is not None:
            return False
    return judge.verdict().valid
