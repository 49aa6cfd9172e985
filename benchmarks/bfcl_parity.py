"""Print how BFCL's tasks come out here and in its own program, by the recorded outputs of that program.

    python benchmarks/bfcl_parity.py FOLDER

FOLDER holds BFCL's data and the recordings named below. Printed are verdicts by category, strict verdicts against
official ones, and one line for each other recording; system prompts are compared if the release is at hand.

A comparison is a function of records that yields a case for each: what it is about, ours, and upstream's. The tests
demand that all cases agree; here they are counted.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tooluse_gym.env import ToolUseEnv, Validation
from tooluse_gym.envs.bfcl.ast.return_formats import ReturnFormat, decode_reply
from tooluse_gym.envs.bfcl.ast.scorer import score_ast, score_ast_calls
from tooluse_gym.envs.bfcl.data import CATEGORIES, load_payload, load_tasks
from tooluse_gym.envs.bfcl.docs import Documented, load_docs
from tooluse_gym.envs.bfcl.env import BFCLMultiTurnEnv
from tooluse_gym.envs.bfcl.prompt_config import FORMAT_SENSITIVITY
from tooluse_gym.envs.bfcl.prompting import Prompting, load_prompting
from tooluse_gym.envs.bfcl.scorer import PREFIX, Played, make_world, play_calls, play_replies
from tooluse_gym.envs.bfcl.single_turn import SINGLE_TURN, documented, load_format_sensitivity, load_single_turn
from tooluse_gym.envs.bfcl.single_turn.env import BFCLSingleTurnEnv
from tooluse_gym.envs.bfcl.single_turn.prompting import load_single_prompting
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.errors import DataNotFoundError
from tooluse_gym.formats.json_calls import JsonError
from tooluse_gym.formats.python_calls import DecodeError, decode, render_calls
from tooluse_gym.formats.structured import render_calls as render_structured
from tooluse_gym.formats.wording import UnwritableReplyError
from tooluse_gym.scoring import Verdict
from tooluse_gym.tasks import Task
from tooluse_gym.world import ToolResult

Record = Mapping[str, Any]
Tasks = Mapping[str, Task]
Grouped = dict[str, list[Record]]
Case = tuple[str, Any, Any]
"""What is compared, ours, upstream's."""

CALLS, REPLIES = "verdicts_multi_turn_public.jsonl.gz", "verdicts_multi_turn_raw_public.jsonl.gz"
GROUND_TRUTHS = "expected_multi_turn_gt.jsonl.gz"
RANDOM_CALLS = "fuzz_exec_public.jsonl.gz"
CONVERSATIONS = "transcripts_public.jsonl.gz"
DECODINGS = "decode_public.jsonl.gz"
SINGLE_VERDICTS = "verdicts_ast_public.jsonl.gz"
DOCS = "expected_loaded_docs.jsonl.gz"

MODES: tuple[Validation, ...] = ("official", "strict")


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def differing(cases: Iterable[Case]) -> list[Case]:
    return [(what, ours, theirs) for what, ours, theirs in cases if ours != theirs]


def like(ours: Any, recorded: Any) -> Any:
    """``ours`` in the form of what is recorded, which has the hash of a text where the text is long."""
    if isinstance(ours, str) and isinstance(recorded, dict):
        return {"sha256": hashlib.sha256(ours.encode()).hexdigest(), "len": len(ours)}
    if isinstance(ours, list) and isinstance(recorded, list) and len(ours) == len(recorded):
        return [like(*pair) for pair in zip(ours, recorded, strict=True)]
    return ours


def digest(value: object, **options: Any) -> str:
    return hashlib.sha256(json.dumps(value, **options).encode()).hexdigest()


def state_digest(world: World) -> str:
    return digest(world.state(), sort_keys=True)


# Comparisons


def verdicts_on_calls(records: Iterable[Record], tasks: Tasks) -> Iterator[Case]:
    """Verdict, error type, text of every result and, where states differ, their attributes."""
    for record in records:
        verdict, results = play_calls(tasks[record["id"]], record["model_output"])
        ours: dict[str, Any] = {"valid": verdict.valid, "error_type": verdict.error_type}
        texts = [[result.text for result in step] for step in results]
        ours["model_results"] = like(texts, record["model_results"])
        if "differing_attributes" in record:
            ours["differing_attributes"] = sorted(next(iter(verdict.differing.values()), []))
        yield f"{record['id']} {record['kind']}", ours, {name: record[name] for name in ours}


def verdicts_on_replies(records: Iterable[Record], tasks: Tasks) -> Iterator[Case]:
    for record in records:
        verdict, _ = play_replies(tasks[record["id"]], record["model_result"])
        yield record["id"], (verdict.valid, verdict.error_type), (record["valid"], record["error_type"])


def single_turn_verdicts(records: Iterable[Record], tasks: Tasks) -> Iterator[Case]:
    """Of replies in Python, and of decoded calls in Java and JavaScript."""
    for record in records:
        category, task = record["category"], tasks[record["id"]]
        score, said = (score_ast, record["raw"]) if "raw" in record else (score_ast_calls, record["model_output"])
        verdict = score(category, task, said, record["underscore_to_dot"])
        what = f"{record['id']} {record['kind']}"
        yield what, (verdict.valid, verdict.error_type), (record["valid"], record["error_type"])


def ground_truths(records: Iterable[Record], tasks: Tasks) -> Iterator[Case]:
    """Every result, and the state after every turn."""
    for record in records:
        world = make_world(tasks[record["id"]])
        ours, theirs = [], []
        for turn in record["turns"]:
            recorded = [call["result"] for call in turn["calls"]]
            ours.append((like([world.execute(call["call"]) for call in turn["calls"]], recorded), state_digest(world)))
            theirs.append((recorded, turn["state_sha256"]))
        yield record["id"], ours, theirs


def random_calls(records: Iterable[Record], tasks: Tasks, payload: Mapping[str, Any]) -> Iterator[Case]:
    """Every result of a sequence of calls, and the state after it."""
    for record in records:
        scenario = tasks[record["scenario_from"]].initial_state if record["scenario_from"] else {}
        world = World([record["class"]], scenario, record["long_context"], payload=payload)
        recorded = [call["result"] for call in record["calls"]]
        results = like([world.execute(call["call"]) for call in record["calls"]], recorded)
        what = f"{record['class']} of {record['scenario_from']}: {[call['call'] for call in record['calls']]}"
        yield what, (results, state_digest(world)), (recorded, record["final_state_sha256"])


def loaded_docs(records: Iterable[Record], tasks: Tasks, folder: Path) -> Iterator[Case]:
    """What a task reveals later, and its other functions: their names, docs, and list in function-calling mode."""
    for record in records:
        task = tasks[record["id"]]
        shown = _docs(task, folder)
        ours = {
            "functions": [tool.name for tool in shown],
            "function_docs_sha256": digest([tool.doc for tool in shown]),
            "openai_tools_sha256": digest([tool.openai() for tool in shown]),
            "missed_function": {str(turn): list(said.reveals) for turn, said in enumerate(task.turns) if said.reveals},
        }
        yield task.id, ours, {"missed_function": {}, **{name: record[name] for name in ours if name in record}}


def system_prompts(records: Iterable[Record], tasks: Tasks, folder: Path, prompting: Prompting) -> Iterator[Case]:
    """The first message, of which a system message of the question's own is a part."""
    for record in records:
        task = tasks[record["id"]]
        prompt, first = prompting.system_prompt(_docs(task, folder)), task.turns[0].messages[0]
        if first["role"] == "system":
            prompt += f"\n\n{first['content']}"
        yield record["id"], hashlib.sha256(prompt.encode()).hexdigest(), record["prompting_system_sha256"]


def variants(oracle: str, folder: Path) -> Iterator[Case]:
    """Every prompt of format_sensitivity, as the program installed for the interpreter ``oracle`` makes it."""
    script = Path(__file__).with_name("bfcl_prompt_oracle.py")
    done = subprocess.run([oracle, str(script)], capture_output=True, text=True, check=True)
    theirs = dict(line.split() for line in done.stdout.splitlines())
    for config in FORMAT_SENSITIVITY:
        format = load_single_prompting(folder, config)
        for name, task in load_format_sensitivity(config, folder).items():
            prompt = format.system_prompt(documented(task))
            yield name, hashlib.sha256(prompt.encode()).hexdigest(), theirs.get(name)


def _docs(task: Task, folder: Path) -> list[Documented]:
    if task.single_step:
        return list(documented(task))
    docs = load_docs(folder, task.toolsets, tuple(name for turn in task.turns for name in turn.reveals))
    return [docs[name] for name in task.visible(0, tuple(docs))]


def conversations(records: Iterable[Record], folder: Path, prompting: Prompting | None = None) -> Iterator[Case]:
    """Every message, and the lengths of conversation, tool list, steps and turns, as scripted replies are played.

    Without ``prompting``, which needs the release, system prompts are not compared.
    """

    @cache
    def make(category: str, mode: str) -> BFCLMultiTurnEnv:
        options: dict[str, Any] = {"format": prompting or Prompting(("", ""))}
        if mode == "fc":
            options = {"format": "structured", "show_tools": False}
        return BFCLMultiTurnEnv(category, data_dir=folder, validation="official", rubric="official", **options)

    for record in records:
        env = make(category_of(record["id"]), record["mode"])
        _, info = env.reset(options={"task_id": record["id"]})
        recorded = [[said["role"], _content(said)] for said in record["messages"]]
        heard, tools, steps, ended = [], [], Counter[int](), False
        for role, reply in recorded:
            if role == "assistant":
                heard.append(len(env.conversation))
                tools.append(len(env.tools))
                steps[info["turn"]] += 1
                *_, terminated, truncated, info = env.step(reply)
                ended = terminated or truncated
        said = [[message["role"], message["content"]] for message in env.conversation]
        if prompting is None:
            said, recorded = ([pair for pair in pairs if pair[0] != "system"] for pairs in (said, recorded))
        ours = {
            "messages": like(said, recorded),
            "messages_before_each_query": heard,
            "tools_per_query": tools if record["mode"] == "fc" else None,
            "steps_per_turn": [steps[turn] for turn in range(len(steps))],
            "turns_returned": len(steps),
            "ended": ended,
        }
        theirs = {**record, "messages": recorded, "ended": True}
        yield f"{record['id']} {record['mode']}", ours, {name: theirs[name] for name in ours}


def _content(message: Record) -> Any:
    """What a recorded message says; of calls, in the format ``structured``."""
    if not message.get("tool_calls"):
        return message["content"]
    calls = [call["function"] for call in message["tool_calls"]]
    return json.dumps([{"name": call["name"], "arguments": json.loads(call["arguments"])} for call in calls])


def decodings(records: Iterable[Record]) -> Iterator[Case]:
    """Of replies in Python: decoded value, call texts, relevance; of function calls: their texts."""
    for record in records:
        if "fc" in record:
            try:
                texts = render_structured(record["fc"])
            except JsonError:
                texts = None
            yield str(record["fc"]), texts, record.get("exec")
        elif not record.get("language"):
            ours, theirs = _decoded(record), {name: record.get(name) for name in ("ast", "exec")}
            theirs |= {name: record[name] for name in ("irrelevance", "live_relevance", "empty") if name in record}
            yield record["raw"], {name: ours[name] for name in theirs}, theirs


FORMATS: Mapping[str, ReturnFormat] = {
    **{name: name for name in ("java", "json", "verbose_xml", "concise_xml")},
    "js": "javascript",
}
"""Our names of the recordings' languages."""


def other_decodings(records: Iterable[Record]) -> Iterator[Case]:
    """Of replies in Java, JavaScript, JSON and XML: the decoded value."""
    for record in records:
        if record.get("language"):
            try:
                ours = repr(decode_reply(record["raw"], FORMATS[record["language"]], record["has_tool_call_tag"]))
            except DecodeError:
                ours = None
            yield record["raw"], ours, record.get("ast")


def _decoded(record: Record) -> dict[str, Any]:
    """What our decoder says of a record, under the record's own keys."""
    try:
        decoded = decode(record["raw"], tagged=record["has_tool_call_tag"])
    except DecodeError:
        return {"ast": None, "exec": None, "irrelevance": True, "live_relevance": False, "empty": False}
    found: dict[str, Any] = {"ast": repr(decoded), "irrelevance": not decoded, "live_relevance": bool(decoded)}
    try:
        calls = render_calls(decoded)
    except DecodeError:
        return {**found, "exec": None, "empty": False}
    return {**found, "exec": calls, "empty": not calls}


def category_of(task_id: str) -> str:
    return task_id.removeprefix("multi_turn_").rpartition("_")[0]


def grouped(records: Iterable[Record]) -> Grouped:
    """The records by category."""
    groups: Grouped = {category: [] for category in CATEGORIES}
    for record in records:
        groups[category_of(record["id"])].append(record)
    return groups


# Strict against official


def outcome(task: Task, official: Verdict, strict: Verdict, results: Played) -> tuple[str, str]:
    """Which mode an episode is valid in and, if only one, why it is not in the other."""
    if official.valid == strict.valid:
        return ("both" if strict.valid else "neither"), ""
    why = str((strict if official.valid else official).error_type).removeprefix(PREFIX)
    refused = [result for step in results for result in step if result.failure not in (None, "exception")]
    if refused:
        why += f", after a call refused: {_refusal(task, refused[0])}"
    return ("official" if official.valid else "strict"), why


def _refusal(task: Task, result: ToolResult) -> str:
    if result.failure != "unknown_tool":
        return {"malformed": "not literal", "invalid_arguments": "schema"}[str(result.failure)]
    held_out = [name for turn in task.turns for name in turn.reveals]
    return "not revealed" if result.text.startswith(tuple(f"Unknown tool '{n}'" for n in held_out)) else "no such tool"


def outcomes(records: Iterable[Record], tasks: Tasks) -> Counter[tuple[str, str]]:
    """How often each outcome comes up, over recorded calls or replies."""
    found = Counter[tuple[str, str]]()
    for record in records:
        task = tasks[record["id"]]
        if "model_output" in record:
            official, strict = (play_calls(task, record["model_output"], mode) for mode in MODES)
        else:
            official, strict = (play_replies(task, record["model_result"], mode) for mode in MODES)
        found[outcome(task, official[0], *strict)] += 1
    return found


# Printing


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    for row in (columns, ["---"] * len(columns), *rows):
        print(f"| {' | '.join(map(str, row))} |")
    print()


def agreement(cases: Iterable[Case]) -> str:
    agrees = [ours == theirs for _, ours, theirs in cases]
    return f"{sum(agrees)}/{len(agrees)}"


def valid_ground_truths(env: ToolUseEnv, tasks: Iterable[str]) -> str:
    valid = [_is_valid(env, task_id) for task_id in tasks]
    return f"{sum(valid)}/{len(valid)}"


def _is_valid(env: ToolUseEnv, task_id: str) -> bool:
    try:
        verdict = env.demonstrate(seed=0, options={"task_id": task_id}).verdict
    except UnwritableReplyError:  # the format cannot say it
        return False
    return verdict is not None and verdict.valid


MULTI_MODES: tuple[Mapping[str, Any], ...] = ({"format": "pythonic", "validation": "official"}, {"format": "hermes"})
SINGLE_MODES: Mapping[str, Mapping[str, Any]] = {
    "prompting": {"format": "prompting", "validation": "official"},
    "function calling": {"format": "structured", "show_tools": False, "validation": "official"},
    "pythonic": {"format": "pythonic", "validation": "official"},
    "hermes": {"format": "hermes", "validation": "official"},
    "strict": {"format": "hermes"},
}
"""How ground truths are played."""


def print_parity(calls: Grouped, replies: Grouped, tasks: Mapping[str, Tasks], folder: Path) -> None:
    rows = [
        (
            category,
            len(known),
            agreement(verdicts_on_calls(calls[category], known)),
            agreement(verdicts_on_replies(replies[category], known)),
            *(
                valid_ground_truths(BFCLMultiTurnEnv(category, data_dir=folder, **options), known)
                for options in MULTI_MODES
            ),
        )
        for category, known in tasks.items()
    ]
    table(("category", "tasks", "verdicts on calls", "verdicts on replies", "GT official", "GT strict"), rows)


def print_single_turn(folder: Path, prompted: bool) -> None:
    """Verdicts on recorded replies and calls, and how many of the ground truths that can be met are valid."""
    modes = {name: options for name, options in SINGLE_MODES.items() if prompted or name != "prompting"}
    verdicts: dict[str, list[Record]] = {category: [] for category in SINGLE_TURN}
    for record in read(folder / SINGLE_VERDICTS):
        verdicts[record["category"]].append(record)
    rows = []
    for category in SINGLE_TURN:
        tasks = load_single_turn(category, folder)
        met = [task_id for task_id, task in tasks.items() if "unsatisfiable" not in task.metadata]
        played = (
            valid_ground_truths(BFCLSingleTurnEnv(category, data_dir=folder, **options), met)
            for options in modes.values()
        )
        rows.append((category, len(tasks), agreement(single_turn_verdicts(verdicts[category], tasks)), *played))
    table(("category", "tasks", "verdicts", *(f"GT {name}" for name in modes)), rows)


def print_modes(calls: Grouped, replies: Grouped, tasks: Mapping[str, Tasks]) -> None:
    found = {
        (category, kind): outcomes(records[category], known)
        for category, known in tasks.items()
        for kind, records in (("calls", calls), ("replies", replies))
    }
    columns = ("both", "official", "strict", "neither")
    rows: list[Sequence[object]] = []
    for (category, kind), counts in found.items():
        modes = Counter(mode for mode, _ in counts.elements())
        rows.append((f"{category}, {kind}", counts.total(), *(modes[mode] for mode in columns)))
    table(("recorded", "cases", "valid in both", "only officially", "only strictly", "in neither"), rows)
    rows = []
    for mode, why in sorted({outcome for counts in found.values() for outcome in counts if outcome[1]}):
        by_category = [sum(found[category, kind][mode, why] for kind in ("calls", "replies")) for category in tasks]
        rows.append((f"only {mode}", why, *by_category))
    table(("valid", "as the other mode says", *tasks), rows)


def print_others(tasks: Tasks, single_turn: Tasks, folder: Path, oracle: str | None) -> None:
    prompting = at_hand(folder)
    docs, known = read(folder / DOCS), {**tasks, **single_turn}
    said = "messages" if prompting is not None else "messages but system prompts"
    compared = [
        (GROUND_TRUTHS, "results, states", ground_truths(read(folder / GROUND_TRUTHS), tasks)),
        (RANDOM_CALLS, "results, states", random_calls(read(folder / RANDOM_CALLS), tasks, load_payload(folder))),
        (CONVERSATIONS, said, conversations(read(folder / CONVERSATIONS), folder, prompting)),
        (DECODINGS, "values, call texts", decodings(read(folder / DECODINGS))),
        (DECODINGS, "values in other languages and formats", other_decodings(read(folder / DECODINGS))),
        (SINGLE_VERDICTS, "verdicts, error types", single_turn_verdicts(read(folder / SINGLE_VERDICTS), single_turn)),
        (DOCS, "functions, docs, tool lists", loaded_docs(docs, known, folder)),
    ]
    if prompting is not None:
        compared.append((DOCS, "system prompts", system_prompts(docs, known, folder, prompting)))
    if oracle is not None:
        compared.append(("the installed program", "prompts of format_sensitivity", variants(oracle, folder)))
    table(("recorded", "compared", "agree"), [(name, what, agreement(cases)) for name, what, cases in compared])


def at_hand(folder: Path) -> Prompting | None:
    """The prompting mode, if the release is there, whose prompts it needs."""
    try:
        return load_prompting(folder)
    except DataNotFoundError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="BFCL's data with the recorded outputs")
    parser.add_argument("--oracle", metavar="PYTHON", help="an interpreter that has bfcl_eval: compare its prompts too")
    asked = parser.parse_args()
    folder = asked.folder
    tasks = {category: load_tasks(category, folder) for category in CATEGORIES}
    single_turn = {name: task for category in SINGLE_TURN for name, task in load_single_turn(category, folder).items()}
    calls, replies = grouped(read(folder / CALLS)), grouped(read(folder / REPLIES))
    print_parity(calls, replies, tasks, folder)
    print_modes(calls, replies, tasks)
    print_single_turn(folder, prompted=at_hand(folder) is not None)
    flat = {task_id: task for known in tasks.values() for task_id, task in known.items()}
    print_others(flat, single_turn, folder, asked.oracle)


if __name__ == "__main__":
    main()
