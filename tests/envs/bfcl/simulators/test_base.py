"""Scenarios become state; copies of a simulator are exact and independent."""

from __future__ import annotations

import copy

from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.envs.bfcl.simulators.base import Simulator
from tooluse_gym.envs.bfcl.simulators.twitter_api import TwitterAPI


class Counter(Simulator):
    """A simulator that draws random numbers."""

    defaults = {"seen": [], "step": 1}  # noqa: RUF012
    default_seed = 7
    seen: list[int]


def test_attributes_come_from_the_scenario_or_are_fresh_copies_of_the_defaults() -> None:
    scenario = {"step": [2], "unknown": 1}
    first, second = Counter(scenario), Counter()
    first.seen.append(1)
    assert first.state() == {"seen": [1], "step": [2]}
    assert second.state() == {"seen": [], "step": 1}
    assert first.state()["step"] is not scenario["step"]


def test_a_copy_continues_the_random_sequence_on_its_own() -> None:
    counter = Counter()
    counter._random.random()
    clone = copy.deepcopy(counter)
    expected = [counter._random.random() for _ in range(3)]
    assert [clone._random.random() for _ in range(3)] == expected
    assert Counter({"random_seed": 8})._random.random() != Counter()._random.random()


def test_a_copy_shares_the_payload_and_nothing_else() -> None:
    simulator = TwitterAPI({"authenticated": True}, payload={"TEXT": "long"})
    simulator.post_tweet("a")
    clone = copy.deepcopy(simulator)
    assert clone._payload is simulator._payload
    simulator.mention(0, ["@a"])
    assert clone.tweets[0]["mentions"] == []
    clone.post_tweet("b")
    clone.mention(0, ["@b"])
    assert clone.tweets[1]["mentions"] == ["@b"], "the default list is still shared inside the copy"


def test_every_tool_is_described() -> None:
    for simulator in SIMULATORS.values():
        for tool in simulator.tools.values():
            assert all("description" in schema for schema in tool.parameters["properties"].values()), tool.name
