"""BFCL as benchmarks: what is played, what belongs together, and what it adds up to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tooluse_gym.envs.bfcl.evaluation import BENCHMARKS
from tooluse_gym.envs.bfcl.prompt_config import FORMAT_SENSITIVITY
from tooluse_gym.envs.bfcl.scores import TOTALS
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.evaluation.benchmark import Tally
from tooluse_gym.tasks import TaskList

V4, V3, SENSITIVITY = BENCHMARKS


def test_categories_have_upstreams_names() -> None:
    assert {*V4.categories, *V4.not_offered, "web_search_base", "web_search_no_snippet"} == {*TOTALS, "web_search"}
    assert {*V3.categories} == {name for name in V4.categories if not name.startswith("memory")}
    assert [*SENSITIVITY.categories] == [str(config) for config in FORMAT_SENSITIVITY]
    assert [one.name for one in V4.choose(["multi_turn_miss"])] == ["multi_turn_miss_func", "multi_turn_miss_param"]


@pytest.mark.parametrize("name", ["web_search", "web_search_base", "memory_vector"])
def test_what_is_not_offered_is_told_with_the_reason(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"bfcl-v4 has no category '{name}' here: it(s results|) need|depend"):
        V4.choose([name])


@pytest.mark.parametrize("mode", ["prompting", "fc"])
@pytest.mark.parametrize("name", ["live_parallel", "multi_turn_miss_func", "simple_javascript"])
@pytest.mark.parametrize("format", [None, "hermes"])
def test_modes(name: str, mode: str, format: str | None, bfcl_data: Path, request: pytest.FixtureRequest) -> None:
    """Tools are in the system message or come from the template, also where a local model's format is wanted."""
    if mode == "prompting" and format is None:
        request.getfixturevalue("bfcl_release")  # has the prompts
    category = V4.categories[name]
    env = category.setting(mode, data_dir=str(bfcl_data), **({"format": format} if format else {})).make()
    assert isinstance(env.tasks, TaskList)
    assert len(category.entries(env)) == TOTALS[name]
    assert env.format.name == (format or {"prompting": "prompting", "fc": "structured"}[mode])
    env.reset(options={"task_id": category.entries(env, limit=1)[0].task})
    named = env.tools[0]["function"]["name"]
    assert any(named in message["content"] for message in env.conversation) is (mode == "prompting")
    for said in env.tasks.demonstrate(env.task, env.np_random, 0.0):
        *_, info = env.step(env.write(said))
    assert info["verdict"]["valid"]


@pytest.mark.parametrize(
    ("category", "task", "base", "family"),
    [
        ("multi_turn_long_context", "multi_turn_long_context_17", "17", "multi_turn"),
        ("multi_turn_base", "multi_turn_base_17", "17", "multi_turn"),
        ("live_simple", "live_simple_19-3-15", "3", None),
        ("simple_java", "simple_java_2", "simple_java_2", None),
        ("memory_kv", "memory_kv_30-healthcare-0", "healthcare", "memory"),
    ],
)
def test_entries_of_the_same_base_belong_together(category: str, task: str, base: str, family: str | None) -> None:
    found = V4.categories[category]
    assert (found.base(task), found.family) == (base, family)


def test_a_variant_of_the_prompt_has_its_entry_as_base() -> None:
    name, category = next(iter(SENSITIVITY.categories.items()))
    assert category.base(f"format_sensitivity_26:{name}:live_simple_1-1-0") == "live_simple_1-1-0"


def test_figures_are_the_leaderboards() -> None:
    tallies = {"multi_turn_base": Tally(100, 200), "irrelevance": Tally(120, 240)}
    found = V4.figures(tallies)
    assert found.values["overall"] == pytest.approx(0.3 * 0.125 + 0.1 * 0.25)
    assert {*found.values} == {"overall", "multi_turn", "irrelevance"}
    assert {*found.missing} == {*TOTALS} - {*tallies, "live_relevance"}
    assert V3.figures(tallies).values["overall"] == pytest.approx((0.125 + 0.5 / 5) / 3)


def test_the_spread_over_prompts() -> None:
    first, second, *_ = SENSITIVITY.categories
    found = SENSITIVITY.figures({first: Tally(150, 200), second: Tally(120, 200)})
    assert found.values == pytest.approx({"mean": 0.675, "max_delta": 0.15, "standard_deviation": 0.15 / 2**0.5})
    with pytest.raises(ConfigurationError, match="not offered in mode 'fc'"):
        SENSITIVITY.categories[first].setting("fc")
