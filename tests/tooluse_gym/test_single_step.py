"""Tasks of one message per turn: calls are judged and not carried out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import TaskError
from tooluse_gym.formats import Call, Reply
from tooluse_gym.messages import user
from tooluse_gym.scoring import Judge, ReplyJudge, Verdict
from tooluse_gym.tasks import Task, TaskList, Turn, task_from_json, task_to_json
from tooluse_gym.testing import check_tool_env
from tooluse_gym.tools import Tool
from tooluse_gym.world import DeclaredWorld, World

LAMP = Tool("lamp", "Switch a lamp.", {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]})
ON = Call("lamp", {"on": True})
TASKS = (
    Task("light", (Turn((user("light it"),), ((ON,),)),), (), single_step=True),
    Task("chat", (Turn((user("hello"),), response="Hello!"),), (), single_step=True),
    Task("both", (Turn((user("light it"),), ((ON,),)), Turn((user("thanks"),))), (), single_step=True),
)


class LampEnv(ToolUseEnv):
    """Judges calls without a lamp."""

    def __init__(self, **options: Any):
        super().__init__(TaskList(TASKS), **options)

    def make_world(self, task: Task) -> World:
        return DeclaredWorld((LAMP,))

    def make_judge(self, task: Task) -> Judge:
        def score(turn: int, reply: Reply) -> Verdict:
            right = reply.calls == tuple(call for step in task.turns[turn].steps for call in step)
            return Verdict(right, None if right else "other_calls")

        return ReplyJudge(task, self.make_world(task), score)


def _say(env: ToolUseEnv, task_id: str, *replies: str) -> tuple[Any, ...]:
    env.reset(options={"task_id": task_id})
    for reply in replies:
        returned = env.step(reply)
    return returned


def test_it_keeps_every_promise() -> None:
    for format in ("hermes", "toolrl", "pythonic", "structured"):
        check_tool_env(LampEnv(format=format), seeds=(0, 1, 2, 3))


def test_one_message_ends_the_turn() -> None:
    env = LampEnv(format="pythonic", rubric="official")
    observation, reward, terminated, truncated, info = _say(env, "light", "[lamp(on=True)]")
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["verdict"] == {"valid": True, "error_type": None, "differing": {}}
    assert observation[0]["content"] == "The call is well-formed; it is judged, not carried out."


@pytest.mark.parametrize(
    ("reply", "failure", "said"),
    [
        ("[lamp(on=False)]", None, "well-formed"),
        ("[lamp(on=3)]", "invalid_arguments", "expected boolean, got 3"),
        ("[torch(on=True)]", "unknown_tool", "Available: lamp"),
    ],
    ids=["another value", "another type", "another tool"],
)
def test_a_wrong_call_is_an_observation(reply: str, failure: str | None, said: str) -> None:
    observation, *_, info = _say(LampEnv(format="pythonic"), "light", reply)
    assert info["failures"] == (failure,)
    assert info["verdict"] == {"valid": False, "error_type": "other_calls", "turn": 0, "differing": {}}
    assert said in observation[0]["content"]


def test_the_first_wrong_turn_decides() -> None:
    *_, info = _say(LampEnv(format="pythonic"), "both", "[lamp(on=True)]", "[lamp(on=True)]")
    assert info["verdict"]["turn"] == 1
    *_, terminated, _, info = _say(LampEnv(format="pythonic"), "both", "no", "no")
    assert terminated
    assert info["verdict"]["turn"] == 0


def test_demonstrations_say_the_response() -> None:
    env = LampEnv(format="toolrl")
    assert "<response> Hello! </response>" in env.demonstrate(seed=0, options={"task_id": "chat"}).steps[0].action
    assert [task.gold_steps for task in TASKS] == [1, 1, 2]


def test_step_by_step_rewards() -> None:
    env = LampEnv(format="toolrl", rubric="toolrl")
    record = env.demonstrate(seed=0, options={"task_id": "light"})
    assert record.steps[0].reward_terms == {"format": 1.0, "correctness": 3.0}


def test_tasks_survive_writing() -> None:
    task = Task("t", (Turn((user("x"),), ((ON,),), response="So."),), ("House",), single_step=True)
    record = json.loads(json.dumps(task_to_json(task)))
    assert task_from_json(record, "here") == task
    record["turns"][0]["steps"] *= 2
    with pytest.raises(TaskError, match="here: field single_step: its turns must have one step"):
        task_from_json(record, "here")
