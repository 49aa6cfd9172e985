"""The quickstart over several seeds: every seed, greedy and sampled, before and after, falls included.

    python benchmarks/quickstart.py [--seeds 0 1 2] [--folder runs/quickstart] [key.sub=value ...]

Runs ``deepspeed train_agent.py`` once per seed, one after the other, and prints a Markdown table. A run that is already
in the folder is not made again: its results are read.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rest_agent.results import Results, Score, change, read_results

STAGES = ("start", "sft", "rl")
_LAUNCHER = Path(sys.executable).with_name("deepspeed")
_SECONDS = "seconds.txt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/quickstart"))
    parser.add_argument("overrides", nargs="*", help="settings of train_agent.py")
    options = parser.parse_intermixed_args()
    folders = [_run(seed, options.folder, options.overrides) for seed in options.seeds]
    print(table([(seed, read_results(f), _wall(f)) for seed, f in zip(options.seeds, folders, strict=True)]))


def _run(seed: int, parent: Path, overrides: list[str]) -> Path:
    folder = parent / f"quickstart-seed{seed}"
    if not (folder / _SECONDS).exists():
        began = time.monotonic()
        settings = [f"run.seed={seed}", f"run.folder={parent}", *overrides]
        subprocess.run([_LAUNCHER, "train_agent.py", *settings], check=True, stdout=sys.stderr)
        (folder / _SECONDS).write_text(f"{time.monotonic() - began:.0f}", encoding="utf-8")
    return folder


def _wall(folder: Path) -> int:
    """Seconds from the command to its end, start of the launcher included."""
    return int((folder / _SECONDS).read_text(encoding="utf-8"))


def table(runs: list[tuple[int, Results, int]]) -> str:
    """Markdown: a row per seed and way of decoding, and a row of means over seeds."""
    lines = [
        "| seed | decoding | before | after the cold start | after RL | RL's change (95 % interval) | wall time |",
        "|---|---|---|---|---|---|---|",
    ]
    means: dict[str, list[Any]] = {}
    for seed, results, wall in runs:
        for mode in results.modes:
            scores = results.of_mode(mode)
            start, cold, after = (scores[stage] for stage in STAGES)
            difference = change(cold, after)
            assert difference is not None, "the runs recorded no outcomes by task"
            gain = f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
            cells = [str(seed), mode, *map(_rate, (start, cold, after)), gain, f"{wall // 60}:{wall % 60:02d}"]
            lines.append(f"| {' | '.join(cells)} |")
            means.setdefault(mode, []).append((start.rate, cold.rate, after.rate, difference.value))
    for mode, rows in means.items():
        start, cold, after, gain = (sum(column) / len(rows) for column in zip(*rows, strict=True))
        lines.append(f"| mean | {mode} | {start:.3f} | {cold:.3f} | {after:.3f} | {gain:+.3f} | |")
    return "\n".join(lines)


def _rate(score: Score) -> str:
    low, high = score.interval
    return f"{score.rate:.3f} ({low:.3f}–{high:.3f})"


if __name__ == "__main__":
    main()
