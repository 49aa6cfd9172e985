"""Compare BFCL's memory tasks here with its own program: how they begin, what answers are right, what can be achieved.

    python benchmarks/bfcl_memory.py FOLDER [--oracle PYTHON]

FOLDER is the data folder of BFCL's unpacked release (``tooluse-gym data where bfcl``). PYTHON is an interpreter with
bfcl-eval (``pip install --no-deps bfcl-eval==2026.3.23 overrides rank_bm25 mpmath numpy pandas``), by default the one
that ``TOOLUSE_BFCL_ORACLE`` names; without one, only demonstrations are played. Exits with 1 if something differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tooluse_gym.envs.bfcl.memory.context import CLASSES
from tooluse_gym.envs.bfcl.memory.data import load_memory_tasks
from tooluse_gym.envs.bfcl.memory.env import BFCLMemoryEnv
from tooluse_gym.envs.bfcl.memory.judge import found
from tooluse_gym.tasks import Task

ORACLE = Path(__file__).with_name("bfcl_memory_oracle.py")
MEMORIES: tuple[dict[str, dict[str, Any]], ...] = (
    {"kv": {"core_memory": {}, "archival_memory": {}}, "rec_sum": {"memory": ""}},
    {
        "kv": {"core_memory": {"name": 'Zoë "Z"\nline', "home": "{memory_content}"}, "archival_memory": {"a": "b"}},
        "rec_sum": {"memory": 'Zoë "Z"\n{memory_content}'},
    },
)
"""Nothing, and what may trip up a template."""

Openings = dict[str, dict[str, list[Any]]]
Replies = list[tuple[str, list[str]]]


def openings(folder: Path, memories: Mapping[str, Mapping[str, Any]]) -> Openings:
    """By back-end and task id, what is said and shown first when it begins with that memory: messages and tools."""
    opened: Openings = {}
    for backend, memory in memories.items():
        env = BFCLMemoryEnv("memory", backend=backend, data_dir=folder, validation="official", format="prompting")
        opened[backend] = {}
        for task_id in load_memory_tasks(backend, folder):
            observation, info = env.reset(options={"task_id": task_id, "memory": memory})
            opened[backend][task_id] = [list(observation), list(info["tools"])]
    return opened


def replies(tasks: Mapping[str, Task], seed: int, count: int) -> Replies:
    """Replies, right and wrong, with the accepted answers."""
    rng = random.Random(seed)
    accepted = [task.metadata["answers"] for task in tasks.values() if "answers" in task.metadata]
    changes = (str, str.upper, lambda text: text[:-1], lambda text: f"{text}s", lambda text: text.replace(" ", "-"))
    frames = ("{}", "It is {}.", "{{'answer': '{}', 'context': ''}}", "({})", "x{}", "\n{}\t", "**{}**", "no", "a_{}_b")
    made = []
    for _ in range(count):
        answers, other = rng.choice(accepted), rng.choice(accepted)
        said = rng.choice(changes)(rng.choice(answers if rng.random() < 0.8 else other))
        made.append((rng.choice(frames).format(said), answers))
    return made


def ask(oracle: str, memories: Mapping[str, Any], said: Replies) -> dict[str, Any]:
    """What the program says to both."""
    request = json.dumps({"memories": memories, "replies": said})
    done = subprocess.run([oracle, str(ORACLE)], input=request, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def demonstrate(folder: Path, backend: str, **options: Any) -> tuple[int, int]:
    """Play the demonstrations of every scenario with the memory they leave; how many questions come out right, of all.

    Raises:
        AssertionError: the memory refuses something.
    """
    env = BFCLMemoryEnv("memory", backend=backend, data_dir=folder, rubric="official", **options)
    memories: dict[str, dict[str, Any]] = {}
    right = asked = 0
    for task in load_memory_tasks(backend, folder).values():
        scenario, question = task.metadata["scenario"], "answers" in task.metadata
        record = env.demonstrate(seed=0, options={"task_id": task.id, "memory": memories.get(scenario)})
        heard = [
            message["content"] for step in record.steps for message in step.observation if message["role"] != "user"
        ]
        assert not any("error" in text.lower() for text in heard), (task.id, heard)
        if question:
            asked += 1
            right += record.reward == 1
        else:
            memories[scenario] = env.memory
    return right, asked


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the data folder of BFCL's unpacked release")
    parser.add_argument("--oracle", default=os.environ.get("TOOLUSE_BFCL_ORACLE"), help="an interpreter with bfcl-eval")
    parser.add_argument("--replies", type=int, default=20_000)
    options = parser.parse_args()
    rows = []
    for backend in CLASSES:
        for validation in ("official", "strict"):
            right, asked = demonstrate(options.folder, backend, validation=validation)
            rows.append((f"demonstrations, {backend}, {validation}", asked, right))
    if options.oracle:
        said = replies(load_memory_tasks("kv", options.folder), 0, options.replies)
        for number, memories in enumerate(MEMORIES):
            answer = ask(options.oracle, memories, said if number == 0 else [])
            ours = openings(options.folder, memories)
            for backend, theirs in answer["openings"].items():
                equal = sum(ours[backend].get(name) == opening for name, opening in theirs.items())
                rows.append((f"openings, {backend}, {'a memory' if number else 'no memory'}", len(theirs), equal))
            if number == 0:
                verdicts = [
                    found(accepted, text) == valid
                    for (text, accepted), valid in zip(said, answer["verdicts"], strict=True)
                ]
                rows.append(("verdicts on replies", len(verdicts), sum(verdicts)))
    for row in (("compared", "cases", "agree"), ("---",) * 3, *rows):
        print(f"| {' | '.join(map(str, row))} |")
    sys.exit(any(cases != agree for _, cases, agree in rows))


if __name__ == "__main__":
    main()
