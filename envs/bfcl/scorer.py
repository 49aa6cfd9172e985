"""Official verdicts on recorded replies or calls, by the same judge that grades the environment's episodes.

Error types carry upstream's prefix ``multi_turn:``. A verdict's ``differing`` names all tool sets that differ; upstream
reports the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.formats.pythonic import DecodeError, decode, render_calls
from tooluse_gym.scoring import GroundTruth, Judge, Verdict, play_ground_truth
from tooluse_gym.tasks import Task

PREFIX = "multi_turn:"


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


def score_calls(task: Task, calls: Sequence[Sequence[Sequence[str]]]) -> Verdict:
    """The verdict on decoded calls: ``calls[turn][step]`` holds the call texts of one assistant message."""
    return play_calls(task, calls)[0]


def play_calls(task: Task, calls: Sequence[Sequence[Sequence[str]]]) -> tuple[Verdict, list[list[str]]]:
    """As :func:`score_calls`, with the results of every step played: up to the end of the first wrong turn."""
    if len(calls) != len(task.turns):
        return _failure("force_terminated", min(len(calls), len(task.turns))), []
    agent, gold = make_worlds(task)
    judge = Judge(task, agent, gold)
    results: list[list[str]] = []
    for turn, steps in enumerate(calls):
        played = [[agent.execute(text) for text in step] for step in steps]
        results += played
        grade = judge.end_turn(played)
        if grade.error_type is not None:
            return replace(_failure(grade.error_type, turn), differing=grade.differing), results
    return judge.verdict(), results


def score_replies(task: Task, replies: str | Sequence[Sequence[str]]) -> Verdict:
    """The verdict on raw reply texts ``replies[turn][step]`` in the pythonic format.

    What cannot be decoded, or holds no call, counts as no step. A plain text instead of a list is an inference error
    that upstream recorded; a wrong number of turns is an episode that was stopped.
    """
    if isinstance(replies, str):
        return _failure("inference_error", 0)
    return score_calls(task, [[step for step in map(_calls, turn) if step] for turn in replies])


def _calls(reply: str) -> list[str]:
    try:
        return render_calls(decode(reply))
    except DecodeError:
        return []


def _failure(error_type: str, turn: int) -> Verdict:
    return Verdict(False, PREFIX + error_type, turn)
