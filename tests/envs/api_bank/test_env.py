from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import tooluse_gym
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.envs.api_bank.env import APIBankEnv
from tooluse_gym.errors import ConfigurationError, DataNotFoundError
from tooluse_gym.formats import Call
from tooluse_gym.tasks import Utterance
from tooluse_gym.testing import check_tool_env
from tooluse_gym.trajectory import replay

ALARM = "starter/level-2/train/5"


def make(**options: Any) -> ToolUseEnv:
    env = gymnasium.make("APIBank-v0", **options).unwrapped
    assert isinstance(env, ToolUseEnv)
    return env


def say(env: ToolUseEnv, *calls: Call, response: str | None = None) -> str:
    return env.write(Utterance(calls, response=response))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_starter_dialogues_keep_every_promise(level: int) -> None:
    check_tool_env(gymnasium.make("APIBank-v0", starter={"levels": [level]}), seeds=(level,))


@pytest.mark.parametrize(
    ("dataset", "format", "seed"),
    [("level-1", "hermes", 1), ("level-2", "api_bank", 1), ("level-3", "hermes", 1), ("call-2", "toolrl", 1)],
    ids=["level 1", "level 2", "level 3", "calls"],
)
def test_the_benchmarks_own_tasks_keep_every_promise(dataset: str, format: str, seed: int, api_bank_data: Path) -> None:
    options: dict[str, Any] = {"dataset": dataset, "format": format, "data_dir": str(api_bank_data)}
    check_tool_env(gymnasium.make("APIBank-v0", allow_test_data=True, **options), seeds=(seed,))


@pytest.mark.parametrize("format", ["hermes", "toolrl", "pythonic", "structured", "api_bank"])
def test_a_starter_demonstration_earns_one_in_every_format(format: str) -> None:
    env = make(format=format)
    for seed in range(12):
        record = env.demonstrate(seed=seed)
        assert record.verdict is not None
        assert record.verdict.valid
        assert record.reward == pytest.approx(1.0)
        info = env._info({})
        assert info["accuracy"]["corrected"] == info["rouge_l"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("dataset", "calls", "invalid"),
    [
        ("level-1", {"gold": 389, "reference": 338, "corrected": 384}, {"CancelTimedSwitch"}),
        ("level-2", {"gold": 119, "reference": 109, "corrected": 119}, set()),
        ("level-3", {"gold": 245, "reference": 235, "corrected": 245}, set()),
    ],
    ids=["level 1", "level 2", "level 3"],
)
def test_demonstrations_are_as_right_as_the_truth_allows(
    dataset: str, calls: dict[str, int], invalid: set[str], api_bank_data: Path
) -> None:
    env = make(dataset=dataset, data_dir=api_bank_data, rubric="official")
    right: Counter[str] = Counter()
    wrong = set()
    assert isinstance(env.tasks, tooluse_gym.TaskList)
    for task in env.tasks:
        env.demonstrate(seed=0, options={"task_id": task.id})
        info = env._info({})
        right["gold"] += info["gold_calls"]
        for mode, share in info["accuracy"].items():
            right[mode] += round(share * info["gold_calls"])
        if not info["verdict"]["valid"]:
            wrong.add(task.id.split("/")[1].split("-")[0])
    assert right == calls
    assert wrong == invalid


@pytest.mark.parametrize("scoring", ["reference", "corrected"])
def test_the_right_call_for_a_beginning_is_right_in_both_modes(scoring: str, api_bank_data: Path) -> None:
    env = make(dataset="call-2", data_dir=api_bank_data, scoring=scoring, format="toolrl")
    assert isinstance(env.tasks, tooluse_gym.TaskList)
    for task in env.tasks:
        record = env.demonstrate(seed=0, options={"task_id": task.id})
        assert len(record.steps) == 1
        assert env._info({})["accuracy"] == {"reference": 1.0, "corrected": 1.0}
    first = next(iter(env.tasks))
    _, info = env.reset(options={"task_id": first.id})
    assert env.conversation[0]["content"] == first.turns[0].messages[0]["content"]  # the row's own prompt
    *_, info = env.step('<think> x </think>\n<tool_call>\n{"symptom": "rash"}\n</tool_call>')
    assert info["accuracy"] == {"reference": 1.0, "corrected": 0.0}  # the soft match forgives a missing name
    assert info["verdict"]["valid"] is (scoring == "reference")


def test_found_tools_become_visible_and_usable() -> None:
    env = make(starter={"levels": [2]})
    _, info = env.reset(options={"task_id": ALARM})
    (search,) = info["tools"]
    assert search["function"]["name"] == "ToolSearcher"
    *_, info = env.step(say(env, Call("Calculator", {"formula": "1+1"})))
    assert info["failures"] == ("unknown_tool",)
    assert "tools" not in info
    *_, info = env.step(say(env, Call("ToolSearcher", {"keywords": "calculator"})))
    assert info["tools_version"] == 2
    assert [tool["function"]["name"] for tool in info["tools"]] == ["ToolSearcher", "Calculator"]
    snapshot = env.snapshot()
    observation, *_, info = env.step(say(env, Call("Calculator", {"formula": "1+1"})))
    assert (observation[0]["content"], info["failures"]) == ("2.0", (None,))
    env.restore(snapshot)
    assert len(env.tools) == 2
    env.reset(options={"task_id": ALARM})
    assert len(env.tools) == 1


def test_an_episode_tells_what_was_right_and_how_tools_were_found() -> None:
    env = make(starter={"levels": [3]})
    _, info = env.reset(options={"task_id": "starter/level-3/train/1"})
    assert "accuracy" not in info
    gold = env.task.turns[0].calls
    env.step(say(env, gold[0]))
    *_, info = env.step(say(env, response="I stop here."))
    assert info["verdict"] == {"valid": False, "error_type": "wrong_call", "turn": 0, "differing": {}}
    assert info["accuracy"]["corrected"] == pytest.approx(1 / len(gold))
    assert info["searches"] == [[gold[1].name, "name"]]
    assert 0.0 <= info["rouge_l"] < 1.0


def test_a_turn_without_a_call_misses_it() -> None:
    env = make()
    env.reset(options={"task_id": "starter/level-3/train/1"})
    *_, info = env.step(say(env, response="No."))
    assert info["verdict"]["error_type"] == "missing_call"
    env.reset(options={"task_id": "starter/level-3/train/1"})
    for _ in range(21):
        *_, truncated, info = env.step(say(env, Call("no_such_tool")))
    assert truncated
    assert info["accuracy"] == {"reference": 0.0, "corrected": 0.0}


def test_needless_calls_cost_a_little() -> None:
    env = make(starter={"levels": [3]})
    task_id = "starter/level-3/train/1"
    clean = env.demonstrate(seed=0, options={"task_id": task_id}).reward
    env.reset(options={"task_id": task_id})
    gold = env.tasks.demonstrate(env.task, env.np_random, 0.0)
    total = 0.0
    for said in gold:
        extra = Call("ToolSearcher", {"keywords": "weather"})
        _, reward, *_ = env.step(env.write(Utterance((*said.calls, extra) if said.calls else (), None, said.response)))
        total += reward
    assert clean - 0.06 < total < clean


def test_official_validation_executes_what_upstream_would(api_bank_data: Path) -> None:
    env = make(dataset="level-1", data_dir=api_bank_data, validation="official", scoring="reference")
    env.reset(options={"task_id": "level-1/Calculator-level-1-1"})
    for call, expected in (
        (Call("GetToday", {}), "2023-03-31"),
        (Call("Nothing", {}), "Error: invalid tool name."),
        (Call("Calculator", {"x": "1"}), "Error: invalid parameter name. parameter: x"),
        (Call("Calculator", {"formula": "-5+3"}), "Error during execution: invalid formula"),
        (Call("Calculator", {"formula": "(2+2)*2"}), "8.0"),
    ):
        observation, *_ = env.step(say(env, call))
        assert observation[0]["content"] == expected


def test_upstreams_descriptions_are_shown(api_bank_data: Path) -> None:
    env = make(dataset="level-1", data_dir=api_bank_data)
    env.reset(options={"task_id": "level-1/Calculator-level-1-1"})
    (tool,) = env.tools
    assert "basic arithmetic operations" in tool["function"]["description"]
    assert tool["function"]["parameters"]["properties"]["formula"]["type"] == "string"


def test_test_data_is_not_sampled_without_leave(api_bank_data: Path) -> None:
    env = make(dataset="call-2", data_dir=api_bank_data)
    with pytest.raises(ConfigurationError, match=r"API-Bank's test data \(call-2\).*allow_test_data=True"):
        env.reset(seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "level-4"}, "unknown dataset 'level-4'; choose one of starter, level-1"),
        ({"scoring": "lenient"}, "unknown scoring 'lenient'"),
        ({"starter": {"levels": [4]}}, "levels must be some of 1, 2 and 3"),
        ({"dataset": "level-1", "starter": {"levels": [1]}}, "starter options levels do not apply"),
        ({"retriever": "best"}, "unknown retriever 'best'"),
    ],
    ids=["dataset", "scoring", "levels", "starter", "retriever"],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        APIBankEnv(**options)


def test_a_record_is_replayed() -> None:
    record = make().demonstrate(seed=3)
    assert replay(record).verdict == record.verdict


def test_a_folder_without_the_dumps_serves_all_but_level_3(api_bank_data: Path, tmp_path: Path) -> None:
    for name in ("init_database", "lv1-lv2-samples", "test-data", "processed"):
        (tmp_path / name).symlink_to(api_bank_data / name)
    env = make(dataset="level-2", data_dir=tmp_path)
    verdict = env.demonstrate(seed=0, options={"task_id": "level-2/AddAlarm-level-3-1"}).verdict
    assert verdict is not None
    assert verdict.valid
    assert make(dataset="call-3", data_dir=tmp_path).tasks["call-3/0#1"].turns[0].calls[0].name == "QueryMeeting"
    with pytest.raises(DataNotFoundError, match=r"lv3_databases\.json is missing: .*no public home has it"):
        make(dataset="level-3", data_dir=tmp_path)
