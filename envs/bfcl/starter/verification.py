"""Is a task sound: is its ground truth right by the scorer, and wrong without any one of its calls?"""

from __future__ import annotations

import copy
import json
from typing import Any

from tooluse_gym.scoring import Judge
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


def every_call_counts(task: Task, agent: World, gold: World) -> bool:
    """Whether the ground truth passes, and fails in the very turn that lacks one of its calls.

    The scorer fails any turn without a call, so that turns of one call need no trial.
    """
    judge = Judge(task, agent, gold, strict=True)
    for turn in task.turns:
        calls = turn.calls
        for left_out in range(len(calls)) if len(calls) > 1 else ():
            trial = copy.deepcopy(judge, {id(task): task})
            steps = [[trial.agent.call(call).text] for number, call in enumerate(calls) if number != left_out]
            if trial.end_turn(steps).error_type is None:
                return False
        if not calls or judge.end_turn([[agent.call(call).text] for call in calls]).error_type is not None:
            return False
    return True
