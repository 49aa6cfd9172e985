"""Who plays: what a served model is told and asked, and what is made of what it says."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.errors import ConfigurationError
from tooluse_gym.evaluation.players import AgentPlayer, Player, ServedPlayer, ground_truth
from tooluse_gym.evaluation.server import Server, ServerError
from tooluse_gym.evaluation.setting import Entry, Setting
from tooluse_gym.outcome import Played
from tooluse_gym.tasks import TaskList

DATA = Path(os.environ.get("TOOLUSE_TEST_DATA", Path(__file__).parents[3] / "../shared/data")) / "bfcl"
SMALL = {"starter": {"turns": 2, "tools_shown": 2}}
ID = "BFCLMultiTurn-v0"


def _entries(setting: Setting, count: int) -> list[Entry]:
    env = setting.make()
    if isinstance(env.tasks, TaskList):
        return [Entry("c", task.id) for task in list(env.tasks)[:count]]
    env.reset(seed=0)
    found = []
    for _ in range(count):
        found.append(Entry("c", env.task.id))
        env.reset()
    return found


def _play(player: Player, setting: Setting, entries: list[Entry]) -> list[Played]:
    played: dict[Entry, Played] = {}
    player.play(setting, entries, played.__setitem__)
    assert played.keys() == set(entries)
    return [played[entry] for entry in entries]


def test_the_ground_truth_is_right_in_every_format() -> None:
    for format in ("hermes", "toolrl", "pythonic", "structured"):
        setting = Setting(ID, {**SMALL, "format": format})
        played = _play(AgentPlayer("gold", ground_truth), setting, _entries(setting, 5))
        assert all(one.valid for one in played)
        assert all(len(one.turn_calls) == 2 for one in played)


def test_a_setting_names_what_it_cannot_make() -> None:
    with pytest.raises(ConfigurationError, match=r"CartPole-v1: .*show_tools"):
        Setting("CartPole-v1").make()
    with pytest.raises(ConfigurationError, match=r"BFCLMultiTurn-v0: .*nope"):
        Setting(ID, {"nope": 1}).make()


def test_what_a_request_says(serve: Any, says: Any) -> None:
    requests: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        requests.append(request)
        calls = '<tool_call>\n{"name": "nope", "arguments": {}}\n</tool_call>' if len(requests) == 1 else "that is all"
        answered: tuple[int, Any] = says(calls)
        return answered

    setting = Setting(ID, SMALL, results_as="user")
    player, entries = ServedPlayer(Server(serve(answer), "m"), 0.0, 60), _entries(setting, 1)
    _play(player, setting, entries)
    first, second, third = requests
    assert (first["max_tokens"], first["temperature"]) == (60, 0.0)
    assert "tools" not in first
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "user"]
    assert second["messages"][-1]["content"].startswith("<tool_response>")
    assert third["messages"][-1]["role"] == "user"
    seeds = [request["seed"] for request in requests]
    assert len(set(seeds)) == 3
    requests.clear()
    _play(player, setting, entries)
    assert [request["seed"] for request in requests] == seeds


OFFICIAL = pytest.param(
    {"dataset": "miss_func", "data_dir": str(DATA), "validation": "official", "rubric": "official"},
    id="miss_func",
    marks=pytest.mark.skipif(not DATA.is_dir(), reason="BFCL's files are not here"),
)


@pytest.mark.parametrize("options", [pytest.param(SMALL, id="starter"), OFFICIAL])
def test_function_calling_is_told_in_openais_form(options: dict[str, Any], serve: Any, says: Any) -> None:
    """A server that knows the right calls: its episodes are valid, and every result answers a call by its id."""
    setting = Setting(ID, {**options, "format": "structured"}, "template")
    entries = _entries(setting, 3)
    env, right = setting.make(), {}
    for entry in entries:
        record = env.demonstrate(seed=0, options={"task_id": entry.task})
        right[env.task.turns[0].messages[0]["content"]] = [step.action for step in record.steps]
    offered: dict[str, set[int]] = {}

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        said = request["messages"]
        calls = [call for message in said for call in message.get("tool_calls", ())]
        results = [message for message in said if message["role"] == "tool"]
        assert [call["id"] for call in calls] == [result["tool_call_id"] for result in results]
        number = sum(message["role"] == "assistant" for message in said)
        asked = next(message["content"] for message in said if message["role"] == "user")
        offered.setdefault(asked, set()).add(len(request["tools"]))
        action = right[asked][number]
        answered: tuple[int, Any]
        if not action.startswith("["):
            answered = says(action)
            return answered
        calls = [
            {
                "id": f"call-{number}-{place}",
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
            }
            for place, call in enumerate(json.loads(action))
        ]
        answered = says(None, "tool_calls", tool_calls=calls)
        return answered

    played = _play(ServedPlayer(Server(serve(answer), "m")), setting, entries)
    assert [one.valid for one in played] == [True] * 3
    assert sum(one.calls for one in played) > 3
    assert any(len(counts) > 1 for counts in offered.values()) == ("dataset" in options)  # some are revealed later


def test_calls_that_were_not_carried_out_are_told_as_text(serve: Any, says: Any) -> None:
    requests = []
    call = {"id": "a", "type": "function", "function": {"name": "ls", "arguments": "{"}}

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        requests.append(request)
        answered: tuple[int, Any] = says(None, tool_calls=[call]) if len(requests) == 1 else says("that is all")
        return answered

    setting = Setting(ID, {**SMALL, "format": "structured", "validation": "official"}, "template")
    (played,) = _play(ServedPlayer(Server(serve(answer), "m")), setting, _entries(setting, 1))
    assert requests[1]["messages"][-2] == {"role": "assistant", "content": '[{"name": "ls", "arguments": "{"}]'}
    assert played.calls == 0


def test_a_reply_that_was_cut_truncates_its_episode(serve: Any, says: Any) -> None:
    setting = Setting(ID, SMALL)
    server = Server(serve(lambda request: says("well,", finish_reason="length")), "m")
    (played,) = _play(ServedPlayer(server), setting, _entries(setting, 1))
    assert played.truncated


def test_a_conversation_that_grows_too_long_is_truncated(serve: Any, says: Any) -> None:
    def grows(request: dict[str, Any]) -> tuple[int, Any]:
        if len(request["messages"]) > 3:
            return 400, {"error": {"message": "maximum context length is 100 tokens"}}
        answered: tuple[int, Any] = says("nothing")
        return answered

    setting = Setting(ID, SMALL)
    for played in _play(ServedPlayer(Server(serve(grows), "m")), setting, _entries(setting, 2)):
        assert played.truncated
        assert played.steps == 1


def test_a_server_that_fails_costs_no_episode_that_it_has_played(serve: Any, says: Any) -> None:
    """Nor one that was under way and ends well."""
    setting = Setting(ID, SMALL)
    entries = _entries(setting, 6)
    turn = threading.Semaphore(4 * 2)  # two turns of four episodes

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        answered: tuple[int, Any] = says("no") if turn.acquire(blocking=False) else (404, b"gone")
        return answered

    played: list[Entry] = []
    player = ServedPlayer(Server(serve(answer), "m"), at_once=2)
    with pytest.raises(ServerError, match="answers 404: gone"):
        player.play(setting, entries, lambda entry, one: played.append(entry))
    assert len(played) >= 3
    assert set(played) < set(entries)
