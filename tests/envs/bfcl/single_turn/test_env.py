"""BFCL's single-turn tasks as an environment: one reply, and the verdict of the scorer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from benchmarks import bfcl_parity
from tooluse_gym.envs.bfcl import release
from tooluse_gym.envs.bfcl.ast.scorer import score_ast, score_ast_calls
from tooluse_gym.envs.bfcl.prompt_config import PromptConfig
from tooluse_gym.envs.bfcl.single_turn import SINGLE_TURN
from tooluse_gym.envs.bfcl.single_turn.env import BFCLSingleTurnEnv
from tooluse_gym.envs.bfcl.single_turn.prompting import load_single_prompting
from tooluse_gym.errors import ConfigurationError, DataNotFoundError
from tooluse_gym.formats.wording import UnwritableReplyError
from tooluse_gym.tasks import Task, TaskList, Utterance
from tooluse_gym.testing import check_tool_env

OFFICIAL: dict[str, Any] = {"validation": "official", "rubric": "official"}
CALLING: dict[str, Any] = {"format": "structured", "show_tools": False}
Make = Callable[..., BFCLSingleTurnEnv]


@pytest.fixture
def make(bfcl_data: Path) -> Make:
    def env(dataset: str, **options: Any) -> BFCLSingleTurnEnv:
        return BFCLSingleTurnEnv(dataset, data_dir=bfcl_data, **options)

    return env


def tasks_of(env: BFCLSingleTurnEnv) -> list[Task]:
    assert isinstance(env.tasks, TaskList)
    return list(env.tasks)


# The starter


@pytest.mark.parametrize("options", [{}, {**OFFICIAL, **CALLING}, {"format": "toolrl", "rubric": "paper"}], ids=str)
def test_starter_keeps_the_contract(options: dict[str, Any]) -> None:
    check_tool_env(gymnasium.make("BFCLSingleTurn-v0", **options))


@pytest.mark.parametrize("rubric", ["official", "dense", "paper", "toolrl", "rest"])
def test_rubrics_prefer_the_right_reply(rubric: str) -> None:
    env = BFCLSingleTurnEnv(rubric=rubric, format="toolrl")
    rewards = {}
    for seed in (0, 1):  # something to call, and nothing
        rewards["right"] = env.demonstrate(seed=seed).reward
        served = bool(env.task.turns[0].steps)
        env.reset(seed=seed)
        wrong = Utterance(() if served else env.task.turns[0].calls, "so", "Hello." if served else None)
        _, rewards["wrong"], terminated, *_ = env.step(env.write(wrong) if served else "<tool_call>{}</tool_call>")
        assert terminated
        assert rewards["right"] > rewards["wrong"], env.task
        assert rubric not in ("official", "dense") or rewards["right"] == 1


def test_one_reply_is_the_episode() -> None:
    env = BFCLSingleTurnEnv()
    record = env.demonstrate(seed=1)
    assert env.task.gold_steps == len(record.steps) == 1
    assert all(result["role"] == "tool" for result in record.steps[0].observation)


# BFCL's own tasks


def test_official_data_keeps_the_contract(make: Make) -> None:
    check_tool_env(make("live_parallel_multiple", allow_test_data=True), seeds=(0, 1))
    check_tool_env(make("simple_java", allow_test_data=True, **OFFICIAL, **CALLING), seeds=(0,))


@pytest.mark.parametrize("options", [{"format": "pythonic"}, CALLING, {"format": "prompting"}], ids=str)
def test_ground_truths_are_valid(make: Make, bfcl_release: Path, options: dict[str, Any]) -> None:
    """One task of 25, and all in other languages than Python; ``bfcl_parity.py`` plays every one."""
    wrong, unwritten, played = [], [], 0
    for category in SINGLE_TURN:
        env = make(category, **OFFICIAL, **options)
        for task in tasks_of(env)[:: 1 if "java" in category else 25]:
            try:
                record = env.demonstrate(seed=0, options={"task_id": task.id})
            except UnwritableReplyError:
                unwritten.append(task.id)
                continue
            played += 1
            if not (record.verdict and record.verdict.valid) and "unsatisfiable" not in task.metadata:
                wrong.append((task.id, record.verdict))
    assert wrong == []
    assert unwritten == (["simple_java_62", "simple_java_63"] if options["format"] == "pythonic" else [])
    assert played == 293 - len(unwritten)


def test_openings_are_upstreams(
    make: Make, bfcl_release: Path, bfcl_records: Callable[[str], list[dict[str, Any]]]
) -> None:
    """A system message of the question's own becomes a part of the prompt."""
    recorded = {record["id"]: record["prompting_system_sha256"] for record in bfcl_records(bfcl_parity.DOCS)}
    env = make("live_simple", format="prompting")
    own = [task for task in tasks_of(env) if task.turns[0].messages[0]["role"] == "system"]
    assert len(own) == 11
    for task in (*own, tasks_of(env)[0]):
        (system, *rest), _ = env.reset(options={"task_id": task.id})
        assert hashlib.sha256(system["content"].encode()).hexdigest() == recorded[task.id]
        assert rest == [message for message in task.turns[0].messages if message["role"] != "system"]


def test_function_calling_is_upstreams(make: Make) -> None:
    env = make("simple_python", **OFFICIAL, **CALLING)
    observation, info = env.reset(options={"task_id": "simple_python_3"})
    assert observation == env.task.turns[0].messages
    (tool,) = info["tools"]
    assert tool["function"]["name"] == "algebra_quadratic_roots"
    arguments = {"a": 1, "b": -3, "c": 2}
    for name, valid in (("algebra_quadratic_roots", True), ("algebra.quadratic_roots", False)):
        env.reset(options={"task_id": "simple_python_3"})
        *_, info = env.step(json.dumps([{"name": name, "arguments": json.dumps(arguments)}]))
        assert info["verdict"]["valid"] is valid
        expected = score_ast("simple_python", env.task, [{name: json.dumps(arguments)}], underscore_to_dot=True)
        assert info["verdict"]["error_type"] == expected.error_type


REPLIES = (
    "[algebra.quadratic_roots(a=1, b=-3, c=2)]",
    "algebra.quadratic_roots(c=2, b=-3, a=1)",
    "[algebra_quadratic_roots(a=1, b=-3, c=2)]",
    "[algebra.quadratic_roots(a=1, b=-3)]",
    "[algebra.quadratic_roots(a=1, b=-3, c={})]",
    "[algebra.quadratic_roots(a='1', b=-3, c=2)]",
    "[]",
    "The roots are 1 and 2.",
)


@pytest.mark.parametrize("reply", REPLIES)
def test_prompting_verdicts_are_the_scorers(make: Make, bfcl_release: Path, reply: str) -> None:
    env = make("simple_python", format="prompting", **OFFICIAL)
    env.reset(options={"task_id": "simple_python_3"})
    _, reward, terminated, _, info = env.step(reply)
    expected = score_ast("simple_python", env.task, reply)
    assert terminated
    assert (info["verdict"]["valid"], info["verdict"]["error_type"]) == (expected.valid, expected.error_type)
    assert reward == expected.valid == (reply in REPLIES[:2])


def test_prompts_may_have_other_formats(make: Make, bfcl_release: Path) -> None:
    env = make("format_sensitivity", format="prompting", prompt=str(PromptConfig("concise_xml", True)), **OFFICIAL)
    tasks = tasks_of(env)
    assert len(tasks) == 200
    record = env.demonstrate(seed=0, options={"task_id": tasks[0].id})
    assert record.steps[0].action.startswith('<TOOLCALL><functions><function name="')
    assert record.verdict is not None
    assert record.verdict.valid
    assert env.task.metadata["category"] == "simple_python"


def test_the_format_may_be_an_object(make: Make, bfcl_release: Path) -> None:
    env = make("simple_python", format=load_single_prompting(bfcl_release), **OFFICIAL)
    env.reset(options={"task_id": "simple_python_3"})
    *_, info = env.step(REPLIES[0])
    assert info["verdict"]["valid"]
    assert env.demonstrate(seed=0, options={"task_id": "simple_python_3"}).steps[0].action == REPLIES[0]


def test_strict_mode_demands_the_schema(make: Make) -> None:
    verdicts = {}
    for validation in ("strict", "official"):
        env = make("live_multiple", validation=validation)
        record = env.demonstrate(seed=0, options={"task_id": "live_multiple_595-158-1"})  # whose answer has a number
        assert record.verdict is not None
        verdicts[validation] = record.verdict.error_type
        if validation == "strict":
            (result,) = record.steps[0].observation
            assert result["content"].startswith("Invalid call: Hotels_4_SearchHotel: argument 'number_of_rooms'")
    assert verdicts == {"strict": "refused_call:invalid_arguments", "official": None}


@pytest.mark.parametrize(
    ("category", "strict", "official"),
    [
        ("irrelevance", "refused_call:malformed", None),
        ("live_relevance", "refused_call:malformed", "relevance_error:decoder_failed"),
        ("multiple", "refused_call:malformed", "ast_decoder:decoder_wrong_output_format"),
    ],
)
def test_malformed_calls_are_officially_none(
    make: Make, category: str, strict: str | None, official: str | None
) -> None:
    for validation, expected in (("strict", strict), ("official", official)):
        env = make(category, validation=validation)
        task = tasks_of(env)[0]
        env.reset(options={"task_id": task.id})
        *_, info = env.step("<tool_call>{</tool_call>")
        assert info["verdict"]["error_type"] == expected
        assert score_ast_calls(category, task, None).error_type == official


def test_entries_without_functions_can_be_asked(make: Make) -> None:
    env = make("live_irrelevance", **OFFICIAL)
    empty = [task for task in tasks_of(env) if not task.metadata["functions"]]
    assert len(empty) == 4
    record = env.demonstrate(seed=0, options={"task_id": empty[0].id})
    assert record.verdict is not None
    assert record.verdict.valid
    assert env.tools == ()


def test_sampling_test_data_needs_permission(make: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"test data \(multiple\).*allow_test_data=True"):
        make("multiple").reset(seed=0)
    _, info = make("multiple", allow_test_data=True).reset(seed=0)
    assert info["task_id"].startswith("multiple_")


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("base", {}, "unknown dataset 'base'; choose one of starter, simple_python, .*, format_sensitivity"),
        ("multiple", {"starter": {"x": 1}}, "starter options x do not apply to dataset 'multiple'"),
        ("format_sensitivity", {}, "dataset 'format_sensitivity' is about prompts: it needs format='prompting'"),
        ("multiple", {"prompt": str(PromptConfig("json"))}, "prompt='ret_fmt=json.* it needs format='prompting'"),
        ("multiple", {"prompt": "json"}, "no prompt is configured as 'json'"),
        (
            "simple_java",
            {"prompt": str(PromptConfig("json")), "format": "prompting"},
            "replies to simple_java are calls in its language, not json",
        ),
    ],
)
def test_wrong_options_are_named(dataset: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        BFCLSingleTurnEnv(dataset, **options)


def test_prompts_need_the_release(bfcl_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if (bfcl_data.parent / release.PROMPTS).is_file():
        pytest.skip("the test data is an unpacked release")
    with pytest.raises(DataNotFoundError, match=r"default_prompts.py is there: run"):
        BFCLSingleTurnEnv("multiple", data_dir=bfcl_data, format="prompting")
