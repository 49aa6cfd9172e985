"""What all commands share: where they print, and how an error on the user's side ends them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import gymnasium
import typer
from rich.console import Console

from tooluse_gym.errors import ToolUseError

P = ParamSpec("P")


def console() -> Console:
    """Standard output, as it is now (tests replace it)."""
    return Console(highlight=False, soft_wrap=True)


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Let ``function`` end with one line on standard error and status 1 where the user can mend the cause."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except (ToolUseError, gymnasium.error.Error, OSError) as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error

    return run
