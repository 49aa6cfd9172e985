from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.api_bank_parity import TOOLRL, differing, soft_matches
from tooluse_gym.envs.api_bank.soft_match import accuracies, soft_match

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
    cases = list(soft_matches(api_bank_records(TOOLRL), api_bank_data))
    assert Counter(what for what, _, _ in cases) == {"score": 1_791, "parse": 236}
    assert differing(cases) == []
