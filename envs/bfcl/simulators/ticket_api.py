"""TicketAPI: support tickets."""

from __future__ import annotations

from typing import Any

from .base import Simulator

_EDITABLE = ("title", "description", "status", "priority")


class TicketAPI(Simulator):
    """A queue of support tickets. Writing and listing one's own needs a login, everything else does not."""

    ticket_queue: list[dict[str, Any]]
    ticket_counter: int
    current_user: str | None

    defaults = {"ticket_queue": [], "ticket_counter": 1, "current_user": None}  # noqa: RUF012

    def ticket_login(self, username: str, password: str) -> dict[str, Any]:
        """Log in to the ticket system.

        Args:
            username: name of the account.
            password: its password; any will do.
        """
        if not username or not password:
            return {"success": False}
        self.current_user = username
        return {"success": True}

    def logout(self) -> dict[str, Any]:
        """Log out of the ticket system."""
        if not self.current_user:
            return {"success": False}
        self.current_user = None
        return {"success": True}

    def ticket_get_login_status(self) -> dict[str, Any]:
        """Tell whether someone is logged in to the ticket system."""
        return {"login_status": bool(self.current_user)}

    def create_ticket(self, title: str, description: str = "", priority: int = 1) -> dict[str, Any]:
        """Open a ticket in the name of the logged-in user.

        Args:
            title: what it is about.
            description: the details.
            priority: urgency, 1 (lowest) to 5.
        """
        if not self.current_user:
            return {"error": "User not authenticated. Please log in to create a ticket."}
        if priority < 1 or priority > 5:
            return {"error": "Invalid priority. Priority must be between 1 and 5."}
        ticket = {
            "id": self.ticket_counter,
            "title": title,
            "description": description,
            "status": "Open",
            "priority": priority,
            "created_by": self.current_user,
        }
        self.ticket_queue.append(ticket)
        self.ticket_counter += 1
        return ticket

    def get_ticket(self, ticket_id: int) -> dict[str, Any]:
        """Show a ticket.

        Args:
            ticket_id: number of the ticket.
        """
        ticket = self._find(ticket_id)
        return _no_ticket(ticket_id) if ticket is None else ticket

    def get_user_tickets(self, status: str | None = None) -> list[dict[str, Any]]:
        """List the tickets that the logged-in user has opened.

        Args:
            status: show only those with this status, in upper or lower case; None shows all.
        """
        if not self.current_user:
            return [{"error": "User not authenticated. Please log in to view tickets."}]
        tickets = [ticket for ticket in self.ticket_queue if ticket["created_by"] == self.current_user]
        return [ticket for ticket in tickets if ticket["status"].lower() == status.lower()] if status else tickets

    def edit_ticket(self, ticket_id: int, updates: dict[str, Any]) -> dict[str, Any]:
        """Change fields of a ticket.

        Args:
            ticket_id: number of the ticket.
            updates: new values of title, description, status or priority; None leaves a field as it is.
        """
        ticket = self._find(ticket_id)
        if ticket is None:
            return _no_ticket(ticket_id)
        invalid = [field for field in updates.keys() if field not in _EDITABLE]  # noqa: SIM118 (no list has keys)
        if invalid:
            # Upstream joins a set, whose order differs between processes. Keys that are no text come first: `join`
            # raises at the first of them and names its place.
            invalid.sort(key=lambda field: field if isinstance(field, str) else "")
            return {"error": f"Invalid fields for update: {', '.join(invalid)}"}
        ticket.update({field: value for field, value in updates.items() if value is not None})
        return {"status": f"Ticket {ticket_id} has been updated successfully."}

    def resolve_ticket(self, ticket_id: int, resolution: str) -> dict[str, Any]:
        """Mark a ticket as resolved.

        Args:
            ticket_id: number of the ticket.
            resolution: how it was resolved.
        """
        ticket = self._find(ticket_id)
        if ticket is None:
            return _no_ticket(ticket_id)
        if ticket["status"] == "Resolved":
            return {"error": f"Ticket with ID {ticket_id} is already resolved."}
        ticket.update(status="Resolved", resolution=resolution)
        return {"status": f"Ticket {ticket_id} has been resolved successfully."}

    def close_ticket(self, ticket_id: int) -> dict[str, Any]:
        """Close a ticket.

        Args:
            ticket_id: number of the ticket.
        """
        ticket = self._find(ticket_id)
        if ticket is None:
            return _no_ticket(ticket_id)
        if ticket["status"] == "Closed":
            return {"error": f"Ticket with ID {ticket_id} is already closed."}
        ticket["status"] = "Closed"
        return {"status": f"Ticket {ticket_id} has been closed successfully."}

    def _find(self, ticket_id: object) -> dict[str, Any] | None:
        return next((ticket for ticket in self.ticket_queue if ticket["id"] == ticket_id), None)


def _no_ticket(ticket_id: object) -> dict[str, Any]:
    return {"error": f"Ticket with ID {ticket_id} not found."}
