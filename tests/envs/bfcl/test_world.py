"""Worlds answer as the official program did, call for call; can be copied, compared and encoded."""

from __future__ import annotations

import copy
import functools
import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats.reply import Call

REPOSITORY = Path(__file__).resolve().parents[3]
CATEGORIES = ("base", "long_context", "miss_func", "miss_param")
FILES = {
    "GorillaFileSystem": {"root": {"w": {"type": "directory", "contents": {"f": {"type": "file", "content": "x"}}}}}
}


def data() -> Path:
    """The folder of BFCL's data and recorded outputs; skips the test where there is none."""
    folder = Path(os.environ.get("TOOLUSE_TEST_DATA", REPOSITORY / "../shared/data")) / "bfcl"
    if not (folder / "fuzz_exec_public.jsonl.gz").is_file():
        pytest.skip(f"no recorded outputs in {folder}; set TOOLUSE_TEST_DATA")
    return folder


def records(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(data() / name, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


@functools.cache
def payload() -> dict[str, Any]:
    text = (data() / "simulator_fixtures.json").read_text(encoding="utf-8")
    constants: dict[str, Any] = json.loads(
        text, object_hook=lambda record: ... if record == {"__python__": "Ellipsis"} else record
    )["long_context"]
    return constants


@functools.cache
def scenarios() -> dict[str, dict[str, Any]]:
    found = {}
    for category in CATEGORIES:
        for line in (data() / f"BFCL_v4_multi_turn_{category}.json").read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            found[entry["id"]] = entry["initial_config"]
    return found


def agrees(recorded: Any, text: str) -> bool:
    if isinstance(recorded, dict):
        return recorded == {"sha256": hashlib.sha256(text.encode()).hexdigest(), "len": len(text)}
    return bool(recorded == text)


def digest(world: World) -> str:
    return hashlib.sha256(json.dumps(world.state(), sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize("owner", SIMULATORS)
def test_recorded_random_calls(owner: str) -> None:
    wrong: list[Any] = []
    seen = 0
    for record in records("fuzz_exec_public.jsonl.gz"):
        if record["class"] != owner:
            continue
        seen += 1
        scenario = scenarios().get(record["scenario_from"], {})
        world = World([owner], scenario, record["long_context"], payload=payload())
        for call in record["calls"]:
            text = world.execute(call["call"])
            if not agrees(call["result"], text):
                wrong.append((record["scenario_from"], call, text))
        if digest(world) != record["final_state_sha256"]:
            wrong.append((record["scenario_from"], "state", world.state()))
    assert seen == 250
    assert not wrong


@pytest.mark.parametrize("category", CATEGORIES)
def test_recorded_ground_truths(category: str) -> None:
    wrong: list[Any] = []
    seen = 0
    for record in records("expected_multi_turn_gt.jsonl.gz"):
        name = record["id"]
        if not name.startswith(f"multi_turn_{category}"):
            continue
        seen += 1
        world = World(record["involved_classes"], scenarios()[name], category == "long_context", payload=payload())
        for number, turn in enumerate(record["turns"]):
            for call in turn["calls"]:
                text = world.execute(call["call"])
                if not agrees(call["result"], text):
                    wrong.append((name, number, call, text))
            if digest(world) != turn["state_sha256"]:
                wrong.append((name, number, "state", world.state()))
    assert seen == 200
    assert not wrong


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
    assert digest(one) != digest(other)


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
