"""BFCL's memory files as tasks: per back-end 37 conversations in five scenarios, then 155 questions about them.

The demonstration of a conversation keeps the sentences that questions ask for later, which the file of answers quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from tooluse_gym.envs.bfcl.data import QUESTION_TURNS
from tooluse_gym.envs.bfcl.memory.context import CLASSES, CONTENT, begin, empty
from tooluse_gym.envs.bfcl.memory.judge import found
from tooluse_gym.envs.bfcl.release import (
    FILES,
    PROMPTS,
    answers_of,
    demand_release,
    literals,
    read_answered,
    read_entries,
    source,
    where,
)
from tooluse_gym.formats import Call
from tooluse_gym.tasks import Steps, Task, Turn

SCENARIOS = ("student", "customer", "finance", "healthcare", "notetaker")
"""In this order; in each, the conversations have an order, too."""

_ROLES, _ANSWER_FORM = "MEMORY_AGENT_SETTINGS", "ADDITIONAL_SYSTEM_PROMPT_FOR_AGENTIC_RESPONSE_FORMAT"
_EXPLAINED = {"kv": "MEMORY_BACKEND_INSTRUCTION_CORE_ARCHIVAL", "rec_sum": "MEMORY_BACKEND_INSTRUCTION_UNIFIED"}

_ENTRY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^memory_"},
        "scenario": {"enum": list(SCENARIOS)},
        "topic": {"type": "string", "minLength": 1},
        "question": {**QUESTION_TURNS, "items": {**QUESTION_TURNS["items"], "minItems": 1}},
    },
    "required": ["id", "scenario", "question"],
}
_CONVERSATION = jsonschema.Draft202012Validator({**_ENTRY, "required": [*_ENTRY["required"], "topic"]})
_QUESTION = jsonschema.Draft202012Validator(_ENTRY)
_ANSWER = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "ground_truth": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "source": {"type": "string"},
        },
        "required": ["id", "ground_truth", "source"],
    }
)


def load_memory_tasks(backend: str, data_dir: str | Path | None = None) -> dict[str, Task]:
    """Upstream's tasks of a back-end by upstream's id: those with ``prereq`` in it, then the questions.

    ``metadata`` holds ``category``, ``scenario``, ``depends_on`` (ids of the conversations before, in order) and, of a
    question, ``answers`` and ``source``. All begin with an empty memory, unless one is handed over.

    Raises:
        DataNotFoundError: a file is absent, or another release's.
        TaskError: an entry is malformed; the message names file, line and field.
    """
    folder = where(data_dir)
    conversations, questions = _folder(folder), folder / "BFCL_v4_memory.json"
    talks = {name: list(read_entries(path, _CONVERSATION)) for name, path in conversations.items()}
    asked = list(read_answered(questions, _QUESTION, _ANSWER))
    for path in (*conversations.values(), questions, answers_of(questions)):
        demand_release(path, FILES[f"data/{path.relative_to(folder).as_posix()}"])
    prompts = _read_prompts(source(folder, PROMPTS), backend)

    tasks: dict[str, Task] = {}
    keys: dict[tuple[str, str], str] = {}  # of what is kept, by scenario and sentence
    for scenario in SCENARIOS:
        entries = [entry for _, entry in talks[scenario]]
        kept = _kept(entries, [answer["source"] for _, entry, _, answer in asked if entry["scenario"] == scenario])
        before: list[str] = []
        for index, entry in enumerate(entries):
            sentences = {turn: texts for (place, turn), texts in kept.items() if place == index}
            steps = _keep(entry["topic"], sentences, backend, scenario, keys)
            task = _task(entry, backend, prompts[scenario], steps, before)
            tasks[task.id] = task
            before.append(task.id)
    before_question = {
        name: [i for i, task in tasks.items() if task.metadata["scenario"] == name] for name in SCENARIOS
    }
    for _, entry, _, answer in asked:
        scenario = entry["scenario"]
        key = keys.get((scenario, answer["source"]))
        look = {0: ((Call("archival_memory_retrieve", {"key": key}),),)} if key else {}
        prompt = f"{prompts[scenario]}\n\n{prompts[_ANSWER_FORM]}"
        task = _task(entry, backend, prompt, look, before_question[scenario], answer)
        tasks[task.id] = task
    return tasks


def _folder(folder: Path) -> dict[str, Path]:
    return {name: folder / "memory_prereq_conversation" / f"memory_{name}.json" for name in SCENARIOS}


def _read_prompts(path: Path, backend: str) -> dict[str, str]:
    """What the system message says in each scenario, and of the form of answers."""
    texts = literals(path, (_ROLES, _EXPLAINED[backend], _ANSWER_FORM))
    demand_release(path, FILES[PROMPTS])
    explained, roles = texts[_EXPLAINED[backend]], texts[_ROLES]
    prompts = {name: explained.format(scenario_setting=roles[name], memory_content=CONTENT) for name in SCENARIOS}
    return {**prompts, _ANSWER_FORM: texts[_ANSWER_FORM]}


def _task(
    entry: Mapping[str, Any],
    backend: str,
    prompt: str,
    steps: Mapping[int, Steps],
    before: list[str],
    answer: Mapping[str, Any] | None = None,
) -> Task:
    category = f"memory_{backend}"
    metadata: dict[str, Any] = {
        "category": category,
        "backend": backend,
        "scenario": entry["scenario"],
        "depends_on": list(before),
        "system": prompt,
    }
    if answer is not None:
        metadata |= {"answers": answer["ground_truth"], "source": answer["source"]}
    response = None if answer is None else _response(answer)
    turns = [Turn(tuple(said), steps.get(index, ()), response=response) for index, said in enumerate(entry["question"])]
    task_id = entry["id"].replace("memory", category, 1)
    task = Task(task_id, tuple(turns), (CLASSES[backend],), split="test", metadata=metadata)
    return begin(task, empty(backend))


def _response(answer: Mapping[str, Any]) -> str:
    """An answer in the demanded form, the first accepted one that the checker finds in it."""
    said = [str({"answer": text, "context": answer["source"]}) for text in answer["ground_truth"]]
    return next((text for text in said if found(answer["ground_truth"], text)), said[0])


def _kept(entries: list[dict[str, Any]], sentences: list[str]) -> dict[tuple[int, int], list[str]]:
    """The sentences by conversation and turn: each in the turn that shares most words with it."""
    places = {
        (index, turn): _words(" ".join(message["content"] for message in said))
        for index, entry in enumerate(entries)
        for turn, said in enumerate(entry["question"])
    }
    kept: dict[tuple[int, int], list[str]] = {}
    for sentence in dict.fromkeys(sentences):
        words = _words(sentence)
        kept.setdefault(max(places, key=lambda place: len(places[place] & words)), []).append(sentence)
    return kept


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _keep(
    topic: str, sentences: Mapping[int, list[str]], backend: str, scenario: str, keys: dict[tuple[str, str], str]
) -> dict[int, Steps]:
    """The calls that keep the sentences of each turn."""
    name = "_".join(re.findall("[a-z]+", topic.lower()))
    steps: dict[int, Steps] = {}
    count = 0
    for turn, texts in sentences.items():
        calls = []
        for text in texts:
            count += 1
            if backend == "kv":
                key = keys[scenario, text] = f"{name}_{count}"
                calls.append(Call("archival_memory_add", {"key": key, "value": text}))
            else:
                calls.append(Call("memory_append", {"text": f"{topic}: {text}\n"}))
        steps[turn] = (tuple(calls),)
    return steps
