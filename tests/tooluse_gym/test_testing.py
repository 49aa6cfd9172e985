"""``check_tool_env`` passes what keeps the contracts, and finds each way to break them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest

from tooluse_gym.env import Observation, ToolUseEnv
from tooluse_gym.envs import registered
from tooluse_gym.formats import Call, Reply, get_format
from tooluse_gym.messages import user
from tooluse_gym.tasks import Task, TaskList, Turn, Utterance, gold_utterances
from tooluse_gym.testing import check_tool_env
from tooluse_gym.tools import Tool, ToolSet
from tooluse_gym.world import ToolResult, World

SHARED: list[int] = []


class Box(ToolSet):
    def __init__(self, items: list[int]):
        self.items = items

    def put(self, item: int) -> str:
        """Put."""
        self.items.append(item)
        return f"{len(self.items)} items"


class BoxEnv(ToolUseEnv):
    """Sound; each broken environment below departs from it in one place."""

    toolsets = (Box,)

    def __init__(self, **options: Any):
        steps = ((Call("put", {"item": 1}),), (Call("put", {"item": 2}),))
        turns = (Turn((user("put 1, then 2"),), steps), Turn((user("and 3"),), ((Call("put", {"item": 3}),),)))
        super().__init__(TaskList([Task(name, turns, ("Box",), {"Box": {"items": []}}) for name in "ab"]), **options)


def with_tools(toolset: type[ToolSet]) -> type[BoxEnv]:
    return type("Env", (BoxEnv,), {"toolsets": (type("Box", (toolset,), {}),)})


class RandomBox(Box):
    def put(self, item: int) -> str:
        """Put."""
        self.items.append(item)
        return str(np.random.default_rng().random())


class SharingBox(Box):
    def put(self, item: int) -> str:
        """Put."""
        SHARED.append(item)
        return f"{len(SHARED)} items so far"


class Thing:
    pass


class OpaqueBox(Box):
    def __init__(self, items: list[int]):
        super().__init__(items)
        self.thing = Thing()


class KeepsScenario(BoxEnv):
    def make_world(self, task: Task) -> World:
        return World({"Box": Box(**task.initial_state["Box"])})


class ChangesRefused(BoxEnv):
    def execute(self, world: World, call: Call, visible: Sequence[str]) -> ToolResult:
        result = super().execute(world, call, visible)
        if result.failure is not None:
            world.toolsets["Box"].items.append(0)  # type: ignore[attr-defined]
        return result


class NeverRefuses(BoxEnv):
    def execute(self, world: World, call: Call, visible: Sequence[str]) -> ToolResult:
        return super().execute(world, call, visible)._replace(failure=None)


class BadSchema(BoxEnv):
    def make_world(self, task: Task) -> World:
        broken = type("Box", (Box,), {})
        broken.tools = {"put": Tool("put", "Put.", {"type": "objekt"})}  # type: ignore[attr-defined]
        return World({"Box": broken([])})


class UnknownTool(BoxEnv):
    def __init__(self, **options: Any):
        super().__init__(**options)
        self.tasks = TaskList([dataclasses.replace(task, tools=("put", "get")) for task in self.tasks])  # type: ignore[attr-defined]


class FragileFormat:
    def __getattr__(self, name: str) -> Any:
        return getattr(get_format("hermes"), name)

    def parse(self, text: str) -> Reply:
        text.encode("utf-8")
        return get_format("hermes").parse(text)


class Fragile(BoxEnv):
    def __init__(self, **options: Any):
        super().__init__(**options, format=FragileFormat())


class Stops(TaskList):
    def demonstrate(self, task: Task, rng: np.random.Generator, noise: float) -> Sequence[Utterance]:
        return gold_utterances(task)[:-1]


class Errs(TaskList):
    def demonstrate(self, task: Task, rng: np.random.Generator, noise: float) -> Sequence[Utterance]:
        return [Utterance(response="No.") for _ in task.turns]


class Renames(TaskList):
    def sample(self, rng: np.random.Generator, split: str) -> Task:
        return dataclasses.replace(super().sample(rng, split), metadata={"fresh": True})


def with_tasks(source: type[TaskList]) -> type[BoxEnv]:
    class Env(BoxEnv):
        def __init__(self, **options: Any):
            super().__init__(**options)
            self.tasks = source(list(self.tasks))  # type: ignore[call-overload]

    return Env


Stepped = tuple[Observation, float, bool, bool, dict[str, Any]]


def stepping(change: Callable[[ToolUseEnv, Stepped], Any]) -> type[BoxEnv]:
    """Its ``step`` returns ``change(env, what it should return)``."""

    class Env(BoxEnv):
        def step(self, action: str) -> Stepped:
            changed: Stepped = change(self, super().step(action))
            return changed

    return Env


class Forgets(BoxEnv):
    """Counts steps outside the episode."""

    count = 0

    def execute(self, world: World, call: Call, visible: Sequence[str]) -> ToolResult:
        self.count += 1
        return super().execute(world, call, visible) if self.count < 50 else ToolResult("tired")


class Immortal(BoxEnv):
    def step(self, action: str) -> Stepped:
        if self._running.ended:
            return (), 0.0, True, False, {}
        return super().step(action)


BROKEN: list[tuple[str, Callable[[], ToolUseEnv], str]] = [
    ("random tool", with_tools(RandomBox), "Step observations are not equ|gives another|judged"),
    ("state outside the world", with_tools(SharingBox), "ground truth is judged|another episode"),
    ("state without equality", with_tools(OpaqueBox), r"does not equal its own copy: {'Box': \['thing'\]}"),
    (
        "scenario kept",
        KeepsScenario,
        "playing it changed the task",
    ),
    ("refuses, yet changes state", ChangesRefused, "the refused call no_such_tool.* changed the state: {'Box'"),
    ("never refuses", NeverRefuses, r"no_such_tool\(\) must fail as unknown_tool, got \(None,\)"),
    ("invalid schema", BadSchema, "the schema of tool 'put' is invalid"),
    ("task names a missing tool", UnknownTool, "the task shows the tool 'get', which does not exist"),
    ("parser raises", Fragile, r"the reply '.ud800 half a pair' raises UnicodeEncodeError"),
    ("demonstration stops", with_tasks(Stops), "the ground truth stops before the episode is over"),
    ("demonstration errs", with_tasks(Errs), "the ground truth is judged .*empty_turn_model_response"),
    ("sampled task is not the listed one", with_tasks(Renames), "is not the task that was sampled"),
    (
        "info lacks a key",
        stepping(lambda env, r: (*r[:4], {k: v for k, v in r[4].items() if k != "turn"})),
        "lacks 'turn'",
    ),
    ("info holds an object", stepping(lambda env, r: (*r[:4], {**r[4], "x": {1}})), "info cannot be written as JSON"),
    ("reward is no float", stepping(lambda env, r: (r[0], 1, *r[2:])), "the reward must be a float"),
    ("terms do not add up", stepping(lambda env, r: (r[0], r[1] + 0.5, *r[2:])), "reward_terms do not add up"),
    (
        "end not reported",
        stepping(lambda env, r: (*r[:2], False, False, r[4])),
        "the end of the episode is not reported",
    ),
    ("both ends at once", stepping(lambda env, r: (*r[:2], r[2], r[2], r[4])), "both terminated and truncated"),
    ("observation is a list", stepping(lambda env, r: (list(r[0]), *r[1:])), "not within the observation space"),
    ("goes on after the end", Immortal, "after the end must raise ResetNeeded"),
    ("memory outside the episode", Forgets, "goes on otherwise|judged|another|must fail"),
]


@pytest.fixture(autouse=True)
def _clean() -> None:
    SHARED.clear()


@pytest.mark.parametrize(
    "options", [{}, {"validation": "official", "rubric": "official"}, {"format": "toolrl"}], ids=str
)
def test_a_sound_environment_passes(house: Callable[..., ToolUseEnv], options: dict[str, Any]) -> None:
    check_tool_env(BoxEnv(**options))
    check_tool_env(house(split="test", **options), seeds=range(6))


def test_a_registered_environment_passes() -> None:
    gymnasium.register("TestBox-v0", entry_point=BoxEnv)
    try:
        check_tool_env(gymnasium.make("TestBox-v0", render_mode="ansi"))
    finally:
        del gymnasium.registry["TestBox-v0"]


@pytest.mark.parametrize(("env", "message"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_environment_fails(env: Callable[[], ToolUseEnv], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_tool_env(env())


def test_a_step_limit_below_the_ground_truth_is_found() -> None:
    with pytest.raises(AssertionError, match=r"stops before|is judged|exceeds max_steps_per_turn=1"):
        check_tool_env(BoxEnv(max_steps_per_turn=1))


def test_other_environments_are_refused() -> None:
    with pytest.raises(AssertionError, match="is not a ToolUseEnv"):
        check_tool_env(gymnasium.make("CartPole-v1"))


@pytest.mark.parametrize("id", [spec.id for spec in registered()])
@pytest.mark.parametrize("validation", ["strict", "official"])
def test_every_registered_environment_passes(id: str, validation: str) -> None:
    check_tool_env(gymnasium.make(id, validation=validation), seeds=range(2))
