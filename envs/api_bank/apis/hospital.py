"""Appointments, health records and what is known of symptoms."""

from __future__ import annotations

from typing import Any

from .base import ApiSet, refuse
from .dates import DAY, MOMENT, lenient


class Hospital(ApiSet):
    """Appointments with doctors, by appointment number."""

    appointments: dict[str, dict[str, str]]

    tables = {"appointments": "Appointments"}  # noqa: RUF012

    def AppointmentRegistration(self, patient_name: str, date: str, doctor_name: str) -> str:
        """Register an appointment and return its number. A patient can have one a day.

        Args:
            patient_name: name of the patient.
            date: the day, as %Y-%m-%d.
            doctor_name: name of the doctor.
        """
        patient_name, doctor_name = patient_name.strip(), doctor_name.strip()
        if patient_name == "" or doctor_name == "":
            refuse("Patient name or doctor name cannot be empty.")
        date = lenient(date, DAY)
        for row in self._of(patient_name, date).values():
            if row["doctor_name"] == doctor_name:
                refuse("This appointment has already been registered.")
            refuse("This patient has already been registered in this day.")
        number = self._episode.draw_number()
        self.appointments[number] = {"patient_name": patient_name, "date": date, "doctor_name": doctor_name}
        return number

    def QueryRegistration(self, patient_name: str, date: str) -> dict[str, dict[str, str]]:
        """Show a patient's appointments of a day, by number.

        Args:
            patient_name: name of the patient.
            date: the day, as %Y-%m-%d.
        """
        found = self._of(patient_name.strip(), lenient(date, DAY))
        if not found:
            refuse("No appointments found.")
        return found

    def ModifyRegistration(
        self, appointment_id: str, new_appointment_date: str | None = None, new_appointment_doctor: str | None = None
    ) -> str:
        """Change day or doctor of an appointment, or both.

        Args:
            appointment_id: its number.
            new_appointment_date: the new day, as %Y-%m-%d.
            new_appointment_doctor: name of the new doctor.
        """
        appointment_id = appointment_id.strip()
        if appointment_id not in self.appointments:
            refuse("The appointment ID does not exist.")
        row, changes = self.appointments[appointment_id], {}
        if new_appointment_doctor is not None:
            changes["doctor_name"] = new_appointment_doctor.strip()
            if changes["doctor_name"] == "":
                refuse("Fail because the doctor name is empty.")
        if new_appointment_date is not None:
            changes["date"] = lenient(new_appointment_date, DAY)
        unchanged = [name for name, field in _CHANGES.items() if field in changes and changes[field] == row[field]]
        if len(unchanged) == 1:
            refuse(f"Fail because {unchanged[0]} is not changed.")
        if len(unchanged) == len(changes):
            refuse("Fail because no modification is made.")
        row.update(changes)
        return "success"

    def CancelRegistration(self, appointment_id: str) -> str:
        """Cancel an appointment.

        Args:
            appointment_id: its number.
        """
        if self.appointments.pop(appointment_id.strip(), None) is None:
            refuse("The appointment ID is incorrect.")
        return "success"

    def _of(self, patient: str, date: str) -> dict[str, dict[str, str]]:
        return {
            number: row
            for number, row in self.appointments.items()
            if row["patient_name"] == patient and row["date"] == date
        }


_CHANGES = {"date": "date", "doctor": "doctor_name"}


class Health(ApiSet):
    """Health records of users, and knowledge of symptoms."""

    records: dict[str, list[dict[str, Any]]]

    tables = {"records": "HealthData"}  # noqa: RUF012

    def QueryHealthData(self, user_id: str, start_time: str, end_time: str) -> list[dict[str, Any]]:
        """Show a user's health data of a time span, both ends included.

        Args:
            user_id: the user's id, in upper or lower case.
            start_time: as %Y-%m-%d %H:%M:%S.
            end_time: as %Y-%m-%d %H:%M:%S.
        """
        user_id = _user_id(user_id)
        start, wrong_start = _moment(start_time)
        end, wrong_end = _moment(end_time)
        if wrong_start or wrong_end:
            refuse("; ".join(filter(None, (wrong_start, wrong_end))))
        if start > end:
            refuse("The start time cannot be later than the end time.")
        if user_id not in self.records:
            refuse("The user id does not exist.")
        found = [row for row in self.records[user_id] if start <= row["time"] <= end]
        if not found:
            refuse("There is no health data in the given time span.")
        return found

    def RecordHealthData(self, user_id: str, time: str, health_data: list[dict[str, Any]] | None = None) -> str:
        """Record health data of a user.

        Args:
            user_id: the user's id, in upper or lower case.
            time: when it was measured, as %Y-%m-%d %H:%M:%S.
            health_data: what was measured, like [{'name': 'heart_rate', 'value': '80'}].
        """
        user_id = _user_id(user_id)
        time = lenient(time, MOMENT)
        if not health_data:
            refuse("The health data cannot be empty.")
        measured: dict[str, Any] = {}
        for item in health_data:
            if "name" not in item:  # nor has any character of a list that came as text
                refuse("The health data has invalid format.")
            if item["name"] in measured:
                refuse("The health data cannot contain duplicate items.")
            measured[item["name"]] = item["value"]
        rows = self.records.setdefault(user_id, [])
        for row in rows:
            if row["time"] == time:
                row.update(measured)
                return "success"
        rows.append({"time": time, **measured})
        return "success"

    def SymptomSearch(self, symptom: str) -> list[dict[str, str]]:
        """Name diseases that a symptom may point to.

        Args:
            symptom: the symptom.
        """
        return [{"name": row["name"], "description": row["description"]} for row in self._symptom(symptom)]

    def EmergencyKnowledge(self, symptom: str) -> list[dict[str, str]]:
        """Tell the first aid for a symptom.

        Args:
            symptom: the symptom.
        """
        if not self._corrected and symptom.strip() == "":  # upstream passes its exception on as if it were a symptom
            raise AttributeError("'Exception' object has no attribute 'lower'")
        return [{"name": row["name"], "aid": row["aid"]} for row in self._symptom(symptom)]

    def _symptom(self, symptom: str) -> list[dict[str, str]]:
        symptom = symptom.strip().lower()
        if symptom == "":
            refuse("The symptom cannot be empty.")
        known: dict[str, list[dict[str, str]]] = self._episode.library["Symptom"]
        if symptom not in known:
            refuse("The symptom does not exist.")
        return known[symptom]


def _moment(text: str) -> tuple[str, str]:
    """A time in its standard form, which sorts by time; and what is wrong with it, if anything."""
    try:
        return lenient(text, MOMENT), ""
    except ValueError as error:
        return "", str(error)


def _user_id(text: str) -> str:
    text = text.upper().strip()
    if text == "":
        refuse("The user id cannot be empty.")
    return text
