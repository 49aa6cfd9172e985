"""Reports of runs, as Markdown and as a page of HTML: the same tables."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tooluse_gym.evaluation.summary import Comparison, Rate, Summary

SUMMARY_NAME, MARKDOWN_NAME, HTML_NAME = "summary.json", "report.md", "report.html"
_STYLE = """body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { border: 1px solid #ccc; padding: .3em .7em; text-align: right; }
th:first-child, td:first-child { text-align: left; }
th { background: #f3f3f3; }"""


@dataclass(frozen=True)
class Part:
    """A heading, a sentence, and a table below them; any may be empty."""

    heading: str = ""
    text: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def write(folder: Path, summary: Summary) -> None:
    """``summary.json``, ``report.md`` and ``report.html`` into a run's folder."""
    title = f"{summary.plan.model} on {summary.plan.benchmark}"
    parts = list(parts_of(summary))
    (folder / SUMMARY_NAME).write_text(json.dumps(asdict(summary), indent=1) + "\n", encoding="utf-8")
    (folder / MARKDOWN_NAME).write_text(markdown(title, parts), encoding="utf-8")
    (folder / HTML_NAME).write_text(page(title, parts), encoding="utf-8")


def parts_of(summary: Summary) -> Iterator[Part]:
    """What there is to say of a run."""
    plan = summary.plan
    decoding = ", ".join(f"{name} {value}" for name, value in plan.decoding.items())
    limited = f" Only the first {plan.limit} tasks of each category." if plan.limit is not None else ""
    yield Part(text=f"Mode: {plan.mode}. {decoding}.{limited}" if decoding else f"Mode: {plan.mode}.{limited}")
    missing = f"Not played, and counted as 0: {', '.join(summary.missing)}." if summary.missing else ""
    rows = [(name.replace("_", " "), *_rate(rate)) for name, rate in summary.figures.items()]
    yield Part("Scores", missing, ("", "score", "95 % interval"), rows)
    yield from _categories(summary)
    yield from _measures(summary)
    yield from _errors(summary)


def _categories(summary: Summary) -> Iterator[Part]:
    ks = sorted({k for one in summary.categories for k in one.pass_at})
    sampled = f"right (avg@{summary.plan.samples})" if summary.plan.samples > 1 else "right"
    head = ("category", "tasks", sampled, "rate", "95 % interval", *(f"pass@{k}" for k in ks))
    head = (*head, "reward", "calls", "needless calls", "cut")
    rows = [
        (
            one.name,
            str(one.tasks),
            f"{one.right:g} of {one.total:g}" if summary.plan.samples == 1 else f"{one.right:.1f} of {one.total:g}",
            *_rate(one.rate),
            *(_percent(one.pass_at[k]) if k in one.pass_at else "" for k in ks),
            f"{one.reward:.3f}",
            f"{one.calls:.2f}",
            f"{one.needless_calls:.2f}",
            str(one.truncated),
        )
        for one in summary.categories
    ]
    said = (
        "Intervals: bootstrap over base tasks (tasks made from the same base, and samples of a task, are drawn "
        "together); Wilson's where all are right, or none. Calls and needless calls (beyond the ground truth's number, "
        "turn by turn) are per episode; cut: episodes that grew too long."
    )
    yield Part("Categories", said, head, rows)


def _measures(summary: Summary) -> Iterator[Part]:
    rows = [(one.name, name, *_rate(rate)) for one in summary.categories for name, rate in one.measures.items()]
    if rows:
        yield Part("Also measured", "", ("category", "measure", "rate", "95 % interval"), rows)


def _errors(summary: Summary) -> Iterator[Part]:
    rows = [(one.name, error, str(count)) for one in summary.categories for error, count in one.errors.items()]
    if rows:
        yield Part("What was wrong", "", ("category", "error", "episodes"), rows)


def parts_of_comparison(first: str, second: str, compared: Sequence[Comparison]) -> list[Part]:
    """One run against another."""
    rows = [
        (
            one.name,
            str(one.entries),
            _percent(one.first),
            _percent(one.second),
            f"{100 * one.difference.value:+.1f}",
            f"{100 * one.difference.low:+.1f} to {100 * one.difference.high:+.1f}",
            *(("", "", "") if one.outcomes is None else _outcomes(one)),
        )
        for one in compared
    ]
    head = ("category", "entries", first, second, "difference", "95 % interval", "gained", "lost", "p (McNemar)")
    return [Part(f"{second} against {first}", "Entries that both have played.", head, rows)]


def _outcomes(one: Comparison) -> tuple[str, str, str]:
    assert one.outcomes is not None
    p_value = one.outcomes.p_value
    return str(one.outcomes.gained), str(one.outcomes.lost), f"{p_value:.2g}" if p_value >= 1e-4 else "< 0.0001"


def _rate(rate: Rate) -> tuple[str, str]:
    return _percent(rate.value), f"{100 * rate.low:.1f} to {100 * rate.high:.1f}"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def markdown(title: str, parts: Sequence[Part]) -> str:
    """The parts as Markdown."""
    said = [f"# {title}"]
    for part in parts:
        said += [f"## {part.heading}"] * bool(part.heading) + [part.text] * bool(part.text)
        if part.rows:
            lines = [part.head, ["---"] * len(part.head), *part.rows]
            escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
            said.append("\n".join(f"| {' | '.join(line)} |" for line in escaped))
    return "\n\n".join(said) + "\n"


def page(title: str, parts: Sequence[Part]) -> str:
    """The parts as a page of HTML that needs nothing else."""
    said = [f"<h1>{html.escape(title)}</h1>"]
    for part in parts:
        said += [f"<h2>{html.escape(part.heading)}</h2>"] * bool(part.heading)
        said += [f"<p>{html.escape(part.text)}</p>"] * bool(part.text)
        if part.rows:
            rows = "\n".join(_row("td", row) for row in part.rows)
            said.append(f"<table>\n{_row('th', part.head)}\n{rows}\n</table>")
    body = "\n".join(said)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        f"<style>\n{_STYLE}\n</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"
