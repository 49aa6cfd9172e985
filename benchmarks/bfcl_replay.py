"""Replay all 800 ground truths of BFCL as model replies through ``env.step``, and through BFCL's own checker.

    pip install --no-deps bfcl-eval==2026.3.23
    python benchmarks/bfcl_replay.py FOLDER

FOLDER holds BFCL's data. One call per assistant message and a closing reply per turn; in turns of more than 20 calls,
as many calls per message as it takes. Ours is parsing, official execution, verdict, messages and info; the checker gets
calls that are decoded already and does nothing but execute and compare. Both play the model's side and the ground
truth's, except where ours has the latter by heart:

* ``first``: a new environment in a new process.
* ``again``: the environment has played each task before, and remembers its ground truth's results and states, its tools
  and its system prompt; every reply is a text not seen before.
* ``same``: the replies are those of the pass before, and their parses are remembered, too.
* ``strict``: as ``same``, in strict mode.

Numbers are replays per CPU second, and how many times as fast as the checker that is in the pass beside it; both are
medians over the passes of all processes.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium

import tooluse_gym  # noqa: F401 (registers the environment)
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.envs.bfcl.data import CATEGORIES, load_tasks
from tooluse_gym.tasks import CLOSING, Task, Utterance

OURS = ("first", "again", "same", "strict")
PASSES = 4


def replies(env: ToolUseEnv, task: Task, blanks: int) -> list[str]:
    """The ground truth as model replies; ``blanks`` behind a reply make it another text with the same calls."""
    said = [s for turn in task.turns for s in (*map(Utterance, turn.steps), CLOSING)]
    return [env.write(utterance) + " " * blanks for utterance in said]


def make(category: str, folder: str, validation: str) -> ToolUseEnv:
    options = {"dataset": category, "data_dir": folder, "format": "pythonic", "rubric": "official"}
    env = gymnasium.make("BFCLMultiTurn-v0", validation=validation, **options).unwrapped  # type: ignore[arg-type]
    assert isinstance(env, ToolUseEnv)
    return env


def timed(work: Callable[[], int]) -> tuple[float, int]:
    """CPU seconds, and how many verdicts were valid."""
    start = time.process_time()
    valid = work()
    return time.process_time() - start, valid


def play(env: ToolUseEnv, episodes: list[tuple[str, list[str]]]) -> int:
    valid = 0
    for task_id, actions in episodes:
        env.reset(options={"task_id": task_id})
        for action in actions:
            *_, info = env.step(action)
        valid += info["verdict"]["valid"]
    return valid


def measure(category: str, folder: str) -> dict[str, Any]:
    """Every pass of this process by kind, those of all kinds taking turns."""
    tasks = list(load_tasks(category, folder).values())
    env, strict = make(category, folder, "official"), make(category, folder, "strict")
    said = [[(task.id, replies(env, task, blanks)) for task in tasks] for blanks in range(PASSES + 1)]
    work = official_work(category, folder, tasks)
    gc.collect()
    gc.freeze()  # or each side's garbage collections would walk the other's data
    found: dict[str, list[tuple[float, int]]] = {"first": [timed(lambda: play(env, said[0]))]}
    play(strict, said[0])
    for number in range(PASSES):
        for kind, environment, episodes in (
            ("again", env, said[number + 1]),
            ("same", env, said[number + 1]),
            ("strict", strict, said[0]),
        ):
            found.setdefault(kind, []).append(timed(lambda e=environment, a=episodes: play(e, a)))  # type: ignore[misc]
        if work:
            found.setdefault("checker", []).append(timed(lambda name=f"pass{number}": check(work, name)))  # type: ignore[misc]
    return {"tasks": len(tasks), **found}


def official_work(category: str, folder: str, tasks: list[Task]) -> list[tuple[Any, ...]]:
    """What upstream's checker is called with for each task; empty if it is not installed."""
    if find_spec("bfcl_eval") is None:
        return []
    lines = (Path(folder) / f"BFCL_v4_multi_turn_{category}.json").read_text(encoding="utf-8").splitlines()
    work = []
    for task, line in zip(tasks, lines, strict=True):
        gold = [[call.text for call in turn.calls] for turn in task.turns]
        steps = [[[call.text for call in step] for step in turn.steps] for turn in task.turns]
        work.append((steps, gold, json.loads(line), f"multi_turn_{category}"))
    return work


def check(work: list[tuple[Any, ...]], name: str) -> int:
    """The same through upstream's checker; ``name`` must be new, as its program keeps what it played by name."""
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import (  # type: ignore[import-not-found]
        multi_turn_checker,
    )

    return sum(multi_turn_checker(*arguments, name)["valid"] for arguments in work)


def _ratio(runs: list[dict[str, Any]], kind: str) -> str:
    """How many times as fast as the checker, in the passes beside each other: the median."""
    pairs = [pair for run in runs for pair in zip(run[kind], run.get("checker", []), strict=False)]
    return f" ({median(theirs / ours for (ours, _), (theirs, _) in pairs):.2f}x)" if pairs else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", help="BFCL's data")
    parser.add_argument("--processes", type=int, default=3, help="runs per category")
    parser.add_argument("--category", choices=CATEGORIES, help="measure one category once, and print JSON")
    options = parser.parse_args()
    if options.category:
        print(json.dumps(measure(options.category, options.folder)))
        return
    rows = []
    for category in CATEGORIES:
        command = [sys.executable, __file__, options.folder, "--category", category]
        runs = [json.loads(subprocess.check_output(command, text=True)) for _ in range(options.processes)]
        kinds = [kind for kind in ("checker", *OURS) if kind in runs[0]]
        valid = "/".join(str(runs[0][kind][0][1]) for kind in kinds)
        rate = {kind: median(run["tasks"] / seconds for run in runs for seconds, _ in run[kind]) for kind in kinds}
        cells = [f"{rate[kind]:,.0f}{_ratio(runs, kind)}" for kind in OURS]
        rows.append((category, valid, f"{rate['checker']:,.0f}" if "checker" in rate else "not installed", *cells))
    header = ("category", "valid verdicts", "official checker", *OURS)
    for row in (header, ("---",) * len(header), *rows):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
