"""Small services: the date, e-mail and hotel rooms."""

from __future__ import annotations

import re
from typing import Any

from .base import ApiSet, refuse
from .dates import DAY, read

_TODAY = "2023-03-31"
# Upstream's addresses: small letters and digits, at most one dot or underscore inside, one dot after the @.
_ADDRESS = re.compile(r"[a-z0-9]+(?:[._][a-z0-9]+|(?<=[a-z0-9]{2}))@\w+\.\w{2,3}")


class Services(ApiSet):
    """Services that need no account."""

    bookings: dict[str, dict[str, Any]]

    tables = {"bookings": "Hotel"}  # noqa: RUF012

    def GetToday(self) -> str:
        """Tell today's date."""
        return _TODAY

    def SendEmail(self, receiver: str, subject: str, content: str) -> str:
        """Send an e-mail.

        Args:
            receiver: address of the receiver.
            subject: its subject.
            content: its text.
        """
        if not _ADDRESS.fullmatch(receiver.strip()):
            refuse("Email address of the receiver is invalid.")
        if subject.strip() == "":
            refuse("Subject cannot be empty.")
        if content.strip() == "":
            refuse("Content cannot be empty.")
        return "success"

    def BookHotel(
        self,
        hotel_name: str,
        check_in_time: str,
        check_out_time: str,
        room_count: int,
        adult_count: int,
        child_count: int,
    ) -> str:
        """Book hotel rooms and return the number of the order. More than two adults need two rooms.

        Args:
            hotel_name: name of the hotel.
            check_in_time: first day, as %Y-%m-%d.
            check_out_time: last day, as %Y-%m-%d.
            room_count: how many rooms.
            adult_count: how many adults.
            child_count: how many children.
        """
        start, end = read(check_in_time, DAY), read(check_out_time, DAY)
        if adult_count > 2 and room_count == 1:
            refuse("The number of adults is greater than 2. Two rooms are ordered.")
        for row in self.bookings.values():
            first, last = read(row["check_in_time"], DAY), read(row["check_out_time"], DAY)
            if row["hotel_name"] == hotel_name and (first <= start < last or first < end <= last):
                refuse("The room is not available.")  # upstream misses a stay that encloses the booked one
        number = str(len(self.bookings) + 1)
        self.bookings[number] = {
            "hotel_name": hotel_name,
            "check_in_time": check_in_time,
            "check_out_time": check_out_time,
            "room_count": room_count,
            "adult_count": adult_count,
            "child_count": child_count,
        }
        return number
