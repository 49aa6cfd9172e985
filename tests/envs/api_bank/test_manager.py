from __future__ import annotations

import copy
from typing import Any

import pytest

from tooluse_gym.envs.api_bank.apis import make_sets
from tooluse_gym.envs.api_bank.apis.base import Episode, Mode, RejectedCallError
from tooluse_gym.envs.api_bank.database import starter_database
from tooluse_gym.envs.api_bank.judging import judge_call
from tooluse_gym.envs.api_bank.manager import ApiManager

BOOKING = {
    "hotel_name": "Harbour House",
    "check_in_time": "2024-08-01",
    "check_out_time": "2024-08-03",
    "room_count": "1",
    "adult_count": "2",
    "child_count": "0",
}
SWITCH = {"name": "kettle", "time": "2024-05-09 06:50:00"}
HEALTH = {"user_id": "P1", "time": "2024-05-01 00:00:00"}
WEIGHT = [{"name": "weight", "value": "70"}]


def make_manager(mode: Mode) -> ApiManager:
    database = starter_database()
    episode = Episode(database.episode_tables(), database.library, mode)
    return ApiManager(make_sets(episode), episode)


@pytest.mark.parametrize(
    ("name", "arguments", "parameter", "value"),
    [
        ("BookHotel", BOOKING, "room_count", 1),
        ("BookHotel", {**BOOKING, "room_count": " 1 "}, "room_count", 1),
        ("BookHotel", {**BOOKING, "child_count": "-1"}, "child_count", -1),
        ("TimedSwitch", {**SWITCH, "on": "True"}, "on", True),
        ("TimedSwitch", {**SWITCH, "on": "false"}, "on", False),
        ("TimedSwitch", {**SWITCH, "on": True}, "on", True),
        ("TimedSwitch", {"device_id": "kettle", "time": SWITCH["time"], "on": False}, "name", "kettle"),
        ("RecordHealthData", {**HEALTH, "health_data": str(WEIGHT)}, "health_data", WEIGHT),
        ("RecordHealthData", {**HEALTH, "health_data": WEIGHT}, "health_data", WEIGHT),
        ("CancelRegistration", {"appointment_id": "20417733"}, "appointment_id", "20417733"),
    ],
    ids=["integer", "padded", "negative", "True", "false", "a bool", "old name", "list as text", "list", "digits"],
)
def test_corrected_mode_reads_what_is_meant(name: str, arguments: dict[str, Any], parameter: str, value: Any) -> None:
    result = make_manager("corrected").call(name, arguments)
    assert result["exception"] is None
    assert result["input"][parameter] == value
    assert type(result["input"][parameter]) is type(value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"on": "maybe"}, "argument 'on': expected boolean"),
        ({"on": 1}, "argument 'on': expected boolean"),
        ({"on": True, "name": 5}, "argument 'name': expected string"),
        ({"on": True, "colour": "red"}, "invalid parameter name. parameter: colour"),
        ({}, "missing 1 required positional argument: 'on'"),
    ],
    ids=["no bool", "a number", "no text", "unknown", "missing"],
)
def test_corrected_mode_rejects_other_types(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(RejectedCallError, match=told):
        make_manager("corrected").call("TimedSwitch", {**SWITCH, **arguments})


@pytest.mark.parametrize(
    ("name", "arguments", "kind"),
    [
        ("Nothing", {}, "Exception"),
        ("BookHotel", {**BOOKING, "room_count": "-1"}, "AssertionError"),
        ("BookHotel", {**BOOKING, "room_count": None}, "TypeError"),
        ("BookHotel", {**BOOKING, "room_count": "9" * 5_000}, "ValueError"),
        ("BookHotel", {**BOOKING, "room_count": float("inf")}, "OverflowError"),
    ],
    ids=["no such API", "negative", "None", "too long", "infinite"],
)
def test_reference_mode_names_the_official_exception(name: str, arguments: dict[str, Any], kind: str) -> None:
    with pytest.raises(RejectedCallError) as caught:
        make_manager("reference").call(name, arguments)
    assert caught.value.kind == kind


def test_in_reference_mode_true_is_false() -> None:
    assert make_manager("reference").call("TimedSwitch", {**SWITCH, "on": True})["input"]["on"] is False


@pytest.mark.parametrize("mode", ["reference", "corrected"])
def test_neither_arguments_nor_state_hang_on_a_result(mode: Mode) -> None:
    manager, devices = make_manager(mode), [{"name": "Lamp", "description": "d"}]
    arguments = {"name": "work", "devices": copy.deepcopy(devices)}
    result = manager.call("AddScene", arguments)
    assert arguments["devices"] == devices
    assert result["input"]["devices"] == [{"name": "lamp", "description": "d"}]  # as the API left them
    result["input"]["devices"].clear()
    assert manager.call("QueryScene", {"name": "work"})["output"] == [{"name": "lamp", "description": "d"}]


def test_a_repeated_call_draws_what_the_recorded_one_drew() -> None:
    manager, arguments = make_manager("corrected"), {"patient_name": "A", "date": "2024-06-03", "doctor_name": "B"}
    gold = {"api_name": "AppointmentRegistration", "input": arguments, "output": "11112222", "exception": None}
    verdict = judge_call(manager, "AppointmentRegistration", arguments, ("AppointmentRegistration", gold), "corrected")
    assert verdict.correct
    assert "11112222" in manager.call("QueryRegistration", {"patient_name": "A", "date": "2024-06-03"})["output"]
