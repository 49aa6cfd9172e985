"""Worlds answer as the official program did, call for call; can be copied, compared and encoded."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bfcl_parity
from tooluse_gym.envs.bfcl.data import load_payload
from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats.reply import Call
from tooluse_gym.tasks import Task

Records = Callable[[str], list[dict[str, Any]]]
FILES = {
    "GorillaFileSystem": {"root": {"w": {"type": "directory", "contents": {"f": {"type": "file", "content": "x"}}}}}
}


@pytest.mark.parametrize("owner", [name for name in SIMULATORS if not name.startswith("MemoryAPI")])  # none recorded
def test_recorded_random_calls(bfcl_tasks: dict[str, Task], bfcl_data: Path, bfcl_records: Records, owner: str) -> None:
    records = [record for record in bfcl_records(bfcl_parity.RANDOM_CALLS) if record["class"] == owner]
    cases = list(bfcl_parity.random_calls(records, bfcl_tasks, load_payload(bfcl_data)))
    assert len(cases) == 250
    assert bfcl_parity.differing(cases) == []


def test_recorded_ground_truths(bfcl_tasks: dict[str, Task], bfcl_records: Records) -> None:
    cases = list(bfcl_parity.ground_truths(bfcl_records(bfcl_parity.GROUND_TRUTHS), bfcl_tasks))
    assert len(cases) == 800
    assert bfcl_parity.differing(cases) == []


def test_unknown_classes_are_named() -> None:
    with pytest.raises(ConfigurationError, match="'NoSuchAPI'; there are ") as error:
        World(["NoSuchAPI"])
    assert all(name in str(error.value) for name in SIMULATORS)


def test_both_modes_agree_on_valid_calls() -> None:
    official, strict = World(["GorillaFileSystem"], FILES), World(["GorillaFileSystem"], FILES)
    for call in (Call("cat", {"file_name": "f"}), Call("mkdir", {"dir_name": "d"}), Call("ls", {"a": True})):
        assert official.execute(call.text) == strict.call(call).text
    assert official.differs(strict) == {}
    assert official.state() == strict.state()


@pytest.mark.parametrize(
    ("call", "failure"),
    [
        (Call("rm", {"file_name": 3}), "invalid_arguments"),
        (Call("rm", {}), "invalid_arguments"),
        (Call("rm", {"file_name": "x" * 200_000}), "invalid_arguments"),
        (Call("rm", {"file_name": json.loads("[" * 500 + "]" * 500)}), "invalid_arguments"),
        (Call("__init__", {}), "unknown_tool"),
        (Call("state", {}), "unknown_tool"),
        (Call("rm", {"file_name": "f"}, error="not JSON"), "malformed"),
    ],
)
def test_refused_calls_change_nothing(call: Call, failure: str) -> None:
    world = World(["GorillaFileSystem"], FILES)
    before = world.state()
    result = world.call(call)
    assert result.failure == failure
    assert len(result.text) < 1_000
    assert world.state() == before


def test_hidden_tools_are_unknown_in_strict_mode() -> None:
    assert World(["MathAPI"]).call(Call("add", {"a": 1, "b": 2}), visible=["divide"]).failure == "unknown_tool"


def test_simulators_do_not_keep_what_the_caller_passed() -> None:
    world = World(["TwitterAPI"], {"TwitterAPI": {"authenticated": True}})
    call = Call("post_tweet", {"content": "x", "mentions": ["@a"]})
    world.call(call)
    world.call(Call("mention", {"tweet_id": 0, "mentioned_usernames": ["@b"]}))
    assert call.arguments["mentions"] == ["@a"]


def test_ground_truth_calls_are_replayed_by_their_text() -> None:
    world = World(["GorillaFileSystem"], FILES)
    assert world.replay(Call("cat", {"file_name": "?"}, source="cat('f')")) == '{"file_content": "x"}'
    assert world.replay(Call("cat", {"file_name": "f"})) == '{"file_content": "x"}'


def test_scenarios_are_not_changed() -> None:
    scenario = copy.deepcopy(FILES)
    world = World(["GorillaFileSystem"], scenario)
    world.execute("echo('new', 'f')")
    world.execute("mkdir('d')")
    assert scenario == FILES


def test_a_copy_of_a_world_is_exact_and_independent() -> None:
    classes = ["GorillaFileSystem", "MathAPI", "TwitterAPI"]
    world = World(classes, {**FILES, "TwitterAPI": {"authenticated": True}})
    for text in (
        "mkdir('d')",
        "cp('f', 'd')",
        "cd('d')",
        "post_tweet('a')",
        "echo(logarithm(2, 10, 5)['result'], 'f')",
    ):
        world.execute(text)
    clone = copy.deepcopy(world)
    assert clone.state() == world.state()
    assert clone.differs(world) == {}
    for text in ("pwd()", "cat('f')", "post_tweet('b')", "mention(0, ['@x'])", "get_user_tweets('john')"):
        assert clone.execute(text) == world.execute(text)
    clone.execute("touch('new')")
    clone.execute("mention(1, ['@y'])")
    assert clone.differs(world) == {"GorillaFileSystem": ["root"], "TwitterAPI": ["tweets"]}
    assert "new" not in world.execute("ls()")


def test_worlds_share_on_request_and_a_copied_pair_keeps_sharing() -> None:
    commons: dict[str, Any] = {}
    scenario = {"TwitterAPI": {"authenticated": True}}
    pair = [World(["TwitterAPI"], scenario, commons=commons, actor=actor) for actor in ("model", "ground_truth")]
    for world in pair:
        world.execute("post_tweet('a')")
    first, second = copy.deepcopy(pair)
    first.execute("mention(0, ['@x'])")
    assert first.differs(second) == {}
    assert "@x" in second.execute("get_tweet(0)")
    assert "@x" not in pair[1].execute("get_tweet(0)")


def test_comparison_is_pythons() -> None:
    one, other = (World(["TwitterAPI"], {"TwitterAPI": {"tweet_counter": count}}) for count in (1, 1.0))
    assert one.differs(other) == {}
    assert bfcl_parity.state_digest(one) != bfcl_parity.state_digest(other)


def test_where_the_agent_stands_is_not_compared() -> None:
    one, other = World(["GorillaFileSystem"], FILES), World(["GorillaFileSystem"], FILES)
    for world in (one, other):
        world.execute("mkdir('d')")
    one.execute("cd('d')")
    assert one.differs(other) == {}


def test_encoded_states_are_json_whatever_was_stored() -> None:
    world = World(["GorillaFileSystem", "MathAPI", "TwitterAPI"], {**FILES, "TwitterAPI": {"authenticated": True}})
    for text in ("post_tweet(...)", "comment(0, {1: (2, b'x')})", "mkdir('d')", "cp('d', 'd')"):
        world.execute(text)
    encoded = json.loads(json.dumps(world.state()))
    assert encoded["MathAPI"] == {}
    assert encoded["TwitterAPI"]["tweets"]["__items__"][0][1]["content"] == {"__repr__": "Ellipsis"}
    assert encoded["GorillaFileSystem"]["root"]["type"] == "directory"
