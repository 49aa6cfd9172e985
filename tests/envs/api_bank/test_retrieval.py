from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmarks.api_bank_parity import searches_right
from tooluse_gym.envs.api_bank.descriptions import Searcher
from tooluse_gym.envs.api_bank.level import load_level, starter_level
from tooluse_gym.envs.api_bank.retrieval import Match, Retriever, make_retriever, split_name
from tooluse_gym.errors import ConfigurationError

TOOLS = {
    "AddAlarm": "Set an alarm clock.",
    "BookRoom": "Reserve a room in a hotel.",
    "AddUp": "Compute a sum.",
    "Post": "Send a letter.",
    "ToolSearcher": "Search for tools: alarm, room.",
}


@pytest.fixture
def offline() -> Retriever:
    return make_retriever("offline", TOOLS, {"wake me up": "AddAlarm"})


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ("Wake me  UP", Match("AddAlarm", "replay")),
        ("AddAlarm", Match("AddAlarm", "name")),
        ("book room", Match("BookRoom", "name")),
        ("hotels", Match("BookRoom", "bm25")),
        ("booking an alarming clock", Match("AddAlarm", "bm25")),
        ("tax", None),
        ("ToolSearcher", None),
        ("", None),
        ("\ud800 " * 10_000, None),
    ],
    ids=["recorded", "name", "name as words", "plural", "words", "nothing", "itself", "empty", "long"],
)
def test_the_first_retriever_that_knows_answers(offline: Retriever, keywords: str, expected: Match | None) -> None:
    assert offline.find(keywords) == expected


def test_names_are_split_at_capitals() -> None:
    assert split_name("QueryHistoryToday") == "query history today"


def test_an_unknown_retriever_is_named() -> None:
    with pytest.raises(ConfigurationError, match="unknown retriever 'best'; choose one of offline, name, bm25"):
        make_retriever("best", TOOLS)


@pytest.mark.skipif(importlib.util.find_spec("sentence_transformers") is not None, reason="the package is installed")
def test_a_missing_package_is_named() -> None:
    retriever = make_retriever("embedding", TOOLS)
    with pytest.raises(ConfigurationError, match="pip install sentence-transformers"):
        retriever.find("alarm")


def test_how_many_recorded_searches_find_the_recorded_tool(api_bank_data: Path) -> None:
    levels = {number: load_level(number, api_bank_data) for number in (2, 3)}
    kinds = ("offline", "name", "bm25")
    right = {kind: tuple(searches_right(level, kind) for level in levels.values()) for kind in kinds}
    assert right == {"offline": ((31, 45), (114, 114)), "name": ((14, 45), (114, 114)), "bm25": ((31, 45), (109, 114))}


def test_recorded_searches_are_answered_as_they_were(api_bank_data: Path) -> None:
    same = {}
    for number in (2, 3):
        level = load_level(number, api_bank_data)
        made = [call for dialogue in level.dialogues for call in dialogue.calls if call.name == "ToolSearcher"]
        assert all(level.searcher(call.params["keywords"]) == call.result["output"] for call in made)
        alone = Searcher(level.descriptions)  # without the recording
        same[number] = sum(alone(call.params["keywords"]) == call.result["output"] for call in made)
    assert same[3] == 114  # at level 2 upstream has reworded most descriptions since


def test_a_tool_for_users_comes_with_the_one_that_gets_their_token() -> None:
    searcher = starter_level(2).searcher
    first, best = searcher("add alarm")
    assert (first["name"], best["name"]) == ("GetUserToken", "AddAlarm")
    assert first["desc_for_search"].startswith("get user tokenGet ")
    assert "desc_for_search" not in best
    assert searcher("Calculator")["name"] == "Calculator"
    assert searcher("xyzzy") is None
