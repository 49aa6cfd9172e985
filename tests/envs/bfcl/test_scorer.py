"""Verdicts: the rules on a task small enough to judge by hand, and every recorded verdict of the official program."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.bfcl import load_tasks, score_calls, score_replies
from tooluse_gym.envs.bfcl.data import CATEGORIES
from tooluse_gym.envs.bfcl.scorer import independent_truth, make_world, make_worlds, play_calls
from tooluse_gym.formats import Call
from tooluse_gym.messages import user
from tooluse_gym.tasks import Task, Turn

Records = Callable[[str], list[dict[str, Any]]]
LONGEST = 400  # characters of a recorded result; longer ones are hashed


def gold(*texts: str) -> tuple[tuple[Call, ...], ...]:
    return tuple((Call(text.partition("(")[0], source=text),) for text in texts)


TASK = Task(
    "by hand",
    (
        Turn((user("make a.txt and show the directory"),), gold("touch('a.txt')", "ls()")),
        Turn((user("make another"),)),
        Turn((user("b.txt"),), gold("touch(file_name='b.txt')")),
    ),
    ("MathAPI", "GorillaFileSystem"),
    {"GorillaFileSystem": {"root": {"home": {"type": "directory", "contents": {}}}}},
)
MAKE_A, LIST, MAKE_B = "touch(file_name='a.txt')", "ls()", "touch(file_name='b.txt')"

CALLS: dict[str, tuple[Any, str | None, int | None]] = {
    "ground truth": ([[[MAKE_A], [LIST]], [], [[MAKE_B]]], None, None),
    "one step, with detours": ([[["pwd()", MAKE_A, "fly()", LIST, LIST]], [["ls()"]], [[MAKE_B]]], None, None),
    "work in the unjudged turn": ([[[MAKE_A], [LIST]], [[MAKE_B]], [["pwd()"]]], None, None),
    "no step": ([[[MAKE_A], [LIST]], [], []], "empty_turn_model_response", 2),
    "one empty step": ([[[MAKE_A], [LIST]], [], [[]]], "empty_turn_model_response", 2),
    "two empty steps": ([[[MAKE_A], [LIST]], [], [[], []]], "instance_state_mismatch", 2),
    "wrong state": ([[[MAKE_B], [LIST]], [], [[MAKE_B]]], "instance_state_mismatch", 0),
    "too early": ([[[MAKE_A], [LIST], [MAKE_B]], [], []], "instance_state_mismatch", 0),
    "result not seen": ([[[MAKE_A]], [], [[MAKE_B]]], "execution_response_mismatch", 0),
    "turn lost": ([[[MAKE_A], [LIST]], []], "force_terminated", 2),
    "turn too many": ([[[MAKE_A], [LIST]], [], [[MAKE_B]], []], "force_terminated", 3),
}


@pytest.mark.parametrize(("calls", "error_type", "turn"), CALLS.values(), ids=CALLS)
def test_rules_on_calls(calls: Any, error_type: str | None, turn: int | None) -> None:
    verdict = score_calls(TASK, calls)
    assert (verdict.valid, verdict.turn) == (error_type is None, turn)
    assert verdict.error_type == (error_type and f"multi_turn:{error_type}")
    assert dict(verdict.differing) == ({"GorillaFileSystem": ["root"]} if "state" in str(error_type) else {})


REPLIES: dict[str, tuple[Any, str | None]] = {
    "ground truth": ([[f"[{MAKE_A}]", f"[{LIST}]", "Done."], ["Which name?"], [f"[{MAKE_B}]", ""]], None),
    "prose and empties are no steps": ([["hm", f"[{MAKE_A}, {LIST}]"], ["[]"], ["[", f"`{MAKE_B}`"]], None),
    "nothing decodes": ([[f"[{MAKE_A}, {LIST}]"], [""], ["I did.", "[]"]], "empty_turn_model_response"),
    "empty dict": ([[f"[{MAKE_A}, {LIST}]"], [""], ["[touch(file_name={})]"]], "empty_turn_model_response"),
    "stopped": ([["[pwd()]"] * 21], "force_terminated"),
    "inference error": ("Error during inference: 429", "inference_error"),
}


@pytest.mark.parametrize(("replies", "error_type"), REPLIES.values(), ids=REPLIES)
def test_rules_on_replies(replies: Any, error_type: str | None) -> None:
    assert score_replies(TASK, replies).error_type == (error_type and f"multi_turn:{error_type}")


def test_official_worlds_share_what_upstream_shares() -> None:
    # Upstream's default list of mentions is one object, so the ground truth's tweet gets the model's mention as well:
    # the states agree, but the ground truth's result shows a mention that the model's did not.
    task = Task("tweet", (Turn((user("tweet"),), gold("post_tweet('hi')")),), ("TwitterAPI",))
    task = replace(task, initial_state={"TwitterAPI": {"authenticated": True}})
    tweet = task.turns[0].calls[0]
    for agent, other, shared in ((*make_worlds(task), ["@bob"]), (make_world(task), make_world(task), [])):
        agent.execute(tweet.text)
        agent.execute("mention(0, ['@bob'])")
        assert f'"mentions": {json.dumps(shared)}' in other.replay(tweet)
    assert independent_truth(task) == (), "it must be played beside the agent"
    verdict = score_calls(task, [[[tweet.text], ["mention(0, ['@bob'])"]]])
    assert verdict.error_type == "multi_turn:execution_response_mismatch"


@pytest.fixture(scope="module")
def tasks(bfcl_data: Path) -> dict[str, Task]:
    return {name: task for category in CATEGORIES for name, task in load_tasks(category, bfcl_data).items()}


def test_recorded_verdicts_on_calls(tasks: dict[str, Task], bfcl_records: Records) -> None:
    records = [record for record in bfcl_records("verdicts_multi_turn_public.jsonl.gz") if record["id"] in tasks]
    assert len(records) == 4 * len(tasks)
    wrong = []
    for record in records:
        verdict, results = play_calls(tasks[record["id"]], record["model_output"])
        found: dict[str, Any] = {"valid": verdict.valid, "error_type": verdict.error_type}
        found["model_results"] = [[_hashed(text) for text in step] for step in results]
        if "differing_attributes" in record:
            found["differing_attributes"] = sorted(next(iter(verdict.differing.values())))
        if found != {name: record[name] for name in found}:
            wrong.append((record["id"], record["kind"], found))
    assert not wrong, f"{len(wrong)} of {len(records)} verdicts differ, first: {wrong[0]}"


def test_recorded_verdicts_on_replies(tasks: dict[str, Task], bfcl_records: Records) -> None:
    records = [record for record in bfcl_records("verdicts_multi_turn_raw_public.jsonl.gz") if record["id"] in tasks]
    assert len(records) == len(tasks)
    wrong = []
    for record in records:
        verdict = score_replies(tasks[record["id"]], record["model_result"])
        if (verdict.valid, verdict.error_type) != (record["valid"], record["error_type"]):
            wrong.append((record["id"], verdict))
    assert not wrong, f"{len(wrong)} of {len(records)} verdicts differ, first: {wrong[0]}"


def _hashed(text: str) -> Any:
    if len(text) <= LONGEST:
        return text
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), "len": len(text)}
