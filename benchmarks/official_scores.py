"""Have BFCL's own program score what the evaluator wrote, and compare entry by entry.

    python benchmarks/official_scores.py FOLDER --oracle PYTHON [--categories NAME ...] [--limit N]
    python benchmarks/official_scores.py FOLDER --oracle PYTHON --benchmark bfcl-format-sensitivity --modes prompting

FOLDER holds BFCL's data, memory's files included (``tooluse-gym data where bfcl``). PYTHON is an interpreter that has
bfcl-eval (see ``bfcl_official_oracle.py``), by default the one that ``TOOLUSE_BFCL_ORACLE`` names. Three agents play in
both modes: the ground truth; one that disturbs it, by other arguments, calls left out, doubled, misnamed or cut short,
and prose; and one that says nothing. Exits with 1 if the program judges an entry otherwise than the evaluator.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tooluse_gym.agents import Agent
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.envs.bfcl.official import CALLING_MODEL, FOLDER, PROMPTING_MODEL, official_name, write_official
from tooluse_gym.evaluation.players import AgentPlayer, ground_truth, seed_of
from tooluse_gym.evaluation.run import Plan, begin, play, read_run
from tooluse_gym.evaluation.setting import Entry
from tooluse_gym.formats import Call
from tooluse_gym.formats.wording import UnwritableReplyError
from tooluse_gym.tasks import CLOSING, Utterance

ORACLE = Path(__file__).with_name("bfcl_official_oracle.py")
COLUMNS = ("mode", "agent", "category", "entries", "right, ours", "right, official", "entries that differ")
MODELS = {"prompting": PROMPTING_MODEL, "fc": CALLING_MODEL}

# --- Agents ---------------------------------------------------------------------------------------------------------


def silent(env: ToolUseEnv) -> Agent:
    """Says nothing."""
    return lambda observation, info: ""


def disturbed(env: ToolUseEnv) -> Agent:
    """Says what the ground truth says in this place, disturbed now and then."""
    task, rng = env.task, np.random.default_rng(seed_of(Entry("disturbed", env.task.id)))
    likely = 0.5 if task.single_step else 0.12
    remaining = iter(env.tasks.demonstrate(task, rng, 0.0))
    said = [[next(remaining) for _ in range(task.gold_steps_of(turn))] for turn in range(len(task.turns))]

    def agent(observation: Any, info: dict[str, Any]) -> str:
        here = said[info["turn"]]
        utterance = here[info["step"]] if info["step"] < len(here) else CLOSING
        return disturb(env, utterance, rng) if rng.random() < likely else _write(env, utterance)

    return agent


def disturb(env: ToolUseEnv, said: Utterance, rng: np.random.Generator) -> str:
    """Something else than ``said``, in one of ten ways."""
    calls = said.calls
    if not calls:
        names = [tool["function"]["name"] for tool in env.tools]
        needless = Call(str(rng.choice(names)), {}) if names else Call("none", {})
        return _write(env, Utterance((needless,)))
    way, place = int(rng.integers(10)), int(rng.integers(len(calls)))
    call, others = calls[place], (*calls[:place], *calls[place + 1 :])
    text = _write(env, said)
    if way == 0:
        return "I would rather talk about something else."
    if way == 1:
        return f"Here is what I do: {text}"
    if way == 2:
        return text[: int(rng.integers(len(text) + 1))]
    if way == 3:
        return _write(env, replace(said, calls=others))
    if way == 4:
        return _write(env, replace(said, calls=(*calls, call)))
    if way == 5:
        return _write(env, replace(said, calls=calls[::-1]))
    if way == 6:
        return _write(env, replace(said, calls=(*others, Call(f"{call.name}_x", call.arguments))))
    arguments = dict(call.arguments)
    if arguments and way < 9:
        name = list(arguments)[int(rng.integers(len(arguments)))]
        arguments[name] = _another(arguments[name], rng)
    else:
        arguments["another"] = 1
    return _write(env, replace(said, calls=(*calls[:place], Call(call.name, arguments), *calls[place + 1 :])))


def _another(value: Any, rng: np.random.Generator) -> Any:
    others: list[Any] = [str(value), [value], None, not value, "", 0]
    if isinstance(value, str):
        others = [f"{value}s", value.upper(), f" {value}", 5, *others]
    elif isinstance(value, int | float):
        others = [value + 1, -value, float(value), *others]
    return others[int(rng.integers(len(others)))]


def _write(env: ToolUseEnv, said: Utterance) -> str:
    try:
        return env.write(said)
    except UnwritableReplyError:
        return "I cannot say that."


AGENTS: dict[str, Callable[[ToolUseEnv], Agent]] = {"gold": ground_truth, "disturbed": disturbed, "silent": silent}

# --- Comparison -----------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A category as both have judged it."""

    category: str
    entries: int
    ours: int
    official: int
    differing: tuple[str, ...]


def compare(folder: Path, plan: Plan, make: Callable[[ToolUseEnv], Agent], oracle: str) -> Iterator[Row]:
    """Play a plan, have it scored, and compare."""
    for share in begin(folder, plan):
        play(folder, plan, AgentPlayer(plan.model, make), share, lambda one: None)
    episodes = [one for one in read_run(folder)[1] if one.total]
    write_official(folder, plan, episodes)
    names = list(dict.fromkeys(official_name(one.category) for one in episodes))
    wrong = official_failures(folder / FOLDER, MODELS[plan.mode], names, oracle)
    for name in names:
        judged = {one.task: one.right == 1 for one in episodes if official_name(one.category) == name}
        differing = tuple(task for task, right in judged.items() if right == (task in wrong[name]))
        yield Row(name, len(judged), sum(judged.values()), len(judged) - len(wrong[name]), differing)


def official_failures(root: Path, model: str, categories: Sequence[str], oracle: str) -> dict[str, set[str]]:
    """The entries of each category that the program judges wrong.

    Raises:
        RuntimeError: it did not score.
    """
    environment = {**os.environ, "BFCL_PROJECT_ROOT": str(root), "OPENAI_API_KEY": "-"}
    command = [oracle, str(ORACLE), model, *categories]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])
    return dict(_failures(root / "score" / model.replace("/", "_")))


def _failures(folder: Path) -> Iterator[tuple[str, set[str]]]:
    for path in folder.rglob("*_score.json"):
        _, *wrong = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        yield path.stem.removeprefix("BFCL_v4_").removesuffix("_score"), {entry["id"] for entry in wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="BFCL's data")
    parser.add_argument("--oracle", default=os.environ.get("TOOLUSE_BFCL_ORACLE"), help="an interpreter with bfcl-eval")
    parser.add_argument("--benchmark", default="bfcl-v4", help="or bfcl-format-sensitivity")
    parser.add_argument(
        "--categories", nargs="*", default=[], help="of the benchmark, or the beginnings of their names"
    )
    parser.add_argument("--limit", type=int, help="entries of each category")
    parser.add_argument("--agents", nargs="*", default=list(AGENTS), choices=AGENTS)
    parser.add_argument("--modes", nargs="*", default=list(MODELS), choices=MODELS)
    options = parser.parse_args()
    if not options.oracle:
        parser.error("name an interpreter with bfcl-eval by --oracle or $TOOLUSE_BFCL_ORACLE")
    for cells in (COLUMNS, ("---",) * len(COLUMNS)):
        print(f"| {' | '.join(cells)} |")
    differing = 0
    for mode in options.modes:
        for agent in options.agents:
            given = {"data_dir": str(options.folder)}
            plan = Plan(agent, options.benchmark, mode, tuple(options.categories), limit=options.limit, options=given)
            with tempfile.TemporaryDirectory() as folder:
                for row in compare(Path(folder), plan, AGENTS[agent], options.oracle):
                    shown = ", ".join(row.differing[:5]) or "–"
                    counts = map(str, (row.entries, row.ours, row.official))
                    print(f"| {' | '.join((mode, agent, row.category, *counts, shown))} |", flush=True)
                    differing += len(row.differing)
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
