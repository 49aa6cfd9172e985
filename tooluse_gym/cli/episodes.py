"""Commands about environments and episodes."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import typer
from gymnasium.envs.registration import load_env_creator
from rich.table import Table

from tooluse_gym import trajectory
from tooluse_gym.cli.console import command, console
from tooluse_gym.cli.transcript import print_trajectory, safe, verdict_text
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.envs import registered
from tooluse_gym.errors import ConfigurationError


@command
def envs() -> None:
    """List the registered environments."""
    table = Table("id", "summary", box=None)
    for spec in registered():
        doc = inspect.getdoc(load_env_creator(str(spec.entry_point))) or ""
        table.add_row(spec.id, " ".join(doc.split("\n\n")[0].split()))
    console().print(table)


@command
def play(
    env_id: Annotated[str, typer.Argument(help="A registered id, or module:id for an environment of your own.")],
    seed: Annotated[int, typer.Option(help="Chooses the task.")] = 0,
    task: Annotated[str | None, typer.Option(help="Id of the task.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="Of the environment, as key=value: format=toolrl.")] = None,
    noise: Annotated[float, typer.Option(min=0, max=1, help="How often the demonstration errs.")] = 0.0,
    save: Annotated[Path | None, typer.Option(help="Append the trajectory to this JSON Lines file.")] = None,
) -> None:
    """Play a demonstration of a task, by default the ground truth, and print it."""
    with gymnasium.make(env_id, **dict(parse_option(text) for text in option or ())) as env:
        inner = env.unwrapped
        if not isinstance(inner, ToolUseEnv):
            raise ConfigurationError(f"{env_id} is not a tool-use environment")
        record = inner.demonstrate(seed=seed, noise=noise, options=None if task is None else {"task_id": task})
    print_trajectory(console(), record)
    if save is not None:
        trajectory.save(save, [record])


def parse_option(text: str) -> tuple[str, Any]:
    """``key=value`` with a value in JSON; a word needs no quotes."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"an option has the form key=value, got {text!r}")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


@command
def show(
    file: Annotated[Path, typer.Argument(help="A JSON Lines file of trajectories.")],
    task: Annotated[str | None, typer.Option(help="Only trajectories of this task.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 10,
) -> None:
    """Print trajectories as text."""
    shown = 0
    for record in trajectory.load(file):
        if task is None or record.task == task:
            print_trajectory(console(), record)
            shown += 1
        if shown == limit:
            break
    if not shown:
        raise ConfigurationError(f"{file} holds no trajectory" + ("" if task is None else f" of task {task!r}"))


@command
def rescore(
    file: Annotated[Path, typer.Argument(help="A JSON Lines file of trajectories.")],
    rubric: Annotated[str, typer.Option(help="Reward preset to score with.")],
    save: Annotated[
        Path | None, typer.Option(help="Append the trajectories, with the new rewards, to this file.")
    ] = None,
) -> None:
    """Replay recorded episodes under another reward."""
    table = Table("task", "steps", "recorded", rubric, "verdict", box=None)
    rescored = []
    for record in trajectory.load(file):
        again = trajectory.replay(record, rubric=rubric)
        rescored.append(again)
        rewards = (f"{record.reward:.3f}", f"{again.reward:.3f}")
        table.add_row(safe(again.task), str(len(again.steps)), *rewards, verdict_text(again))
    console().print(table)
    if save is not None:
        trajectory.save(save, rescored)
