"""The APIs of level 3: what they do with our own tables, and what the corrected mode mends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tooluse_gym.envs.api_bank.apis.base import Episode, Mode
from tooluse_gym.envs.api_bank.apis.level3 import LEVEL3_SETS, make_level3_sets
from tooluse_gym.envs.api_bank.database import Database
from tooluse_gym.envs.api_bank.level3_checks import CHECKS
from tooluse_gym.envs.api_bank.level3_database import load_level3, starter_level3
from tooluse_gym.envs.api_bank.manager import ApiManager
from tooluse_gym.errors import DataNotFoundError, TaskError


def manager(database: Database, mode: Mode = "corrected") -> ApiManager:
    episode = Episode(database.episode_tables(), database.library, mode)
    return ApiManager(make_level3_sets(episode), episode)


def test_there_are_22_apis_each_with_a_check() -> None:
    names = [name for kind in LEVEL3_SETS for name in kind.tools]
    assert len(names) == len(set(names)) == 22
    assert set(names) == set(CHECKS)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("FlightSearch", {"source": "Bellmoor", "destination": "Port Anselm", "travel_dates": "2024-6-3"}),
        (
            "HotelAvailability",
            {"destination": "Karsund", "check_in_date": "2024-06-02", "check_out_date": "2024-06-04"},
        ),
    ],
    ids=["flights", "hotels"],
)
def test_a_search_can_be_repeated_in_corrected_mode_only(name: str, arguments: dict[str, str]) -> None:
    apis = manager(starter_level3())
    first, again = (apis.call(name, arguments) for _ in range(2))
    assert first == again
    assert all(first["output"].values())
    apis = manager(starter_level3(), "reference")
    assert apis.call(name, arguments) == first
    assert "'str' object has no attribute" in apis.call(name, arguments)["exception"]


def test_corrected_mode_says_what_is_wrong() -> None:
    apis = manager(starter_level3())
    assert apis.call("TaxCalculator", {"salary": "-1"})["exception"] == "The salary must not be negative."
    nowhere = {"latitude": 0.0, "longitude": 0.0}
    assert apis.call("GetWeatherForCoordinates", nowhere)["exception"] == (
        "There is no weather report for these coordinates."
    )


def test_an_address_is_stored_for_one_user_and_one_episode() -> None:
    given = {"username": "Ravi", "password": "kettle9", "address": "2 Quay Lane"}
    apis = manager(starter_level3())
    assert apis.call("PersonalInfoUpdate", given)["output"] == {"status": "success"}
    owner = apis.call("AccountInfo", {"username": "Ravi", "password": "kettle9"})["output"]
    assert owner == {"email": "ravi@example.org", "phone": "555-0101"}  # upstream keeps two copies
    assert "address" not in starter_level3().episode_tables()["PersonalInfoUpdate"]["Ravi"]["info"]


def test_a_folder_with_other_tables_is_refused(api_bank_data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"lv3_databases\.json is missing"):
        load_level3(tmp_path)
    text = (api_bank_data / "lv3_databases.json").read_text(encoding="utf-8")
    (tmp_path / "lv3_databases.json").write_text(text.replace("Geocoding", "Geokoding"), encoding="utf-8")
    with pytest.raises(TaskError, match=r"lv3_databases\.json: the record: 'Geocoding' is a required property"):
        load_level3(tmp_path)
    (tmp_path / "lv3_databases.json").write_text(text.replace("120000", "120001"), encoding="utf-8")
    with pytest.raises(DataNotFoundError, match="is not that of"):
        load_level3(tmp_path)
    assert load_level3(tmp_path, official=False).library["GetOccupationSalary"]["Software Engineer"] == 120_001
