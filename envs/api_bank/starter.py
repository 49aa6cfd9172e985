"""The starter source: dialogues of our own at all three levels, without end and without a download.

Each is made from its id alone, over the small databases that ship with us, and its calls are carried out while it is
made, so that every gold call is known to work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random
from typing import Any
from zlib import crc32

import numpy as np

from tooluse_gym.errors import ConfigurationError, TaskError
from tooluse_gym.tasks import Task, Utterance, gold_utterances

from .data import dialogue_task
from .dialogues import ApiCall, Dialogue, Line
from .level import Level, starter_level
from .retrieval import SEARCHER, split_name

SPLITS = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}
"""Splits by the last digit of what the user says first, hashed: no request is in two of them."""

_MOST_DRAWS = 1_000
_NUMBERS = 2**53


class StarterTasks:
    """Dialogues of our own. An id is ``starter/level-<n>/<split>/<number>``.

    Args:
        levels: which levels are sampled, each as often.

    Raises:
        ConfigurationError: there is no such level.
    """

    splits = tuple(SPLITS)

    def __init__(self, levels: Sequence[int] = (1, 2, 3)):
        if not levels or any(level not in _SCENES for level in levels):
            raise ConfigurationError(f"levels must be some of 1, 2 and 3, got {list(levels)}")
        self._levels = tuple(levels)

    def sample(self, rng: np.random.Generator, split: str) -> Task:
        level = self._levels[int(rng.integers(len(self._levels)))]
        return self[f"starter/level-{level}/{split}/{int(rng.integers(_NUMBERS))}"]

    def __getitem__(self, task_id: str) -> Task:
        return _task(task_id)

    def demonstrate(self, task: Task, rng: np.random.Generator, noise: float) -> Sequence[Utterance]:
        if noise:
            raise ConfigurationError("starter dialogues have no noisy demonstrations; use noise=0")
        return gold_utterances(task)


@lru_cache(maxsize=4_096)
def _task(task_id: str) -> Task:
    parts = task_id.split("/")
    known = len(parts) == 4 and parts[0] == "starter" and parts[2] in SPLITS and parts[3].isdecimal()
    if not known or parts[1] not in {f"level-{level}" for level in _SCENES}:
        raise KeyError(task_id)
    level, split = _level(int(parts[1][-1])), parts[2]
    rng = Random(crc32(task_id.encode()))
    for _ in range(_MOST_DRAWS):
        script = Script(level, rng)
        rng.choice(_SCENES[level.number])(script)
        if crc32(script.lines[0].text.encode()) % 10 in SPLITS[split]:
            return dialogue_task(Dialogue(task_id, level.number, tuple(script.lines)), level, split)
    raise TaskError(f"task {task_id!r}: none of {_MOST_DRAWS} draws belongs to the split {split}")


_level = lru_cache(maxsize=3)(starter_level)


class Script:
    """A dialogue while it is written; its calls are carried out."""

    def __init__(self, level: Level, rng: Random):
        self.level = level
        self.rng = rng
        self.lines: list[Line] = []
        self._manager = level.manager("corrected")

    def user(self, text: str) -> None:
        self.lines.append(Line("User", text))

    def ai(self, text: str) -> None:
        self.lines.append(Line("AI", text))

    def call(self, name: str, /, **params: Any) -> Any:
        """Carry out a call and return its output."""
        result = self._manager.call(name, params)
        if result["exception"] is not None:
            raise TaskError(f"a starter dialogue calls {name} in vain: {result['exception']}")
        self.lines.append(Line("API", call=ApiCall(name, params, result, "starter")))
        return result["output"]

    def search(self, *names: str) -> None:
        """Where tools are found by a search, search for these."""
        for name in names if self.level.number > 1 else ():
            self.call(SEARCHER, keywords=split_name(name))

    def table(self, name: str) -> Any:
        """A table of the level's database, to take names from."""
        tables = self.level.database.episode_tables()
        return tables[name] if name in tables else self.level.database.library[name]

    def moment(self) -> str:
        """A time in the summer of 2024."""
        return f"{self.day()} {self.rng.randint(6, 21):02d}:{self.rng.choice((0, 15, 30, 45)):02d}:00"

    def day(self) -> str:
        return f"2024-{self.rng.randint(7, 9):02d}-{self.rng.randint(1, 28):02d}"


# Scenes of levels 1 and 2


_ERRANDS = ("Mend the garden gate", "Collect the parcel", "Order new strings", "Pay the ferry pass", "Feed the cat")
_ROOMS = ("Blue room", "Workshop", "Harbour library", "Clay studio")


def _signed_in(
    request: str, name: str, done: str, arguments: Callable[[Script], dict[str, Any]]
) -> Callable[..., None]:
    """A request that takes a user's token: the AI asks for name and password first."""

    def scene(script: Script) -> None:
        given = arguments(script)
        user = script.rng.choice(list(script.table("Account")))
        script.user(request.format(**given))
        script.search(name)
        script.ai("Gladly. What are your user name and password?")
        script.user(f"My user name is {user}, the password is {script.table('Account')[user]['password']}")
        token = script.call("GetUserToken", username=user, password=script.table("Account")[user]["password"])["token"]
        output = script.call(name, token=token, **given)
        script.ai(done.format(output=output, **given))

    return scene


def _asked(request: str, name: str, done: str, arguments: Callable[[Script], dict[str, Any]]) -> Callable[..., None]:
    """A request that is served at once."""

    def scene(script: Script) -> None:
        given = arguments(script)
        script.user(request.format(**given))
        script.search(name)
        script.ai(done.format(output=script.call(name, **given), **given))

    return scene


def _meeting(script: Script) -> dict[str, Any]:
    day, hour = script.day(), script.rng.randint(8, 16)
    return {
        "meeting_topic": script.rng.choice(_ERRANDS),
        "start_time": f"{day} {hour:02d}:00:00",
        "end_time": f"{day} {hour + 1:02d}:00:00",
        "location": script.rng.choice(_ROOMS),
        "attendees": script.rng.sample(["Mia", "Omar", "Lina", "Tomas"], 2),
    }


def _stay(script: Script) -> dict[str, Any]:
    first = script.rng.randint(1, 20)
    return {
        "hotel_name": script.rng.choice(("Gasthof Amsel", "Harbour House", "Villa Tide")),
        "check_in_time": f"2024-08-{first:02d}",
        "check_out_time": f"2024-08-{first + script.rng.randint(1, 7):02d}",
        "room_count": script.rng.randint(2, 3),
        "adult_count": script.rng.randint(1, 4),
        "child_count": script.rng.randint(0, 2),
    }


def _appointment(script: Script) -> dict[str, Any]:
    patients = ("Noor Visser", "Pavel Horak", "Ines Duarte")
    doctors = ("Dr. Okafor", "Dr. Moreau")
    return {
        "patient_name": script.rng.choice(patients),
        "date": script.day(),
        "doctor_name": script.rng.choice(doctors),
    }


def _stock(script: Script) -> dict[str, Any]:
    stocks = script.table("Stock")
    code = script.rng.choice(list(stocks))
    return {"stock_code": code, "date": script.rng.choice(list(stocks[code]))}


def _formula(script: Script) -> dict[str, Any]:
    a, b, c = (script.rng.randint(2, 99) for _ in range(3))
    return {"formula": script.rng.choice((f"({a}+{b})*{c}", f"{a}*{b}-{c}", f"{a}+{b}*{c}"))}


_DIALOGUES: tuple[Callable[[Script], None], ...] = (
    _signed_in(
        "Wake me at {time}, please.",
        "AddAlarm",
        "Your alarm is set for {time}.",
        lambda script: {"time": script.moment()},
    ),
    _signed_in(
        'Remind me of "{content}" at {time}.',
        "AddReminder",
        "I will remind you at {time}.",
        lambda script: {"content": script.rng.choice(_ERRANDS), "time": script.moment()},
    ),
    _signed_in(
        'Put "{content}" into my agenda: {time}, place: {location}.',
        "AddAgenda",
        "It is in your agenda.",
        lambda script: {
            "content": script.rng.choice(_ERRANDS),
            "time": script.moment(),
            "location": script.rng.choice(_ROOMS),
        },
    ),
    _signed_in(
        'I need a meeting on "{meeting_topic}" from {start_time} to {end_time}, place: {location}, with {attendees}.',
        "AddMeeting",
        "The meeting is arranged.",
        _meeting,
    ),
    _signed_in("How much money do I have?", "QueryBalance", "You have {output}.", lambda script: {}),
    _asked(
        "Book {room_count} rooms in {hotel_name} from {check_in_time} to {check_out_time} for {adult_count} adults and "
        "{child_count} children.",
        "BookHotel",
        "The rooms are booked, the order is number {output}.",
        _stay,
    ),
    _asked(
        "{patient_name} wants to see {doctor_name} on {date}. Can you register that?",
        "AppointmentRegistration",
        "Done, the appointment has the number {output}.",
        _appointment,
    ),
    _asked("What did {stock_code} cost on {date}?", "QueryStock", "It cost {output}.", _stock),
    _asked("What is {formula}?", "Calculator", "That is {output}.", _formula),
    _asked(
        "I have a {symptom}. What might it be?",
        "SymptomSearch",
        "There are explanations for a {symptom}: {output}",
        lambda script: {"symptom": script.rng.choice(list(script.table("Symptom")))},
    ),
    _asked(
        "Turn the {name} on at {time}.",
        "TimedSwitch",
        "The {name} goes on at {time}.",
        lambda script: {
            "name": script.rng.choice(list(script.table("TimeSwitch"))),
            "time": script.moment(),
            "on": True,
        },
    ),
    _asked(
        "Look up {keyword} in the encyclopedia.",
        "Wiki",
        "This is what it says: {output[summary]}",
        lambda script: {"keyword": script.rng.choice(list(script.table("Wiki")))},
    ),
)


# Scenes of level 3


def _weather(script: Script) -> None:
    place = script.rng.choice(list(script.table("Geocoding")))
    clothes = script.rng.random() < 0.5
    script.user(f"What {'should I wear' if clothes else 'is the weather'} in {place}?")
    script.search("Geocoding")
    where = script.call("Geocoding", address=place)
    script.search("GetWeatherForCoordinates")
    weather = script.call("GetWeatherForCoordinates", **where)
    said = f"It is {weather['description'].lower()} in {place}, {weather['temperature']} degrees."
    if clothes:
        script.search("ClothingRecommendation")
        options = script.call(
            "ClothingRecommendation",
            temperature=weather["temperature"],
            humidity=weather["humidity"],
            weather_conditions=weather["description"],
        )["clothing_options"]
        said = f"{said} Take {', '.join(options).lower()}."
    script.ai(said)


def _likes(script: Script) -> None:
    user = script.rng.choice(list(script.table("UserPosts")))
    script.user(f"How many likes has each post of user {user}?")
    script.search("UserPosts")
    posts = script.call("UserPosts", user_id=int(user))["post_ids"]
    script.search("LikeCount")
    counts = [script.call("LikeCount", post_id=post)["like_count"] for post in posts]
    script.ai("; ".join(f"post {post}: {count}" for post, count in zip(posts, counts, strict=True)))


def _net_pay(script: Script) -> None:
    occupation = script.rng.choice(list(script.table("GetOccupationSalary")))
    script.user(f"What does a {occupation} have left after taxes?")
    script.search("GetOccupationSalary")
    salary = script.call("GetOccupationSalary", occupation=occupation)["salary"]
    script.search("TaxCalculator")
    left = script.call("TaxCalculator", salary=salary)["salary_after_tax"]
    script.ai(f"A {occupation} earns {salary}, and has {left} left.")


def _film(script: Script) -> None:
    user = script.rng.choice(list(script.table("UserMoviePreferences")))
    script.user(f"Which films that {user} has not seen would {user} like?")
    script.search("UserMoviePreferences")
    genres = script.call("UserMoviePreferences", user_name=user)["preferences"]
    script.search("UserWatchedMovies")
    seen = script.call("UserWatchedMovies", user_name=user)
    script.search("MovieRecommendations")
    films = script.call("MovieRecommendations", preferences=genres)["recommended_movies"]
    script.ai(f"{user} might like {', '.join(film for film in films if film not in seen)}.")


def _journey(script: Script) -> None:
    flight = script.rng.choice(script.table("FlightSearch"))
    source, destination, day = flight["source"], flight["destination"], flight["departure_date"][:10]
    leave = f"{day[:-2]}{int(day[-2:]) + script.rng.randint(1, 3):02d}"
    script.user(
        f"I fly from {source} to {destination} on {day} and stay until {leave}. Which flights and hotels are there?"
    )
    script.search("FlightSearch")
    flights = script.call("FlightSearch", source=source, destination=destination, travel_dates=day)["flights"]
    script.search("HotelAvailability")
    hotels = script.call("HotelAvailability", destination=destination, check_in_date=day, check_out_date=leave)[
        "hotels"
    ]
    script.ai(f"There are {len(flights)} flights and {len(hotels)} hotels.")


def _team_meeting(script: Script) -> None:
    company = script.rng.choice(list(script.table("OrganizationMembers")))
    day, hour = script.day(), script.rng.randint(8, 16)
    start, end = f"{day} {hour:02d}:00:00", f"{day} {hour + 1:02d}:00:00"
    room = script.rng.choice(_ROOMS)
    script.user(
        f'Arrange a meeting called "Plans" from {start} to {end}, place: {room}, for everybody of {company} who is not '
        "travelling."
    )
    script.search("OrganizationMembers")
    members = script.call("OrganizationMembers", organization=company)["members"]
    script.search("TravelStatus")
    here = [member for member in members if script.call("TravelStatus", member_name=member) != "Traveling"]
    script.search("AddMeeting")
    script.call("AddMeeting", meeting_topic="Plans", start_time=start, end_time=end, location=room, attendees=here)
    script.ai(f"The meeting is arranged for {' and '.join(here)}.")


def _reminders(script: Script) -> None:
    user = script.rng.choice(list(script.table("QueryMeeting")))
    address = f"{user.lower()}@example.org"
    script.user(f"Remind {user} of every meeting {user} has, by mail to {address}.")
    script.search("QueryMeeting")
    meetings = script.call("QueryMeeting", user_name=user)["meetings"]
    script.search("EmailReminder")
    for meeting in meetings:
        script.call(
            "EmailReminder",
            content=f"Please come to: {meeting['meeting_name']}",
            time=meeting["meeting_time"],
            location=meeting["meeting_location"],
            recipient=address,
        )
    script.ai(f"{user} is reminded of {len(meetings)} meetings.")


def _move(script: Script) -> None:
    user = script.rng.choice(list(script.table("AccountInfo")))
    password = script.table("AccountInfo")[user]["password"]
    address = f"{script.rng.randint(1, 99)} {script.rng.choice(('Quay Lane', 'Mill Road', 'Fern Street'))}"
    script.user(
        f"{user}, whose password is {password}, has moved to {address}. Store that, and tell me the phone number."
    )
    script.search("PersonalInfoUpdate")
    script.call("PersonalInfoUpdate", username=user, password=password, address=address)
    script.search("AccountInfo")
    phone = script.call("AccountInfo", username=user, password=password)["phone"]
    script.ai(f"The address is stored. The phone number is {phone}.")


_CHAINS = (_weather, _likes, _net_pay, _film, _journey, _team_meeting, _reminders, _move)
_SCENES: dict[int, tuple[Callable[[Script], None], ...]] = {1: _DIALOGUES, 2: _DIALOGUES, 3: _CHAINS}
