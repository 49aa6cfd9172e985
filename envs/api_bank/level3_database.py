"""The tables behind the APIs of level 3: those of the release, which upstream keeps in its code, or our own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

from tooluse_gym.errors import DataNotFoundError
from tooluse_gym.tasks import check

from .database import RELEASE, Database, digest, read_json, read_text

FILE = "lv3_databases.json"
CHANGING = ("PersonalInfoUpdate",)
DIGEST = "47f9408b190bb58a"
"""Of the release's tables as the data folder has them: upstream has no such file, they were dumped from its code."""

_STARTER = Path(__file__).parent / "starter_level3.json"

_TEXTS = {"type": "array", "items": {"type": "string"}}
_PAIR = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
_MOMENT = {
    "type": "object",
    "properties": {"__datetime__": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$"}},
    "required": ["__datetime__"],
}


def _object(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


def _by_text(value: Any, keys: str = "") -> dict[str, Any]:
    return {"type": "object", "propertyNames": {"pattern": keys}, "additionalProperties": value}


def _pairs(key: Any, value: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "array", "prefixItems": [key, value], "minItems": 2, "maxItems": 2}}


_NUMBER = "^[0-9]+$"
_ACCOUNTS = _object(database=_pairs({**_TEXTS, "minItems": 2, "maxItems": 2}, {"type": "object"}))
_SCHEMA = jsonschema.Draft202012Validator(
    _object(
        AccountInfo=_ACCOUNTS,
        PersonalInfoUpdate=_ACCOUNTS,
        OrganizationMembers=_object(database=_by_text(_TEXTS)),
        TravelStatus=_object(database=_by_text({"type": "string"})),
        GetOccupationSalary=_object(salary_info=_by_text({"type": "number"})),
        TaxCalculator=_object(tax_rates=_by_text({"type": "number"}, r"^(\d+|Infinity)$")),
        QueryMeeting=_object(database=_by_text({"type": "array", "items": {"type": "object"}})),
        UserMoviePreferences=_object(database=_by_text(_TEXTS)),
        UserWatchedMovies=_object(database=_by_text(_TEXTS)),
        MovieRecommendations=_object(database=_by_text(_TEXTS)),
        UserPosts=_object(database=_by_text({"type": "array", "items": {"type": "integer"}}, _NUMBER)),
        LikeCount=_object(database=_by_text({"type": "integer"}, _NUMBER)),
        Geocoding=_object(address_to_coordinates=_by_text(_PAIR)),
        GetWeatherForCoordinates=_object(coordinates_to_weather=_pairs(_PAIR, {"type": "object"})),
        NearbyRestaurants=_object(
            restaurants={"type": "array", "items": _object(name={"type": "string"}, coordinates=_PAIR)}
        ),
        FlightSearch=_object(
            flight_data={
                "type": "array",
                "items": _object(
                    source={"type": "string"},
                    destination={"type": "string"},
                    departure_date=_MOMENT,
                    arrival_date=_MOMENT,
                ),
            }
        ),
        HotelAvailability=_object(
            hotel_database=_by_text(
                _object(destination={"type": "string"}, check_in_date=_MOMENT, check_out_date=_MOMENT)
            )
        ),
    )
)


@lru_cache(maxsize=4)
def load_level3(root: Path, official: bool = True) -> Database:
    """Read the tables of a data folder.

    Args:
        root: the folder that holds ``lv3_databases.json``.
        official: demand the release that results were recorded with.

    Raises:
        DataNotFoundError: the file is missing, or that of another release.
        TaskError: it is not JSON, or a table has a wrong form.
    """
    path = root / FILE
    if not path.is_file():
        raise DataNotFoundError(
            f"{path} is missing: it holds the tables that upstream keeps in its code, and no public home has it"
        )
    tables = read_json(path)
    check(_SCHEMA, tables, str(path))
    if official and digest(read_text(path)) != DIGEST:
        raise DataNotFoundError(
            f"{path} is not that of {RELEASE}: results would not be comparable. "
            "Get that file, or load it as a database of your own (official=False)"
        )
    return Database(_tables(tables), CHANGING)


@lru_cache(maxsize=1)
def starter_level3() -> Database:
    """The small tables of our own: everybody and everything in them is invented."""
    tables = read_json(_STARTER)
    check(_SCHEMA, tables, str(_STARTER))
    return Database(_tables(tables), CHANGING)


def _tables(dumped: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One table per API, by its name; users by name, and moments as text."""
    tables = {name: next(iter(attributes.values())) for name, attributes in dumped.items()}
    for name in ("AccountInfo", "PersonalInfoUpdate"):
        tables[name] = {user: {"password": password, "info": info} for (user, password), info in tables[name]}
    tables["FlightSearch"] = [_written(flight) for flight in tables["FlightSearch"]]
    tables["HotelAvailability"] = {name: _written(hotel) for name, hotel in tables["HotelAvailability"].items()}
    return tables


def _written(row: dict[str, Any]) -> dict[str, str]:
    return {key: value["__datetime__"] if isinstance(value, dict) else value for key, value in row.items()}
