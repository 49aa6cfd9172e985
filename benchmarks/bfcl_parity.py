"""Print how our verdicts on BFCL's multi-turn tasks compare with those its own program gave.

    python benchmarks/bfcl_parity.py FOLDER

FOLDER holds BFCL's data and the recorded outputs ``verdicts_multi_turn_public.jsonl.gz`` and
``verdicts_multi_turn_raw_public.jsonl.gz``.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import gymnasium

import tooluse_gym  # noqa: F401 (registers the environment)
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.envs.bfcl.data import CATEGORIES, load_tasks
from tooluse_gym.envs.bfcl.scorer import play_calls, score_replies
from tooluse_gym.scoring import Verdict
from tooluse_gym.tasks import Task

COLUMNS = ("category", "tasks", "verdicts on calls", "verdicts on replies", "GT official", "GT strict")


def records(path: Path, tasks: dict[str, Task]) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [record for record in map(json.loads, lines) if record["id"] in tasks]


def same(record: dict[str, Any], verdict: Verdict, results: list[list[str]] | None = None) -> bool:
    """Verdict, error type and, where recorded, differing attributes and the text of every result."""
    agrees = (verdict.valid, verdict.error_type) == (record["valid"], record["error_type"])
    if "differing_attributes" in record:
        agrees &= sorted(next(iter(verdict.differing.values()), [])) == record["differing_attributes"]
    if results is not None:
        agrees &= [[shortened(text) for text in step] for step in results] == record["model_results"]
    return agrees


def shortened(text: str) -> Any:
    """Recorded results of more than 400 characters are hashed."""
    return text if len(text) <= 400 else {"sha256": hashlib.sha256(text.encode()).hexdigest(), "len": len(text)}


def valid_ground_truths(category: str, folder: Path, **options: Any) -> int:
    env = gymnasium.make("BFCLMultiTurn-v0", dataset=category, data_dir=str(folder), rubric="official", **options)
    inner = env.unwrapped
    assert isinstance(inner, ToolUseEnv)
    rewards = [inner.demonstrate(seed=0, options={"task_id": name}).reward for name in load_tasks(category, folder)]
    return int(sum(rewards))


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="BFCL's data with the recorded outputs")
    folder = parser.parse_args().folder
    rows: list[tuple[str, ...]] = []
    for category in CATEGORIES:
        tasks = load_tasks(category, folder)
        calls = [
            same(record, *play_calls(tasks[record["id"]], record["model_output"]))
            for record in records(folder / "verdicts_multi_turn_public.jsonl.gz", tasks)
        ]
        replies = [
            same(record, score_replies(tasks[record["id"]], record["model_result"]))
            for record in records(folder / "verdicts_multi_turn_raw_public.jsonl.gz", tasks)
        ]
        official = valid_ground_truths(category, folder, format="pythonic", validation="official")
        strict = valid_ground_truths(category, folder, format="hermes", validation="strict")
        counts = [f"{sum(found)}/{len(found)}" for found in (calls, replies)]
        rows.append((category, str(len(tasks)), *counts, f"{official}/{len(tasks)}", f"{strict}/{len(tasks)}"))
    for row in (COLUMNS, ("---",) * len(COLUMNS), *rows):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
