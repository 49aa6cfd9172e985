"""Official and strict verdicts on recorded replies or calls, by the same judge that grades the environment's episodes.

Error types carry upstream's prefix ``multi_turn:``, strict mode's own (``needless_call``) included. A verdict's
``differing`` names all tool sets that differ; upstream reports the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tooluse_gym.env import Validation
from tooluse_gym.envs.bfcl.literal import literal_call
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call, get_format
from tooluse_gym.scoring import GroundTruth, Verdict, WorldJudge, play_ground_truth
from tooluse_gym.tasks import Task
from tooluse_gym.world import ToolResult

PREFIX = "multi_turn:"
Played = list[list[ToolResult]]
"""The results of every step, up to the end of the first wrong turn."""


def make_world(task: Task, actor: str = "model", commons: dict[str, object] | None = None) -> World:
    """A fresh world of a task. For ``actor`` and ``commons`` see :class:`~tooluse_gym.envs.bfcl.world.World`."""
    return World(
        task.toolsets,
        task.initial_state,
        bool(task.metadata.get("long_context")),
        payload=task.metadata.get("payload"),
        commons=commons,
        actor=actor,
    )


def make_worlds(task: Task) -> tuple[World, World]:
    """The agent's world and the ground truth's, which share with each other what upstream shares in a process."""
    commons: dict[str, object] = {}
    return make_world(task, "model", commons), make_world(task, "ground_truth", commons)


def independent_truth(task: Task) -> GroundTruth:
    """The ground truth played beforehand, for any number of official episodes.

    Empty if it uses what upstream shares with the agent's world: then it has to be played beside the agent.
    """
    commons: dict[str, object] = {}
    truth = play_ground_truth(task, make_world(task, "ground_truth", commons))
    return () if commons else truth


def score_calls(task: Task, calls: Sequence[Sequence[Sequence[str]]], validation: Validation = "official") -> Verdict:
    """The verdict on decoded calls: ``calls[turn][step]`` holds the call texts of one assistant message.

    With ``validation="strict"`` it is what the environment's strict mode would say: each text must be one call with
    literal arguments, of a tool that is visible in its turn, and agree with its schema, which is the simulator's, in
    the environment as well; a turn without ground-truth calls must make none; the worlds share nothing.

    Raises:
        ConfigurationError: there is no such validation.
    """
    return play_calls(task, calls, validation)[0]


def score_replies(task: Task, replies: str | Sequence[Sequence[str]], validation: Validation = "official") -> Verdict:
    """The verdict on raw reply texts ``replies[turn][step]`` in the pythonic format.

    What cannot be decoded, or holds no call, counts as no step. A plain text instead of a list is an inference error
    that upstream recorded; a wrong number of turns is an episode that was stopped. For ``validation`` see
    :func:`score_calls`.
    """
    return play_replies(task, replies, validation)[0]


def play_replies(
    task: Task, replies: str | Sequence[Sequence[str]], validation: Validation = "official"
) -> tuple[Verdict, Played]:
    """As :func:`score_replies`, with the results of every step played: up to the end of the first wrong turn."""
    if isinstance(replies, str):
        return _failure("inference_error", 0), []
    parse = get_format("pythonic").parse
    return play_calls(task, [[step for reply in turn if (step := parse(reply).calls)] for turn in replies], validation)


def play_calls(
    task: Task, calls: Sequence[Sequence[Sequence[str | Call]]], validation: Validation = "official"
) -> tuple[Verdict, Played]:
    """As :func:`score_calls`, of texts or of parsed calls, with the results of every step played."""
    if validation not in ("strict", "official"):
        raise ConfigurationError(f"unknown validation {validation!r}; choose strict or official")
    if len(calls) != len(task.turns):
        return _failure("force_terminated", min(len(calls), len(task.turns))), []
    strict = validation == "strict"
    agent, gold = (make_world(task), make_world(task)) if strict else make_worlds(task)
    judge = WorldJudge(task, agent, gold, strict)
    results: Played = []
    for turn, steps in enumerate(calls):
        visible = task.visible(turn, tuple(agent.tools))
        played = [
            [_strict(agent, call, visible) if strict else _official(agent, call) for call in step] for step in steps
        ]
        results += played
        grade = judge.end_turn([[result.text for result in step] for step in played])
        if grade.error_type is not None:
            return replace(_failure(grade.error_type, turn), differing=grade.differing), results
    return judge.verdict(), results


def _official(world: World, call: str | Call) -> ToolResult:
    return ToolResult(world.execute(call) if isinstance(call, str) else world.execute_call(call))


def _strict(world: World, call: str | Call, visible: Sequence[str]) -> ToolResult:
    return world.call(literal_call(call, world.tools) if isinstance(call, str) else call, visible)


def _failure(error_type: str, turn: int) -> Verdict:
    return Verdict(False, PREFIX + error_type, turn)
