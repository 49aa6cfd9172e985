"""What TicketAPI does that a reader would not expect."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tooluse_gym.envs.bfcl.simulators.ticket_api import TicketAPI
from tooluse_gym.envs.bfcl.world import World

TICKETS = [
    {"id": 1, "title": "Flat tyre", "description": "", "status": "Open", "priority": 2, "created_by": "ann"},
    {"id": 2, "status": "Resolved", "created_by": "bob", "resolution": "pumped"},
    {"id": 3, "status": "Closed", "created_by": "ann"},
    {"id": 4, "created_by": "bob"},
]
NOT_FOUND = '{"error": "Ticket with ID 9 not found."}'


def world(commons: dict[str, Any] | None = None, **scenario: Any) -> World:
    scenario = {"ticket_queue": TICKETS, "ticket_counter": 5, "current_user": "ann", **scenario}
    return World(["TicketAPI"], {"TicketAPI": scenario}, commons=commons)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("ticket_login('u', '')", '{"success": false}'),
        ("ticket_login('', 'p')", '{"success": false}'),
        ("ticket_login('u', 'whatever')", '{"success": true}'),
        ("ticket_get_login_status()", '{"login_status": true}'),
        ("logout()", '{"success": true}'),
        (
            "create_ticket('x')",
            '{"id": 5, "title": "x", "description": "", "status": "Open", "priority": 1, "created_by": "ann"}',
        ),
        ("create_ticket('x', 'y', 0)", '{"error": "Invalid priority. Priority must be between 1 and 5."}'),
        ("create_ticket('x', 'y', 5.5)", '{"error": "Invalid priority. Priority must be between 1 and 5."}'),
        (
            "create_ticket('x', priority='3')",
            "Error during execution: '<' not supported between instances of 'str' and 'int'",
        ),
        (
            "create_ticket(1, 2, 3, 4)",
            "Error during execution: TicketAPI.create_ticket() takes from 2 to 4 positional arguments but 5 were given",
        ),
        ("get_ticket(2)", '{"id": 2, "status": "Resolved", "created_by": "bob", "resolution": "pumped"}'),
        ("get_ticket(9)", NOT_FOUND),
        ("get_ticket('2')", '{"error": "Ticket with ID 2 not found."}'),
        ("get_user_tickets('CLOSED')", "[{'id': 3, 'status': 'Closed', 'created_by': 'ann'}]"),
        ("get_user_tickets('x')", "[]"),
        ("get_user_tickets(2)", "Error during execution: 'int' object has no attribute 'lower'"),
        ("edit_ticket(1, {'priority': 'high'})", '{"status": "Ticket 1 has been updated successfully."}'),
        ("edit_ticket(1.0, {})", '{"status": "Ticket 1.0 has been updated successfully."}'),
        ("edit_ticket(9, {'id': 1})", NOT_FOUND),
        ("edit_ticket(1, {'status': 'x', 'id': 1})", '{"error": "Invalid fields for update: id"}'),
        ("edit_ticket(1, {'id': 1, 'b': None, 'A': 2})", '{"error": "Invalid fields for update: A, b, id"}'),
        (
            "edit_ticket(1, {'id': 1, 2: 3})",
            "Error during execution: sequence item 0: expected str instance, int found",
        ),
        ("edit_ticket(1, None)", "Error during execution: 'NoneType' object has no attribute 'keys'"),
        ("edit_ticket(1, ['status'])", "Error during execution: 'list' object has no attribute 'keys'"),
        ("edit_ticket(9, None)", NOT_FOUND),
        ("resolve_ticket(3, 'x')", '{"status": "Ticket 3 has been resolved successfully."}'),
        ("resolve_ticket(2, 'x')", '{"error": "Ticket with ID 2 is already resolved."}'),
        ("resolve_ticket(9, 'x')", NOT_FOUND),
        ("resolve_ticket(4, 'x')", "Error during execution: 'status'"),
        ("close_ticket(2)", '{"status": "Ticket 2 has been closed successfully."}'),
        ("close_ticket(3)", '{"error": "Ticket with ID 3 is already closed."}'),
        ("close_ticket(9)", NOT_FOUND),
        ("close_ticket(4)", "Error during execution: 'status'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_results(call: str, expected: str) -> None:
    assert world().execute(call) == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("create_ticket('x', priority=9)", '{"error": "User not authenticated. Please log in to create a ticket."}'),
        ("get_user_tickets()", "[{'error': 'User not authenticated. Please log in to view tickets.'}]"),
        ("logout()", '{"success": false}'),
        ("ticket_get_login_status()", '{"login_status": false}'),
        ("get_ticket(3)", '{"id": 3, "status": "Closed", "created_by": "ann"}'),
        ("edit_ticket(1, {'title': 'x'})", '{"status": "Ticket 1 has been updated successfully."}'),
        ("resolve_ticket(1, 'x')", '{"status": "Ticket 1 has been resolved successfully."}'),
        ("close_ticket(1)", '{"status": "Ticket 1 has been closed successfully."}'),
    ],
    ids=lambda value: str(value)[:40],
)
def test_without_login(call: str, expected: str) -> None:
    assert world(current_user=None).execute(call) == expected


def test_edits_are_unchecked_but_none_is_skipped() -> None:
    tickets = TicketAPI({"ticket_queue": TICKETS})
    tickets.edit_ticket(1, {"status": "on hold", "priority": "high", "title": None, "description": ["x"]})
    assert tickets.get_ticket(1) == {**TICKETS[0], "status": "on hold", "priority": "high", "description": ["x"]}
    tickets.edit_ticket(4, {"status": "Open"})
    assert tickets.get_ticket(4) == {"id": 4, "created_by": "bob", "status": "Open"}


def test_refused_edits_change_nothing() -> None:
    tickets = world()
    tickets.execute("edit_ticket(1, {'status': 'x', 'id': 1})")
    assert tickets.differs(world()) == {}


def test_a_closed_ticket_can_be_resolved_and_closed_again() -> None:
    tickets = TicketAPI({"ticket_queue": TICKETS})
    tickets.resolve_ticket(3, "done")
    assert tickets.get_ticket(3) == {"id": 3, "status": "Resolved", "created_by": "ann", "resolution": "done"}
    tickets.close_ticket(3)
    assert tickets.get_ticket(3)["resolution"] == "done"


@pytest.mark.parametrize("status", [None, ""], ids=repr)
def test_without_a_status_all_own_tickets_are_listed(status: str | None) -> None:
    assert [ticket["id"] for ticket in TicketAPI(world().state()["TicketAPI"]).get_user_tickets(status)] == [1, 3]


@pytest.mark.parametrize(
    ("ticket", "call", "missing"),
    [
        ({"ticket_001": {}}, "get_ticket(1)", "'id'"),
        ({"ticket_001": {}}, "edit_ticket(1, {'id': 2})", "'id'"),
        ({"id": 1, "status": "Open"}, "get_user_tickets()", "'created_by'"),
        ({"id": 1, "created_by": "ann"}, "get_user_tickets('open')", "'status'"),
    ],
)
def test_tickets_of_a_scenario_may_lack_fields(ticket: dict[str, Any], call: str, missing: str) -> None:
    assert world(ticket_queue=[ticket]).execute(call) == f"Error during execution: {missing}"


def test_numbers_are_given_without_a_look_at_the_queue() -> None:
    tickets = world(ticket_counter=1)
    tickets.execute("create_ticket('second of that number')")
    assert '"Flat tyre"' in tickets.execute("get_ticket(1)")


def test_worlds_share_nothing() -> None:
    commons: dict[str, Any] = {}
    first, second = world(commons), world(commons)
    for call in ("create_ticket('x')", "close_ticket(1)", "logout()"):
        first.execute(call)
    assert second.state() == world().state()


def test_a_copy_continues_exactly() -> None:
    tickets = world()
    tickets.execute("create_ticket('x')")
    clone = copy.deepcopy(tickets)
    for call in ("create_ticket('y')", "resolve_ticket(5, 'x')", "get_user_tickets()"):
        assert clone.execute(call) == tickets.execute(call)
    clone.execute("close_ticket(6)")
    assert clone.differs(tickets) == {"TicketAPI": ["ticket_queue"]}
