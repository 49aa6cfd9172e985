"""Calls as the official programs carried them out and judged them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import api_bank_parity as parity
from tooluse_gym.envs.api_bank.apis.base import Mode

Records = Callable[[str], list[dict[str, Any]]]


def test_every_comparable_call_comes_out_officially(api_bank_data: Path, api_bank_records: Records) -> None:
    records = [record for record in api_bank_records(parity.EXPECTED) if parity.comparable(record)]
    assert Counter(record["level"] for record in records) == {0: 288, 1: 5705, 2: 1217, 3: 1447}
    assert parity.differing(parity.calls(records, parity.load_levels(api_bank_data))) == []


@pytest.mark.parametrize(
    ("mode", "accepted", "answered"),
    [("reference", (329, 64, 121), (9, 45, 114)), ("corrected", (375, 74, 131), (9, 45, 114))],
    ids=["reference", "corrected"],
)
def test_own_calls_are_accepted_as_often(
    mode: Mode, accepted: tuple[int, ...], answered: tuple[int, ...], api_bank_data: Path
) -> None:
    verdicts = {
        number: [(gold.name, verdict.correct) for _, gold, verdict in parity.gold_verdicts(level, mode)]
        for number, level in parity.load_levels(api_bank_data).items()
    }
    right = Counter(
        (number, name in parity.ASKED) for number in verdicts for name, correct in verdicts[number] if correct
    )
    assert tuple(right[number, False] for number in (1, 2, 3)) == accepted
    assert tuple(right[number, True] for number in (1, 2, 3)) == answered
    if mode == "corrected":  # the devices of the recordings had numbers, those of the released database have names
        rejected = {name for judged in verdicts.values() for name, correct in judged if not correct}
        assert rejected == {"CancelTimedSwitch"}
