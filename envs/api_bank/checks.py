"""When is the result of a call as good as the recorded one? Each API has its own official answer to that.

Checks compare results as :class:`~tooluse_gym.envs.api_bank.manager.ApiManager` gives them, and change neither. In
``reference`` mode they agree with the official code, which for some inputs breaks: :class:`BrokenCheckError`. In
``corrected`` mode what breaks is no match, and mistakes of the official checks are mended where the table says so.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from tooluse_gym.errors import ToolUseError

from .apis.base import Mode, RefusalError, refuse
from .apis.calculator import plain_formula
from .apis.dates import DAY, MOMENT, lenient, month_and_day
from .manager import Result, renamed

Same = Callable[[Any, Any], bool]
"""Whether two values count as equal; symmetric."""
Check = Callable[[Result, Result], bool]
"""Whether a result is as good as the recorded one."""


class BrokenCheckError(ToolUseError):
    """The official check raises on these results. ``kind`` is the name of the exception."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def check(name: str, result: Result, gold: Result, mode: Mode = "reference") -> bool:
    """Whether ``result`` is as good as ``gold``, by the check of the API ``name``.

    Raises:
        BrokenCheckError: the official check raises; in reference mode only.
        KeyError: there is no such API.
    """
    chosen = CHECKS[name]
    if mode == "corrected":
        chosen = _CORRECTED.get(name, chosen)
        gold = {**gold, "input": gold["input"] and renamed(name, gold["input"])}
    try:
        return chosen(result, gold)
    except RefusalError as error:
        failure = BrokenCheckError("Exception", str(error))
    except (AttributeError, KeyError, TypeError, UnboundLocalError, ValueError) as error:
        failure = BrokenCheckError(type(error).__name__, str(error))
    if mode == "corrected":
        return False
    raise failure


# Ways to compare two values


def normalized(normal: Callable[[Any], Any]) -> Same:
    """Equal after ``normal``."""
    return lambda ours, theirs: bool(normal(ours) == normal(theirs))


def similar(normal: Callable[[str], str] = str) -> Same:
    """The texts share more than half of their words."""

    def compare(ours: str, theirs: str) -> bool:
        mine, others = set(normal(ours).split(" ")), set(normal(theirs).split(" "))
        return len(mine & others) / len(mine | others) > 0.5

    return compare


def _date(parse: Callable[[str], str]) -> Callable[[Any], Any]:
    """The standard form of a date. One that cannot be parsed is equal to none, not even to itself."""

    def normal(text: str) -> Any:
        try:
            return parse(text)
        except ValueError:
            return object()

    return normal


def _day(text: str) -> str:
    return lenient(text, DAY)


def _moment(text: str) -> str:
    return lenient(text, MOMENT)


def _stripped_lower(text: str) -> str:
    return text.strip().lower()


def _stripped_upper(text: str) -> str:
    return text.strip().upper()


def _optional(normal: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else normal(value)


def _symptom(text: str) -> str:
    return _stripped_lower(text) or refuse("The symptom cannot be empty.")


def _emergency(text: str) -> str:
    text = _stripped_lower(text)
    if text == "":  # upstream passes its exception on as if it were a symptom
        raise AttributeError("'Exception' object has no attribute 'lower'")
    return text


def _devices(devices: list[Mapping[str, str]]) -> list[tuple[str, str]]:
    return sorted((_stripped_lower(device["name"]), device["description"].strip()) for device in devices)


def _pages(pages: list[Mapping[str, str]]) -> list[Any]:
    if pages is None:
        raise UnboundLocalError("the results of a failed search are not compared")
    return sorted(pages, key=lambda page: page["title"] + page["abstract"])


# Checks


def _exact(result: Result, gold: Result) -> bool:
    """Input, output and exception are equal."""
    return all(result[part] == gold[part] for part in ("input", "output", "exception"))


def _compare(output: Same = operator.eq, **inputs: Same) -> Check:
    """The named inputs agree, and so do output and exception. Other inputs do not matter."""

    def compare(result: Result, gold: Result) -> bool:
        agree = [same(result["input"][name], gold["input"][name]) for name, same in inputs.items()]
        return all(agree) and output(result["output"], gold["output"]) and result["exception"] == gold["exception"]

    return compare


def _no_output_either(ours: Any, theirs: Any) -> bool:
    """An output is drawn at random: there is none where the recording has none."""
    return theirs is not None or ours is None


def _registered(result: Result, gold: Result) -> bool:
    """The token is drawn at random and not compared."""
    return _no_output_either(result["output"], gold["output"]) and all(
        result[part] == gold[part] for part in ("input", "exception")
    )


def _deleted(time: str) -> Check:
    """Two successes need the same time; otherwise output and exception are equal."""

    def compare(result: Result, gold: Result) -> bool:
        if result["output"] == gold["output"] == "success":
            return bool(result["input"][time] == gold["input"][time])
        return bool(result["output"] == gold["output"] and result["exception"] == gold["exception"])

    return compare


def _same_output(result: Result, gold: Result) -> bool:
    return bool(result["output"] == gold["output"])


def _same_day(result: Result, gold: Result) -> bool:
    return all((result[part] is None) == (gold[part] is None) for part in ("input", "exception")) and (
        result["output"] == gold["output"]
    )


_STRIPPED = normalized(str.strip)
_UPPER, _LOWER = normalized(_stripped_upper), normalized(_stripped_lower)
_DAY, _MOMENT = normalized(_date(_day)), normalized(_date(_moment))
_AGENDA = _compare(content=similar(), time=operator.eq, location=operator.eq)
_REMINDER = _compare(content=similar(str.lower), time=operator.eq)
_MEETING = _compare(
    token=operator.eq,
    meeting_topic=similar(),
    start_time=operator.eq,
    end_time=operator.eq,
    location=operator.eq,
    attendees=operator.eq,
)
_SCENE = _compare(name=_LOWER)

CHECKS: dict[str, Check] = {
    **dict.fromkeys(("CheckToken", "GetUserToken", "DeleteAccount", "ModifyPassword", "ForgotPassword"), _exact),
    "RegisterUser": _registered,
    "OpenBankAccount": _exact,
    "QueryBalance": _compare(token=_STRIPPED),
    **dict.fromkeys(("AddAgenda", "QueryAgenda", "ModifyAgenda"), _AGENDA),
    "DeleteAgenda": _deleted("time"),
    **dict.fromkeys(("AddAlarm", "QueryAlarm", "ModifyAlarm", "DeleteAlarm"), _exact),
    **dict.fromkeys(("AddReminder", "QueryReminder", "ModifyReminder"), _REMINDER),
    "DeleteReminder": _deleted("time"),
    **dict.fromkeys(("AddMeeting", "QueryMeeting", "ModifyMeeting"), _MEETING),
    "DeleteMeeting": _deleted("time"),  # it has no such input: the official check breaks
    "AppointmentRegistration": _compare(_no_output_either, patient_name=_STRIPPED, date=_DAY, doctor_name=_STRIPPED),
    "QueryRegistration": _compare(patient_name=_STRIPPED, date=_DAY),
    "ModifyRegistration": _compare(
        appointment_id=_STRIPPED,
        new_appointment_date=normalized(_optional(_date(_day))),
        new_appointment_doctor=normalized(_optional(str.strip)),
    ),
    "CancelRegistration": _compare(appointment_id=_STRIPPED),
    "QueryHealthData": _compare(user_id=_UPPER, start_time=_MOMENT, end_time=_MOMENT),
    "RecordHealthData": _compare(user_id=_UPPER, time=_MOMENT),
    "SymptomSearch": _compare(symptom=normalized(_symptom)),
    "EmergencyKnowledge": _compare(symptom=normalized(_emergency)),
    "AddScene": _compare(_no_output_either, name=_LOWER, devices=normalized(_devices)),
    "ModifyScene": _compare(name=_LOWER, devices=normalized(_devices)),
    **dict.fromkeys(("QueryScene", "DeleteScene"), _SCENE),
    "TimedSwitch": _compare(name=_LOWER, time=_MOMENT, on=operator.eq),
    "CancelTimedSwitch": _compare(name=_LOWER, time=_MOMENT),
    **dict.fromkeys(("ImageCaption", "SpeechRecognition"), _compare(url=operator.eq)),
    "DocumentQA": _compare(url=_STRIPPED, question=_STRIPPED),
    "PlayMusic": _same_output,
    "QueryStock": _compare(stock_code=_UPPER, date=_DAY),
    "QueryHistoryToday": _compare(date=normalized(_date(month_and_day))),
    **dict.fromkeys(("Wiki", "Dictionary"), _compare()),
    "SearchEngine": _compare(normalized(_pages)),
    "Translate": _compare(src=operator.eq),
    "GetToday": _same_day,
    "Calculator": _compare(formula=normalized(plain_formula)),
    "SendEmail": _compare(receiver=normalized(_stripped_lower), subject=_STRIPPED, content=_STRIPPED),
    "BookHotel": _exact,
    "ToolSearcher": _compare(),
}
"""The official check of every API of levels 1 and 2."""

_CORRECTED: dict[str, Check] = {
    "DeleteMeeting": _deleted("start_time"),
    "QueryScene": _compare(normalized(_optional(_devices)), name=_LOWER),
    "EmergencyKnowledge": CHECKS["SymptomSearch"],
}
"""The checks that are mended."""
