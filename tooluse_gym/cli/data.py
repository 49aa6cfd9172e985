"""Commands about the data of benchmarks. A benchmark has data if its folder has a module ``data`` with the function."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tooluse_gym import envs
from tooluse_gym.cli.console import command
from tooluse_gym.errors import ConfigurationError

app = typer.Typer(help="Get the data of a benchmark, or tell where it is.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The benchmark, for example bfcl.")]


@app.command()
@command
def get(name: Name) -> None:
    """Download a benchmark's data, unless it is there, and print its folder."""
    typer.echo(_function(name, "fetch")())


@app.command()
@command
def where(name: Name) -> None:
    """Print the folder of a benchmark's data."""
    typer.echo(_function(name, "where")())


def _function(name: str, function: str) -> Callable[[], Path]:
    benchmarks = [module.name for module in pkgutil.iter_modules(envs.__path__)]
    if name not in benchmarks:
        raise ConfigurationError(f"there is no benchmark {name!r}; there are {', '.join(benchmarks)}")
    package = f"{envs.__name__}.{name}"
    if not any(module.name == "data" for module in pkgutil.iter_modules(importlib.import_module(package).__path__)):
        raise ConfigurationError(f"the benchmark {name!r} needs no data")
    found: Callable[[], Path] | None = getattr(importlib.import_module(f"{package}.data"), function, None)
    if found is None:
        raise ConfigurationError(f"the benchmark {name!r} has data, but no command to {function} it")
    return found
