"""Level 3: whether the result of a call is as good as the recorded one, by each API's own official rule.

The result may be another API's: only most checks compare names. A check that misses a field then raises KeyError.
"""

from __future__ import annotations

from .apis.calculator import plain_formula
from .checks import Check, similar
from .manager import Result

_SIMILAR = similar()


def _agree(*fields: str) -> Check:
    """The named parts of both results are equal: ``input``, ``output``, ``exception``."""
    return lambda result, gold: all(result[field] == gold[field] for field in fields)


def _named(check: Check) -> Check:
    """Both results are of the same API as well."""
    return lambda result, gold: result["api_name"] == gold["api_name"] and check(result, gold)


_EQUAL = _named(_agree("input", "output", "exception"))


def _tax(result: Result, gold: Result) -> bool:
    taxed = [found["output"] and found["output"]["salary_after_tax"] for found in (result, gold)]
    return taxed[0] == taxed[1] and _agree("exception")(result, gold) and _salary(result) == _salary(gold)


def _salary(result: Result) -> object:
    return result["input"]["salary"]


def _hotels(result: Result, gold: Result) -> bool:
    return _agree("input")(result, gold) and _listed(result) == _listed(gold)


def _listed(result: Result) -> object:
    return result["output"] and result["output"]["hotels"]


def _email(result: Result, gold: Result) -> bool:
    places = ("time", "location", "recipient")
    inputs = all(result["input"][place] == gold["input"][place] for place in places)
    return inputs and _agree("output", "exception")(result, gold)


def _meeting(result: Result, gold: Result) -> bool:
    said, meant = result["input"], gold["input"]
    fields = ("start_time", "end_time", "location", "attendees")
    return (
        _SIMILAR(said["meeting_topic"], meant["meeting_topic"])
        and all(said[field] == meant[field] for field in fields)
        and _agree("output", "exception")(result, gold)
    )


def _calculation(result: Result, gold: Result) -> bool:
    formulas = [plain_formula(found["input"]["formula"]) for found in (result, gold)]
    return formulas[0] == formulas[1] and _agree("output", "exception")(result, gold)


CHECKS: dict[str, Check] = {
    **dict.fromkeys(
        (
            "AccountInfo",
            "ClothingRecommendation",
            "FlightSearch",
            "Geocoding",
            "GetOccupationSalary",
            "LikeCount",
            "MovieRecommendations",
            "OrganizationMembers",
            "QueryMeeting",
            "TravelStatus",
            "UserMoviePreferences",
            "UserPosts",
            "UserWatchedMovies",
        ),
        _EQUAL,
    ),
    "AddMeeting": _meeting,
    "Calculator": _calculation,
    "EmailReminder": _named(_email),
    "GetWeatherForCoordinates": _agree("input", "output", "exception"),
    "HotelAvailability": _named(_hotels),
    "NearbyRestaurants": _named(_agree("input")),
    "PersonalInfoUpdate": _named(_agree("input", "output")),
    "TaxCalculator": _named(_tax),
    "ToolSearcher": _agree("output", "exception"),
}
