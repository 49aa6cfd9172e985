"""How far ``ToolRL-v0`` agrees with the programs of ToolRL and ResT, over recorded rewards.

    python benchmarks/toolrl_parity.py FOLDER

FOLDER holds ToolRL's files and ``reward_cases.jsonl.gz``: replies, and what both programs gave for them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from tooluse_gym.agreement import Switches
from tooluse_gym.envs import toolrl
from tooluse_gym.envs.toolrl.env import ToolRLEnv
from tooluse_gym.envs.toolrl.rows import Rows, task_from_row
from tooluse_gym.envs.toolrl.scoring import cut, textual
from tooluse_gym.tasks import Task

CASES = "reward_cases.jsonl.gz"
VARIABLES = {
    "SCHEDULEREWARD": "schedule",
    "MAX1STEP30MAX3": "two_stages",
    "CORRECTMAX1": "max_one",
    "REFINEDREWARD": "refined",
    "INTERMEDIATEREWARD": "intermediate",
    "COARSEREWARD": "coarse",
    "WITHLENGTH": "length",
    "SCHEDULELENGTH": "moving_length",
}
"""Our switches by the environment variables of the programs; those that are missing here are read nowhere."""

SEQUENCES = {
    "qwen": "<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>",
    "llama": "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>",
}
SYSTEM = "**Available Tools**\nIn your response, you can use the following tools:\n1. f: A tool.\nParameters: {}"

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def switches(record: Record) -> dict[str, bool]:
    """Every switch of a recorded case by our name, those that are off included."""
    return {name: record["env"].get(variable) == "1" for variable, name in VARIABLES.items()}


def sequence(record: Record) -> str:
    """Prompt and reply as the programs got them."""
    return SEQUENCES[record["template"]].format(record["response"])


def agree(ours: Record, theirs: Record) -> bool:
    """Whether both fail, or all that we say of a case is as recorded."""
    if "error" in ours or "error" in theirs:
        return "error" in ours and "error" in theirs
    return all(math.isclose(value, theirs[name], abs_tol=1e-9, rel_tol=0) for name, value in ours.items())


def rewarded(record: Record, version: str) -> Record:
    """What ``toolrl.reward`` and ``toolrl.scores`` say of a case."""
    arguments: Record = {
        **{"response": sequence(record), "answer": record["answer"], "step": record["step"]},
        **{"preset": version, "template": record["template"], **switches(record)},
    }
    try:
        return {"score": toolrl.reward(**arguments), **toolrl.scores(**arguments)._asdict()}
    except ValueError as error:
        return {"error": str(error)}


class Player:
    """Plays recorded replies in the environment, on tasks of their answers."""

    def __init__(self, records: list[Record]):
        answers = {record["answer"]: str(number) for number, record in enumerate(records)}
        rows = {answer: {"system": SYSTEM, "user": "?", "answer": answer} for answer in answers}
        self._tasks = {answer: task_from_row(rows[answer], "a case", answers[answer]) for answer in answers}

    @cache  # noqa: B019 (one player per run)
    def _env(self, chosen: Switches) -> ToolRLEnv:
        env = ToolRLEnv(rubric=textual(chosen))
        env.tasks = Rows(list(self._tasks.values()), "cases", allowed=False)
        return env

    def earned(self, record: Record, version: str) -> Record:
        """The environment's reward and its terms; a truth that the programs cannot read has one all the same."""
        env = self._env(Switches(version=version, **switches(record)))  # type: ignore[arg-type]
        env.reset(options={"task_id": self._tasks[record["answer"]].id, "update": record["step"]})
        _, reward, *_, info = env.step(cut(sequence(record), record["template"]))
        return {"score": reward, **info["reward_terms"]}


def demonstrations(dataset: str, folder: Path) -> tuple[int, list[Task]]:
    """How many rows there are, and those whose own answer, given as a reply, is judged wrong."""
    env = ToolRLEnv(dataset, data_dir=folder)
    assert isinstance(env.tasks, Rows)
    own = [task for task in env.tasks if task.id.startswith(dataset)]
    records = ((task, env.demonstrate(seed=0, options={"task_id": task.id})) for task in own)
    return len(own), [task for task, record in records if not (record.verdict and record.verdict.valid)]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="ToolRL's files with the recorded rewards")
    folder = parser.parse_args().folder
    records = read(folder / CASES)
    player = Player(records)
    print("| program | toolrl.reward | of these, both refuse the truth | ToolRL-v0 | not playable: update 0, refused |")
    print("|---|---|---|---|---|")
    for version in ("toolrl", "rest"):
        called = [agree(rewarded(record, version), record[version]) for record in records]
        refused = sum("error" in record[version] for record in records)
        playable = [record for record in records if record["step"] >= 1 and "error" not in record[version]]
        played = [agree(player.earned(record, version), record[version]) for record in playable]
        skipped = Counter(
            "update 0" if record["step"] < 1 else "refused" for record in records if record not in playable
        )
        print(
            f"| {version} | {sum(called)}/{len(called)} | {refused} | {sum(played)}/{len(played)} | "
            f"{skipped['update 0']}, {skipped['refused']} |"
        )
    print()
    print("| rows | read | answers judged right | answers whose thought mentions `<tool_call>` |")
    print("|---|---|---|---|")
    for dataset in ("sft", "test"):
        count, wrong = demonstrations(dataset, folder)
        mentions = sum(task.metadata["truth"] != task.metadata["answer"] for task in wrong)
        print(f"| {dataset} | {count} | {count - len(wrong)} | {mentions} |")


if __name__ == "__main__":
    main()
