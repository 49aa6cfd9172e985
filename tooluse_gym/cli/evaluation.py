"""Commands that play benchmarks, and tell what came of it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from tooluse_gym.agents import Agent
from tooluse_gym.cli.console import command, console
from tooluse_gym.cli.episodes import parse_option
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.evaluation import report
from tooluse_gym.evaluation.benchmark import MODES, benchmarks, find_benchmark
from tooluse_gym.evaluation.episodes import Episode, rescored
from tooluse_gym.evaluation.players import AgentPlayer, Player, ServedPlayer, ground_truth
from tooluse_gym.evaluation.run import Plan, begin, play, read_run
from tooluse_gym.evaluation.server import Server, only_model
from tooluse_gym.evaluation.summary import compare, summarize

_GOLD = "gold"
_MOST_LISTED = 20
_WIDTH = 150  # of tables that no terminal shows
_MODEL = (
    "A folder or hub id of Hugging Face's; the address of an OpenAI-compatible server up to /v1 (its key: "
    "$OPENAI_API_KEY); 'gold' for the ground truth; or module:function, which makes an agent of an environment."
)


@command
def evaluate(
    model: Annotated[str, typer.Option(help=_MODEL)],
    benchmark: Annotated[str, typer.Option(help="Its name; 'tooluse-gym benchmarks' lists them.")],
    out: Annotated[Path, typer.Option(help="The run's folder. A run that was begun there goes on.")],
    categories: Annotated[str, typer.Option(help="Names or their beginnings, with commas between; all.")] = "",
    mode: Annotated[str, typer.Option(help=f"How the model is told of tools: {' or '.join(MODES)}.")] = "prompting",
    name: Annotated[str | None, typer.Option(help="The model's name on its server, or in the report.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="How often each task is played.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many tasks of each category.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    max_reply_tokens: Annotated[int, typer.Option(min=1, help="Tokens of one reply, at most.")] = 2048,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a conversation, at most (local models).")] = 16384,
    at_once: Annotated[int, typer.Option(min=1, help="Episodes that are played side by side.")] = 16,
    per_minute: Annotated[float | None, typer.Option(min=1, help="Requests to a server in a minute, at most.")] = None,
    dtype: Annotated[str, typer.Option(help="Of a local model: float32 or bfloat16.")] = "float32",
    option: Annotated[list[str] | None, typer.Option(help="Of the environments, as key=value: format=hermes.")] = None,
) -> None:
    """Play a benchmark and report its scores. Started again, it plays what is missing."""
    options = dict(parse_option(text) for text in option or ())
    key = os.environ.get("OPENAI_API_KEY")
    decoding = {"temperature": temperature, "max_reply_tokens": max_reply_tokens, "max_tokens": max_tokens}
    if _is_address(model):
        name = name or only_model(model, key)
        del decoding["max_tokens"]
    elif _is_agent(model):
        name, decoding = name or model, {}
    chosen = tuple(part.strip() for part in categories.split(",") if part.strip())
    plan = Plan(name or Path(model).name, benchmark, mode, chosen, samples, limit, decoding, options)
    shares = list(begin(out, plan))
    left = sum(len(share.left) for share in shares)
    if left:
        if _is_address(model):
            server = Server(model, plan.model, key, per_minute=per_minute)
            player: Player = ServedPlayer(server, temperature, max_reply_tokens, at_once)
        elif _is_agent(model):
            player = AgentPlayer(plan.model, _agent(model))
        else:
            player = _local(model, (temperature, max_reply_tokens, max_tokens, at_once), dtype)
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[score]}"),
            console=Console(stderr=True),
        )
        with bar:
            for share in shares:
                if share.left:
                    row = bar.add_task(share.category.name, total=len(share.left), score="")
                    play(out, plan, player, share, _Shown(bar, row))
    _report(out)


class _Shown:
    """Moves a row of the progress bar on, with the score so far."""

    def __init__(self, bar: Progress, row: Any):
        self._bar, self._row = bar, row
        self._right = self._total = 0.0

    def __call__(self, one: Episode) -> None:
        self._right += one.right
        self._total += one.total
        score = f"{100 * self._right / self._total:.1f} %" if self._total else ""
        self._bar.update(self._row, advance=1, score=score)


def _is_address(model: str) -> bool:
    return model.startswith(("http://", "https://"))


def _is_agent(model: str) -> bool:
    return model == _GOLD or (":" in model and not _is_address(model) and not Path(model).exists())


def _agent(model: str) -> Callable[[ToolUseEnv], Agent]:
    if model == _GOLD:
        return ground_truth
    module, _, function = model.partition(":")
    try:
        make: Callable[[ToolUseEnv], Agent] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"--model {model}: {error}") from error
    return make


def _local(model: str, limits: tuple[float, int, int, int], dtype: str) -> Player:
    try:
        from rest_agent.config import ConfigError
        from rest_agent.player import LocalPlayer
        from rest_agent.sampling.decode import Sampling
    except ImportError as error:
        raise ConfigurationError(
            f"--model {model}: a model is played here only with the extra 'train' ({error}); "
            "or name the address of a server"
        ) from error
    try:
        return LocalPlayer(model, Sampling(*limits), dtype)
    except ConfigError as error:
        raise ConfigurationError(f"--model {model}: {error}") from error


@command
def list_benchmarks() -> None:
    """List the benchmarks and their categories."""
    table = Table("benchmark", "categories", box=None)
    for benchmark in benchmarks():
        first, *others = benchmark.categories
        many = len(others) > _MOST_LISTED
        table.add_row(benchmark.name, f"{first}, and {len(others)} more" if many else ", ".join((first, *others)))
        for category, reason in benchmark.not_offered.items():
            table.add_row("", f"not {category}: {reason}")
    console().print(table)


@command
def report_run(
    folders: Annotated[list[Path], typer.Argument(help="Folders of runs; all but the first are compared with it.")],
    rescore: Annotated[bool, typer.Option(help="Play the recorded replies again: what comes of them now?")] = False,
) -> None:
    """Report finished or unfinished runs again, without a model; or compare them entry by entry."""
    for folder in folders:
        if rescore:
            plan, episodes = read_run(folder)
            chosen = {category.name: category for category in plan.chosen}
            _write_and_print(folder, plan, list(rescored(episodes, chosen)))
        else:
            _report(folder)
    for folder in folders[1:]:
        _compare(folders[0], folder)


def _compare(first: Path, second: Path) -> None:
    (plan, before), (other, after) = read_run(first), read_run(second)
    if plan.benchmark != other.benchmark:
        raise ConfigurationError(f"{first} is a run of {plan.benchmark}, {second} of {other.benchmark}")
    compared = compare(find_benchmark(plan.benchmark), before, after)
    names = (plan.model, other.model) if plan.model != other.model else (str(first), str(second))
    _print(report.parts_of_comparison(*names, compared))


def _report(folder: Path) -> None:
    plan, episodes = read_run(folder)
    _write_and_print(folder, plan, episodes)
    official = find_benchmark(plan.benchmark).official
    if official is not None:
        typer.echo(official(folder, plan, episodes))


def _write_and_print(folder: Path, plan: Plan, episodes: Sequence[Episode]) -> None:
    summary = summarize(plan, episodes)
    report.write(folder, summary)
    _print(list(report.parts_of(summary)))
    typer.echo(f"{folder / report.MARKDOWN_NAME}, {report.HTML_NAME}, {report.SUMMARY_NAME}")


def _print(parts: Sequence[report.Part]) -> None:
    shown = console()
    if not shown.is_terminal:
        shown.width = _WIDTH
    for part in parts:
        if part.rows:
            first, *others = part.head
            table = Table(Column(first, no_wrap=True), *others, box=None, title=part.heading, title_justify="left")
            for row in part.rows:
                table.add_row(*row)
            shown.print(table)
        if part.text:
            shown.print(part.text, style="dim")
