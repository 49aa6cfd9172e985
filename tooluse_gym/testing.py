"""A conformance check for environment authors: ``check_tool_env(MyEnv())`` in a test, and every promise is tried.

It plays a few episodes per seed. A broken promise raises AssertionError, whose message says which one and where.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium
import jsonschema
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.utils.env_checker import check_env

from tooluse_gym.env import Observation, ToolUseEnv
from tooluse_gym.errors import TrajectoryError
from tooluse_gym.formats import Call
from tooluse_gym.formats.wording import UnwritableReplyError
from tooluse_gym.scoring import play_ground_truth
from tooluse_gym.tasks import Task, Utterance
from tooluse_gym.trajectory import Trajectory
from tooluse_gym.world import World

_INFO_KEYS = {"task_id", "turn", "step", "tools_version", "reward_terms", "failures"}

GARBAGE = (
    "",
    " \n\t",
    "\x00\x01",
    "\ud800 half a pair",
    "👩‍💻 שלום" * 50,
    "<think>",
    "</think></think>",
    "<tool_call>",
    "<tool_call></tool_call>",
    "<tool_call>{</tool_call>",
    "<tool_call>[]</tool_call>",
    '<tool_call>\n{"name": 3, "arguments": []}\n</tool_call>',
    '<tool_call>\n{"name": "__init__", "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"name": "state", "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"name": "x", "parameters": {"n": 1e999}}\n</tool_call>',
    '<tool_call>\n{"name": "x", "arguments": ' + '{"a": ' * 5_000 + "}" * 5_000 + "}\n</tool_call>",
    '<tool_call>\n{"name": "x", "arguments": {"n": ' + "9" * 5_000 + "}}\n</tool_call>",
    "[__import__('os').getcwd()]",
    "[f(" + "[" * 5_000 + "]" * 5_000 + ")]",
    '[{"name": "x", "arguments": {}}]',
)
"""Replies that no model should give and every environment must bear."""


def check_tool_env(env: gymnasium.Env[Any, Any], *, seeds: Sequence[int] = (0, 1, 2)) -> None:
    """Try Gymnasium's contract and ours on ``env``, with the task that each seed samples.

    Raises:
        AssertionError: a promise is broken.
    """
    inner = env.unwrapped
    assert isinstance(inner, ToolUseEnv), f"{type(inner).__name__} is not a ToolUseEnv"
    for number, seed in enumerate(seeds):
        task = inner.tasks.sample(seeding.np_random(seed)[0], inner.split)  # as reset(seed=seed) will
        before = copy.deepcopy(task)
        place = f"task {before.id!r} (seed {seed})"
        assert inner.tasks[before.id] == before, f"{place}: tasks[task_id] is not the task that was sampled"
        world = inner.make_world(task)
        _check_tools(world, task, place)
        play_ground_truth(task, world)
        _check_unchanged(inner, before, place)
        _, info = inner.reset(seed=seed)
        assert inner.task == task, f"{place}: reset samples another task, {inner.task.id!r}"
        _check_info(inner, info, place)
        if number == 0:
            _check_gymnasium(inner)
        record = _check_ground_truth(inner, seed, place)
        _check_unchanged(inner, before, place)
        _check_determinism(inner, record, seed, place)
        _check_trajectory(inner, record, place)
        _check_snapshots(inner, record, place)
        _check_prefixes(inner, record, seed, place)
        _check_refusals(inner, place)
        _check_step_limit(inner, place)
        _check_garbage(inner, place)
        _check_unchanged(inner, before, place)


def _check_unchanged(env: ToolUseEnv, before: Task, place: str) -> None:
    assert env.tasks[before.id] == before, f"{place}: playing it changed the task; copy what a tool set keeps of it"


def _check_gymnasium(env: ToolUseEnv) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(env, skip_render_check=env.spec is None)
        except Exception as error:
            raise AssertionError(f"gymnasium's check_env: {type(error).__name__}: {error}") from error
    assert not caught, f"gymnasium's check_env warns: {caught[0].message}"


def _check_info(env: ToolUseEnv, info: dict[str, Any], place: str) -> None:
    missing = _INFO_KEYS - info.keys()
    assert not missing, f"{place}: info lacks {min(missing)!r}"
    try:
        json.dumps(info)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{place}: info cannot be written as JSON: {error}") from error
    if "tools" in info:
        assert info["tools"] == env.tools, f"{place}: info['tools'] are not the tools that are visible now"
    assert info["task_id"] == env.task.id, f"{place}: info['task_id'] is {info['task_id']!r}"
    ended = "verdict" in info
    assert ended == env._running.ended, f"{place}: info must hold the verdict exactly when the episode is over"


def _check_tools(world: World, task: Task, place: str) -> None:
    tools = world.tools
    assert tools, f"{place}: the world has no tools"
    for name, tool in tools.items():
        assert tool.name == name, f"{place}: tool {tool.name!r} is known as {name!r}"
        assert tool.description, f"{place}: tool {name!r} has no description"
        try:
            jsonschema.Draft202012Validator.check_schema(dict(tool.parameters))
        except jsonschema.SchemaError as error:
            raise AssertionError(f"{place}: the schema of tool {name!r} is invalid: {error.message}") from error
        assert tool.parameters.get("type") == "object", f"{place}: the schema of tool {name!r} must be of type object"
    named = {*(task.tools or ()), *(name for turn in task.turns for name in turn.reveals)}
    unknown = named - tools.keys()
    assert not unknown, f"{place}: the task shows the tool {min(unknown)!r}, which does not exist"
    differing = copy.deepcopy(world).differs(world)
    assert not differing, f"{place}: state that does not equal its own copy: {differing}; give its class __eq__"


def _check_ground_truth(env: ToolUseEnv, seed: int, place: str) -> Trajectory:
    record = env.demonstrate(seed=seed)
    assert record.verdict is not None, f"{place}: the ground truth stops before the episode is over"
    assert record.verdict.valid, f"{place}: the ground truth is judged {record.verdict}"
    assert not env._running.truncated, f"{place}: the ground truth exceeds max_steps_per_turn={env.max_steps_per_turn}"
    assert len(record.steps) == env.task.gold_steps, (
        f"{place}: the ground truth takes {len(record.steps)} steps, but task.gold_steps is {env.task.gold_steps}"
    )
    try:
        env.step("one more")
    except ResetNeeded:
        return record
    raise AssertionError(f"{place}: step() after the end must raise ResetNeeded")


def _check_determinism(env: ToolUseEnv, record: Trajectory, seed: int, place: str) -> None:
    again = env.demonstrate(seed=seed)
    assert again.task == record.task, f"{place}: the same seed samples {again.task!r} the second time"
    assert again == record, f"{place}: the same seed and actions give another episode: {_difference(record, again)}"
    shown = [_follow(env, record, seed=seed) for _ in range(2)]
    assert shown[0] == shown[1], f"{place}: the same seed and actions give other infos"


def _follow(env: ToolUseEnv, record: Trajectory, **reset: Any) -> list[str]:
    """Everything the environment returns while the record's actions are played, as JSON."""
    observation, info = env.reset(**reset)
    shown = [json.dumps([observation, info])]
    for step in record.steps:
        returned = env.step(step.action)
        _check_step(env, returned, "the ground truth")
        shown.append(json.dumps(returned))
    return shown


def _check_step(env: ToolUseEnv, returned: tuple[Observation, float, bool, bool, dict[str, Any]], place: str) -> None:
    observation, reward, terminated, truncated, info = returned
    assert observation in env.observation_space, f"{place}: {observation!r} is not a tuple of chat messages"
    assert isinstance(reward, float), f"{place}: the reward must be a float, got {reward!r}"
    assert abs(reward - sum(info["reward_terms"].values())) < 1e-9, f"{place}: reward_terms do not add up to the reward"
    assert not (terminated and truncated), f"{place}: both terminated and truncated"
    assert (terminated or truncated) == env._running.ended, f"{place}: the end of the episode is not reported"
    _check_info(env, info, place)


def _check_trajectory(env: ToolUseEnv, record: Trajectory, place: str) -> None:
    try:
        read = Trajectory.from_json(record.to_json())
    except TrajectoryError as error:
        raise AssertionError(f"{place}: {error}") from error
    assert read == record, f"{place}: the trajectory read from JSON differs: {_difference(record, read)}"
    env.reset(options={"task_id": read.task, "prefix": read.prefix})
    replayed = _continue(env, read.steps)
    assert replayed == record, f"{place}: replaying the trajectory gives another: {_difference(record, replayed)}"


def _continue(env: ToolUseEnv, steps: Sequence[Any]) -> Trajectory:
    for step in steps:
        env.step(step.action)
    return env.trajectory()


def _check_snapshots(env: ToolUseEnv, record: Trajectory, place: str) -> None:
    env.reset(options={"task_id": record.task})
    snapshots = []
    for step in record.steps:
        snapshots.append(env.snapshot())
        env.step(step.action)
    for number, snapshot in enumerate(snapshots):
        for attempt in ("restored", "restored a second time"):
            env.restore(snapshot)
            found = _continue(env, record.steps[number:])
            assert found == record, (
                f"{place}: {attempt} before step {number}, the episode goes on otherwise: {_difference(record, found)}"
            )


def _check_prefixes(env: ToolUseEnv, record: Trajectory, seed: int, place: str) -> None:
    for prefix in range(env.task.gold_steps):
        found = env.demonstrate(seed=seed, options={"task_id": record.task, "prefix": prefix})
        assert found.verdict == record.verdict, f"{place}: with prefix={prefix} the verdict is {found.verdict}"
        assert len(found.steps) == len(record.steps) - prefix, (
            f"{place}: with prefix={prefix} there remain {len(found.steps)} steps, not {len(record.steps) - prefix}"
        )


def _check_refusals(env: ToolUseEnv, place: str) -> None:
    if env.validation != "strict":
        return  # official validation executes what upstream would, mistakes included
    env.reset(options={"task_id": env.task.id})
    start = env.snapshot()
    wrong: tuple[Any, ...] = ({}, [[]], 1e300)
    bad = [Call("no_such_tool")]
    for tool in env._running.shown.tools:
        bad.append(Call(tool.name, {"no_such_argument": 1}))
        bad += [Call(tool.name, {name: value}) for name in tool.parameters["properties"] for value in wrong]
        bad.append(Call(tool.name))
    shown = {tool.name: tool for tool in env._running.shown.tools}
    for call in bad:
        if call.name in shown and shown[call.name].check(call.arguments) is None:
            continue  # the schema allows it
        try:
            text = env.write(Utterance((call,)))
        except UnwritableReplyError:
            continue  # the format cannot even say it
        env.restore(start)
        world = env._running.judge.agent
        before = copy.deepcopy(world)
        *_, info = env.step(text)
        failure = "invalid_arguments" if call.name in shown else "unknown_tool"
        assert info["failures"] == (failure,), f"{place}: {call.text} must fail as {failure}, got {info['failures']}"
        differing = world.differs(before)
        assert not differing, f"{place}: the refused call {call.text} changed the state: {differing}"


def _check_step_limit(env: ToolUseEnv, place: str) -> None:
    if env.task.single_step:
        return  # every step ends its turn, as the ground truth's number of steps has shown
    env.reset(options={"task_id": env.task.id})
    endless = env.write(Utterance((Call("no_such_tool"),)))
    for number in range(env.max_steps_per_turn + 1):
        returned = env.step(endless)
        _check_step(env, returned, f"{place}: call number {number + 1} of a turn")
        last = number == env.max_steps_per_turn
        assert returned[2:4] == (False, last), (
            f"{place}: after {number + 1} steps of a turn (limit {env.max_steps_per_turn}) terminated, truncated must "
            f"be {(False, last)}, got {returned[2:4]}"
        )


def _check_garbage(env: ToolUseEnv, place: str) -> None:
    env.reset(options={"task_id": env.task.id})
    start = env.snapshot()
    env.action_space.seed(0)
    for text in (*GARBAGE, *(env.action_space.sample() for _ in range(8))):
        env.restore(start)
        shown = repr(text if len(text) < 80 else f"{text[:80]}…")
        try:
            returned = env.step(text)
        except Exception as error:
            raise AssertionError(f"{place}: the reply {shown} raises {type(error).__name__}: {error}") from error
        _check_step(env, returned, f"{place}: the reply {shown}")
        read = Trajectory.from_json(env.trajectory().to_json())
        assert read == env.trajectory(), f"{place}: the reply {shown} does not survive saving"


def _difference(one: Trajectory, other: Trajectory) -> str:
    """Where two records first differ, in words."""
    if one.opening != other.opening:
        return "in the opening"
    for number, (mine, theirs) in enumerate(zip(one.steps, other.steps, strict=False)):
        for part in ("action", "observation", "reward_terms", "reward"):
            if getattr(mine, part) != getattr(theirs, part):
                return f"in the {part} of step {number}, {getattr(mine, part)!r} and {getattr(theirs, part)!r}"
    if len(one.steps) != len(other.steps):
        return f"{len(one.steps)} and {len(other.steps)} steps"
    return f"{one.verdict} and {other.verdict}"
