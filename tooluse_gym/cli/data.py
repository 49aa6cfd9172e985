"""Commands about the data of benchmarks.

A benchmark has data if the module ``data`` of its folder has ``SOURCE``, a :class:`~tooluse_gym.sources.DataSource`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Annotated

import typer

from tooluse_gym import envs
from tooluse_gym.cli.console import command
from tooluse_gym.errors import ConfigurationError, DataNotFoundError
from tooluse_gym.sources import DataSource

app = typer.Typer(help="The data of benchmarks: what there is, where it is, whether it is whole.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The benchmark, for example bfcl.")]


@app.command("list")
@command
def list_all() -> None:
    """Print what data there is, where it is here, whose it is and where it comes from."""
    for name in _benchmarks():
        if (source := _source(name)) is None:
            continue
        typer.echo(f"{name}: {source.contents}")
        for label, text in (("here", _place(source)), ("licence", source.licence), ("from", source.home)):
            typer.echo(f"    {label:<8} {text}")


@app.command()
@command
def get(name: Name) -> None:
    """Download a benchmark's data, unless it is there, and print its folder."""
    source = _demanded(name)
    folder = source.fetch()
    typer.echo(f"licence: {source.licence}", err=True)
    typer.echo(folder)


@app.command()
@command
def where(name: Name) -> None:
    """Print the folder of a benchmark's data."""
    typer.echo(_demanded(name).where())


@app.command()
@command
def verify(name: Name) -> None:
    """Tell whether a benchmark's data is complete and of the right release; else what is wrong, and status 1."""
    source = _demanded(name)
    folder = source.where()
    if wrong := source.verify(folder):
        typer.echo("\n".join(wrong))
        typer.echo(f"{folder}: {len(wrong)} wrong; 'tooluse-gym data get {name}' gets a complete copy", err=True)
        raise typer.Exit(1)
    typer.echo(f"{folder}: complete, and of the right release")


def _place(source: DataSource) -> str:
    try:
        return str(source.where())
    except DataNotFoundError as error:
        return f"absent ({error})"


def _demanded(name: str) -> DataSource:
    benchmarks = _benchmarks()
    if name not in benchmarks:
        raise ConfigurationError(f"there is no benchmark {name!r}; there are {', '.join(benchmarks)}")
    source = _source(name)
    if source is None:
        raise ConfigurationError(f"the benchmark {name!r} needs no data")
    return source


def _benchmarks() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(envs.__path__)]


def _source(name: str) -> DataSource | None:
    package = f"{envs.__name__}.{name}"
    if not any(module.name == "data" for module in pkgutil.iter_modules(importlib.import_module(package).__path__)):
        return None
    source: DataSource | None = getattr(importlib.import_module(f"{package}.data"), "SOURCE", None)
    return source
