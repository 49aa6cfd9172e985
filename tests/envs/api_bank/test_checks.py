from __future__ import annotations

import copy
from typing import Any

import pytest

from tooluse_gym.envs.api_bank.apis.base import Mode
from tooluse_gym.envs.api_bank.checks import BrokenCheckError, check
from tooluse_gym.envs.api_bank.manager import Result

LAMP, FAN = {"name": "Lamp", "description": "d "}, {"name": "fan", "description": "e"}


def result(name: str, output: Any = "success", exception: str | None = None, /, **given: Any) -> Result:
    return {"api_name": name, "input": given, "output": output, "exception": exception}


@pytest.mark.parametrize(
    ("name", "ours", "gold", "same"),
    [
        ("AddAgenda", {"content": "buy some milk"}, {"content": "buy milk"}, True),
        ("AddAgenda", {"content": "buy milk"}, {"content": "sell milk"}, False),
        ("AddReminder", {"content": "Buy Milk"}, {"content": "buy milk"}, True),
        ("AddAgenda", {"content": "Buy Milk"}, {"content": "buy milk"}, False),
        ("AddAgenda", {"content": ""}, {"content": ""}, True),
    ],
    ids=["most words", "half of the words", "reminders ignore case", "agendas do not", "both empty"],
)
def test_words_in_common(name: str, ours: dict[str, str], gold: dict[str, str], same: bool) -> None:
    shared = {"token": "t", "time": "2024-05-01 10:00:00", "location": "l"}
    assert check(name, result(name, **{**shared, **ours}), result(name, **{**shared, **gold})) is same


@pytest.mark.parametrize("mode", ["reference", "corrected"])
def test_no_check_changes_what_it_compares(mode: Mode) -> None:
    ours, gold = (result("AddScene", name=" Work", devices=devices) for devices in ([LAMP, FAN], [FAN, LAMP]))
    before = copy.deepcopy((ours, gold))
    assert check("AddScene", ours, gold, mode)
    assert (ours, gold) == before


def test_two_unreadable_dates_are_not_equal() -> None:
    ours = result("QueryStock", None, "e", stock_code="A", date="soon")
    assert not check("QueryStock", ours, ours)


@pytest.mark.parametrize(
    ("name", "ours", "kind"),
    [
        ("DeleteMeeting", result("DeleteMeeting", start_time="s"), "KeyError"),
        ("SymptomSearch", result("SymptomSearch", None, "e", symptom=" "), "Exception"),
        ("EmergencyKnowledge", result("EmergencyKnowledge", None, "e", symptom=" "), "AttributeError"),
        ("SearchEngine", result("SearchEngine", None, "e", keyword=3), "UnboundLocalError"),
        ("QueryStock", result("QueryStock", None, "e", stock_code=3, date=""), "AttributeError"),
    ],
    ids=["no such input", "no symptom", "no emergency", "failed search", "no text"],
)
def test_where_the_official_check_breaks(name: str, ours: Result, kind: str) -> None:
    with pytest.raises(BrokenCheckError) as caught:
        check(name, ours, ours)
    assert caught.value.kind == kind
    assert check(name, ours, ours, "corrected") is (name == "DeleteMeeting")


def test_corrected_mode_compares_device_names_in_any_case_and_old_parameter_names() -> None:
    ours, gold = (result("QueryScene", [{"name": name, "description": "d"}], name="x") for name in ("fan", "Fan"))
    assert (check("QueryScene", ours, gold), check("QueryScene", ours, gold, "corrected")) == (False, True)
    time = "2024-05-01 10:00:00"
    ours = result("CancelTimedSwitch", name="a", time=time)
    assert check("CancelTimedSwitch", ours, result("CancelTimedSwitch", device_id="A", time=time), "corrected")
