from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tooluse_gym.envs import api_bank
from tooluse_gym.envs.api_bank.apis.base import Mode
from tooluse_gym.envs.api_bank.calls import official_text
from tooluse_gym.errors import ConfigurationError


@pytest.mark.parametrize(
    ("level", "mode", "right", "rejected"),
    [
        (1, "reference", 338, 51),
        (2, "reference", 109, 10),
        (3, "reference", 235, 10),
        (1, "corrected", 384, 5),
        (2, "corrected", 119, 0),
        (3, "corrected", 245, 0),
    ],
)
def test_how_many_of_its_own_calls_each_mode_accepts(
    level: int, mode: Mode, right: int, rejected: int, api_bank_data: Path
) -> None:
    """Of the official 329, 64 and 121 these are more: 9 recorded answers of the network, 45 and 114 searches."""
    calls = {
        (sample.dialogue.id, sample.turn): sample for sample in api_bank.load_samples(level, "call", api_bank_data)
    }
    accepted: Counter[bool] = Counter()
    by_name: Counter[str] = Counter()
    for sample in calls.values():
        gold = sample.target.call
        assert gold is not None
        verdict = api_bank.score_call(sample, official_text(gold.name, gold.params), mode, api_bank_data)
        accepted[verdict.correct] += 1
        by_name[gold.name] += verdict.correct
    assert (accepted[True], accepted[False]) == (right, rejected)
    if mode == "reference":
        asked = by_name["ToolSearcher"] + by_name["Dictionary"] + by_name["Translate"]
        assert right - asked == {1: 329, 2: 64, 3: 121}[level]


def test_a_reply_without_the_call_is_wrong(api_bank_data: Path) -> None:
    sample = api_bank.load_samples(1, "call", api_bank_data)[0]
    for reply, message in (
        ("I do not know.", "No API call found."),
        ("[NoSuchApi(a='b')]", "API Name Mismatch: NoSuchApi vs GetUserToken"),
        ("[GetUserToken(user='b')]", "invalid parameter name. parameter: user"),
    ):
        assert api_bank.score_call(sample, reply, "reference", api_bank_data)[:2] == (False, message)
    assert not api_bank.score_call(sample, "[GetUserToken(username='x", "corrected", api_bank_data).correct


def test_answers_are_scored_by_rouge(api_bank_data: Path) -> None:
    for level in (1, 3):
        sample = api_bank.load_samples(level, "response", api_bank_data)[0]
        assert api_bank.score_response(sample, sample.target.text) == 1.0
        assert api_bank.score_response(sample, "") == 0.0
    assert api_bank.score_response(sample, f"AI:{sample.target.text}") == 1.0
    with pytest.raises(ConfigurationError, match="asks for what the AI says"):
        api_bank.score_call(sample, "[F()]", "reference", api_bank_data)


def test_wrong_options_are_named(api_bank_data: Path) -> None:
    with pytest.raises(ConfigurationError, match="levels 1, 2 and 3"):
        api_bank.load_samples(4, "call", api_bank_data)
    sample = api_bank.load_samples(1, "call", api_bank_data)[0]
    with pytest.raises(ConfigurationError, match="unknown scoring 'strict'; choose one of reference, corrected"):
        api_bank.score_call(sample, "", "strict", api_bank_data)  # type: ignore[arg-type]
