"""Whatever a call says, the manager answers in time: with a result that is JSON, or with its own error."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tooluse_gym.envs.api_bank.apis.base import Mode, RejectedCallError
from tooluse_gym.envs.api_bank.checks import BrokenCheckError
from tooluse_gym.envs.api_bank.level import Level, starter_level

LEVELS = (starter_level(2), starter_level(3))
TOKEN = "tk4r8mia2brandt61x"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([TOKEN, "", "1-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "value", "x"]), inner),
    max_leaves=6,
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[Level, str, dict[str, Any]]:
    level = draw(st.sampled_from(LEVELS))
    name = draw(st.sampled_from(sorted(level.tools)))
    parameters = level.tools[name].parameters["properties"]
    return level, name, {parameter: draw(JSON) for parameter in parameters if draw(st.integers(0, 9))}


@pytest.mark.parametrize("mode", ["reference", "corrected"])
@settings(max_examples=40)
@given(said=st.lists(calls(), min_size=1, max_size=4))
def test_any_arguments(mode: Mode, said: list[tuple[Level, str, dict[str, Any]]]) -> None:
    managers = {level: level.manager(mode) for level in LEVELS}
    for level, name, arguments in said:
        with contextlib.suppress(RejectedCallError):
            result = managers[level].call(name, arguments)
            json.dumps(result)
            with contextlib.suppress(BrokenCheckError):
                assert isinstance(level.agrees(name, result, result, mode), bool)


@pytest.mark.parametrize("mode", ["reference", "corrected"])
@pytest.mark.parametrize("unit", ["a", "9-", "a.", "(", "'", "[{", " ", "a@"])
def test_long_arguments(mode: Mode, unit: str) -> None:
    started = time.process_time()
    for level in LEVELS:
        manager = level.manager(mode)
        for name, tool in level.tools.items():
            with contextlib.suppress(RejectedCallError):
                manager.call(name, dict.fromkeys(tool.parameters["properties"], unit * 50_000))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("mode", ["reference", "corrected"])
def test_deep_arguments(mode: Mode) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RejectedCallError, match="nested too deeply"):
        LEVELS[0].manager(mode).call("AddScene", {"name": "n", "devices": deep})
