"""Verdicts: the rules on a task small enough to judge by hand, and every recorded verdict of the official program."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks import bfcl_parity
from tooluse_gym.env import Validation
from tooluse_gym.envs.bfcl import score_calls, score_replies
from tooluse_gym.envs.bfcl.scorer import independent_truth, make_world, make_worlds, play_calls
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call
from tooluse_gym.messages import user
from tooluse_gym.tasks import Task, Turn

Records = Callable[[str], list[dict[str, Any]]]


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


@pytest.mark.parametrize("validation", ["official", "strict"])
@pytest.mark.parametrize(("replies", "error_type"), REPLIES.values(), ids=REPLIES)
def test_rules_on_replies(replies: Any, error_type: str | None, validation: Validation) -> None:
    assert score_replies(TASK, replies, validation).error_type == (error_type and f"multi_turn:{error_type}")


def test_strict_rules_hold_for_replies() -> None:
    replies = [[f"[{MAKE_A}, {LIST}]"], ["[pwd()]"], [f"[{MAKE_B}]"]]
    assert score_replies(TASK, replies).valid
    assert score_replies(TASK, replies, "strict").error_type == "multi_turn:needless_call"


STRICT_TASK = replace(
    TASK,
    turns=(
        *TASK.turns,
        Turn((user("sort it"),)),
        Turn((user("you can sort now"),), gold("sort('b.txt')"), reveals=("sort",)),
    ),
)
SORT = "sort(file_name='b.txt')"
GOOD: tuple[list[list[str]], ...] = ([[MAKE_A], [LIST]], [], [[MAKE_B]], [], [[SORT]])

STATE, RESULTS, EMPTY = "instance_state_mismatch", "execution_response_mismatch", "empty_turn_model_response"

# What is said in which turns instead of GOOD, and the errors in official and in strict mode.
STRICT: dict[str, tuple[dict[int, list[list[str]]], str | None, str | None]] = {
    "ground truth": ({}, None, None),
    "by position": ({0: [["touch('a.txt')", "ls(False)"]]}, None, None),
    "by position and by name": ({2: [["touch('b.txt', file_name='b.txt')"]]}, STATE, STATE),
    "refused calls beside the right ones": ({0: [["ls(a=1)", "fly()", "I try", MAKE_A, LIST]]}, None, None),
    "nothing but a refused call": ({4: [["sort(file_name=1)"]]}, RESULTS, RESULTS),
    "no call": ({4: []}, EMPTY, EMPTY),
    "call in an empty turn": ({1: [["pwd()"]]}, None, "needless_call"),
    "call of a hidden function in an empty turn": ({3: [[SORT]]}, None, "needless_call"),
    "empty step in an empty turn": ({1: [[]]}, None, None),
    "needed result from before the reveal": ({2: [[MAKE_B], [SORT]], 4: [["ls()"]]}, None, RESULTS),
    "needed result of a wrong type": ({0: [[MAKE_A], ["ls(a=0)"]]}, None, RESULTS),
    "needed, but computed": ({2: [["touch('b' + '.txt')"]]}, None, STATE),
    "needed, but nested": ({2: [["touch(str('b.txt'))"]]}, None, STATE),
    "needless and computed": ({2: [[MAKE_B, "touch('c' + '.txt')"]]}, STATE, None),
}


@pytest.mark.parametrize(("said", "official", "strict"), STRICT.values(), ids=STRICT)
def test_strict_rules(said: dict[int, list[list[str]]], official: str | None, strict: str | None) -> None:
    calls = [said.get(turn, good) for turn, good in enumerate(GOOD)]
    modes: dict[Validation, str | None] = {"official": official, "strict": strict}
    for validation, error in modes.items():
        verdict = score_calls(STRICT_TASK, calls, validation)
        assert verdict.error_type == (error and f"multi_turn:{error}"), validation


def test_strict_results_say_why() -> None:
    calls = [[["sort('a.txt')", "ls(a=1)", "ls(b)", "rmdir('x')", MAKE_A, LIST]], *GOOD[1:]]
    _, results = play_calls(STRICT_TASK, calls, "strict")
    assert [result.failure for result in results[0]] == ["unknown_tool", "invalid_arguments", "malformed", *[None] * 3]
    _, results = play_calls(STRICT_TASK, calls)
    assert {result.failure for result in results[0]} == {None}


def test_unknown_validation_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown validation 'lax'; choose strict or official"):
        score_calls(TASK, [], "lax")  # type: ignore[arg-type]


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
    calls = [[[tweet.text], ["mention(0, ['@bob'])"]]]
    assert score_calls(task, calls).error_type == "multi_turn:execution_response_mismatch"
    assert score_calls(task, calls, "strict").error_type == "multi_turn:instance_state_mismatch", "nothing is shared"


def test_recorded_verdicts_on_calls(bfcl_tasks: dict[str, Task], bfcl_records: Records) -> None:
    cases = list(bfcl_parity.verdicts_on_calls(bfcl_records(bfcl_parity.CALLS), bfcl_tasks))
    assert len(cases) == 3200
    assert bfcl_parity.differing(cases) == []


def test_recorded_verdicts_on_replies(bfcl_tasks: dict[str, Task], bfcl_records: Records) -> None:
    cases = list(bfcl_parity.verdicts_on_replies(bfcl_records(bfcl_parity.REPLIES), bfcl_tasks))
    assert len(cases) == 800
    assert bfcl_parity.differing(cases) == []
