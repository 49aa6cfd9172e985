"""Whatever a call says, the manager answers in time: with a result that is JSON, or with its own error."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tooluse_gym.envs.api_bank.apis import SETS, make_sets
from tooluse_gym.envs.api_bank.apis.base import Episode, Mode, RejectedCallError
from tooluse_gym.envs.api_bank.checks import BrokenCheckError, check
from tooluse_gym.envs.api_bank.database import starter_database
from tooluse_gym.envs.api_bank.manager import ApiManager

TOOLS = {name: tool for kind in SETS for name, tool in kind.tools.items()}
TOKEN = "tk4r8mia2brandt61x"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([TOKEN, "", "1-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "value", "x"]), inner),
    max_leaves=6,
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(sorted(TOOLS)))
    return name, {
        parameter: draw(JSON) for parameter in TOOLS[name].parameters["properties"] if draw(st.integers(0, 9))
    }


def make_manager(mode: Mode) -> ApiManager:
    database = starter_database()
    episode = Episode(database.episode_tables(), database.library, mode, retriever=str)
    return ApiManager(make_sets(episode), episode)


@pytest.mark.parametrize("mode", ["reference", "corrected"])
@settings(max_examples=40)
@given(said=st.lists(calls(), min_size=1, max_size=4))
def test_any_arguments(mode: Mode, said: list[tuple[str, dict[str, Any]]]) -> None:
    manager = make_manager(mode)
    for name, arguments in said:
        with contextlib.suppress(RejectedCallError):
            result = manager.call(name, arguments)
            json.dumps(result)
            with contextlib.suppress(BrokenCheckError):
                assert isinstance(check(name, result, result, mode), bool)


@pytest.mark.parametrize("mode", ["reference", "corrected"])
@pytest.mark.parametrize("unit", ["a", "9-", "a.", "(", "'", "[{", " ", "a@"])
def test_long_arguments(mode: Mode, unit: str) -> None:
    manager, started = make_manager(mode), time.process_time()
    for name, tool in TOOLS.items():
        with contextlib.suppress(RejectedCallError):
            manager.call(name, dict.fromkeys(tool.parameters["properties"], unit * 50_000))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("mode", ["reference", "corrected"])
def test_deep_arguments(mode: Mode) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RejectedCallError, match="nested too deeply"):
        make_manager(mode).call("AddScene", {"name": "n", "devices": deep})
