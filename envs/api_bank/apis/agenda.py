"""What users plan to do: agenda items, alarms and reminders. A row belongs to the user whose token came with it.

A search finds the first own row that has the content *or* the time. New rows of agenda and alarms are numbered by the
size of the table, as upstream, so after a deletion a new row can take the place of an earlier new one (but of no row
that was there from the start).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import ApiSet, next_number, refuse
from .dates import MOMENT, read

_EXCEPTION_AS_OUTPUT = {"__python_exception_object__": "Error"}


def first_own(table: Mapping[str, dict[str, Any]], user: str, **wanted: str) -> str | None:
    """The key of the user's first row in which any of the ``wanted`` fields has that very value; None if none has."""
    for key, row in table.items():
        if row["username"] == user and any(row[field] == value for field, value in wanted.items()):
            return key
    return None


def _added(table: Mapping[str, Any]) -> str:
    """The key of a new row."""
    return f"added {len(table) + 1}"


class Agenda(ApiSet):
    """Agenda items: something to do, when and where."""

    agenda: dict[str, dict[str, Any]]

    tables = {"agenda": "Agenda"}  # noqa: RUF012

    def AddAgenda(self, token: str, content: str, time: str, location: str) -> str:
        """Put an item on the user's agenda.

        Args:
            token: the user's token.
            content: what is to be done.
            time: when, as %Y-%m-%d %H:%M:%S.
            location: where.
        """
        read(time, MOMENT)
        if content.strip() == "":
            refuse("Content should not be null")
        user = self._episode.user(token)
        self.agenda[_added(self.agenda)] = _item(content, time, location, user)
        return "success"

    def QueryAgenda(self, token: str, content: str, time: str, location: str) -> dict[str, Any]:
        """Show the user's first agenda item with this content or this time.

        Args:
            token: the user's token.
            content: what is to be done; may be empty if the time is given.
            time: when, as %Y-%m-%d %H:%M:%S; may be empty if the content is given.
            location: where; not looked at.
        """
        key, _ = self._find(token, content, time)
        if key is None:
            refuse(_not_found("agenda", content, time) or "Error")
        return self.agenda[key]

    def ModifyAgenda(self, token: str, content: str, time: str, location: str) -> Any:
        """Replace the user's first agenda item with this content or this time by what is given.

        Args:
            token: the user's token.
            content: what is to be done.
            time: when, as %Y-%m-%d %H:%M:%S.
            location: where.
        """
        key, user = self._find(token, content, time)
        if key is None:
            problem = _not_found("agenda", content, time)
            if problem is None and not self._corrected:
                return _EXCEPTION_AS_OUTPUT  # upstream returns an exception object, as if it were a result
            refuse(problem or "Error")
        self.agenda[key] = _item(content, time, location, user)
        return "success"

    def DeleteAgenda(self, token: str, content: str, time: str, location: str) -> str:
        """Delete the user's first agenda item with this content or this time.

        Args:
            token: the user's token.
            content: what was to be done; may be empty if the time is given.
            time: when, as %Y-%m-%d %H:%M:%S; may be empty if the content is given.
            location: where; not looked at.
        """
        key, _ = self._find(token, content, time)
        if key is not None:
            del self.agenda[key]
        elif problem := _not_found("meeting", content, time):
            refuse(problem)
        elif self._corrected:
            refuse("Error")
        return "success"  # in reference also if nothing was searched for, and so nothing found

    def _find(self, token: str, content: str, time: str) -> tuple[str | None, str]:
        if time != "":
            read(time, MOMENT)
        user = self._episode.user(token)
        return first_own(self.agenda, user, content=content, time=time), user


def _item(content: str, time: str, location: str, user: str) -> dict[str, Any]:
    return {"content": content, "time": time, "location": location, "username": user}


def _not_found(what: str, content: str, time: str) -> str | None:
    if content:
        return f"You have no {what} about {content}"
    return f"You have no {what} at time : {time}" if time else None


class Alarms(ApiSet):
    """Alarm clocks."""

    alarms: dict[str, dict[str, Any]]

    tables = {"alarms": "Alarm"}  # noqa: RUF012

    def AddAlarm(self, token: str, time: str) -> str:
        """Set an alarm.

        Args:
            token: the user's token.
            time: when it rings, as %Y-%m-%d %H:%M:%S.
        """
        read(time, MOMENT)
        user = self._episode.user(token)
        self.alarms[_added(self.alarms)] = {"time": time, "username": user}
        return "success"

    def QueryAlarm(self, token: str, time: str) -> dict[str, Any]:
        """Show the user's alarm at a time.

        Args:
            token: the user's token.
            time: when it rings, as %Y-%m-%d %H:%M:%S.
        """
        return self.alarms[self._find(token, time)]

    def ModifyAlarm(self, token: str, from_time: str, to_time: str) -> str:
        """Move an alarm to another time.

        Args:
            token: the user's token.
            from_time: when it rings now, as %Y-%m-%d %H:%M:%S.
            to_time: when it shall ring, as %Y-%m-%d %H:%M:%S.
        """
        read(from_time, MOMENT)
        read(to_time, MOMENT)
        self.alarms[self._find(token, from_time, "agenda")]["time"] = to_time
        return "success"

    def DeleteAlarm(self, token: str, time: str) -> str:
        """Delete the user's alarm at a time.

        Args:
            token: the user's token.
            time: when it rings, as %Y-%m-%d %H:%M:%S.
        """
        del self.alarms[self._find(token, time)]
        return "success"

    def _find(self, token: str, time: str, called: str = "alarm clock") -> str:
        read(time, MOMENT)
        key = first_own(self.alarms, self._episode.user(token), time=time)
        if key is None:
            refuse(f"You have no {called} at time : {time}")
        return key


class Reminders(ApiSet):
    """Reminders: something to think of, and when."""

    reminders: dict[str, dict[str, Any]]

    tables = {"reminders": "Reminder"}  # noqa: RUF012

    def AddReminder(self, token: str, content: str, time: str) -> str:
        """Add a reminder.

        Args:
            token: the user's token.
            content: what to remind of.
            time: when, as %Y-%m-%d %H:%M:%S.
        """
        user = self._check(token, content, time)
        self.reminders[next_number(self.reminders)] = {"content": content, "time": time, "username": user}
        return "success"

    def QueryReminder(self, token: str, content: str, time: str) -> dict[str, Any]:
        """Show the user's first reminder with this content or this time.

        Args:
            token: the user's token.
            content: what it reminds of.
            time: when, as %Y-%m-%d %H:%M:%S.
        """
        return self.reminders[self._find(token, content, time)]

    def ModifyReminder(self, token: str, content: str, time: str) -> str:
        """Give the user's first reminder with this content or this time both of them.

        Args:
            token: the user's token.
            content: what to remind of.
            time: when, as %Y-%m-%d %H:%M:%S.
        """
        self.reminders[self._find(token, content, time)].update(content=content, time=time)
        return "success"

    def DeleteReminder(self, token: str, content: str, time: str) -> str:
        """Delete the user's first reminder with this content or this time.

        Args:
            token: the user's token.
            content: what it reminds of.
            time: when, as %Y-%m-%d %H:%M:%S.
        """
        del self.reminders[self._find(token, content, time)]
        return "success"

    def _check(self, token: str, content: str, time: str) -> str:
        read(time, MOMENT)
        if content.strip() == "":
            refuse("Content should not be null")
        return self._episode.user(token)

    def _find(self, token: str, content: str, time: str) -> str:
        key = first_own(self.reminders, self._check(token, content, time), content=content, time=time)
        if key is None:
            refuse(f"You have no reminder about {content} or at time : {time}")
        return key
