"""Environments as TRL's ``GRPOTrainer(environment_factory=…)`` wants them. Imports neither TRL nor torch.

TRL looks at the class of an environment and takes every public method but ``reset`` and ``get_reward`` for a tool. A
:class:`gymnasium.Env` would hand the model ``step`` and ``render``; here each set of visible tools becomes a class of
its own, whose public methods are these tools and nothing else, with the signature and the docstring that TRL reads
their schemas from::

    tasks = environment_tasks("BFCLMultiTurn-v0", count=64, starter={"turns": 1})
    GRPOTrainer(
        train_dataset=Dataset.from_list(tasks.rows),
        environment_factory=tasks.environment_factory,
        reward_funcs=episode_reward,
        …
    )

What this interface cannot express:

* Nobody speaks for the user once the model has answered, so tasks have one request each; others are refused. Those are
  for ``rollout_func``: ``rest_agent.trl``.
* TRL parses replies, by the tokenizer's response template, and the environment hears of calls alone. The reward is
  that of the episode as TRL tells it afterwards, message by message: text that TRL's parser drops is not graded.
* A signature says less than a JSON Schema (no bounds, no patterns, no fields of nested objects). Calls are checked
  against the whole schema all the same.
* The tools of a class are those that a task begins with: what a search finds later cannot be called.
* In a single-step task calls are judged and not carried out: set ``max_tool_calling_iterations=0``.
"""

from __future__ import annotations

import inspect
import json
import keyword
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, ClassVar, Literal

import gymnasium

from tooluse_gym.adapters import draw
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call
from tooluse_gym.formats.wording import UnwritableReplyError
from tooluse_gym.tasks import Utterance

_RESERVED = ("reset", "get_reward")
_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": None,
}


class ToolsOfATask:
    """What TRL calls an environment. Subclasses have the tools as methods; all other names begin with an underscore."""

    _gym: ClassVar[ToolUseEnv]
    """Shared by all environments of a run: it makes their worlds, and plays their episodes once they are over."""

    def reset(self, task_id: str, **row: Any) -> None:
        """Begin a task; TRL gives the columns of the data set's row."""
        self._gym.reset(options={"task_id": task_id})
        self._task = self._gym.task
        self._world = self._gym.make_judge(self._task).agent
        self._visible = [tool.name for tool in self._gym.shown_tools(self._task, 0, self._world)]

    def _call(self, name: str, arguments: dict[str, Any]) -> str:
        return self._gym.execute(self._world, Call(name, arguments), self._visible).text

    def _score(self, said: Sequence[Mapping[str, Any]]) -> tuple[float, dict[str, float], bool]:
        """Reward, its terms and verdict of the episode whose messages TRL tells."""
        env = self._gym
        env.reset(options={"task_id": self._task.id})
        terms, over, valid = env.rubric.zeros(), False, False
        for message in said:
            if over:
                break
            if message["role"] == "assistant":
                *_, terminated, truncated, info = env.step(_action(env, message))
                over = terminated or truncated
                valid = over and bool(info["verdict"]["valid"])
                terms = {name: value + info["reward_terms"][name] for name, value in terms.items()}
        return sum(terms.values()), terms, valid


@dataclass(frozen=True)
class EnvironmentTasks:
    """Tasks as TRL takes them."""

    rows: list[dict[str, Any]]
    """Of the data set: ``prompt`` (the user's request; TRL shows the tools), ``task_id``, ``environment``."""
    environment_factory: dict[str, Callable[[], ToolsOfATask]]
    """By the ``environment`` of a row: a class for each set of tools."""


def environment_tasks(
    id: str, *, count: int = 0, seed: int = 0, split: str | None = None, task_ids: Sequence[str] = (), **options: Any
) -> EnvironmentTasks:
    """Tasks of ``gymnasium.make(id, **options)``: those of ``task_ids``, and ``count`` that are drawn.

    Raises:
        ConfigurationError: a task has several requests, or a tool has a name that TRL does not take.
    """
    env = gymnasium.make(id, disable_env_checker=True, show_tools=False, **options).unwrapped
    assert isinstance(env, ToolUseEnv)  # nothing else takes show_tools
    base = type("Environment", (ToolsOfATask,), {"_gym": env})
    rows: list[dict[str, Any]] = []
    classes: dict[str, Callable[[], ToolsOfATask]] = {}
    names: dict[str, str] = {}  # of these classes, by the schemas of their tools
    for task_id in (*task_ids, *draw(env, count, seed, split)):
        env.reset(options={"task_id": task_id})
        if len(env.task.turns) > 1:
            raise ConfigurationError(
                f"task {task_id!r} has {len(env.task.turns)} requests, but TRL's environment_factory lets the user "
                "speak once: choose tasks of one, or rest_agent.trl's rollout_func"
            )
        functions = [tool["function"] for tool in env.tools]
        kind = json.dumps(functions)
        if kind not in names:
            names[kind] = f"{len(names)}: {', '.join(function['name'] for function in functions)}"
            classes[names[kind]] = type("Environment", (base,), {f["name"]: _method(f) for f in functions})
        prompt = [{key: message[key] for key in ("role", "content")} for message in env.conversation]
        rows.append({"prompt": prompt, "task_id": task_id, "environment": names[kind]})
    return EnvironmentTasks(rows, classes)


def episode_reward(
    environments: Sequence[ToolsOfATask],
    completions: Sequence[Sequence[Mapping[str, Any]]],
    log_metric: Callable[[str, float], None] | None = None,
    **columns: Any,
) -> list[float]:
    """A reward function: what the environment's rubric gives each episode. Terms and verdict become metrics."""
    scores = [one._score(said) for one, said in zip(environments, completions, strict=True)]
    for _, terms, valid in scores:
        log_episode(log_metric, terms, valid)
    return [reward for reward, _, _ in scores]


def log_episode(log_metric: Callable[[str, float], None] | None, terms: Mapping[str, float], valid: bool) -> None:
    """The named parts of an episode's reward, and its verdict, as metrics of TRL, where it takes them."""
    if log_metric is None:
        return
    for name, value in terms.items():
        log_metric(f"reward_terms/{name}", value)
    log_metric("valid", float(valid))


def _action(env: ToolUseEnv, message: Mapping[str, Any]) -> str:
    """The reply of which TRL's parser made ``message``, as far as the reply format can say it."""
    content, think = message.get("content") or "", message.get("reasoning_content") or None
    calls = tuple(_read_call(call["function"]) for call in message.get("tool_calls") or ())
    said = Utterance(calls, think, content or None)
    return _written(env, said) or _written(env, Utterance(calls)) or str(content)


def _written(env: ToolUseEnv, said: Utterance) -> str | None:
    try:
        return env.write(said)
    except UnwritableReplyError:
        return None


def _read_call(function: Mapping[str, Any]) -> Call:
    arguments = function.get("arguments")
    if not isinstance(arguments, dict):
        return Call(str(function.get("name")), error="the arguments are not an object")
    return Call(str(function.get("name")), arguments)


def _method(function: Mapping[str, Any]) -> Callable[..., str]:
    """A method with the signature and the docstring that make ``function``'s schema."""
    name, schema = function["name"], function["parameters"]
    if name in _RESERVED or name.startswith("_"):
        raise ConfigurationError(f"a tool named {name!r} would not be one of TRL's; leave it out or rename it")
    required = set(schema.get("required", ()))
    parameters, described = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)], []
    for key, about in schema.get("properties", {}).items():
        if not key.isidentifier() or keyword.iskeyword(key):
            raise ConfigurationError(f"tool {name!r}: {key!r} cannot be the name of a parameter in Python")
        default = inspect.Parameter.empty if key in required else about.get("default")
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(key, kind, default=default, annotation=_annotation(about)))
        described.append(f"    {key}: {_line(about.get('description')) or key}")

    def method(self: ToolsOfATask, /, **arguments: Any) -> str:
        return self._call(name, arguments)

    method.__name__ = method.__qualname__ = name
    method.__signature__ = inspect.Signature(parameters, return_annotation=str)  # type: ignore[attr-defined]
    method.__annotations__ = {p.name: p.annotation for p in parameters[1:]} | {"return": str}
    summary = _line(function.get("description")) or name
    method.__doc__ = "\n".join([summary, "", "Args:", *described] if described else [summary])
    return method


def _annotation(schema: Mapping[str, Any]) -> Any:
    """The type hint that says most of a JSON Schema."""
    if "enum" in schema and all(isinstance(value, (str, int, float, bool, type(None))) for value in schema["enum"]):
        return Literal[tuple(schema["enum"])]
    if "anyOf" in schema:
        return reduce(or_, map(_annotation, schema["anyOf"]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return reduce(or_, (_annotation({**schema, "type": one}) for one in kind))
    if kind == "array" and "items" in schema:
        return list[_annotation(schema["items"])]  # type: ignore[misc]
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return dict[str, _annotation(schema["additionalProperties"])]  # type: ignore[misc]
    return Any if kind is None else _TYPES[kind]


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
