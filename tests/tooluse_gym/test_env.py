from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import pytest
from gymnasium.error import ResetNeeded
from hypothesis import given
from hypothesis import strategies as st

from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ConfigurationError, TaskError
from tooluse_gym.formats import Call
from tooluse_gym.messages import user
from tooluse_gym.tasks import Task, TaskList, Turn, Utterance
from tooluse_gym.trajectory import Trajectory
from tooluse_gym.world import ToolResult, World

House = Callable[..., ToolUseEnv]
Say = Callable[..., str]
SWITCH = ("switch", {"lamp": "hall", "on": True})
LOOK: tuple[str, dict[str, Any]] = ("look", {})
NONSENSE: tuple[str, dict[str, Any]] = ("no_such_tool", {})


# Turns and steps


def test_reset_shows_tools_and_request(house: House) -> None:
    observation, info = house().reset(seed=0, options={"task_id": "two turns"})
    assert [message["role"] for message in observation] == ["system", "user"]
    assert '"name": "switch"' in observation[0]["content"]
    assert observation[1]["content"] == "light the hall"
    tools = info.pop("tools")
    assert [tool["function"]["name"] for tool in tools] == ["switch", "look", "paint"]
    assert info == {
        "task_id": "two turns",
        "turn": 0,
        "step": 0,
        "tools_version": 1,
        "reward_terms": dict.fromkeys(("turn", "state", "results", "format", "schema", "steps"), 0.0),
        "failures": (),
    }


def test_a_call_is_answered_by_a_tool_message(house: House, say: Say) -> None:
    env = house("two turns")
    observation, _, terminated, truncated, info = env.step(say(SWITCH))
    assert observation == ({"role": "tool", "name": "switch", "content": '{"hall": true}'},)
    assert (terminated, truncated, info["turn"], info["step"]) == (False, False, 0, 1)


def test_calls_of_a_step_run_in_order_one_message_each(house: House, say: Say) -> None:
    env = house("two calls")
    observation, *_, info = env.step(say(SWITCH, NONSENSE, LOOK))
    assert [message["content"] for message in observation] == [
        '{"hall": true}',
        "Unknown tool 'no_such_tool'. Available: switch, look, paint.",
        "['hall']",
    ]
    assert info["failures"] == (None, "unknown_tool", None)


def test_a_reply_without_calls_hands_back(house: House, say: Say) -> None:
    env = house("two turns")
    env.step(say(SWITCH))
    observation, reward, terminated, truncated, info = env.step("Done.")
    assert observation == ({"role": "user", "content": "what burns?"},)
    assert (terminated, truncated, info["turn"], info["step"]) == (False, False, 1, 0)
    assert reward == pytest.approx(0.5)


def test_the_last_hand_back_terminates(house: House, say: Say) -> None:
    env = house("two turns")
    for text in (say(SWITCH), "Done.", say(LOOK)):
        env.step(text)
    observation, _, terminated, truncated, info = env.step("Done.")
    assert (observation, terminated, truncated) == ((), True, False)
    assert info["verdict"] == {"valid": True, "error_type": None, "differing": {}}
    with pytest.raises(ResetNeeded, match="the episode is over"):
        env.step("Done.")


def test_a_failed_episode_says_why(house: House, say: Say) -> None:
    env = house("two calls")
    env.step(say(("switch", {"lamp": "door"})))
    *_, info = env.step("Done.")
    assert info["verdict"] == {
        "valid": False,
        "error_type": "instance_state_mismatch",
        "turn": 0,
        "differing": {"House": ["lamps"]},
    }


def test_the_conversation_holds_everything(house: House, say: Say) -> None:
    env = house("two turns")
    env.step(say(SWITCH))
    env.step("Done.")
    assert [message["role"] for message in env.conversation] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]


# The step limit


def test_the_limit_is_passed_by_the_step_after_it(house: House, say: Say) -> None:
    env = house("two turns")
    for _ in range(20):
        assert env.step(say(LOOK))[2:4] == (False, False)
    observation, _, terminated, truncated, info = env.step(say(LOOK))
    assert len(observation) == 1, "the call that exceeds the limit is still executed"
    assert (terminated, truncated) == (False, True)
    assert info["verdict"]["error_type"] == "force_terminated"
    assert info["verdict"]["turn"] == 0


def test_after_the_limit_one_may_still_hand_back(house: House, say: Say) -> None:
    env = house("two turns", max_steps_per_turn=1)
    env.step(say(SWITCH))
    assert env.step("Done.")[2:4] == (False, False)
    env.step(say(LOOK))
    *_, terminated, truncated, info = env.step("Done.")
    assert (terminated, truncated, info["verdict"]["valid"]) == (True, False, True)


def test_truncated_in_the_last_turn_the_turn_is_graded(house: House, say: Say) -> None:
    env = house("two calls", max_steps_per_turn=1)
    env.step(say(SWITCH))
    _, reward, terminated, truncated, info = env.step(say(LOOK))
    assert (terminated, truncated) == (False, True)
    assert info["verdict"]["valid"] is True
    assert reward == pytest.approx(1.0)


def test_the_limit_counts_per_turn(house: House, say: Say) -> None:
    env = house("two turns", max_steps_per_turn=2)
    for text in (say(SWITCH), say(LOOK), "Done.", say(LOOK)):
        assert env.step(text)[3] is False
    assert env.step(say(LOOK))[3] is False
    assert env.step(say(LOOK))[3] is True


# Strict and official


def test_strict_reports_malformed_calls(house: House) -> None:
    env = house("two turns")
    observation, *_, info = env.step("<tool_call>\n{]\n</tool_call>")
    assert info["failures"] == ("malformed",)
    assert observation[0]["content"].startswith("Malformed call: ")
    assert info["turn"] == 0


def test_official_ends_the_turn_on_text_it_cannot_decode(house: House, say: Say) -> None:
    env = house("two turns", validation="official")
    env.step(say(SWITCH))
    observation, *_, info = env.step(say(LOOK) + "\n<tool_call>\n{]\n</tool_call>")
    assert observation == ({"role": "user", "content": "what burns?"},)
    assert (info["turn"], info["failures"]) == (1, ())


@pytest.mark.parametrize(("validation", "valid"), [("strict", False), ("official", True)])
def test_a_needless_call_is_wrong_in_strict_mode_only(house: House, say: Say, validation: str, valid: bool) -> None:
    env = house("vague", validation=validation)
    for text in (say(LOOK), "Which one?", say(SWITCH)):
        env.step(text)
    assert env.step("Done.")[4]["verdict"]["valid"] is valid


# Tools that appear later


def test_tools_come_with_reset_and_when_they_change(house: House, say: Say) -> None:
    env = house()
    _, first = env.reset(options={"task_id": "reveal"})
    *_, same = env.step(say(SWITCH))
    *_, changed = env.step("I cannot.")
    *_, ended = env.step("No.")
    assert [info["tools_version"] for info in (first, same, changed, ended)] == [1, 1, 2, 2]
    assert ["tools" in info for info in (first, same, changed, ended)] == [True, False, True, False]
    assert env.tools == changed["tools"]
    assert env.tools[0] is not changed["tools"][0], "a copy: what the caller does to it stays there"


def test_revealed_tools_are_hidden_then_announced(house: House, say: Say) -> None:
    env = house()
    observation, info = env.reset(options={"task_id": "reveal"})
    assert [tool["function"]["name"] for tool in info["tools"]] == ["switch", "look"]
    assert "paint" not in observation[0]["content"]
    assert env.step(say(("paint", {"colors": []})))[4]["failures"] == ("unknown_tool",)
    env.reset(options={"task_id": "reveal"})
    observation, *_, info = env.step("I cannot.")
    assert [tool["function"]["name"] for tool in info["tools"]] == ["switch", "look", "paint"]
    assert info["tools_version"] == 2
    (message,) = observation
    first, tool, blank, request = message["content"].split("\n")
    assert (first, blank, request) == ("These tools are now available as well:", "", "now you can")
    assert json.loads(tool)["name"] == "paint"


def test_new_tools_of_a_turn_that_no_user_opens_are_a_message_of_their_own(house: House) -> None:
    noted = {"role": "system", "content": "It is dark now."}
    turns = (Turn((user("paint it"),)), Turn((noted,), reveals=("paint",)))
    env = house()
    env.tasks = TaskList([Task("t", turns, ("House",), {"House": {"lamps": {}}})])
    env.reset(options={"task_id": "t"})
    told, said = env.step("I cannot.")[0]
    assert told["role"] == "user"
    assert "paint" in told["content"]
    assert not told["content"].endswith("\n")
    assert said == noted


def test_without_show_tools_messages_are_the_tasks_own(house: House) -> None:
    env = house(show_tools=False)
    observation, info = env.reset(options={"task_id": "reveal"})
    assert observation == (user("paint it"),)
    assert len(info["tools"]) == 2
    observation, *_, info = env.step("I cannot.")
    assert observation == (user("now you can"),)
    assert len(info["tools"]) == 3


def test_a_system_message_of_the_task_joins_the_prompt(house: House) -> None:
    spoken = Turn(({"role": "system", "content": "Be brief."}, user("hi")))
    task = Task("t", (spoken,), ("House",), {"House": {"lamps": {}}})
    env = house()
    env.tasks = TaskList([task])
    observation, _ = env.reset(options={"task_id": "t"})
    assert [message["role"] for message in observation] == ["system", "user"]
    assert observation[0]["content"].endswith("\n\nBe brief.")


# Prefixes and snapshots


@pytest.mark.parametrize(
    ("prefix", "roles", "turn", "step"),
    [
        (0, ["system", "user"], 0, 0),
        (1, ["system", "user", "assistant", "tool"], 0, 1),
        (2, ["system", "user", "assistant", "tool", "assistant", "user"], 1, 0),
        (3, ["system", "user", "assistant", "tool", "assistant", "user", "assistant", "tool"], 1, 1),
    ],
)
def test_prefix_starts_after_ground_truth_steps(
    house: House, prefix: int, roles: list[str], turn: int, step: int
) -> None:
    observation, info = house().reset(options={"task_id": "two turns", "prefix": prefix})
    assert [message["role"] for message in observation] == roles
    assert (info["turn"], info["step"]) == (turn, step)


def test_after_a_prefix_only_the_rest_is_recorded_and_rewarded(house: House, say: Say) -> None:
    env = house("two turns", prefix=2)
    env.step(say(LOOK))
    *_, info = env.step("Done.")
    assert info["verdict"]["valid"] is True
    record = env.trajectory()
    assert (record.prefix, len(record.steps)) == (2, 2)
    assert record.reward == pytest.approx(0.5)


def test_a_snapshot_branches(house: House, say: Say) -> None:
    env = house("two turns")
    env.step(say(SWITCH))
    snapshot = env.snapshot()

    def finish(*replies: str) -> Any:
        env.restore(snapshot)
        return [env.step(text) for text in replies]

    right = finish("Done.", say(LOOK), "Done.")
    wrong = finish(say(("switch", {"lamp": "door"})), "Done.", say(LOOK), "Done.")
    assert right[-1][4]["verdict"]["valid"] is True
    assert wrong[-1][4]["verdict"]["valid"] is False
    assert finish("Done.", say(LOOK), "Done.") == right


def test_a_snapshot_outlives_reset_and_serves_another_environment(house: House, say: Say) -> None:
    env, other = house("two turns"), house("vague")
    env.step(say(SWITCH))
    snapshot = env.snapshot()
    env.reset(options={"task_id": "vague"})
    other.restore(snapshot)
    env.restore(snapshot)
    assert env.task.id == other.task.id == "two turns"
    assert env.step(say(LOOK)) == other.step(say(LOOK))


def test_episodes_share_no_state(house: House) -> None:
    """The toy keeps its scenario and its arguments without copying them."""
    env = house()
    for _ in range(2):
        for task in ("two turns", "reveal"):
            record = env.demonstrate(seed=0, options={"task_id": task})
            assert record.verdict is not None
            assert record.verdict.valid


def test_what_callers_do_to_messages_stays_with_them(house: House, say: Say) -> None:
    env = house()
    observation, info = env.reset(options={"task_id": "two turns"})
    observation[1]["content"] = "changed"
    info["tools"][0]["function"]["parameters"]["properties"].clear()
    env.conversation[1]["content"] = "changed"
    assert env.conversation[1]["content"] == "light the hall"
    assert env.step(say(("switch", {"lamp": 1})))[4]["failures"] == ("invalid_arguments",)


# Demonstrations


def test_demonstrate_plays_the_ground_truth(house: House) -> None:
    env = house()
    record = env.demonstrate(seed=3)
    assert record.verdict is not None
    assert record.verdict.valid
    assert record == env.demonstrate(seed=3)


def test_seeds_sample_tasks_of_the_split(house: House) -> None:
    env = house(split="test")
    drawn = {env.reset(seed=seed)[1]["task_id"] for seed in range(20)}
    assert drawn == {"vague", "reveal"}
    drawn = {env.reset(seed=seed, options={"split": "train"})[1]["task_id"] for seed in range(20)}
    assert drawn == {"two turns", "two calls"}
    assert house().split == "train"


# Rendering and errors


def test_render_is_the_conversation(house: House) -> None:
    env = house("two turns", render_mode="ansi", show_tools=False)
    assert env.render() == "[user]\nlight the hall\n"
    assert house("two turns").render() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "xml"}, "unknown reply format 'xml'"),
        ({"validation": "lax"}, "unknown validation 'lax'; choose strict or official"),
        ({"rubric": "sparse"}, "unknown rubric 'sparse'"),
        ({"max_steps_per_turn": 0}, "max_steps_per_turn must be at least 1, got 0"),
        ({"split": "dev"}, "unknown split 'dev'; choose one of train, test"),
        ({"render_mode": "human"}, "unknown render_mode 'human'; choose ansi or None"),
    ],
)
def test_wrong_options(house: House, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        house(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "two turns"}, "unknown reset option 'task'; known: task_id, split, prefix, update"),
        ({"task_id": "none"}, "no task has the id 'none'"),
        ({"split": "dev"}, "unknown split 'dev'; choose one of train, test"),
        ({"task_id": "two turns", "prefix": 4}, "prefix must be 0 to 3 in task 'two turns', got 4"),
        ({"task_id": "two turns", "prefix": -1}, "prefix must be 0 to 3 in task 'two turns', got -1"),
        ({"task_id": "two turns", "prefix": 1.5}, "prefix must be 0 to 3 in task 'two turns', got 1.5"),
        ({"task_id": "two turns", "update": 0}, "update must be a whole number from 1, got 0"),
        ({"task_id": "two turns", "update": 1.5}, "update must be a whole number from 1, got 1.5"),
    ],
)
def test_wrong_reset_options(house: House, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        house().reset(options=options)


def test_a_prefix_beyond_the_step_limit_is_an_error(house: House) -> None:
    env = house(max_steps_per_turn=1)
    two_steps = Turn((user("?"),), ((Call("look"),), (Call("look"),), (Call("look"),)))
    env.tasks = TaskList([Task("long", (two_steps,), ("House",), {"House": {"lamps": {}}})])
    with pytest.raises(ConfigurationError, match="exceeds max_steps_per_turn=1 within its first 2 steps"):
        env.reset(options={"task_id": "long", "prefix": 2})


@pytest.mark.parametrize("use", ["step", "task", "snapshot", "trajectory", "conversation"])
def test_reset_comes_first(house: House, use: str) -> None:
    env = house()
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step("") if use == "step" else getattr(env, use)()


def test_an_action_is_text(house: House) -> None:
    env: Any = house("two turns")
    with pytest.raises(TypeError, match="an action is the assistant's text, got int"):
        env.step(3)


def test_noise_needs_a_source_that_errs_and_no_prefix(house: House) -> None:
    with pytest.raises(ConfigurationError, match="no noisy demonstrations"):
        house().demonstrate(seed=0, noise=0.5)
    with pytest.raises(ConfigurationError, match="use prefix=0"):
        house().demonstrate(seed=0, noise=0.5, options={"prefix": 1})


def test_a_task_of_another_environment_is_an_error(house: House) -> None:
    env = house()
    env.tasks = TaskList([Task("t", (Turn((user("?"),)),), ("Garden",))])
    with pytest.raises(TaskError, match="task 't' needs the tool set 'Garden'; HouseEnv has House"):
        env.reset(seed=0)


@pytest.mark.parametrize("format", ["hermes", "toolrl", "pythonic", "structured"])
def test_every_format_plays_the_ground_truth(house: House, format: str) -> None:
    env = house(format=format)
    for task in ("two turns", "two calls", "vague", "reveal"):
        record = env.demonstrate(seed=0, options={"task_id": task})
        assert record.verdict is not None
        assert record.verdict.valid
    assert env.write(Utterance(response="Done."))


FRAGMENTS = [
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    "<response>",
    '{"name": "look", "arguments": {}}',
    "[look()]",
]
REPLIES = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=20), max_size=8).map("".join)


@pytest.mark.parametrize("validation", ["strict", "official"])
@pytest.mark.parametrize("format", ["hermes", "toolrl", "pythonic", "structured"])
@given(replies=st.lists(REPLIES, max_size=5))
def test_no_reply_raises(house_class: House, format: str, validation: str, replies: list[str]) -> None:
    env = house_class(format=format, validation=validation)
    env.reset(seed=0, options={"task_id": "reveal"})
    for reply in replies:
        observation, reward, terminated, truncated, info = env.step(reply)
        assert observation in env.observation_space
        assert reward == pytest.approx(sum(info["reward_terms"].values()))
        if terminated or truncated:
            break
    assert Trajectory.from_json(env.trajectory().to_json()) == env.trajectory()


class Attic(World):
    """A house in which looking around shows how to paint."""

    def call(self, call: Call, visible: Collection[str] | None = None) -> ToolResult:
        if call.name == "look":
            self.found = ("paint",)
        return super().call(call, visible)


def test_what_a_call_finds_is_visible_from_the_next_step_on(
    house_class: Callable[..., ToolUseEnv], monkeypatch: pytest.MonkeyPatch, say: Callable[..., str]
) -> None:
    monkeypatch.setattr(house_class, "make_world", lambda self, task: Attic(ToolUseEnv.make_world(self, task).toolsets))
    env = house_class()
    found = replace(env.tasks["two turns"], tools=("switch", "look"))
    monkeypatch.setattr(env, "tasks", TaskList([found]))
    paint = say(("paint", {"colors": ["red"]}))
    env.reset(options={"task_id": found.id})
    *_, info = env.step(paint)
    assert info["failures"] == ("unknown_tool",)
    *_, info = env.step(say(("look", {})))
    assert [tool["function"]["name"] for tool in info["tools"]] == ["switch", "look", "paint"]
    assert info["tools_version"] == 2
    *_, info = env.step(paint)
    assert info["failures"] == (None,)
    assert "tools" not in info
    env.reset(options={"task_id": found.id})
    assert len(env.tools) == 2
