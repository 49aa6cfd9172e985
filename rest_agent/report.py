"""``report.md`` and its figures: what a run did, for a colleague who was not there. In short, for a terminal, too.

Everything comes from the run's folder: ``results.json`` (its form: ``results.py``), ``config.yaml``, ``metrics.jsonl``,
``evaluations/<stage>-<mode>.jsonl`` (trajectories) and ``checkpoints/``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import rich.box
import yaml
from rich.console import Console
from rich.table import Table

from rest_agent.config import Config
from rest_agent.config_text import load, to_tree
from rest_agent.curves import CURVES_NAME, DIAGNOSTICS_NAME, draw, draw_diagnostics
from rest_agent.metrics import LOG_NAME, Record, read_log
from rest_agent.provenance import provenance
from rest_agent.results import Results, Score, change, read_results
from tooluse_gym import messages, trajectory
from tooluse_gym.evaluation.intervals import Difference
from tooluse_gym.trajectory import Trajectory

REPORT_NAME = "report.md"
STAGES = {"start": "before training", "sft": "after the cold start", "rl": "after RL"}
_HEAD = ("stage", "decoding", "solved", "rate", "95 % interval", "reward", "change from the stage before")


def write(folder: str | Path) -> Path:
    """Write ``report.md`` and its figures into a run's folder; the report's path.

    Raises:
        ValueError: a file in the folder does not have its form.
        OSError: ``results.json`` or ``config.yaml`` is not there.
    """
    folder = Path(folder)
    results, config = read_results(folder), load(folder / "config.yaml")
    records = read_log(folder) if (folder / LOG_NAME).exists() else []
    drawn = draw(records, results, folder / CURVES_NAME)
    draw_diagnostics(records, folder / DIAGNOSTICS_NAME)
    checkpoints = sorted((folder / "checkpoints").glob("step-*"))
    text = markdown(
        results,
        config,
        folder=_shown(folder),
        checkpoint=_shown(checkpoints[-1]) if checkpoints else None,
        samples=_samples(folder, results),
        records=records,
        curves=drawn,
    )
    path = folder / REPORT_NAME
    path.write_text(text, encoding="utf-8")
    return path


def summary(folder: str | Path) -> str:
    """The result of a run's folder as a table for the terminal."""
    return summary_table(read_results(folder))


def summary_table(results: Results, width: int = 110) -> str:
    """The result table as text, with the changes in words below it."""
    table = Table(*_HEAD, box=rich.box.SIMPLE_HEAD)
    for row in _rows(results):
        table.add_row(*row)
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(table)
    lines = [line.rstrip() for line in captured.get().splitlines() if line.strip()]
    return "\n".join([*lines, "", *(f"  {sentence}" for sentence in _changes(results))]).rstrip()


def markdown(
    results: Results,
    config: Config,
    *,
    folder: str,
    checkpoint: str | None = None,
    samples: Sequence[tuple[str, Trajectory]] = (),
    records: Sequence[Record] = (),
    curves: bool = True,
) -> str:
    """The report's text. ``folder`` and ``checkpoint`` are paths as the reader will type them."""
    parts = [f"# {config.run.name}, seed {config.run.seed}", *(f"> **Note:** {note}" for note in results.notes)]
    parts += ["## Result", _solved_means(config), _table(_HEAD, _rows(results))]
    parts += ["\n".join(f"- {sentence}" for sentence in _changes(results))]
    parts += _kinds(results)
    if curves:
        parts += [f"![Curves of the run]({CURVES_NAME})"]
    parts += _diagnostics([record for record in records if "seconds_diagnostics" in record.values])
    parts += ["## What was trained", _table(("", ""), _about(results, config))]
    parts += ["## Time", _table(("phase", "updates", "time"), _times(results, records))]
    if samples:
        parts.append("## Episodes")
    for title, episode in samples:
        parts += [f"### {title}", _episode(episode)]
    parts += ["## Run it again", _commands(results, folder)]
    parts += ["## The checkpoint", _loading(checkpoint)]
    resolved = yaml.safe_dump(to_tree(config), sort_keys=False, allow_unicode=True)
    parts += ["## Configuration", f"Resolved, as in `{folder}/config.yaml`:", _fenced(resolved, "yaml")]
    return "\n\n".join(part for part in parts if part) + "\n"


def _solved_means(config: Config) -> str:
    environment = config.environment
    return (
        f"Tasks of the split `{environment.eval_split}` of `{environment.id}`, the same at every stage. *Solved*: the "
        "environment's verdict on the whole episode. *Greedy*: the likeliest token each time; *sampled*: temperature 1."
    )


def _rows(results: Results) -> Iterator[tuple[str, ...]]:
    for mode in results.modes:
        before: Score | None = None
        for stage, score in results.of_mode(mode).items():
            low, high = score.interval
            yield (
                STAGES.get(stage, stage),
                mode,
                f"{score.valid}/{score.n}",
                f"{100 * score.rate:.1f} %",
                f"{100 * low:.1f} to {100 * high:.1f}",
                f"{score.reward:.3f}",
                "" if before is None else _short(before, score),
            )
            before = score


def _short(before: Score, after: Score) -> str:
    difference = change(before, after)
    if difference is None:
        return f"{100 * (after.rate - before.rate):+.1f} points"
    return f"{100 * difference.value:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


def _changes(results: Results) -> Iterator[str]:
    """A sentence for each step from stage to stage that was measured task by task."""
    for mode in results.modes:
        for (first, before), (second, after) in pairwise(results.of_mode(mode).items()):
            difference = change(before, after)
            if difference is not None:
                stages = f"{STAGES.get(second, second)} against {STAGES.get(first, first)}"
                yield f"{mode}, {stages}: {_in_words(difference)}."


def _in_words(difference: Difference) -> str:
    if difference.low > 0:
        meaning = "a gain"
    elif difference.high < 0:
        meaning = "a loss"
    else:
        meaning = "cannot be told from no change"
    p_value = f"p = {difference.p_value:.2g}" if difference.p_value >= 1e-4 else "p < 0.0001"
    return (
        f"{100 * difference.value:+.1f} points (95 % interval {100 * difference.low:+.1f} to "
        f"{100 * difference.high:+.1f}); {difference.gained} tasks gained, {difference.lost} lost "
        f"(McNemar {p_value}): {meaning}"
    )


def _kinds(results: Results) -> Iterator[str]:
    """A table of success by kind of request for each mode, and what fell."""
    for mode in results.modes:
        stages = {name: score for name, score in results.of_mode(mode).items() if score.by_kind}
        kinds = sorted({kind for score in stages.values() for kind in score.by_kind})
        if not kinds:
            continue
        rows = [(kind, *(_of(score.by_kind.get(kind)) for score in stages.values())) for kind in kinds]
        yield f"### By kind of request, {mode}"
        yield _table(("kind", *(STAGES.get(stage, stage) for stage in stages)), rows)
        fell = [
            f"{kind} ({first} {_of(old)}, {second} {_of(new)})"
            for (first, before), (second, after) in pairwise(stages.items())
            for kind in kinds
            if (old := before.by_kind.get(kind)) and (new := after.by_kind.get(kind)) and _rate(new) < _rate(old)
        ]
        yield f"Fell, by chance or not: {'; '.join(fell)}." if fell else "No kind fell."


def _rate(counts: tuple[int, int]) -> float:
    return counts[0] / counts[1] if counts[1] else 0.0


def _of(counts: tuple[int, int] | None) -> str:
    return "" if counts is None else f"{counts[0]}/{counts[1]}"


def _about(results: Results, config: Config) -> Iterator[tuple[str, str]]:
    origin = provenance() if not results.provenance else results.provenance
    model = config.model
    size = f", {results.parameters:,} parameters" if results.parameters is not None else ""
    made = f"from scratch, {model.layers} layers of width {model.hidden_size}"
    yield "model", f"{f'`{model.path}`' if model.path else made}{size}, {model.dtype}"
    entries = f"{results.vocabulary:,} entries" if results.vocabulary is not None else "its own"
    yield "tokenizer", entries if model.path else f"{entries}, trained on demonstrations"
    yield "environment", f"`{config.environment.id}`, replies in `{config.environment.format}`"
    stages = [f"{s.updates} updates of {s.batch} (noise {s.noise:g}, rate {s.learning_rate:g})" for s in config.sft]
    yield "cold start", "; then ".join(stages) or "none"
    rl = config.rl
    preset = rl.weights.preset
    weights = "uniform token weights" if preset == "uniform" else f"ResT's token weights (`{preset}`)"
    rollouts = f"{rl.tasks} tasks x {rl.group} rollouts{' of one step' if rl.one_step else ''}"
    yield "RL", f"`{rl.algorithm}`, {rl.updates} updates of {rollouts}, rate {rl.learning_rate:g}, {weights}"
    yield "seed", str(config.run.seed)
    yield "code", str(origin.get("git", "unknown"))
    yield "versions", ", ".join(f"{name} {version}" for name, version in origin.get("versions", {}).items())
    yield "machine", str(origin.get("machine", "unknown"))


def _diagnostics(measured: Sequence[Record]) -> Iterator[str]:
    """What the token weights did to the updates that were measured."""
    if not measured:
        return
    regions = [name for name in measured[0].values if name.startswith("entropy/")]
    names = {
        "gradient/cosine": "cosine of weighted and plain gradient",
        "gradient/noise": "variance / squared length of the gradient, weighted",
        "gradient/noise_plain": "variance / squared length of the gradient, plain",
        "control/change_mean": "change of a tag token's log-probability in an update: mean size",
        "control/change_max": "change of a tag token's log-probability in an update: largest size",
        "rows_without_weight": "share of rows without a weight of their own",
        **{name: f"entropy, {name.removeprefix('entropy/')} (nats)" for name in regions},
    }
    series = {name: [one.values[name] for one in measured if name in one.values] for name in names}
    rows = [
        (names[name], *(f"{value:.3g}" for value in (found[0], found[-1], sum(found) / len(found), max(found))))
        for name, found in series.items()
        if found
    ]
    yield "## What the token weights did"
    yield (
        f"Measured at {len(measured)} updates, over all sampled tokens, before the update's optimizer steps and after; "
        "gradients at the model's head. Definitions: `rest_agent/diagnostics.py`."
    )
    yield _table(("", "first", "last", "mean", "highest"), rows)
    yield f"![What the token weights did]({DIAGNOSTICS_NAME})"


def _times(results: Results, records: Sequence[Record]) -> Iterator[tuple[str, str, str]]:
    for phase, seconds in results.seconds.items():
        yield phase, str(results.updates.get(phase, "")), _duration(seconds)
        for part in ("sampling", "diagnostics"):
            found = [one.values[f"seconds_{part}"] for one in records if f"seconds_{part}" in one.values]
            if phase == "rl" and found:
                yield f"rl: of this, {part}", str(len(found)), _duration(sum(found))
    yield "together", "", _duration(sum(results.seconds.values()))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _samples(folder: Path, results: Results) -> list[tuple[str, Trajectory]]:
    """The first solved and the first failed episode of the last stage that was played greedily, or else sampled."""
    for mode in results.modes:
        stages = list(results.of_mode(mode))
        path = folder / "evaluations" / f"{stages[-1]}-{mode}.jsonl"
        if not path.exists():
            continue
        found: dict[str, Trajectory] = {}
        for episode in trajectory.load(path):
            solved = episode.verdict is not None and episode.verdict.valid
            found.setdefault("Solved" if solved else "Failed", episode)
            if len(found) == 2:
                break
        title = STAGES.get(stages[-1], stages[-1])
        return [(f"{outcome} {title}, {mode}", found[outcome]) for outcome in ("Solved", "Failed") if outcome in found]
    return []


def _episode(episode: Trajectory) -> str:
    verdict = episode.verdict
    if verdict is None:
        outcome = "The episode was cut before its end."
    elif verdict.valid:
        outcome = "Every turn is right."
    else:
        differing = f"; state differs in {', '.join(verdict.differing)}" if verdict.differing else ""
        outcome = f"Turn {verdict.turn}: {verdict.error_type}{differing}."
    heading = f"Task `{episode.task}`, reward {episode.reward:.3f}. {outcome}"
    return f"{heading}\n\n{_fenced(messages.render(episode.conversation))}"


def _commands(results: Results, folder: str) -> str:
    again = results.command or f"deepspeed train_agent.py --config {folder}/config.yaml"
    return _fenced(
        f"{again}\n\n# continue it, if it was interrupted\ndeepspeed train_agent.py --resume {folder}", "bash"
    )


def _loading(checkpoint: str | None) -> str:
    if checkpoint is None:
        return "None was saved."
    code = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'model = AutoModelForCausalLM.from_pretrained("{checkpoint}")\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{checkpoint}")'
    )
    return f"`{checkpoint}` holds weights and tokenizer as Hugging Face files.\n\n{_fenced(code, 'python')}"


def _shown(path: Path) -> str:
    """``path`` from where we stand, if it is below; a report should not depend on a machine's folders."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _fenced(text: str, language: str = "text") -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"
