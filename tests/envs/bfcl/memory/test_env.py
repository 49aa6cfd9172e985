"""The environment: conformance, the memory that is handed over, and what is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from tooluse_gym import check_tool_env, trajectory
from tooluse_gym.envs.bfcl.memory.env import BFCLMemoryEnv
from tooluse_gym.errors import ConfigurationError

TALK, QUESTION = "memory-starter/kv/train/1/talk-0", "memory-starter/kv/train/1/question-0"
MINE = {"core_memory": {"what_i_know": "nothing"}, "archival_memory": {}}


def make(**options: Any) -> BFCLMemoryEnv:
    env = gym.make("BFCLMemory-v0", **options).unwrapped
    assert isinstance(env, BFCLMemoryEnv)
    return env


@pytest.mark.parametrize("backend", ["kv", "rec_sum"])
def test_it_keeps_the_promises(backend: str) -> None:
    check_tool_env(make(backend=backend))


def test_it_keeps_the_promises_on_upstreams_tasks(memory_release: Path) -> None:
    official = {"dataset": "memory", "validation": "official", "format": "prompting"}
    check_tool_env(make(**official, data_dir=str(memory_release), allow_test_data=True), seeds=(0,))


def test_memory_is_handed_over_and_shown() -> None:
    env = make(format="pythonic")
    observation, _ = env.reset(options={"task_id": QUESTION, "memory": MINE})
    assert json.dumps(MINE["core_memory"], indent=4) in observation[0]["content"]
    env.step("[core_memory_add(key='b', value='c'), archival_memory_add(key='d', value='e')]")
    left = env.memory
    assert left == {"core_memory": {"what_i_know": "nothing", "b": "c"}, "archival_memory": {"d": "e"}}
    left["core_memory"].clear()
    assert env.memory["core_memory"]
    assert MINE["core_memory"] == {"what_i_know": "nothing"}
    other, _ = env.reset(options={"task_id": QUESTION, "memory": {}})
    assert "There is no content in the core memory at this point." in other[0]["content"]
    gold, _ = env.reset(options={"task_id": QUESTION})
    assert gold[0] != other[0] != observation[0]


@pytest.mark.parametrize(
    ("backend", "memory", "message"),
    [
        ("kv", [], "reset option memory: .* is not of type 'object' .back-end kv"),
        ("kv", {"memory": "x"}, "reset option memory: Additional properties"),
        ("kv", {"core_memory": {"a": 5}}, "reset option memory.core_memory.a: 5 is not of type 'string'"),
        ("rec_sum", {"memory": None}, "reset option memory.memory: None is not"),
    ],
)
def test_what_is_no_memory_is_refused(backend: str, memory: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make(backend=backend).reset(seed=0, options={"memory": memory})


def test_a_record_knows_the_memory_it_began_with() -> None:
    env = make(format="pythonic")
    env.reset(options={"task_id": QUESTION, "memory": MINE})
    env.step("[core_memory_list_keys()]")
    env.step("I do not know.")
    record = env.trajectory()
    assert record.given == {"memory": MINE}
    assert trajectory.replay(trajectory.Trajectory.from_json(record.to_json())) == record


@pytest.mark.parametrize(
    ("validation", "said", "error"),
    [
        ("strict", "<think>It must be {}.</think>\n\nIt is {}.", None),
        ("strict", "<think>It must be {}.</think>\n\nI do not know.", "answer_not_found"),
        ("official", "<think>It must be {}.</think>\n\nI do not know.", None),
        ("strict", "<think>It must be {}.</think>", "no_last_message"),
        ("official", "I do not know.", "answer_not_found"),
    ],
)
def test_an_answer_is_what_is_said(validation: str, said: str, error: str | None) -> None:
    env = make(validation=validation, rubric="official")
    env.reset(options={"task_id": QUESTION})
    (answer,) = env.task.metadata["answers"]
    *_, info = env.step(said.replace("{}", answer))
    assert info["verdict"]["valid"] is (error is None)
    assert info["verdict"]["error_type"] == error


def test_who_never_stops_looking_gives_no_answer() -> None:
    env = make(max_steps_per_turn=2, format="pythonic", rubric="official")
    env.reset(options={"task_id": QUESTION})
    (answer,) = env.task.metadata["answers"]
    for _ in range(3):
        *_, truncated, info = env.step(f"[core_memory_key_search(query={answer!r})]")
    assert truncated
    assert info["verdict"]["error_type"] == "no_last_message"


def test_a_conversation_of_the_starter_is_right_if_its_facts_are_kept() -> None:
    env = make(format="pythonic")
    env.reset(options={"task_id": TALK})
    facts, more = env.task.metadata["keep"]
    env.step(f"[core_memory_add(key='a', value={' '.join(facts)!r})]")
    *_, info = env.step("Kept.")
    assert info["reward_terms"]["turn"] == pytest.approx(0.3)
    env.step(f"[archival_memory_add(key='a', value={more[0]!r})]")
    *_, info = env.step("Kept.")
    assert info["verdict"] == {"valid": False, "error_type": "not_remembered", "turn": 1, "differing": {}}
    assert info["reward_terms"]["results"] == pytest.approx(0.1 / 2 / 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "vector"}, "back-end 'vector' is not offered: .* all-MiniLM-L6-v2"),
        ({"dataset": "web_search"}, "dataset 'web_search' is not offered: it needs the live internet"),
        ({"backend": "x"}, "unknown backend 'x'; choose one of kv, rec_sum"),
        ({"dataset": "x"}, "unknown dataset 'x'; choose one of starter, memory"),
    ],
)
def test_what_is_not_offered_is_said(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make(**options)


def test_upstreams_tasks_begin_empty_and_are_not_sampled(memory_release: Path) -> None:
    env = make(dataset="memory", data_dir=str(memory_release), format="prompting", validation="official")
    with pytest.raises(ConfigurationError, match=r"sample from BFCL's test data \(memory\)"):
        env.reset(seed=0)
    env.reset(options={"task_id": "memory_kv_0-customer-0"})
    assert env.memory == {"core_memory": {}, "archival_memory": {}}
    *_, info = env.step("{'answer': 'Michael', 'context': 'told'}")
    assert info["verdict"]["valid"]
