"""``curves.png``: a run at a glance; ``diagnostics.png``: what the token weights did to its updates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rest_agent.metrics import Record
from rest_agent.results import Results
from tooluse_gym.evaluation.intervals import wilson

CURVES_NAME = "curves.png"
DIAGNOSTICS_NAME = "diagnostics.png"
_SMOOTHING = 0.8  # of the bold line in a noisy panel; the thin one is what was measured
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
# One colour per region in every panel (Okabe and Ito's, which colour-blind readers can tell apart).
_REGION_COLOURS = {
    "think": "#0072B2",
    "tag": "#999999",
    "name": "#D55E00",
    "arguments": "#009E73",
    "scaffold": "#56B4E9",
    "response": "#CC79A7",
    "stray": "#000000",
    "end": "#E69F00",
}


def draw(records: Sequence[Record], results: Results, path: Path) -> bool:
    """Draw what there is: cold start, reward and success, entropies, weight shares, lengths, evaluations.

    Returns:
        Whether there was anything to draw; if not, no file is written.
    """
    panels: list[Callable[[Axes], None]] = []
    cold = [record for record in records if record.stage.startswith("sft") and "loss" in record.values]
    rl = [record for record in records if record.stage == "rl"]
    validation = [record for record in records if record.stage == "validation"]
    if cold:
        panels.append(partial(_cold_start, records=cold))
    if rl:
        panels.append(partial(_rewards, records=rl, validation=validation))
        lengths = {"tokens": ("whole episode", "#999999"), "tokens_policy": ("the policy's", "#0072B2")}
        panels.append(partial(_lines, records=rl, lines=lengths, title="tokens per episode", bottom=0))
        for prefix, title in (("entropy/", "entropy by region (nats)"), ("weight/", "share of the weight by region")):
            if any(name.startswith(prefix) for record in rl for name in record.values):
                panels.append(partial(_regions, records=rl, prefix=prefix, title=title))
    if results.modes:
        panels.append(partial(_evaluations, results=results))
    return _write(panels, path)


def draw_diagnostics(records: Sequence[Record], path: Path) -> bool:
    """Draw what ``diagnostics.py`` measured, and the share of rows that nothing could be learned from.

    Returns:
        Whether anything was measured; if not, no file is written.
    """
    rl = [record for record in records if record.stage == "rl"]
    measured = [record for record in rl if "seconds_diagnostics" in record.values]
    if not measured:
        return False
    changes = [Record(one.stage, one.update, one.seconds, entropy_changes(one.values)) for one in measured]
    plot = partial(_lines, records=rl)
    spikes = {"control/change_max": ("largest", "#D55E00"), "control/change_mean": ("mean", "#0072B2")}
    rows = {
        "rows_without_weight": ("no weight of their own", "#D55E00"),
        "rows_without_advantage": ("no advantage", "#999999"),
    }
    panels: list[Callable[[Axes], None]] = [
        partial(_regions, records=changes, prefix="", title="change of entropy in an update (nats)"),
        partial(plot, lines=_both("gradient/variance"), title="variance of the gradient", scale="log"),
        partial(plot, lines=_both("gradient/noise"), title="variance / squared length of the gradient", bottom=0),
        partial(plot, lines={"gradient/cosine": ("", "#0072B2")}, title="cosine of weighted and plain gradient"),
        partial(plot, lines=spikes, title="|change of log p| of a tag token in an update", scale="symlog", bottom=0),
        partial(plot, lines=rows, title="share of rows", bottom=0),
    ]
    return _write(panels, path)


def entropy_changes(values: Mapping[str, float]) -> dict[str, float]:
    """Entropy after - before an update, by region."""
    prefix = "entropy_after/"
    after = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
    return {region: value - values[f"entropy/{region}"] for region, value in after.items()}


def _both(name: str) -> dict[str, tuple[str, str]]:
    return {name: ("weighted", "#0072B2"), f"{name}_plain": ("plain", "#999999")}


def _write(panels: Sequence[Callable[[Axes], None]], path: Path) -> bool:
    """Write a figure of ``panels``; False, and no file, without any."""
    if not panels:
        return False
    with mpl.rc_context(_STYLE):
        columns = min(3, len(panels))
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(4.6 * columns, 3.3 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            panel(axes)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        figure.savefig(path, dpi=110, metadata={"Software": None})
    return True


def _cold_start(axes: Axes, records: Sequence[Record]) -> None:
    offset = 0
    for stage in dict.fromkeys(record.stage for record in records):
        mine = [record for record in records if record.stage == stage]
        axes.plot([offset + record.update for record in mine], [record.values["loss"] for record in mine], label=stage)
        offset += mine[-1].update + 1
    axes.set(title="cold start: loss", xlabel="update", yscale="log")
    axes.legend()


def _rewards(axes: Axes, records: Sequence[Record], validation: Sequence[Record]) -> None:
    for name, colour in (("reward", "#0072B2"), ("success", "#D55E00")):
        _noisy(axes, *_series(records, name), label=name, colour=colour)
    updates, rates = _series(validation, "success")
    if updates:
        tasks = [record.values.get("n") for record in validation if "success" in record.values]
        axes.errorbar(
            updates,
            rates,
            yerr=_reach(rates, tasks),
            fmt="o",
            color="#009E73",
            markersize=4,
            capsize=2,
            label="validation",
        )
    axes.set(title="RL: rollouts", xlabel="update")
    axes.legend()


def _lines(
    axes: Axes,
    records: Sequence[Record],
    lines: Mapping[str, tuple[str, str]],
    title: str,
    scale: str = "linear",
    bottom: float | None = None,
) -> None:
    """``lines``: label and colour by name; a label of "" is left to the title."""
    for name, (label, colour) in lines.items():
        _noisy(axes, *_series(records, name), label=label, colour=colour)
    axes.set(title=f"RL: {title}", xlabel="update")
    axes.set_yscale(scale, **({"linthresh": 1e-3} if scale == "symlog" else {}))
    axes.set_ylim(bottom=bottom)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()


def _regions(axes: Axes, records: Sequence[Record], prefix: str, title: str) -> None:
    for region, colour in _REGION_COLOURS.items():
        _noisy(axes, *_series(records, prefix + region), label=region, colour=colour)
    axes.set(title=f"RL: {title}", xlabel="update")
    low, high = 0.0 if prefix else axes.get_ylim()[0], axes.get_ylim()[1]
    axes.set_ylim(low, high + 0.35 * (high - low))  # room for the legend
    axes.legend(ncols=2)


def _evaluations(axes: Axes, results: Results) -> None:
    stages = list(results.stages)
    for number, mode in enumerate(results.modes):
        scores = {stage: score for stage, score in results.of_mode(mode).items() if score.n}
        shift = 0.12 * (number - (len(results.modes) - 1) / 2)
        places = [stages.index(stage) + shift for stage in scores]
        rates, tasks = [score.rate for score in scores.values()], [score.n for score in scores.values()]
        axes.errorbar(places, rates, yerr=_reach(rates, tasks), fmt="o-", capsize=3, label=mode)
    axes.set_xticks(range(len(stages)), stages)
    axes.set(title="evaluation: tasks solved, 95 % intervals", ylim=(-0.02, 1.02), xlim=(-0.5, len(stages) - 0.5))
    axes.legend()


def _reach(rates: Sequence[float], tasks: Sequence[float | None]) -> list[list[float]]:
    """How far the 95 % intervals of success rates reach down and up; 0 where the number of tasks is not known."""
    down, up = [], []
    for rate, n in zip(rates, tasks, strict=True):
        low, high = wilson(round(rate * n), round(n)) if n else (rate, rate)
        down.append(max(0.0, rate - low))
        up.append(max(0.0, high - rate))
    return [down, up]


def _series(records: Sequence[Record], name: str) -> tuple[list[int], list[float]]:
    found = [(record.update, record.values[name]) for record in records if name in record.values]
    return [update for update, _ in found], [value for _, value in found]


def _noisy(axes: Axes, updates: Sequence[int], values: Sequence[float], label: str, colour: str) -> None:
    """The values, thin, and their moving average from both ends, bold: without delay, and without invented values."""
    if not updates:
        return
    axes.plot(updates, values, color=colour, alpha=0.25, linewidth=1)
    axes.plot(updates, _smooth(values), color=colour, label=label, linewidth=1.8)


def _smooth(values: Sequence[float]) -> list[float]:
    def one_way(series: Sequence[float]) -> list[tuple[float, float]]:
        total = count = 0.0
        sums = []
        for value in series:
            finite = value - value == 0
            total = _SMOOTHING * total + (value if finite else 0.0)
            count = _SMOOTHING * count + finite
            sums.append((total, count))
        return sums

    forward, backward = one_way(values), one_way(values[::-1])[::-1]
    smooth = []
    for value, (before, n_before), (after, n_after) in zip(values, forward, backward, strict=True):
        finite = value - value == 0  # counted from both sides
        count = n_before + n_after - finite
        smooth.append((before + after - (value if finite else 0.0)) / count if count else float("nan"))
    return smooth
