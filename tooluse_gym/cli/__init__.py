"""The command ``tooluse-gym``: environments, episodes, data, and evaluation. Needs no torch."""

from __future__ import annotations

import typer

from tooluse_gym.cli import data, episodes, evaluation

__all__ = ["app"]

app = typer.Typer(
    name="tooluse-gym",
    help="Environments in which language models use tools.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("envs")(episodes.envs)
app.command("play")(episodes.play)
app.command("show")(episodes.show)
app.command("rescore")(episodes.rescore)
app.command("benchmarks")(evaluation.list_benchmarks)
app.command("evaluate")(evaluation.evaluate)
app.command("report")(evaluation.report_run)
app.add_typer(data.app, name="data")
