"""Print how API-Bank's calls come out here and in its own programs, by the recorded outputs of those programs.

    python benchmarks/api_bank_parity.py FOLDER

FOLDER holds API-Bank's data and the two recordings named below. Printed are the records that agree, by level and mode;
ROUGE values, and the soft match of ToolRL and ResT; how many of the benchmark's own calls each scoring mode accepts,
with what it rejects; and how many of its searches each retriever answers with the tool that was found. Calls that ask
the network or a model officially are counted apart: they are answered from recordings here.

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
from typing import Any

from tooluse_gym.envs.api_bank.apis.base import Mode, RejectedCallError
from tooluse_gym.envs.api_bank.calls import official_text, reference_call
from tooluse_gym.envs.api_bank.data import load_calls
from tooluse_gym.envs.api_bank.database import RECORDED
from tooluse_gym.envs.api_bank.descriptions import found_names
from tooluse_gym.envs.api_bank.dialogues import ApiCall
from tooluse_gym.envs.api_bank.judging import CallVerdict
from tooluse_gym.envs.api_bank.level import Level, load_level
from tooluse_gym.envs.api_bank.manager import ApiManager, Result
from tooluse_gym.envs.api_bank.retrieval import SEARCHER, make_retriever
from tooluse_gym.envs.api_bank.rouge import rouge_l
from tooluse_gym.envs.api_bank.scorer import MODES
from tooluse_gym.envs.api_bank.soft_match import parse_reply, soft_match
from tooluse_gym.formats import Call

Record = Mapping[str, Any]
Case = tuple[str, Any, Any]
"""What is compared, ours, upstream's."""

EXPECTED = "expected.jsonl.gz"
TOOLRL = "toolrl_eval.jsonl.gz"
ASKED = (*RECORDED, SEARCHER)
"""APIs that ask the network or a model officially."""

Levels = Mapping[int, Level]


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def load_levels(folder: Path) -> Levels:
    return {number: load_level(number, folder) for number in (1, 2, 3)}


def differing(cases: Iterable[Case]) -> list[Case]:
    return [(what, ours, theirs) for what, ours, theirs in cases if ours != theirs]


def gold_calls(level: Level) -> dict[str, dict[int, ApiCall]]:
    """A level's own calls by dialogue, and by the number of the line (level 3: of the call)."""
    return {
        dialogue.id: {
            number - (level.number == 3): line.call
            for number, line in enumerate(dialogue.lines)
            if line.call is not None
        }
        for dialogue in level.dialogues
    }


# Comparisons


def comparable(record: Record) -> bool:
    """A call that the official program carried out without a model and without the network."""
    return record["mode"] != "response" and "needs" not in record


def calls(records: Iterable[Record], levels: Levels) -> Iterator[Case]:
    """Result, error, verdict and message of every call; what is shared keeps its state from call to call."""
    gold = {number: gold_calls(level) for number, level in levels.items()}
    kept: dict[tuple[Any, ...], ApiManager] = {}
    for record in filter(comparable, records):  # the others change no state
        level = levels[record["level"] or 1]  # level 0: sequences of calls made up for the recording
        manager = level.manager("reference")
        if (place := _shared(record)) is not None:
            manager = kept.setdefault((level.number, *place), manager)
        call: Call | None = Call(record["api_name"], record["params"])
        if record["mode"].startswith("text"):
            call = reference_call(record["call_text"])
        assert call is not None, record["n"]
        if "session" in record:
            ours = _carried_out(manager, call)
        else:
            recorded = gold[level.number][_dialogue(record)][record["turn"] if level.number < 3 else record["api_id"]]
            ours = _judged(level.judge(manager, call, recorded, "reference"), record)
        theirs = {part: record[part] for part in ours}
        if record.get("nondeterministic"):
            ours["result"], theirs["result"] = _undrawn(ours["result"]), _undrawn(theirs["result"])
        yield f"{record['n']} {record['mode']} {record['case']}", ours, theirs


def _dialogue(record: Record) -> str:
    name = record["sample_id"] if record["level"] == 3 else record["file"].removesuffix(".jsonl")
    return f"level-{record['level']}/{name}"


def _shared(record: Record) -> tuple[Any, ...] | None:
    """What calls that share a state have in common; None: a fresh state."""
    if record["mode"] == "text_shared":
        return ("all",)
    if record["mode"] in ("session", "text_session"):
        return (record["mode"], record.get("session") or _dialogue(record))
    return None


def _carried_out(manager: ApiManager, call: Call) -> dict[str, Any]:
    try:
        return {"result": manager.call(call.name, call.arguments), "error": None}
    except RejectedCallError as error:
        return {"result": None, "error": {"type": error.kind, "message": str(error)}}


def _judged(verdict: CallVerdict, record: Record) -> dict[str, Any]:
    """A verdict as it is recorded: a check that broke is no verdict, except by KeyError, which counts as wrong."""
    rejected = verdict.result is None and verdict.error is not None
    broken = verdict.result is not None and verdict.error not in (None, "KeyError")
    message = f"CHECK_RAISED {verdict.error}: {verdict.message}" if broken else verdict.message
    if message == "KeyError" and record["mode"] == "text":  # this one evaluator appends the result
        message += str(verdict.result)
    ours = {
        "result": verdict.result,
        "error": {"type": verdict.error, "message": verdict.message} if rejected else None,
        "correct": None if broken else verdict.correct,
    }
    return ours if record["level"] == 3 else {**ours, "message": message}  # level 3's evaluator has none


def _undrawn(result: Result) -> Result:
    """A result but for the numbers and tokens in it that were drawn at random."""
    if result["exception"] is not None or not isinstance(result["output"], str | dict):
        return result
    drawn = isinstance(result["output"], str) or "token" in result["output"]
    return {**result, "output": "drawn" if drawn else result["output"]}


def rouge(records: Iterable[Record]) -> Iterator[Case]:
    for record in records:
        if record["mode"] == "response":
            ours = rouge_l(record["hypothesis"], record["reference"])
            yield str(record["n"]), round(ours, 12), round(record["rouge_l_f"], 12)


def soft_matches(records: Iterable[Record], folder: Path) -> Iterator[Case]:
    """Scores and parses of ToolRL's and ResT's evaluation."""
    gold = {
        f"Level{level}_{number}": task.turns[0].calls[0]
        for level in (1, 2, 3)
        for number, task in enumerate(load_calls(level, folder))
    }
    for record in records:
        if record["kind"] == "parse":
            parsed = parse_reply(record["raw_output"])
            yield "parse", (parsed.thought, list(parsed.calls)), (record["thought"], record["tool_calls"])
        else:
            call = gold[record["key"]]
            yield "score", soft_match(record["tool_calls"], call.name, call.arguments), bool(record["score"])


def gold_verdicts(level: Level, mode: Mode) -> Iterator[tuple[str, ApiCall, CallVerdict]]:
    """How the benchmark's own calls are judged.

    In reference mode each is read from its text and finds a fresh state; else it comes after those before it.
    """
    for name, recorded in gold_calls(level).items():
        manager = level.manager(mode)
        for number, gold in recorded.items():
            said: Call | None = Call(gold.name, dict(gold.params))
            if mode == "reference":
                manager, said = level.manager(mode), reference_call(official_text(gold.name, gold.params))
            assert said is not None, name
            yield f"{name}:{number}", gold, level.judge(manager, said, gold, mode)


def searches_right(level: Level, kind: str) -> tuple[int, int]:
    """Recorded searches to which a retriever, without the recording, answers with the tool found then; and all."""
    texts = {name: said["description"] for name, said in level.descriptions.items()}
    retriever = make_retriever(kind, texts)
    made = [call for dialogue in level.dialogues for call in dialogue.calls if call.name == SEARCHER]
    matches = [(retriever.find(call.params["keywords"]), found_names(call.result["output"])[-1]) for call in made]
    return sum(match is not None and match.name == name for match, name in matches), len(made)


# Printing


def print_parity(records: Sequence[Record], toolrl: Sequence[Record], levels: Levels, folder: Path) -> None:
    print("| level | mode | records that agree |\n|---|---|---|")
    agreeing: Counter[tuple[Any, str]] = Counter()
    total: Counter[tuple[Any, str]] = Counter()
    shown = [record for record in records if comparable(record)]
    for record, (_, ours, theirs) in zip(shown, calls(records, levels), strict=True):
        kind = (f"{record['level'] or 1}, made up" if "session" in record else str(record["level"]), record["mode"])
        total[kind] += 1
        agreeing[kind] += ours == theirs
    for kind in sorted(total):
        print(f"| {kind[0]} | {kind[1]} | {agreeing[kind]}/{total[kind]} |")
    left = Counter((record["level"], record["needs"]) for record in records if "needs" in record)
    for (level, needs), count in sorted(left.items()):
        print(f"| {level} | not comparable: official result needs {needs} | {count} |")
    for name, cases in (("ROUGE-L", list(rouge(records))), ("soft match", list(soft_matches(toolrl, folder)))):
        print(f"| - | {name} | {len(cases) - len(differing(cases))}/{len(cases)} |")


def print_acceptance(levels: Levels) -> None:
    print("\n| scoring | level | own calls accepted | and by recorded answers | rejected |\n|---|---|---|---|---|")
    for mode in MODES:
        for number, level in levels.items():
            verdicts = [(gold.name, verdict.correct) for _, gold, verdict in gold_verdicts(level, mode)]
            rejected = Counter(name for name, correct in verdicts if not correct)
            listed = ", ".join(f"{name} {count}" for name, count in rejected.most_common())
            accepted = Counter(name in ASKED for name, correct in verdicts if correct)
            print(f"| {mode} | {number} | {accepted[False]}/{len(verdicts)} | {accepted[True]} | {listed or '-'} |")


def print_searches(levels: Levels) -> None:
    print("\n| retriever | level 2 | level 3 |\n|---|---|---|")
    for kind in ("name", "bm25", "offline"):
        right = ["/".join(map(str, searches_right(levels[number], kind))) for number in (2, 3)]
        print(f"| {kind} | {right[0]} | {right[1]} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="API-Bank's data with the recorded outputs")
    folder = parser.parse_args().folder
    levels = load_levels(folder)
    print_parity(read(folder / EXPECTED), read(folder / TOOLRL), levels, folder)
    print_acceptance(levels)
    print_searches(levels)


if __name__ == "__main__":
    main()
