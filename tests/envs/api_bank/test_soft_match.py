from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.api_bank.soft_match import accuracies, parse_reply, soft_match

GOLD = ("F", {"a": "1"})


@pytest.mark.parametrize(
    ("calls", "right"),
    [
        ([{"name": "F", "parameters": {"a": "1"}}], True),
        ([{"name": "F", "parameters": {"a": 1}}], False),
        ([{"name": "G", "parameters": {}}, {"name": "F", "parameters": {"a": "1"}}], True),
        ([{"a": "1"}], True),
        ([{"name": "F", "arguments": {"a": "1"}}], False),
        (['{"name": "F", "parameters": {"a": "1"}}'], True),
        (["{", {"name": "F", "parameters": {"a": "1"}}], False),
        ([5, {"name": "F", "parameters": {"a": "1"}}], False),
        ([["name", "parameters"], {"name": "F", "parameters": {"a": "1"}}], False),
        (["[" * 100_000], False),
        ([], False),
    ],
    ids=["right", "a number", "second", "bare", "arguments", "text", "bad text", "number", "list", "deep", "none"],
)
def test_the_soft_match(calls: list[Any], right: bool) -> None:
    assert soft_match(calls, *GOLD) is right


def test_accuracies_are_percentages_by_level() -> None:
    scores = [(1, True), (1, True), (1, False), (3, False)]
    assert accuracies(scores) == {"level-1": 66.67, "level-3": 0.0, "overall": 50.0}


def test_the_recorded_scores_and_parses(
    api_bank_data: Path, api_bank_records: Callable[[str], list[dict[str, Any]]]
) -> None:
    gold = {}
    for level in (1, 2, 3):
        items = json.loads((api_bank_data / f"processed/level-{level}-api_processed.json").read_text(encoding="utf-8"))
        gold.update({f"Level{level}_{index}": item["answer"] for index, item in enumerate(items)})
    assert len(gold) == 597
    seen = {"score": 0, "parse": 0}
    for record in api_bank_records("toolrl_eval.jsonl.gz"):
        seen[record["kind"]] += 1
        if record["kind"] == "parse":
            assert parse_reply(record["raw_output"]) == (record["thought"], tuple(record["tool_calls"]))
        else:
            answer = gold[record["key"]]
            answer = answer[0] if isinstance(answer, list) else answer
            assert soft_match(record["tool_calls"], answer["name"], answer["parameters"]) == bool(record["score"])
    assert seen == {"score": 1_791, "parse": 236}
