"""How fast single-turn calls are checked, beside BFCL's own checker in the same run.

    python benchmarks/bfcl_ast_speed.py FOLDER --oracle PYTHON

FOLDER and PYTHON are those of ``bfcl_ast_differential.py``. Both sides get calls that are decoded already: of every
task that can be satisfied one right answer. Times are those of the fastest of ROUNDS rounds, in microseconds per task;
each side tells its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bfcl_ast_cases import load
from benchmarks.bfcl_ast_differential import ORACLE
from tooluse_gym.envs.bfcl.ast.scorer import score_ast_calls
from tooluse_gym.tasks import Task

ROUNDS = 100


def right_calls(task: Task) -> list[dict[str, Mapping[str, Any]]]:
    return [{call.name: call.arguments} for call in task.turns[0].calls]


def our_seconds(category: str, tasks: Sequence[Task]) -> float:
    work = [(task, right_calls(task)) for task in tasks]
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for task, calls in work:
            score_ast_calls(category, task, calls)
        rounds.append(time.perf_counter() - start)
    return min(rounds)


def request(category: str, task: Task) -> dict[str, Any]:
    docs, answers = task.metadata["functions"], task.metadata["possible_answer"]
    decoded = repr(right_calls(task))
    return {"check": decoded, "docs": docs, "answers": answers, "category": category, "under": False}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="BFCL's data")
    parser.add_argument("--oracle", default=os.environ.get("TOOLUSE_BFCL_ORACLE"), help="an interpreter with bfcl-eval")
    options = parser.parse_args()
    if not options.oracle:
        parser.error("name an interpreter with bfcl-eval by --oracle or $TOOLUSE_BFCL_ORACLE")
    print("| category | tasks | official checker, µs | ours, µs | times as fast |\n| --- | --- | --- | --- | --- |")
    for category, tasks in load(options.folder).items():
        satisfiable = [task for task in tasks if score_ast_calls(category, task, right_calls(task)).valid]
        asked = json.dumps({"time": [request(category, task) for task in satisfiable], "rounds": ROUNDS}) + "\n"
        command = [options.oracle, str(ORACLE)]
        done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
        official = json.loads(done.stdout)["seconds"] / len(satisfiable) * 1e6
        ours = our_seconds(category, satisfiable) / len(satisfiable) * 1e6
        print(f"| {category} | {len(satisfiable)} | {official:.1f} | {ours:.1f} | {official / ours:.2f} |", flush=True)


if __name__ == "__main__":
    main()
