"""Print what it costs to validate a tool call: our acceptor in front of jsonschema against jsonschema alone.

    python benchmarks/call_validation.py [FOLDER]

FOLDER holds BFCL's data: the calls are the ground truths of its multi-turn tasks. Without it, those of starter tasks.
Each is also made wrong: an argument is left out, added, or of another type. ``fastjsonschema``, which writes a Python
function per schema, is measured too if it is installed. All verdicts are compared first.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema

from tooluse_gym.envs.bfcl.data import CATEGORIES, load_tasks
from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.envs.bfcl.starter import StarterTasks
from tooluse_gym.tasks import Task
from tooluse_gym.tools import Tool

REPEATS = 7
COLUMNS = ("calls", "validator", "µs per call", "of jsonschema")

Example = tuple[Tool, dict[str, Any]]
Check = Callable[[dict[str, Any]], object]
"""None, or what is wrong."""


def by_jsonschema(tool: Tool) -> Check:
    validator = jsonschema.Draft202012Validator(tool.parameters)
    return lambda arguments: next(iter(validator.iter_errors(arguments)), None)


def by_fastjsonschema(tool: Tool) -> Check:
    fastjsonschema = importlib.import_module("fastjsonschema")
    validate = fastjsonschema.compile(dict(tool.parameters))

    def check(arguments: dict[str, Any]) -> object:
        try:
            validate(arguments)
        except fastjsonschema.JsonSchemaValueException as error:
            return error
        return None

    return check


def by_us(tool: Tool) -> Check:
    return tool.check


def ground_truth(tasks: Iterable[Task]) -> Iterator[Example]:
    for task in tasks:
        tools = {name: tool for simulator in task.toolsets for name, tool in SIMULATORS[simulator].tools.items()}
        for turn in task.turns:
            for call in turn.calls:
                yield tools[call.name], call.arguments


def made_wrong(examples: Iterable[Example]) -> Iterator[Example]:
    for number, (tool, arguments) in enumerate(examples):
        names = list(arguments)
        if not names or number % 3 == 0:
            yield tool, {**arguments, "unheard_of": 1}
        elif number % 3 == 1 and names[0] in tool.parameters["required"]:
            yield tool, {name: arguments[name] for name in names[1:]}
        else:
            yield tool, {**arguments, names[-1]: {"not": "expected"}}


def seconds(calls: Sequence[tuple[Check, dict[str, Any]]]) -> float:
    start = time.perf_counter()
    for check, arguments in calls:
        check(arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="BFCL's data")
    folder = parser.parse_args().folder
    if folder is None:
        starter = StarterTasks()
        tasks = [starter[f"starter/train/{number}"] for number in range(200)]
    else:
        tasks = [task for category in CATEGORIES for task in load_tasks(category, folder).values()]
    validators = {"jsonschema": by_jsonschema, "fastjsonschema": by_fastjsonschema, "ours": by_us}
    if importlib.util.find_spec("fastjsonschema") is None:
        del validators["fastjsonschema"]
    tools = [tool for simulator in SIMULATORS.values() for tool in simulator.tools.values()]
    checks = {label: {tool.name: make(tool) for tool in tools} for label, make in validators.items()}

    truths = list(ground_truth(tasks))
    right = [(tool, arguments) for tool, arguments in truths if not checks["jsonschema"][tool.name](arguments)]
    wrong = [(tool, arguments) for tool, arguments in made_wrong(right) if checks["jsonschema"][tool.name](arguments)]
    print(f"{len(right)} of {len(truths)} ground-truth calls of {len(tasks)} tasks satisfy their schemas\n")
    for row in (COLUMNS, ("---",) * len(COLUMNS)):
        print(f"| {' | '.join(row)} |")
    for kind, examples in (("right", right), ("wrong", wrong)):
        calls = {
            label: [(check[tool.name], arguments) for tool, arguments in examples] for label, check in checks.items()
        }
        for label, bound in calls.items():
            agreeing = sum((check(arguments) is None) == (kind == "right") for check, arguments in bound)
            assert agreeing == len(bound), f"{label} agrees on {agreeing} of {len(bound)} {kind} calls"
        runs = [{label: seconds(bound) for label, bound in calls.items()} for _ in range(REPEATS)]
        best = {label: min(run[label] for run in runs) / len(examples) for label in calls}
        for label, cost in best.items():
            print(f"| {kind} | {label} | {cost * 1e6:.2f} | {cost / best['jsonschema']:.3f} |")


if __name__ == "__main__":
    main()
