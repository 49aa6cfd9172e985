"""Dates and times as the APIs read them. What is wrong with one is said in Python's own words."""

from __future__ import annotations

from datetime import datetime

MOMENT = "%Y-%m-%d %H:%M:%S"
DAY = "%Y-%m-%d"
_MONTH_DAY = "%m-%d"


def read(text: str, form: str) -> datetime:
    """Parse ``text``, whose fields may lack leading zeros.

    Raises:
        ValueError: it does not have the form.
    """
    return datetime.strptime(text, form)


def lenient(text: str, form: str) -> str:
    """``text`` in its standard form: blanks around it, a short year and unpadded fields are forgiven.

    Raises:
        ValueError: it is no date, or not of this form.
    """
    text = text.strip()
    parts = text.split("-")
    if len(parts) == 3:
        text = "-".join([parts[0].zfill(4), *parts[1:]])
    moment = read(text, form)
    return moment.date().isoformat() if form == DAY else moment.isoformat(" ")


def month_and_day(text: str) -> str:
    """The ``mm-dd`` of a date with or without a year.

    Raises:
        ValueError: it is neither.
    """
    try:
        return lenient(text, DAY)[5:]
    except ValueError:
        pass
    try:  # Python warns of dates without a year, and takes 1900 for it
        return read(f"1900-{text.strip()}", DAY).date().isoformat()[5:]
    except ValueError as error:
        raise ValueError(str(error).replace("'1900-", "'", 1).replace(DAY, _MONTH_DAY)) from None
