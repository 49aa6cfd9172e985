"""The initial databases: read as data from the folder of a release, or the small one of our own that ships with us."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

from tooluse_gym.errors import DataNotFoundError, TaskError
from tooluse_gym.tasks import check, read_json_lines

from .apis.base import Frozen

FOLDER = "init_database"
DIALOGUES = "lv1-lv2-samples"
GET = "tooluse-gym data get api_bank"
RELEASE = "DAMO-ConvAI 483554ea"
"""Upstream's commit whose databases these are; results are official for them only."""

DIGESTS = {
    "Account": "179761beb5b0ed6e",
    "Agenda": "6064f59450d0a604",
    "Alarm": "dfa21ce4d2768fe6",
    "Appointments": "0bbf347e7c367c0a",
    "Bank": "bcb6d5f35b02ee09",
    "HealthData": "89cdbe228d1ff794",
    "History": "50f781a296f96c2e",
    "Hotel": "53e5672479066658",
    "ImageCaptioning": "969a3ee70d7a2b11",
    "Meeting": "8d11d457dd1dd661",
    "QuestionAnswering": "aa7098462bd87ab6",
    "Reminder": "c944fe6892a45352",
    "Scenes": "0d20c733d724e346",
    "SearchEngine": "d42929cf13fbbc73",
    "SpeechRecognition": "8315b3fa57995986",
    "Stock": "62bf7df8cc49c475",
    "Symptom": "7a1347d8d84e9ffe",
    "TimeSwitch": "4b75ddee2f0a2eae",
    "Wiki": "4174fc92c03b02eb",
}
"""Every table of the release, and the :func:`digest` of its file; that of ImageCaptioning is its subset's."""

CHANGING = (
    "Account",
    "Agenda",
    "Alarm",
    "Appointments",
    "HealthData",
    "Hotel",
    "Meeting",
    "Reminder",
    "Scenes",
    "TimeSwitch",
)
"""The tables that APIs change. The others are shared by all episodes."""

RECORDED = ("Dictionary", "Translate")
"""APIs that ask the network. Their table is what recorded dialogues got as answers."""

_SUBSETS = {"ImageCaptioning": "ImageCaptioning.subset"}  # what stands for a file that is not there
_OWNED = ("Agenda", "Alarm", "Meeting", "Reminder", "Bank")
_STARTER = Path(__file__).parent / "starter_database.json"


def _rows(keys: str, **fields: Any) -> dict[str, Any]:
    """Rows by a key of the given pattern; each has all the fields, named by JSON type."""
    return {"type": "object", "propertyNames": {"pattern": keys}, "additionalProperties": _row(**fields)}


def _row(**fields: Any) -> dict[str, Any]:
    properties = {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in fields.items()}
    return {"type": "object", "properties": properties, "required": list(fields)}


def _lists(**fields: Any) -> dict[str, Any]:
    """Lists of rows by a text."""
    return {"type": "object", "additionalProperties": {"type": "array", "items": _row(**fields)}}


_NUMBER, _ANY = "^[0-9]+$", ""
_TEXTS = {"type": "array", "items": {"type": "string"}}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "Account": _rows(_ANY, password="string", token="string", email="string"),
    "Agenda": _rows(_NUMBER, content="string", time="string", location="string", username="string"),
    "Alarm": _rows(_NUMBER, time="string", username="string"),
    "Appointments": _rows(_NUMBER, patient_name="string", date="string", doctor_name="string"),
    "Bank": _rows(_ANY, balance="number"),
    "HealthData": _lists(time="string"),
    "History": _lists(Title="string", Date="string", Description="string"),
    "Hotel": _rows(_NUMBER, hotel_name="string", check_in_time="string", check_out_time="string"),
    "ImageCaptioning": {"type": "array", "items": _row(url="string", caption="string")},
    "Meeting": _rows(
        _NUMBER,
        meeting_topic="string",
        start_time="string",
        end_time="string",
        location="string",
        attendees=_TEXTS,
        username="string",
    ),
    "QuestionAnswering": _lists(question="string", answer="string"),
    "Reminder": _rows(_NUMBER, content="string", time="string", username="string"),
    "Scenes": _lists(name="string", description="string"),
    "SearchEngine": _row(
        raw_documents={"type": "array", "items": _row(title="string", url="string", abstract="string"), "minItems": 1}
    ),
    "SpeechRecognition": {"type": "object", "additionalProperties": {"type": "string"}},
    "Stock": {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": {"type": "number"}}},
    "Symptom": _lists(name="string", description="string", aid="string"),
    "TimeSwitch": _lists(time="string", on="boolean"),
    "Wiki": _rows(_ANY, url="string", summary="string"),
    "Dictionary": {"type": "array", "items": _row(input=_row(keyword="string"), output={})},
    "Translate": {"type": "array", "items": _row(input=_row(src="string"), output="string")},
}
_CHECKS = {name: jsonschema.Draft202012Validator(schema) for name, schema in _SCHEMAS.items()}


class Database:
    """The tables that episodes start from. Never changed."""

    def __init__(self, tables: Mapping[str, Any], changing: Sequence[str] = CHANGING):
        self._changing = json.dumps({name: tables[name] for name in changing})  # what copies fastest
        self.library = Frozen({name: table for name, table in tables.items() if name not in changing})

    def episode_tables(self) -> dict[str, Any]:
        """A copy of the tables that APIs change."""
        tables: dict[str, Any] = json.loads(self._changing)
        return tables


@lru_cache(maxsize=4)
def load_database(root: Path, official: bool = True) -> Database:
    """Read the databases of a data folder, and from its dialogues what the network answered.

    Args:
        root: the folder that holds ``init_database`` and ``lv1-lv2-samples``.
        official: demand the release that results were recorded with.

    Raises:
        DataNotFoundError: a file is missing, or that of another release.
        TaskError: a table is not JSON, has a row of a wrong form, or names a user who does not exist.
    """
    places = {name: _place(root, name) for name in DIGESTS}
    tables = {name: read_json(path) for name, path in places.items()}
    for name, table in tables.items():
        check(_CHECKS[name], table, str(places[name]))
    _check_users(tables, {name: str(path) for name, path in places.items()})
    if official:
        for name, path in places.items():
            if path.stem != name or name not in _SUBSETS:  # the whole of a table that we have a subset of
                _demand_release(path, DIGESTS[name])
    recorded: dict[str, list[Any]] = {name: [] for name in RECORDED}
    for place, line in _dialogue_lines(root):
        if isinstance(line, dict) and line.get("api_name") in recorded:
            recorded[line["api_name"]].append(line.get("result"))
            check(_CHECKS[line["api_name"]], [line.get("result")], place)
    if official and not all(recorded.values()):
        raise DataNotFoundError(
            f"{root / DIALOGUES} lacks dialogues of {RELEASE}: what the network answered is read from them. "
            f"Run '{GET}' for a complete copy of API-Bank's data"
        )
    return Database(tables | recorded)


@lru_cache(maxsize=1)
def starter_database() -> Database:
    """The small database of our own: people, places and prices are invented."""
    tables = read_json(_STARTER)
    for name, validator in _CHECKS.items():
        check(validator, tables[name], f"{_STARTER}: table {name}")
    _check_users(tables, dict.fromkeys(_OWNED, str(_STARTER)))
    return Database(tables)


def digest(text: str) -> str:
    """What tells a file's text from others: whatever surrounds it, its SHA-256 in short."""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]


def _place(root: Path, name: str) -> Path:
    path = root / FOLDER / f"{name}.json"
    subset = root / FOLDER / f"{_SUBSETS.get(name, name)}.json"
    if not path.is_file() and not subset.is_file():
        raise DataNotFoundError(f"{path} is missing: API-Bank's data folder needs all of {FOLDER}/ of {RELEASE}")
    return path if path.is_file() else subset


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        DataNotFoundError: there is no such file.
        TaskError: it is not UTF-8.
    """
    if not path.is_file():
        raise DataNotFoundError(f"{path} is missing: run '{GET}' for a complete copy of API-Bank's data")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: not UTF-8 at byte {error.start} ({error.reason})") from error


def read_json(path: Path) -> Any:
    """The value that a JSON file holds.

    Raises:
        DataNotFoundError, TaskError: as :func:`read_text`, or it is not JSON; the message names the line.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise TaskError(f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})") from error


def _demand_release(path: Path, known: str) -> None:
    if digest(read_text(path)) != known:
        raise DataNotFoundError(
            f"{path} is not that of {RELEASE}: results would not be comparable. "
            "Get that commit's file, or load the folder as a database of your own (official=False)"
        )


def _check_users(tables: Mapping[str, Any], places: Mapping[str, str]) -> None:
    """Rows belong to users who exist, each of whom has a token of their own."""
    for table in _OWNED:
        for key, row in tables[table].items():
            user = key if table == "Bank" else row["username"]
            if user not in tables["Account"]:
                raise TaskError(f"{places[table]}: row {key!r} of {table}: there is no user {user!r} in Account")
    owners: dict[str, str] = {}
    for user, account in tables["Account"].items():
        other = owners.setdefault(account["token"], user)
        if other != user:
            raise TaskError(f"{places.get('Account', _STARTER)}: users {other!r} and {user!r} have the same token")


def _dialogue_lines(root: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted((root / DIALOGUES).glob("*/*.jsonl")):
        yield from read_json_lines(path)
