"""Level 3: the people of a few companies, their meetings, mail and pay."""

from __future__ import annotations

from typing import Any

from .base import ApiSet, Episode, refuse
from .dates import MOMENT, read


class Staff(ApiSet):
    """Personal data and whereabouts of employees."""

    updated: dict[str, dict[str, Any]]
    """The accounts that PersonalInfoUpdate changes; AccountInfo never sees it, as upstream."""

    tables = {"updated": "PersonalInfoUpdate"}  # noqa: RUF012

    def AccountInfo(self, username: str, password: str) -> dict[str, Any]:
        """Look up a user's e-mail address and phone number.

        Args:
            username: name of the user.
            password: the user's password.
        """
        return _account(self._episode.library["AccountInfo"], username, password)

    def PersonalInfoUpdate(self, username: str, password: str, address: str) -> dict[str, str]:
        """Store a user's postal address.

        Args:
            username: name of the user.
            password: the user's password.
            address: the new address.
        """
        _account(self.updated, username, password)["address"] = address
        return {"status": "success"}

    def OrganizationMembers(self, organization: str) -> dict[str, list[str]]:
        """List the employees of a company.

        Args:
            organization: name of the company.
        """
        return {"members": _entry(self._episode.library["OrganizationMembers"], organization)}

    def TravelStatus(self, member_name: str) -> str:
        """Tell whether an employee is travelling, at home or in the office.

        Args:
            member_name: name of the employee.
        """
        status: str = _entry(self._episode.library["TravelStatus"], member_name)
        return status


class Pay(ApiSet):
    """Salaries and taxes."""

    def GetOccupationSalary(self, occupation: str) -> dict[str, float]:
        """Tell what an occupation earns.

        Args:
            occupation: name of the occupation.
        """
        salaries = self._episode.library["GetOccupationSalary"]
        if occupation not in salaries:
            refuse("The occupation is not in the database.")
        return {"salary": salaries[occupation]}

    def TaxCalculator(self, salary: float) -> dict[str, float]:
        """Compute what is left of a salary after taxes.

        Args:
            salary: the salary before taxes.
        """
        rates = [(float(least), rate) for least, rate in self._episode.library["TaxCalculator"].items()]
        reached = [step for step in rates if step[0] <= salary]
        if not reached:
            refuse("The salary must not be negative." if self._corrected else "")
        return {"salary_after_tax": salary - salary * max(reached)[1]}


class Calendar(ApiSet):
    """Meetings of employees, and mail that reminds of them."""

    added: list[dict[str, Any]]
    sent: list[dict[str, str]]

    def __init__(self, episode: Episode):
        super().__init__(episode)
        self.added = []
        self.sent = []

    def QueryMeeting(self, user_name: str) -> dict[str, list[dict[str, Any]]]:
        """List the meetings of a user.

        Args:
            user_name: name of the user.
        """
        return {"meetings": _entry(self._episode.library["QueryMeeting"], user_name)}

    def AddMeeting(
        self, meeting_topic: str, start_time: str, end_time: str, location: str, attendees: list[str]
    ) -> str:
        """Arrange a meeting.

        Args:
            meeting_topic: what it is about.
            start_time: when it begins, as %Y-%m-%d %H:%M:%S.
            end_time: when it ends, as %Y-%m-%d %H:%M:%S.
            location: where it takes place.
            attendees: who takes part.
        """
        read(start_time, MOMENT)
        read(end_time, MOMENT)
        if not meeting_topic.strip():
            refuse("Meeting Topic should not be null")
        self.added.append(
            {
                "meeting_topic": meeting_topic,
                "start_time": start_time,
                "end_time": end_time,
                "location": location,
                "attendees": attendees,
            }
        )
        return "success"

    def EmailReminder(self, content: str, time: str, location: str, recipient: str) -> str:
        """Remind somebody of a meeting by e-mail.

        Args:
            content: text of the mail.
            time: when the meeting begins, as %Y-%m-%d %H:%M:%S.
            location: where it takes place.
            recipient: e-mail address of the reader.
        """
        read(time, MOMENT)
        if not content.strip():
            refuse("Content should not be empty")
        self.sent.append({"content": content, "time": time, "location": location, "recipient": recipient})
        return "success"


def _account(accounts: dict[str, dict[str, Any]], username: str, password: str) -> dict[str, Any]:
    account = accounts.get(username)
    if account is None or account["password"] != password:
        refuse("User not found.")
    info: dict[str, Any] = account["info"]
    return info


def _entry(table: dict[str, Any], key: object) -> Any:
    if str(key) not in table:
        refuse(repr(key))  # upstream shows the text of Python's KeyError
    return table[str(key)]
