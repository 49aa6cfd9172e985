"""Tool sets as the classes that TRL takes for environments; TRL itself is not needed here."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium
import pytest
from transformers.utils.chat_template_utils import get_json_schema

from tooluse_gym.adapters.trl import EnvironmentTasks, ToolsOfATask, environment_tasks, episode_reward
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call
from tooluse_gym.messages import user
from tooluse_gym.tasks import Task, TaskList, Turn
from tooluse_gym.tools import Tool
from tooluse_gym.world import DeclaredWorld, World

ID = "tooluse_gym:BFCLMultiTurn-v0"
POST = {"turns": 1, "tools_shown": 3, "requests": ["post"]}


def _public(cls: Any) -> set[str]:
    """What TRL finds in a class of environments."""
    return {name for name, _ in inspect.getmembers(cls, predicate=inspect.isfunction) if not name.startswith("_")}


def _calls(*calls: tuple[str, Any], **message: Any) -> dict[str, Any]:
    functions = [{"type": "function", "function": {"name": name, "arguments": said}} for name, said in calls]
    return {"role": "assistant", "content": "", "tool_calls": functions, **message}


def _play(tasks: EnvironmentTasks, row: dict[str, Any], said: list[Any]) -> tuple[float, dict[str, list[float]]]:
    """What is earned, and what is logged, when TRL tells these messages."""
    environment = tasks.environment_factory[row["environment"]]()
    environment.reset(**row)
    logged: dict[str, list[float]] = {}
    (reward,) = episode_reward([environment], [said], lambda name, value: logged.setdefault(name, []).append(value))
    return reward, logged


@pytest.fixture(scope="module")
def posts() -> EnvironmentTasks:
    return environment_tasks(ID, count=12, starter=POST)


def test_a_class_exposes_the_tools_of_its_tasks_and_nothing_else() -> None:
    tasks = environment_tasks(ID, count=8, starter={"turns": 1})
    env: Any = gymnasium.make(ID, starter={"turns": 1}).unwrapped
    assert len(tasks.rows) == 8
    assert len(tasks.environment_factory) > 1
    for row in tasks.rows:
        env.reset(options={"task_id": row["task_id"]})
        names = {tool["function"]["name"] for tool in env.tools}
        assert _public(tasks.environment_factory[row["environment"]]) == names | {"reset"}
        assert row["prompt"][-1]["role"] == "user"


def test_the_schemas_that_are_read_from_the_methods_are_the_tools() -> None:
    tasks = environment_tasks(ID, count=8, starter={"turns": 1})
    env: Any = gymnasium.make(ID, starter={"turns": 1}).unwrapped
    seen = set()
    for row in tasks.rows:
        env.reset(options={"task_id": row["task_id"]})
        environment = tasks.environment_factory[row["environment"]]()
        for function in (tool["function"] for tool in env.tools):
            read = get_json_schema(getattr(environment, function["name"]))["function"]
            assert (read["name"], read["description"]) == (function["name"], " ".join(function["description"].split()))
            ours, theirs = function["parameters"], read["parameters"]
            assert list(theirs["properties"]) == list(ours["properties"])
            assert theirs.get("required", []) == ours["required"]
            for name, schema in ours["properties"].items():
                kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
                assert theirs["properties"][name].get("nullable", False) == ("null" in kinds)
                assert theirs["properties"][name]["type"] == next(kind for kind in kinds if kind != "null")
                assert theirs["properties"][name]["description"]
            seen.add(function["name"])
    assert len(seen) > 12


@pytest.mark.parametrize(
    ("schema", "hint"),
    [
        ({"type": "array", "items": {"type": "integer"}}, {"type": "array", "items": {"type": "integer"}}),
        ({"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"type": ["integer", "string"]}),
        ({"type": ["number", "null"]}, {"type": "number", "nullable": True}),
        (
            {"type": "object", "additionalProperties": {"type": "boolean"}},
            {"type": "object", "additionalProperties": {"type": "boolean"}},
        ),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "object"}),
        ({}, {}),
    ],
    ids=["array", "enum", "any of", "nullable", "map", "object", "anything"],
)
def test_type_hints_say_as_much_of_a_schema_as_they_can(schema: dict[str, Any], hint: dict[str, Any]) -> None:
    parameters = {"type": "object", "properties": {"x": {**schema, "description": "an x"}}, "required": ["x"]}
    tasks = _declared(Tool("f", "Do it.\nWell.", parameters))
    environment = tasks.environment_factory[tasks.rows[0]["environment"]]()
    read = get_json_schema(environment.f)["function"]  # type: ignore[attr-defined]
    assert read["description"] == "Do it. Well."
    assert read["parameters"]["properties"]["x"] == {**hint, "description": "an x"}


def test_methods_do_what_calls_do_in_the_environment(posts: EnvironmentTasks) -> None:
    env: Any = gymnasium.make(ID, starter=POST).unwrapped
    row = posts.rows[0]
    environment: Any = posts.environment_factory[row["environment"]]()
    environment.reset(**row)
    env.reset(options={"task_id": row["task_id"]})
    for call in (Call("post_tweet", {"content": "a"}), Call("post_tweet", {"words": 1}), Call("post_tweet", {})):
        heard, *_ = env.step(env.format.write([call]))
        assert getattr(environment, call.name)(**call.arguments) == heard[0]["content"]
    assert environment.post_tweet(self="a").startswith("Invalid call")  # as much an unknown argument as any other


def test_the_reward_is_that_of_the_episode(posts: EnvironmentTasks) -> None:
    env: Any = gymnasium.make(ID, starter=POST).unwrapped
    for row in posts.rows[:4]:
        record = env.demonstrate(seed=0, options={"task_id": row["task_id"]})
        (call,) = env.task.turns[0].calls
        right = _calls((call.name, call.arguments), reasoning_content="I post it")
        told = [right, {"role": "tool", "name": call.name, "content": "…"}, {"role": "assistant", "content": "Done."}]
        reward, logged = _play(posts, row, told)
        assert reward == pytest.approx(record.reward) == pytest.approx(1)
        terms = {name: sum(step.reward_terms[name] for step in record.steps) for name in env.rubric.terms}
        assert logged == {"valid": [1.0]} | {f"reward_terms/{name}": [value] for name, value in terms.items()}
        wrong = _calls((call.name, {"content": "something else"}))
        assert _play(posts, row, [wrong, told[1], told[2]])[1]["valid"] == [0.0]


def test_an_episode_that_does_not_end_earns_what_it_has(posts: EnvironmentTasks) -> None:
    reward, logged = _play(posts, posts.rows[0], [_calls(("post_tweet", {"content": "a"}))])
    assert reward == 0
    assert logged["valid"] == [0.0]


@pytest.mark.parametrize(
    "said",
    [
        {"role": "assistant", "content": '<tool_call>\n{"name": "post_tw'},
        _calls(("post_tweet", "content")),
        _calls(("post_tweet", None), ("post_tweet", {"content": "a"})),
        _calls(("no such tool", {})),
        _calls(("post_tweet", {"content": "a"}), content="and </think> and <tool_call>"),
        {"role": "assistant", "content": None},
    ],
    ids=["half a call", "text for arguments", "no arguments", "unknown tool", "tags in the text", "nothing"],
)
def test_whatever_is_told_gets_a_reward(said: dict[str, Any], posts: EnvironmentTasks) -> None:
    reward, _ = _play(posts, posts.rows[0], [said, {"role": "assistant", "content": "Done."}])
    assert reward < 0.5


def test_tasks_of_several_requests_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"2 requests.*rollout_func"):
        environment_tasks(ID, count=1)


class Declared(ToolUseEnv):
    """One task with tools that have a schema but no code."""

    def __init__(self, tools: tuple[Tool, ...] = (), **options: Any):
        self.declared = tools
        super().__init__(TaskList([Task("only", (Turn((user("hi"),)),), toolsets=())]), **options)

    def make_world(self, task: Task) -> World:
        return DeclaredWorld(self.declared)


gymnasium.register("DeclaredForTRL-v0", entry_point=Declared)


def _declared(*tools: Tool) -> EnvironmentTasks:
    return environment_tasks("DeclaredForTRL-v0", task_ids=["only"], tools=tools)


@pytest.mark.parametrize(
    ("name", "parameter", "problem"),
    [("reset", "x", "reset"), ("get_reward", "x", "get_reward"), ("_f", "x", "_f"), ("f", "from", "'from'")],
)
def test_names_that_trl_does_not_take_are_refused(name: str, parameter: str, problem: str) -> None:
    schema = {"type": "object", "properties": {parameter: {"type": "string"}}}
    with pytest.raises(ConfigurationError, match=problem):
        _declared(Tool(name, "Do it.", schema))


def test_environments_of_one_class_are_apart_from_each_other(posts: EnvironmentTasks) -> None:
    row = posts.rows[0]
    one, other = (posts.environment_factory[row["environment"]]() for _ in range(2))
    assert isinstance(one, ToolsOfATask)
    one.reset(**row)
    other.reset(**row)
    first = one._call("post_tweet", {"content": "a"})
    assert one._call("post_tweet", {"content": "a"}) != first == other._call("post_tweet", {"content": "a"})
