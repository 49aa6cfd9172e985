"""BFCL as benchmarks of the evaluator: v4, v3, and v4's sensitivity to the prompt's form.

Conversations, verdicts and formulas are upstream's. In mode ``fc`` tools come from the chat template or the server;
``--option format=hermes`` reads the text of a local model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from tooluse_gym.envs.bfcl.data import CATEGORIES
from tooluse_gym.envs.bfcl.official import write_official
from tooluse_gym.envs.bfcl.prompt_config import FORMAT_SENSITIVITY, PromptConfig
from tooluse_gym.envs.bfcl.scores import aggregate_scores, categories_of, format_sensitivity
from tooluse_gym.envs.bfcl.single_turn import SENSITIVITY, SINGLE_TURN
from tooluse_gym.evaluation.benchmark import Benchmark, Category, Chain, Figures, Tally, itself
from tooluse_gym.outcome import Played
from tooluse_gym.tasks import Task


def _modes(**options: Any) -> dict[str, dict[str, Any]]:
    official = {**options, "validation": "official", "rubric": "official"}
    return {"prompting": {**official, "format": "prompting"}, "fc": {**official, "format": "structured"}}


# Multi-turn and single-turn


def _number(task_id: str) -> str:
    """What entries with the same first state and most of the same words have in common."""
    return task_id.rpartition("_")[2]


def _functions(task_id: str) -> str:
    """Live entries are numbered ``entry-functions-prompt``: several ask about the same functions."""
    return task_id.split("-")[1]


def _original(task_id: str) -> str:
    """The entry that is asked in 26 variants."""
    return task_id.rpartition(":")[2]


def _multi_turn(short: str) -> Category:
    options = _modes(dataset=short)
    return Category(f"multi_turn_{short}", "BFCLMultiTurn-v0", options, family="multi_turn", base=_number)


def _single_turn(name: str) -> Category:
    base = _functions if name.startswith("live_") else itself
    return Category(name, "BFCLSingleTurn-v0", _modes(dataset=name), base=base)


def _variant(config: PromptConfig) -> Category:
    options = {"prompting": _modes(dataset=SENSITIVITY, prompt=str(config))["prompting"]}
    return Category(str(config), "BFCLSingleTurn-v0", options, family=SENSITIVITY, base=_original)


# Memory


def _conversations(task: Task) -> Sequence[str]:
    before: Sequence[str] = task.metadata["depends_on"]
    return before


def _answered(played: Played) -> Tally:
    """Conversations in which the user tells things are not graded."""
    return Tally(0.0, 0.0) if "prereq" in played.task_id else Tally(float(played.valid), 1.0)


def _scenario(task_id: str) -> str:
    """Questions about the same conversations are answered from the same memory."""
    return task_id.rpartition("-")[0].rpartition("-")[2]


def _memory(backend: str) -> Category:
    options = _modes(dataset="memory", backend=backend)
    chain = Chain(_conversations, handed_on="memory")
    return Category(
        f"memory_{backend}", "BFCLMemory-v0", options, family="memory", base=_scenario, score=_answered, chain=chain
    )


_AST = [_single_turn(name) for name in SINGLE_TURN]
_MULTI_TURN = [_multi_turn(short) for short in CATEGORIES]
_VARIANTS = [_variant(config) for config in FORMAT_SENSITIVITY]
_MEMORY = [_memory(backend) for backend in ("kv", "rec_sum")]


# Scores


def _scores(version: Literal["v4", "v3"], tallies: Mapping[str, Tally]) -> Figures:
    scores = aggregate_scores({name: (tally.right, round(tally.total)) for name, tally in tallies.items()}, version)
    played = {name: value for name, value in scores.groups.items() if {*categories_of(name, version)} & {*tallies}}
    return Figures({"overall": scores.overall, **played}, scores.missing)


def _spread(tallies: Mapping[str, Tally]) -> Figures:
    found = format_sensitivity({name: (tally.right, round(tally.total)) for name, tally in tallies.items()})
    values = {
        "mean": sum(found.accuracies.values()) / len(found.accuracies),
        "max_delta": found.max_delta / 100,
        "standard_deviation": found.standard_deviation / 100,
    }
    return Figures(values)


def _by_name(*categories: Category) -> dict[str, Category]:
    return {category.name: category for category in categories}


_NOT_OFFERED = {
    "web_search": "it needs the live internet and a paid search service",
    "memory_vector": "its results depend on the weights of one embedding model",
}

BENCHMARKS = (
    Benchmark("bfcl-v4", _by_name(*_AST, *_MULTI_TURN, *_MEMORY), partial(_scores, "v4"), _NOT_OFFERED, write_official),
    Benchmark("bfcl-v3", _by_name(*_AST, *_MULTI_TURN), partial(_scores, "v3"), official=write_official),
    Benchmark("bfcl-format-sensitivity", _by_name(*_VARIANTS), _spread, official=write_official),
)
