"""Calls of levels 1 and 2 as the official program carried them out and judged them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import api_bank_parity as parity
from tooluse_gym.envs.api_bank.apis.base import Mode
from tooluse_gym.envs.api_bank.database import RECORDED, load_database

Records = Callable[[str], list[dict[str, Any]]]


def test_every_comparable_call_comes_out_officially(api_bank_data: Path, api_bank_records: Records) -> None:
    records = [record for record in api_bank_records(parity.EXPECTED) if parity.comparable(record)]
    assert len(records) == 7210
    cases = parity.calls(records, parity.read_dialogues(api_bank_data), load_database(api_bank_data))
    assert parity.differing(cases) == []


@pytest.mark.parametrize(
    ("mode", "accepted"),
    [("reference", {1: 329, 2: 64}), ("corrected", {1: 375, 2: 74})],
    ids=["reference", "corrected"],
)
def test_own_calls_are_accepted_as_often(mode: Mode, accepted: dict[int, int], api_bank_data: Path) -> None:
    dialogues, database = parity.read_dialogues(api_bank_data), load_database(api_bank_data)
    verdicts = list(parity.gold_verdicts(dialogues, database, mode))
    right = Counter(level for level, _, gold, verdict in verdicts if verdict.correct and gold.name not in RECORDED)
    assert right == accepted
    assert all(verdict.correct for _, _, gold, verdict in verdicts if gold.name in RECORDED)
    if mode == "corrected":  # the devices of the recordings had numbers, those of the released database have names
        assert {gold.name for _, _, gold, verdict in verdicts if not verdict.correct} == {
            "CancelTimedSwitch",
            "ToolSearcher",
        }
