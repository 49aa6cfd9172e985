"""Print how API-Bank's calls come out here and in its own program, by the recorded outputs of that program.

    python benchmarks/api_bank_parity.py FOLDER

FOLDER holds API-Bank's data and the recording named below. Printed are the records that agree, by level and mode, and
how many of the benchmark's own calls each scoring mode accepts, with what it rejects. Calls that ask the network or a
model officially are counted apart: they are answered from recordings here, or not at all.

A comparison is a function of records that yields a case for each: what it is about, ours, and upstream's. The tests
demand that all cases agree; here they are counted.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tooluse_gym.envs.api_bank.apis import make_sets
from tooluse_gym.envs.api_bank.apis.base import Episode, Mode, RejectedCallError
from tooluse_gym.envs.api_bank.calls import reference_call
from tooluse_gym.envs.api_bank.database import DIALOGUES, RECORDED, Database, load_database
from tooluse_gym.envs.api_bank.judging import CallVerdict, judge_call
from tooluse_gym.envs.api_bank.manager import ApiManager, Result
from tooluse_gym.tasks import read_json_lines

Record = Mapping[str, Any]
Case = tuple[str, Any, Any]
"""What is compared, ours, upstream's."""

EXPECTED = "expected.jsonl.gz"
LEVELS = {"level-1-given-desc": 1, "level-2-toolsearcher": 2}
MODES: tuple[Mode, ...] = ("reference", "corrected")


class GoldCall(NamedTuple):
    """A call of a dialogue: its API, its arguments as text, and the recorded result."""

    name: str
    arguments: Mapping[str, Any]
    result: Result


Dialogues = Mapping[tuple[int, str], Mapping[int, GoldCall]]
"""Gold calls by level and file, and by the number of their line."""


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_dialogues(folder: Path) -> Dialogues:
    return {
        (level, path.name): {
            number: GoldCall(line["api_name"], line["param_dict"], line["result"])
            for number, (_, line) in enumerate(read_json_lines(path))
            if line["role"] == "API"
        }
        for kind, level in LEVELS.items()
        for path in sorted((folder / DIALOGUES / kind).glob("*.jsonl"))
    }


def differing(cases: Iterable[Case]) -> list[Case]:
    return [(what, ours, theirs) for what, ours, theirs in cases if ours != theirs]


def make_manager(database: Database, mode: Mode = "reference") -> ApiManager:
    episode = Episode(database.episode_tables(), database.library, mode)
    return ApiManager(make_sets(episode), episode)


# Comparisons


def comparable(record: Record) -> bool:
    """A call of levels 1 and 2 that the official program carried out without a model and without the network."""
    return record["level"] < 3 and record["mode"] != "response" and "needs" not in record


def calls(records: Iterable[Record], dialogues: Dialogues, database: Database) -> Iterator[Case]:
    """Result, error, verdict and message of every call; sessions keep their state from call to call."""
    sessions: dict[tuple[int, str], ApiManager] = {}
    for record in records:
        place = (record["level"], record.get("session") or record.get("file", ""))
        manager = make_manager(database)
        if record["mode"] == "session":
            manager = sessions.setdefault(place, manager)
        arguments = record["params"]
        if record["mode"] == "text":
            call = reference_call(record["call_text"])
            arguments = call.arguments if call else None
        if record["level"]:
            gold = dialogues[place][record["turn"]]
            verdict = judge_call(manager, record["api_name"], arguments, (gold.name, gold.result))
            ours = _judged(verdict, record["mode"])
        else:
            ours = _carried_out(manager, record["api_name"], arguments)
        if comparable(record):
            theirs = {part: record[part] for part in ours}
            if record.get("nondeterministic"):
                ours["result"], theirs["result"] = _undrawn(ours["result"]), _undrawn(theirs["result"])
            yield f"{record['n']} {record['mode']} {record['case']}", ours, theirs


def _carried_out(manager: ApiManager, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"result": manager.call(name, arguments), "error": None}
    except RejectedCallError as error:
        return {"result": None, "error": {"type": error.kind, "message": str(error)}}


def _judged(verdict: CallVerdict, mode: str) -> dict[str, Any]:
    """A verdict as it is recorded: a check that broke is no verdict, except by KeyError, which counts as wrong."""
    rejected = verdict.result is None and verdict.error is not None
    broken = verdict.result is not None and verdict.error not in (None, "KeyError")
    message = f"CHECK_RAISED {verdict.error}: {verdict.message}" if broken else verdict.message
    if message == "KeyError" and mode == "text":  # this one evaluator appends the result
        message += str(verdict.result)
    return {
        "result": verdict.result,
        "error": {"type": verdict.error, "message": verdict.message} if rejected else None,
        "correct": None if broken else verdict.correct,
        "message": message,
    }


def _undrawn(result: Result) -> Result:
    """A result but for the numbers and tokens in it that were drawn at random."""
    if result["exception"] is not None or not isinstance(result["output"], str | dict):
        return result
    drawn = isinstance(result["output"], str) or "token" in result["output"]
    return {**result, "output": "drawn" if drawn else result["output"]}


def gold_verdicts(
    dialogues: Dialogues, database: Database, mode: Mode
) -> Iterator[tuple[int, str, GoldCall, CallVerdict]]:
    """How the benchmark's own calls are judged: each in a fresh state in reference mode, else after those before it."""
    for (level, file), gold_calls in dialogues.items():
        manager = make_manager(database, mode)
        for number, gold in gold_calls.items():
            if mode == "reference":
                manager = make_manager(database, mode)
            verdict = judge_call(manager, gold.name, gold.arguments, (gold.name, gold.result), mode)
            yield level, f"{file}:{number + 1}", gold, verdict


# Printing


def print_parity(records: Sequence[Record], dialogues: Dialogues, database: Database) -> None:
    print("| level | mode | records that agree |\n|---|---|---|")
    agreeing: Counter[tuple[int, str]] = Counter()
    total: Counter[tuple[int, str]] = Counter()
    kept = [record for record in records if record["level"] < 3 and record["mode"] != "response"]
    shown = [record for record in kept if comparable(record)]
    for record, (_, ours, theirs) in zip(shown, calls(kept, dialogues, database), strict=True):
        total[record["level"], record["mode"]] += 1
        agreeing[record["level"], record["mode"]] += ours == theirs
    for level, mode in sorted(total):
        print(f"| {level or 'synthetic'} | {mode} | {agreeing[level, mode]}/{total[level, mode]} |")
    left = Counter((record["level"], record["needs"]) for record in kept if not comparable(record))
    for (level, needs), count in sorted(left.items()):
        print(f"| {level} | not comparable: official result needs {needs} | {count} |")


def print_acceptance(dialogues: Dialogues, database: Database) -> None:
    print("\n| scoring | level | own calls accepted | and by recorded answers | rejected |\n|---|---|---|---|---|")
    for mode in MODES:
        verdicts = list(gold_verdicts(dialogues, database, mode))
        for level in LEVELS.values():
            here = [(gold.name, verdict) for at, _, gold, verdict in verdicts if at == level]
            rejected = Counter(name for name, verdict in here if not verdict.correct)
            listed = ", ".join(f"{name} {count}" for name, count in rejected.most_common())
            accepted = Counter(name in RECORDED for name, verdict in here if verdict.correct)
            print(f"| {mode} | {level} | {accepted[False]}/{len(here)} | {accepted[True]} | {listed or '-'} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="API-Bank's data with the recorded outputs")
    folder = parser.parse_args().folder
    database, dialogues = load_database(folder), read_dialogues(folder)
    print_parity(read(folder / EXPECTED), dialogues, database)
    print_acceptance(dialogues, database)


if __name__ == "__main__":
    main()
