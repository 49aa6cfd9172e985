"""The environment: official episodes against the recorded outputs of the official program, and our own rules."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from benchmarks import bfcl_parity
from tooluse_gym.env import ToolUseEnv, Validation
from tooluse_gym.envs.bfcl import score_calls, score_replies
from tooluse_gym.envs.bfcl.data import CATEGORIES, REVEAL
from tooluse_gym.envs.bfcl.env import BFCLMultiTurnEnv
from tooluse_gym.envs.bfcl.literal import literal_call
from tooluse_gym.envs.bfcl.prompting import load_prompting
from tooluse_gym.envs.bfcl.scorer import PREFIX, make_world
from tooluse_gym.errors import ConfigurationError, DataNotFoundError
from tooluse_gym.formats import get_format
from tooluse_gym.scoring import Verdict
from tooluse_gym.tasks import Task, TaskList, Utterance
from tooluse_gym.testing import check_tool_env

Records = Callable[[str], list[dict[str, Any]]]
Make = Callable[..., ToolUseEnv]
ID = "BFCLMultiTurn-v0"
OFFICIAL: dict[str, Any] = {"format": "pythonic", "validation": "official", "rubric": "official"}
UNSOLVABLE_IF_STRICT = {
    "multi_turn_miss_func_49",  # its ground truth uses a function before revealing it
    *(f"multi_turn_{category}_173" for category in CATEGORIES),  # it names a ticket by a text, and docs want a number
}


@pytest.fixture(scope="module")
def make(bfcl_data: Path) -> Make:
    """Makes environments on official data; the same options give the same environment."""

    @cache
    def make(dataset: str, **options: Any) -> ToolUseEnv:
        env = gymnasium.make(
            ID, dataset=dataset, data_dir=str(bfcl_data), disable_env_checker=True, **options
        ).unwrapped
        assert isinstance(env, ToolUseEnv)
        return env

    return make


def tasks(env: ToolUseEnv) -> tuple[Task, ...]:
    assert isinstance(env.tasks, TaskList)
    return tuple(env.tasks)


@pytest.mark.parametrize("dataset", CATEGORIES)
@pytest.mark.parametrize(
    "options",
    [OFFICIAL, {"format": "hermes"}, {"format": "toolrl", "rubric": "official"}, {"format": "structured"}],
    ids=["official pythonic", "strict hermes", "strict toolrl", "strict structured"],
)
def test_ground_truths_are_valid(make: Make, dataset: str, options: dict[str, Any]) -> None:
    env = make(dataset, **options)
    invalid = set()
    for task in tasks(env):
        record = env.demonstrate(seed=0, options={"task_id": task.id})
        assert record.verdict is not None
        if record.verdict.valid:
            assert record.reward == pytest.approx(1.0), task.id
        else:
            invalid.add(task.id)
    expected = set() if options is OFFICIAL else UNSOLVABLE_IF_STRICT & {task.id for task in tasks(env)}
    assert invalid == expected


@pytest.mark.parametrize("validation", ["official", "strict"])
@pytest.mark.parametrize("dataset", CATEGORIES)
def test_episode_and_scorer_agree_on_recorded_replies(
    make: Make, bfcl_records: Records, dataset: str, validation: Validation
) -> None:
    env = make(dataset, **{**OFFICIAL, "validation": validation})
    pythonic = get_format("pythonic")
    played = 0
    for record in bfcl_records(bfcl_parity.REPLIES):
        if bfcl_parity.category_of(record["id"]) != dataset or isinstance(record["model_result"], str):
            continue
        _, info = env.reset(options={"task_id": record["id"]})
        said: list[list[str]] = []
        for turn in record["model_result"]:
            # Upstream records a turn up to the first reply that hands back; what these scripts say after it is unheard.
            said.append([])
            for reply in [*turn, ""]:
                said[-1].append(reply)
                *_, terminated, truncated, info = env.step(reply)
                if terminated or truncated or not pythonic.parse(reply).calls:
                    break
            if terminated or truncated:
                break
        else:
            continue  # recorded as stopped early, which here nobody did
        calls = [[[call.text for call in pythonic.parse(reply).calls] for reply in turn] for turn in said]
        calls = [[step for step in turn if step] for turn in calls]
        for verdict in (score_replies(env.task, said, validation), score_calls(env.task, calls, validation)):
            assert info["verdict"] == unprefixed(verdict), record["id"]
        played += 1
    assert played > 20


@pytest.mark.parametrize("dataset", CATEGORIES)
def test_strict_episode_and_scorer_agree_on_recorded_calls(make: Make, bfcl_records: Records, dataset: str) -> None:
    env = make(dataset, format="pythonic")
    played = 0
    for record in bfcl_records(bfcl_parity.CALLS):
        calls = record["model_output"]
        if bfcl_parity.category_of(record["id"]) != dataset or not all(step for turn in calls for step in turn):
            continue
        env.reset(options={"task_id": record["id"]})
        if len(calls) != len(env.task.turns) or max(map(len, calls)) > env.max_steps_per_turn:
            continue
        tools = make_world(env.task).tools
        steps = [[[literal_call(text, tools) for text in step] for step in turn] for turn in calls]
        if any(call.error for turn in steps for step in turn for call in step):
            continue  # the format cannot write it
        for turn in steps:
            for step in turn:
                env.step(env.write(Utterance(tuple(step))))
            *_, info = env.step("Done.")
        assert info["verdict"] == unprefixed(score_calls(env.task, calls, "strict")), (record["id"], record["kind"])
        played += 1
    assert played > 500


def unprefixed(verdict: Verdict) -> dict[str, Any]:
    """The verdict as ``info`` tells it."""
    record = verdict.record()
    return {**record, "error_type": record["error_type"] and record["error_type"].removeprefix(PREFIX)}


def test_step_limit_is_upstreams(make: Make) -> None:
    env = make("base", **OFFICIAL)
    task = tasks(env)[0]
    look, last = "[pwd()]", len(task.turns) - 1
    # A stop in the last turn goes unnoticed: what was said is graded.
    for turn, error in ((0, "force_terminated"), (last, "empty_turn_model_response")):
        env.reset(options={"task_id": task.id})
        for _ in range(turn):
            env.step("Done.")
        for number in range(1, 22):
            *_, terminated, truncated, info = env.step(look)
            assert (terminated, truncated) == (False, number == 21)
        assert info["verdict"]["error_type"] == error
        assert score_replies(task, [*[["Done."]] * turn, [look] * 21]).error_type == PREFIX + error


@pytest.mark.parametrize("mode", ["prompting", "fc"])
def test_conversations_are_upstreams(bfcl_data: Path, bfcl_records: Records, mode: str) -> None:
    records = [record for record in bfcl_records(bfcl_parity.CONVERSATIONS) if record["mode"] == mode]
    cases = list(bfcl_parity.conversations(records, bfcl_data))
    assert len(cases) == 60
    assert bfcl_parity.differing(cases) == []


def test_conversations_with_system_prompts_are_upstreams(bfcl_release: Path, bfcl_records: Records) -> None:
    records = [record for record in bfcl_records(bfcl_parity.CONVERSATIONS) if record["mode"] == "prompting"]
    cases = list(bfcl_parity.conversations(records, bfcl_release, load_prompting(bfcl_release)))
    assert len(cases) == 60
    assert bfcl_parity.differing(cases) == []


def test_prompting_is_a_format_by_name(make: Make, bfcl_release: Path) -> None:
    env = BFCLMultiTurnEnv("base", data_dir=bfcl_release, **{**OFFICIAL, "format": "prompting"})
    (system, request), _ = env.reset(options={"task_id": "multi_turn_base_0"})
    assert (system["role"], request["role"]) == ("system", "user")
    (results,), *_ = env.step("[pwd(), pwd()]")
    assert results["role"] == "user"
    assert results["content"].count("'name': 'pwd()'") == 2
    assert env.trajectory().steps[0].observation == (results,)


def test_sampling_test_data_needs_permission(make: Make) -> None:
    env = make("base")
    for options in (None, {}, {"split": "test"}, {"prefix": 1}):
        with pytest.raises(ConfigurationError, match=r"test data \(base\).*task_id.*allow_test_data=True"):
            env.reset(seed=0, options=options)
    _, info = env.reset(options={"task_id": "multi_turn_base_0", "prefix": 2})
    assert (info["task_id"], info["turn"], info["step"]) == ("multi_turn_base_0", 0, 2)
    _, info = make("base", allow_test_data=True).reset(seed=0)
    assert info["task_id"].startswith("multi_turn_base_")


def test_held_out_tools_are_refused_before_the_reveal_only_if_strict(make: Make) -> None:
    observations = {}
    for validation in ("strict", "official"):
        env = make("miss_func", format="pythonic", validation=validation)
        env.reset(options={"task_id": "multi_turn_miss_func_0"})
        assert "sort" not in {tool["function"]["name"] for tool in env.tools}
        (observation,), *_, info = env.step("[sort(file_name='final_report.pdf')]")
        observations[validation] = observation["content"], info["failures"]
    assert observations["strict"][0].startswith("Unknown tool 'sort'")
    assert observations["strict"][1] == ("unknown_tool",)
    assert observations["official"] == (
        '{"error": "sort: final_report.pdf: No such file or directory"}',
        (None,),
    )


def test_revealed_tools_come_last_and_are_announced(make: Make) -> None:
    env = make("miss_func")
    _, before = env.reset(options={"task_id": "multi_turn_miss_func_0"})
    for _ in range(3):
        (message,), *_, info = env.step("Done.")
    assert message["role"] == "user"
    assert '"name": "sort"' in message["content"]
    assert message["content"].endswith(REVEAL)
    assert env.tools == info["tools"]
    assert [tool["function"]["name"] for tool in info["tools"]][-1] == "sort"
    assert info["tools"][:-1] == before["tools"]
    assert info["tools_version"] == before["tools_version"] + 1


def test_official_docs_are_shown_where_they_exist(make: Make, bfcl_data: Path, tmp_path: Path) -> None:
    _, info = make("base").reset(options={"task_id": "multi_turn_base_0"})
    assert info["tools"][0]["function"]["name"] == "authenticate_twitter"
    assert info["tools"][0]["function"]["description"].startswith("This tool belongs to the TwitterAPI")
    for name in ("BFCL_v4_multi_turn_base.json", "possible_answer/BFCL_v4_multi_turn_base.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((bfcl_data / name).read_bytes())
    env = BFCLMultiTurnEnv("base", data_dir=tmp_path)
    _, own = env.reset(options={"task_id": "multi_turn_base_0"})
    assert {tool["function"]["name"] for tool in own["tools"]} == {tool["function"]["name"] for tool in info["tools"]}
    assert not own["tools"][0]["function"]["description"].startswith("This tool belongs")


def test_data_dir_may_be_the_variable(bfcl_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLUSE_BFCL_DATA", str(bfcl_data))
    _, info = BFCLMultiTurnEnv("long_context").reset(options={"task_id": "multi_turn_long_context_0"})
    assert info["task_id"] == "multi_turn_long_context_0"


def test_official_data_keeps_the_contract(make: Make) -> None:
    check_tool_env(make("miss_func", allow_test_data=True), seeds=(0,))
    check_tool_env(make("long_context", allow_test_data=True, **OFFICIAL), seeds=(0,))


def test_starter_is_the_default_and_needs_no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOOLUSE_BFCL_DATA", str(tmp_path))
    env = BFCLMultiTurnEnv(starter={"turns": 3})
    assert env.tasks.splits == ("train", "validation", "test")
    for split in env.tasks.splits:
        env.reset(seed=0, options={"split": split})
        assert (env.task.split, len(env.task.turns)) == (split, 3)
    assert all("This tool belongs" not in tool["function"]["description"] for tool in env.tools)
    check_tool_env(BFCLMultiTurnEnv(), seeds=(0,))


def test_noisy_starter_demonstrations_play() -> None:
    env = BFCLMultiTurnEnv()
    verdicts = [env.demonstrate(seed=seed, noise=0.5).verdict for seed in range(20)]
    assert 0 < sum(verdict is not None and verdict.valid for verdict in verdicts) < 20


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dataset": "live"}, ConfigurationError, "unknown dataset 'live'; choose one of starter, base, miss_func"),
        ({"dataset": "base", "starter": {"turns": 2}}, ConfigurationError, "turns do not apply to dataset 'base'"),
        ({"dataset": "base", "data_dir": "nowhere"}, DataNotFoundError, "tooluse-gym data get bfcl"),
        ({"validation": "lax"}, ConfigurationError, "choose strict or official"),
        ({"speed": 3}, TypeError, "'speed'"),
        ({"starter": {"speed": 3}}, TypeError, "'speed'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_options_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        BFCLMultiTurnEnv(**options)


def test_snapshots_keep_the_sharing_of_official_worlds(make: Make) -> None:
    env = make("base", **OFFICIAL)
    env.reset(options={"task_id": "multi_turn_base_0"})
    env.step("[authenticate_twitter(username='analyst_pro', password='Kj8#mP9$vL2')]")
    start = env.snapshot()
    texts = []
    for _ in range(2):
        env.restore(start)
        env.step("[post_tweet(content='hi')]")
        env.step("[mention(tweet_id=3, mentioned_usernames=['@bob'])]")
        (observation,), *_ = env.step("[post_tweet(content='ho')]")
        texts.append(observation["content"])
    assert texts[0] == texts[1]
    assert texts[0].count("@bob") == 1


def test_sampling_is_seeded(make: Make) -> None:
    env = make("base", allow_test_data=True)
    ids = {seed: env.reset(seed=seed)[1]["task_id"] for seed in range(4)}
    assert ids == {seed: env.reset(seed=seed)[1]["task_id"] for seed in range(4)}
    assert len({env.tasks.sample(np.random.default_rng(seed), "test").id for seed in range(20)}) > 5
