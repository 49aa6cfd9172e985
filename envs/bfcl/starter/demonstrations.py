"""What an agent says in a starter task: the ground truth with its plans, or an erring version of it.

An erring demonstration is what a policy is warmed up on before reinforcement learning. Its errors are of two sorts:
*slips*, at random, and a *habit* that a greedy policy learns too: handing a request of several calls back too early.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call
from tooluse_gym.tasks import Task, Utterance
from tooluse_gym.tools import Tool

CLOSING = Utterance(think="done", response="done")
"""How a demonstration hands a turn back."""

SLIPS = ("tool", "argument", "silence")


@dataclass(frozen=True)
class NoiseProfile:
    """How a demonstration errs when ``noise`` (0 to 1) says how often.

    A request of several calls loses all but the first with probability ``drop`` × noise, at most 1; ``drops`` says
    otherwise for single kinds of requests. A request that lost none slips with probability noise: ``slips`` holds the
    relative frequencies of a wrong visible ``tool``, a wrong ``argument``, and ``silence`` (no call). After a slip the
    turn is handed back.
    """

    drop: float = 2.4
    drops: Mapping[str, float] = field(default_factory=lambda: {"enter": 1.2, "scale": 1.2, "introduce": 1.2})
    slips: Mapping[str, float] = field(default_factory=lambda: {"tool": 1.0, "argument": 1.0, "silence": 1.0})

    def __post_init__(self) -> None:
        unknown = set(self.slips) - set(SLIPS)
        if unknown:
            raise ConfigurationError(f"unknown slip {min(unknown)!r}; known: {', '.join(SLIPS)}")
        if min((self.drop, *self.drops.values(), *self.slips.values())) < 0 or not sum(self.slips.values()):
            raise ConfigurationError("frequencies of slips and drops must not be negative, and some slip must occur")


def demonstrate(
    task: Task,
    rng: np.random.Generator,
    noise: float,
    profile: NoiseProfile,
    tools: Mapping[str, Tool],
    words: Sequence[str],
) -> list[Utterance]:
    """Every message of an agent in ``task``: per turn some calls, each with its plan, then the closing.

    Args:
        tools: every tool of the task's tool sets, by name.
        words: what wrong names are drawn from.
    """
    said: list[Utterance] = []
    for kind, plans, turn in zip(task.metadata["requests"], task.metadata["plans"], task.turns, strict=True):
        acts = [Utterance(calls, think=plan) for calls, plan in zip(turn.steps, plans, strict=True)]
        drop = min(1.0, noise * profile.drops.get(kind, profile.drop))
        if len(acts) > 1 and rng.random() < drop:
            acts = acts[:1]
        elif rng.random() < noise:
            acts = _slip(acts, task, rng, profile, tools, words)
        said += [*acts, CLOSING]
    return said


def _slip(
    acts: Sequence[Utterance],
    task: Task,
    rng: np.random.Generator,
    profile: NoiseProfile,
    tools: Mapping[str, Tool],
    words: Sequence[str],
) -> list[Utterance]:
    """The acts up to and including a wrong one."""
    weights = np.array([profile.slips.get(slip, 0.0) for slip in SLIPS])
    slip = SLIPS[int(rng.choice(len(SLIPS), p=weights / weights.sum()))]
    others = [name for name in task.visible(0, tuple(tools)) if name != acts[0].calls[0].name]
    if slip == "silence" or (slip == "tool" and not others):
        return []
    place = int(rng.integers(len(acts)))
    act = acts[place]
    call = act.calls[0]
    if slip == "tool":
        wrong = tools[_pick(rng, [name for name in others if name != call.name] or others)]
        return [*acts[:place], replace(act, calls=(Call(wrong.name, some_arguments(wrong, call, rng, words)),))]
    old = _pick(rng, [value for value in call.arguments.values() if isinstance(value, int) or value in words])
    new = _pick(rng, [value for value in (range(100) if isinstance(old, int) else words) if value != old])
    arguments = {key: new if value == old else value for key, value in call.arguments.items()}
    return [*acts[:place], Utterance((Call(call.name, arguments),), think=_reworded(act.think or "", old, new))]


def _pick(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def some_arguments(tool: Tool, call: Call, rng: np.random.Generator, words: Sequence[str]) -> dict[str, Any]:
    """Arguments that ``tool`` accepts, taken from ``call`` as far as their types go."""
    values = list(call.arguments.values())
    numbers = [value for value in values if isinstance(value, int)]
    names = [value for value in values if isinstance(value, str) and value in words]
    arguments: dict[str, Any] = {}
    for name in tool.parameters.get("required", ()):
        if tool.parameters["properties"][name].get("type") in ("number", "integer"):
            arguments[name] = numbers.pop(0) if numbers else int(rng.integers(10))
        else:
            arguments[name] = names.pop(0) if names else _pick(rng, words)
    return arguments


def _reworded(plan: str, old: str | int, new: str | int) -> str:
    """The plan with another value; names stand in quotes, numbers do not."""
    parts = re.split(r'("[^"]*")', plan)
    if isinstance(old, str):
        return "".join(f'"{new}"' if part == f'"{old}"' else part for part in parts)
    return "".join(part if part.startswith('"') else re.sub(rf"\b{old}\b", str(new), part) for part in parts)
