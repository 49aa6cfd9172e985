"""A trajectory on the terminal."""

from __future__ import annotations

import re

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from tooluse_gym.messages import Message, assistant
from tooluse_gym.trajectory import Step, Trajectory

_STYLES = {"system": "dim", "user": "bold blue", "assistant": "bold green", "tool": "yellow"}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def print_trajectory(console: Console, trajectory: Trajectory) -> None:
    """Print the conversation, what each step earned, and the verdict."""
    prefix = f", after {trajectory.prefix} ground-truth steps" if trajectory.prefix else ""
    console.print(Text(f"{trajectory.env or 'unregistered environment'}, task {trajectory.task}{prefix}", style="bold"))
    for message in trajectory.opening:
        _print_message(console, message)
    for step in trajectory.steps:
        _print_message(console, assistant(step.action))
        _print_reward(console, step)
        for message in step.observation:
            _print_message(console, message)
    console.print(Rule(style="dim"))
    console.print(Text(summary(trajectory), style="bold"))


def summary(trajectory: Trajectory) -> str:
    """Steps, reward and verdict in one line."""
    return f"{len(trajectory.steps)} steps, reward {trajectory.reward:.3f}, {verdict_text(trajectory)}"


def verdict_text(trajectory: Trajectory) -> str:
    """The verdict in a few words."""
    verdict = trajectory.verdict
    if verdict is None:
        return "unfinished"
    return "valid" if verdict.valid else f"invalid: {verdict.error_type} in turn {verdict.turn}"


def safe(text: str) -> str:
    """``text`` with control characters and unpaired surrogates as escapes: a model's text must not steer a terminal."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _print_message(console: Console, message: Message) -> None:
    style = _STYLES.get(message["role"], "")
    heading = f"{message['role']} {message['name']}" if "name" in message else message["role"]
    console.print(Text(f"[{safe(heading)}]", style=style))
    console.print(Text(safe(message["content"]) + "\n", style="dim" if message["role"] == "system" else ""))


def _print_reward(console: Console, step: Step) -> None:
    parts = ", ".join(f"{name} {value:+.3f}" for name, value in step.reward_terms.items() if value)
    if parts:
        console.print(Text(f"reward {step.reward:+.3f} ({parts})\n", style="magenta"))
