"""Reservations of meetings. A search finds the user's first meeting with the topic *or* the start."""

from __future__ import annotations

from typing import Any

from .agenda import first_own
from .base import ApiSet, next_number, refuse
from .dates import MOMENT, read


class Meetings(ApiSet):
    """Meetings: topic, time, place and who attends."""

    meetings: dict[str, dict[str, Any]]

    tables = {"meetings": "Meeting"}  # noqa: RUF012

    def AddMeeting(
        self, token: str, meeting_topic: str, start_time: str, end_time: str, location: str, attendees: list[str]
    ) -> str:
        """Reserve a meeting.

        Args:
            token: the user's token.
            meeting_topic: what it is about, in at most 50 characters.
            start_time: when it begins, as %Y-%m-%d %H:%M:%S.
            end_time: when it ends, as %Y-%m-%d %H:%M:%S.
            location: where, in at most 100 characters.
            attendees: names of those who attend.
        """
        read(start_time, MOMENT)
        read(end_time, MOMENT)
        if meeting_topic.strip() == "":
            refuse("Meeting Topic should not be null")
        user = self._episode.user(token)
        self.meetings[next_number(self.meetings)] = {
            "meeting_topic": meeting_topic,
            "start_time": start_time,
            "end_time": end_time,
            "location": location,
            "attendees": attendees,
            "username": user,
        }
        return "success"

    def QueryMeeting(
        self, token: str, meeting_topic: str, start_time: str, end_time: str, location: str, attendees: list[str]
    ) -> dict[str, Any]:
        """Show the user's first meeting with this topic or this start.

        Args:
            token: the user's token.
            meeting_topic: what it is about; may be empty if the start is given.
            start_time: when it begins, as %Y-%m-%d %H:%M:%S; may be empty if the topic is given.
            end_time: when it ends, as %Y-%m-%d %H:%M:%S; not searched for.
            location: where; not searched for.
            attendees: names of those who attend; not searched for.
        """
        return self.meetings[self._find(token, meeting_topic, start_time, end_time)]

    def ModifyMeeting(
        self, token: str, meeting_topic: str, start_time: str, end_time: str, location: str, attendees: list[str]
    ) -> str:
        """Change topic and time of the user's first meeting with this topic or this start.

        Args:
            token: the user's token.
            meeting_topic: what it is about; the old one stays if this is empty.
            start_time: when it begins, as %Y-%m-%d %H:%M:%S; the old times stay if this is empty.
            end_time: when it ends, as %Y-%m-%d %H:%M:%S; is set together with the start.
            location: where; stays as it was.
            attendees: names of those who attend; stay as they were.
        """
        meeting = self.meetings[self._find(token, meeting_topic, start_time, end_time)]
        if meeting_topic:
            meeting["meeting_topic"] = meeting_topic
        if start_time:
            meeting.update(start_time=start_time, end_time=end_time)
        return "success"

    def DeleteMeeting(
        self, token: str, meeting_topic: str, start_time: str, end_time: str, location: str, attendees: list[str]
    ) -> str:
        """Cancel the user's first meeting with this topic or this start.

        Args:
            token: the user's token.
            meeting_topic: what it is about; may be empty if the start is given.
            start_time: when it begins, as %Y-%m-%d %H:%M:%S; may be empty if the topic is given.
            end_time: when it ends, as %Y-%m-%d %H:%M:%S; not searched for.
            location: where; not searched for.
            attendees: names of those who attend; not searched for.
        """
        del self.meetings[self._find(token, meeting_topic, start_time, end_time)]
        return "success"

    def _find(self, token: str, topic: str, start: str, end: str) -> str:
        for time in (start, end):
            if time != "":
                read(time, MOMENT)
        if topic.strip() == "" and start == "":
            refuse("Meeting Topic and start_time should not be null both")
        key = first_own(self.meetings, self._episode.user(token), meeting_topic=topic, start_time=start)
        if key is None:
            refuse(f"You have no meeting about {topic}" if topic else f"You have no meeting at time : {start}")
        return key
