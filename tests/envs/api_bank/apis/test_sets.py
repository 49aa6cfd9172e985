"""Every API of levels 1 and 2 over our own database, called as the core's world calls tools."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tooluse_gym.envs.api_bank.apis import SETS, make_sets
from tooluse_gym.envs.api_bank.apis.base import Episode
from tooluse_gym.envs.api_bank.checks import CHECKS
from tooluse_gym.envs.api_bank.database import starter_database
from tooluse_gym.formats.reply import Call
from tooluse_gym.world import World

MIA, LINA = "tk4r8mia2brandt61x", "tk2f6lina8kovacs40"
CHOIR = {
    "meeting_topic": "Budget of the choir",
    "start_time": "2024-05-14 18:00:00",
    "end_time": "2024-05-14 19:00:00",
    "location": "",
    "attendees": [],
}
ALLOTMENT = {"content": "Visit the allotment", "time": "", "location": ""}
TOMATOES = {"content": "Water the tomatoes", "time": "2024-05-06 20:00:00"}
DEVICES = [{"name": "Lamp ", "description": " Desk lamp"}, {"name": "Fan", "description": "Fan"}]


def make_world(seed: int = 0, **options: Any) -> World:
    database = starter_database()
    return World(make_sets(Episode(database.episode_tables(), database.library, seed=seed, **options)))


def ask(world: World, name: str, **arguments: Any) -> str:
    return world.call(Call(name, arguments)).text


ANSWERS: list[tuple[str, dict[str, Any], str]] = [
    ("CheckToken", {"token": MIA}, '{"username": "MiaBrandt"}'),
    ("GetUserToken", {"username": "MiaBrandt", "password": "Wn7%lake"}, f'{{"token": "{MIA}"}}'),
    ("DeleteAccount", {"token": MIA}, '{"status": "success"}'),
    ("ModifyPassword", {"token": MIA, "old_password": "Wn7%lake", "new_password": "n"}, '{"status": "success"}'),
    (
        "ForgotPassword",
        {"status": "Forgot Password", "username": "TomasRey", "email": "tomas.rey@example.org"},
        "970420",
    ),
    ("OpenBankAccount", {"account": "new", "password": "p", "name": "Mia"}, "success"),
    ("OpenBankAccount", {"account": "test", "password": "p", "name": "Mia"}, "failed"),
    ("QueryBalance", {"token": LINA}, "7304.0"),
    ("AddAgenda", {"token": MIA, "content": "Rest", "time": "2024-05-20 10:00:00", "location": "home"}, "success"),
    ("QueryAgenda", {"token": MIA, **ALLOTMENT}, "Garden colony Sonnenhang"),
    ("ModifyAgenda", {"token": MIA, **ALLOTMENT}, "success"),
    ("DeleteAgenda", {"token": MIA, **ALLOTMENT}, "success"),
    ("AddAlarm", {"token": MIA, "time": "2024-05-20 07:00:00"}, "success"),
    ("QueryAlarm", {"token": MIA, "time": "2024-05-06 06:45:00"}, "MiaBrandt"),
    ("ModifyAlarm", {"token": MIA, "from_time": "2024-05-06 06:45:00", "to_time": "2024-05-06 07:00:00"}, "success"),
    ("DeleteAlarm", {"token": MIA, "time": "2024-05-06 06:45:00"}, "success"),
    ("AddReminder", {"token": MIA, "content": "Bread", "time": "2024-05-20 07:00:00"}, "success"),
    ("QueryReminder", {"token": MIA, **TOMATOES}, "Water the tomatoes"),
    ("ModifyReminder", {"token": MIA, **TOMATOES}, "success"),
    ("DeleteReminder", {"token": MIA, **TOMATOES}, "success"),
    ("AddMeeting", {"token": LINA, **CHOIR}, "success"),
    ("QueryMeeting", {"token": LINA, **CHOIR}, "Aiko Sato"),
    ("ModifyMeeting", {"token": LINA, **CHOIR}, "success"),
    ("DeleteMeeting", {"token": LINA, **CHOIR}, "success"),
    ("QueryRegistration", {"patient_name": "Mia Brandt", "date": "2024-6-3"}, "20417733"),
    ("ModifyRegistration", {"appointment_id": "20417733", "new_appointment_date": "2024-06-05"}, "success"),
    ("CancelRegistration", {"appointment_id": "20417733"}, "success"),
    (
        "AppointmentRegistration",
        {"patient_name": "Aiko", "date": "2024-06-03", "doctor_name": "Dr. Moreau"},
        "61706749",
    ),
    (
        "QueryHealthData",
        {"user_id": "p1002", "start_time": "2024-05-01 00:00:00", "end_time": "2024-06-01 00:00:00"},
        "71.0",
    ),
    (
        "RecordHealthData",
        {"user_id": "P1", "time": "2024-05-01 00:00:00", "health_data": [{"name": "weight", "value": "70"}]},
        "success",
    ),
    ("SymptomSearch", {"symptom": "Nosebleed"}, "Dry air"),
    ("EmergencyKnowledge", {"symptom": "stiff neck"}, "Keep warm"),
    ("AddScene", {"name": "Work", "devices": DEVICES}, "success"),
    ("QueryScene", {"name": "Film Night"}, "projector"),
    ("ModifyScene", {"name": "film night", "devices": DEVICES}, "success"),
    ("DeleteScene", {"name": "film night"}, "success"),
    ("TimedSwitch", {"name": "Kettle", "time": "2024-05-09 06:50:00", "on": True}, "success"),
    ("CancelTimedSwitch", {"name": "kettle", "time": "2024-05-07 06:50:00"}, "success"),
    ("ImageCaption", {"url": "https://pictures.example.org/ferry.jpg"}, "a white ferry"),
    ("SpeechRecognition", {"url": "https://sounds.example.org/note-1.wav"}, "water the plants"),
    ("DocumentQA", {"url": "https://documents.example.org/tram-rules.txt", "question": "Why?"}, "too difficult"),
    ("PlayMusic", {"music_name": "Moon River"}, "music://moon river"),
    ("QueryStock", {"stock_code": "fery", "date": "2024-05-02"}, "18.4"),
    ("QueryHistoryToday", {"date": "5-6"}, "Port Amsel"),
    ("Wiki", {"keyword": "Tide"}, "encyclopedia.example.org/tide"),
    ("SearchEngine", {"keyword": "ripe tomatoes"}, "Growing tomatoes on a balcony"),
    ("Dictionary", {"keyword": "petrichor"}, "rain on dry ground"),
    ("Translate", {"src": "Good morning", "tgt_lang": "de"}, "Guten Morgen"),
    ("GetToday", {}, "2023-03-31"),
    ("SendEmail", {"receiver": "a.b@example.org", "subject": "s", "content": "c"}, "success"),
    (
        "BookHotel",
        {
            "hotel_name": "Harbour House",
            "check_in_time": "2024-08-01",
            "check_out_time": "2024-08-03",
            "room_count": 1,
            "adult_count": 1,
            "child_count": 0,
        },
        "3",
    ),
    ("Calculator", {"formula": "-(2 + 3) * 4"}, "-20.0"),
]


@pytest.mark.parametrize(("name", "arguments", "answer"), ANSWERS, ids=[name for name, _, _ in ANSWERS])
def test_it_answers(name: str, arguments: dict[str, Any], answer: str) -> None:
    result = make_world().call(Call(name, arguments))
    assert result.failure is None
    assert answer in result.text


def test_all_53_are_there_and_have_a_check() -> None:
    tools = [tool for kind in SETS for tool in kind.tools.values()]
    names = {tool.name for tool in tools}
    assert len(tools) == len(names) == 53
    assert names == set(CHECKS)
    assert names - {name for name, _, _ in ANSWERS} == {"RegisterUser", "ToolSearcher"}  # tested below
    assert all("description" in schema for tool in tools for schema in tool.parameters["properties"].values())


def test_a_registered_user_has_a_token_from_the_seed() -> None:
    user = {"username": "New", "password": "p", "email": "new@example.org"}
    tokens = [ask(make_world(seed), "RegisterUser", **user) for seed in (1, 1, 2)]
    assert tokens[0] == tokens[1] != tokens[2]


def test_tool_searcher_asks_the_retriever() -> None:
    assert ask(make_world(retriever=str.upper), "ToolSearcher", keywords="alarm") == "ALARM"
    assert "no tool library" in ask(make_world(), "ToolSearcher", keywords="alarm")


def test_a_forgotten_password_is_set_in_two_calls() -> None:
    world = make_world()
    second = {"status": "Verification Code", "verification_code": 970420, "new_password": "n"}
    assert "You need to call" in ask(world, "ForgotPassword", **second)
    ask(world, "ForgotPassword", status="Forgot Password", username="TomasRey", email="tomas.rey@example.org")
    assert ask(world, "ForgotPassword", **second) == "success"
    assert "token" in ask(world, "GetUserToken", username="TomasRey", password="n")


def test_sets_share_the_accounts() -> None:
    world = make_world()
    ask(world, "DeleteAccount", token=MIA)
    assert "The token is invalid." in ask(world, "AddAlarm", token=MIA, time="2024-05-20 07:00:00")


def test_a_copy_is_an_episode_of_its_own_that_shares_the_library() -> None:
    world = make_world()
    twin = copy.deepcopy(world)
    ask(twin, "DeleteAccount", token=MIA)
    assert "username" in ask(world, "CheckToken", token=MIA)
    assert world.differs(twin) == {"Accounts": ["accounts"]}
    libraries = [vars(each.toolsets["Knowledge"])["_episode"].library for each in (world, twin)]
    assert libraries[0] is libraries[1]


def test_what_a_call_stored_does_not_change_with_its_arguments() -> None:
    world, attendees = make_world(), ["Aiko Sato"]
    call = Call("AddMeeting", {"token": MIA, **CHOIR, "attendees": attendees})
    world.call(call)
    attendees.append("Nobody")
    assert "Nobody" not in ask(world, "QueryMeeting", token=MIA, **CHOIR)


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("QueryBalance", {"token": "x"}, "The token is incorrect."),
    ("DeleteAgenda", {"token": MIA, "content": "", "time": "", "location": ""}, "Error"),
    ("AddAlarm", {"token": MIA, "time": "tomorrow"}, "time data 'tomorrow' does not match"),
    ("QueryHistoryToday", {"date": "4/21"}, "time data '4/21' does not match format '%m-%d'"),
    ("QueryHistoryToday", {"date": "04-21x"}, "unconverted data remains: x"),
    ("EmergencyKnowledge", {"symptom": " "}, "The symptom cannot be empty."),
    ("Translate", {"src": "Good morning", "tgt_lang": "ja"}, "translations are recorded ones only"),
    ("Dictionary", {"keyword": "unheard"}, "Failed."),
    ("SearchEngine", {"keyword": "x" * 10_001}, "The keyword is too long."),
    ("SendEmail", {"receiver": "a" * 50_000, "subject": "s", "content": "c"}, "address of the receiver is invalid"),
    ("TimedSwitch", {"name": "kettle", "time": "2024-05-09 06:50:00", "on": "True"}, "argument 'on': expected boolean"),
]


@pytest.mark.parametrize(("name", "arguments", "told"), REFUSALS, ids=[name for name, _, _ in REFUSALS])
def test_it_refuses_and_changes_nothing(name: str, arguments: dict[str, Any], told: str) -> None:
    world = make_world()
    result = world.call(Call(name, arguments))
    assert result.failure is not None
    assert told in result.text
    assert world.differs(make_world()) == {}
