"""What TravelAPI does that a reader would not expect."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest

from tooluse_gym.envs.bfcl.simulators.travel_api import TravelAPI
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.errors import DataNotFoundError

SCENARIO = {
    "credit_card_list": {"c": {"card_number": "1", "balance": 1000}, "bare": {"card_number": "2"}},
    "booking_record": {
        "b": {"card_id": "c", "travel_cost": 50},
        "no card": {"card_id": "gone", "travel_cost": 50},
        "no cost": {"card_id": "gone"},
        "empty": {},
    },
    "access_token": "t",
    "token_expires_in": 2,
    "user_first_name": "A",
    "user_last_name": "B",
}
PAYLOAD = {
    "CREDIT_CARD_EXTENSION": {"c": {"balance": 1.0}, "extra": {"card_number": "9", "balance": 5000.0}},
    "BOOKING_RECORD_EXTENSION": {"b": {}, "more": {"card_id": "extra", "travel_cost": 400.0}},
}
ERROR = "Error during execution: "


def travel(long_context: bool = False, commons: dict[str, Any] | None = None, **changes: Any) -> World:
    scenario = {"TravelAPI": {**SCENARIO, **changes}}
    return World(["TravelAPI"], scenario, long_context, payload=PAYLOAD, commons=commons)


def book(card: str = "c", day: str = "2024-11-17", start: str = "SFO", end: str = "LAX", kind: str = "economy") -> str:
    return f"book_flight('t', {card!r}, {day!r}, {start!r}, {end!r}, {kind!r})"


def balance(world: World, card: str) -> Any:
    return json.loads(world.execute(f"get_credit_card_balance('t', {card!r})"))["card_balance"]


def test_first_draws() -> None:
    logins = World(["TravelAPI"])
    assert '"access_token": "251675"' in logins.execute("authenticate_travel('', '', '', 'read', 'A', 'B')")
    assert logins.state()["TravelAPI"]["token_scope"] == "read"
    assert '"booking_id": "3426812", "transaction_id": "45451592"' in travel().execute(book())
    cards = travel()
    assert cards.execute("register_credit_card('t', '3', '1/30', 'A B', 7)") == '{"card_id": "262919693687"}'
    assert isinstance(balance(cards, "262919693687"), int), "the second draw"


def test_refused_calls_draw_nothing() -> None:
    world = travel()
    for call in (
        "register_credit_card('bad', '3', '1/30', 'A B', 7)",
        "purchase_insurance('t', 'x', 'b', 1, 'gone')",
        "purchase_insurance('t', 'x', 'b', '1', 'c')",
        book(kind="sleeper"),
        book(end="BOS", kind="first"),
    ):
        world.execute(call)
    assert world.differs(travel()) == {}
    assert '"3426812"' in world.execute(book())


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (book("x", "x", "x", "x", "x"), "Card not registered"),
        (book("bare", "x", "x", "x", "x"), "Balance not found"),
        (book(day="x", start="x", end="x", kind="x"), "Invalid departure airport code: x"),
        (book(day="x", start="JFK", end="PVG", kind="x"), "Invalid destination airport code: PVG"),
        (book(day="2024-02-30", end="SFO", kind="x"), "Invalid date format. Use YYYY-MM-DD."),
        (book(end="SFO", kind="x"), "Invalid travel class. Must be one of {'business', 'economy', 'first'}"),
        (book(end="SFO"), "No available route for the given airports."),
        (book(end="BOS", kind="first"), "Insufficient funds"),
    ],
    ids=["card", "balance", "from", "to", "date", "class", "route", "funds"],
)
def test_bookings_are_checked_in_order(call: str, problem: str) -> None:
    assert travel().execute(call) == json.dumps({"booking_status": False, "error": problem})


def test_bookings_need_a_balance_above_the_budget() -> None:
    problem = {"booking_status": False, "error": "Balance is less than budget limit"}
    assert travel(budget_limit=1000.5).execute(book()) == json.dumps(problem)
    assert '"booking_status": true' in travel(budget_limit=1000).execute(book()), "although 600 are left of 1000"


@pytest.mark.parametrize(
    ("token", "expires", "problem"),
    [
        ("'t'", 0, "Token expired"),
        ("'bad'", 0, "Token expired"),
        ("'bad'", 2, "Invalid access token"),
        ("'bad'", None, "Invalid access token"),
        ("'t'", None, None),
    ],
)
def test_tokens(token: str, expires: int | None, problem: str | None) -> None:
    world = travel(token_expires_in=expires)
    text = world.execute(f"set_budget_limit({token}, 7)")
    assert text == json.dumps({"error": problem} if problem else {"budget_limit": 7.0})
    registered = world.execute(f"register_credit_card({token}, 'c', '', '', 0)")
    problem = "Token not initialized" if expires is None else problem
    assert registered == json.dumps({"error": problem})
    assert world.execute("travel_get_login_status()") == json.dumps({"status": expires == 2})


def test_no_token_is_a_token_while_nobody_is_logged_in() -> None:
    assert World(["TravelAPI"]).execute("get_booking_history(None)") == '{"booking_history": {}}'


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("register_credit_card('t', 'c', '', '', 0)", '{"error": "Card already registered"}'),
        ("get_credit_card_balance('t', 'x')", """{"error": "Card not registered. Here are a list of card_id's: """),
        ("get_credit_card_balance('t', 'bare')", ERROR + "'balance'"),
        ("cancel_booking('t', 'x')", '{"cancel_status": false, "error": "Booking not found"}'),
        ("cancel_booking('t', 'empty')", ERROR + "'card_id'"),
        ("cancel_booking('t', 'no cost')", ERROR + "'travel_cost'"),
        ("cancel_booking('t', 'no card')", ERROR + "'gone'"),
        ("retrieve_invoice('t')", '{"error": "Booking not found"}'),
        ("retrieve_invoice('t', 'b')", ERROR + "'travel_date'"),
        ("contact_customer_support('x', '')", '{"error": "Booking not found"}'),
        ("purchase_insurance('t', '', 'x', 1, 'x')", '{"insurance_status": false, "error": "Booking not found"}'),
        ("purchase_insurance('t', '', 'b', 1, 'x')", '{"insurance_status": false, "error": "Credit card not reg'),
        ("purchase_insurance('t', '', 'b', '1', 'c')", ERROR + "unsupported operand type(s) for -=: 'int' and 'str'"),
        ("set_budget_limit('t', 'x')", ERROR + "could not convert string to float: 'x'"),
        ("get_nearest_airport_by_city('rome')", '{"nearest_airport": "Unknown"}'),
        ("list_all_airports()[:2]", "['RMS', 'SBK']"),
        ("get_flight_cost('LAX', 'CIA', '', 'economy')", ERROR + "No available route for the given airports."),
        ("get_flight_cost('CIA', 'x', '', 'x')", ERROR + "No available route for the given airports."),
        ("get_flight_cost('SFO', 'CIA', '', ['x'])", ERROR + "Invalid travel class. Options are: economy, business, f"),
        ("get_flight_cost('JFK', 'PVG', '1-1', 'first')", '{"travel_cost_list": [9500.0]}'),
        ("get_flight_cost('SFO', 'CIA', '2024-11-1', 'business')", '{"travel_cost_list": [1400.0]}'),
        ("compute_exchange_rate('USD', 'RMB', 3)", '{"exchanged_value": 21.0}'),
        ("compute_exchange_rate('RMB', 'USD', 10)", '{"exchanged_value": 1.43}'),
        ("compute_exchange_rate('USD', 'USD', 1)", ERROR + "No available exchange rate for the given currencies."),
        ("compute_exchange_rate('USD', 'RMB', '1')", '{"exchanged_value": 1111111.0}'),
        ("book_flight('t', 'c', 7, 'SFO', 'LAX', '')", ERROR + "strptime() argument 1 must be str, not int"),
        ("book_flight('t', 'c', '2024-1-1', 'SFO', 'LAX', [])", ERROR + "unhashable type: 'list'"),
        ("retrieve_invoice()", ERROR + "TravelAPI.retrieve_invoice() missing 1 required positional argument: 'access"),
    ],
)
def test_observations(call: str, text: str) -> None:
    assert travel().execute(call).startswith(text)


@pytest.mark.parametrize(
    ("traveller", "failure"),
    [
        ("'A', 'C', 'x', 'x'", "Cannot book flight information for another user.Expected A B, got A C"),
        ("'A', 'B', '1.1.2000', 'x'", "Invalid date of birth format. Please use YYYY-MM-DD."),
        ("'A', 'B', '2006-09-02', 'x'", "Traveler must be at least 18 years old."),
        ("'A', 'B', '2006-09-01', 'x'", "Passport must be issued by the United States."),
        ("'A', 'B', '2006-09-01', 'US'", None),
    ],
    ids=["name", "date", "too young on the fixed day", "passport", "18 on the fixed day"],
)
def test_travellers_are_verified_on_a_fixed_day(traveller: str, failure: str | None) -> None:
    result = {"verification_status": failure is None} | ({"verification_failure": failure} if failure else {})
    assert travel().execute(f"verify_traveler_information({traveller})") == json.dumps(result)


def test_money_keeps_its_type_until_it_is_spent_and_returns_on_cancelling() -> None:
    world = travel()
    assert repr(balance(world, "c")) == "1000"
    booked = json.loads(world.execute(book(day="2024-11-16")))
    assert booked["booking_history"] == {}
    assert repr(balance(world, "c")) == "800.0"
    assert '"travel_cost": 200.0' in world.execute(f"retrieve_invoice('t', {booked['booking_id']!r}, 'any')")
    world.execute(f"cancel_booking('t', {booked['booking_id']!r})")
    world.execute("purchase_insurance('t', 'x', 'b', 1500, 'c')")
    assert repr(balance(world, "c")) == "-500.0"


class TestLongContext:
    def test_known_cards_and_bookings_come_first_and_stay(self) -> None:
        state = travel(long_context=True).state()["TravelAPI"]
        assert list(state["credit_card_list"]) == ["c", "bare", "extra"]
        assert state["credit_card_list"]["c"] == SCENARIO["credit_card_list"]["c"]  # type: ignore[index]
        assert list(state["booking_record"]) == ["b", "no card", "no cost", "empty", "more"]
        assert state["long_context"] is True

    def test_prices_of_all_routes_and_the_whole_history_are_shown(self) -> None:
        world = travel(long_context=True)
        prices = json.loads(world.execute("get_flight_cost('LAX', 'SFO', '1', 'first')"))["travel_cost_list"]
        assert (len(prices), prices[0], prices[-1]) == (153, 1000.0, 1100.0)
        history = json.loads(world.execute(book()))["booking_history"]
        assert list(history) == ["b", "no card", "no cost", "empty", "more", "3426812"]
        assert history["3426812"]["travel_cost"] == 400.0, "the price of the route itself"

    def test_needs_the_payload(self) -> None:
        with pytest.raises(DataNotFoundError, match="CREDIT_CARD_EXTENSION"):
            TravelAPI(long_context=True)

    def test_extra_cards_are_shared_on_request_only(self) -> None:
        before = copy.deepcopy(PAYLOAD)
        alone, other = travel(True), travel(True)
        alone.execute(book("extra"))
        assert (balance(alone, "extra"), balance(other, "extra")) == (4600.0, 5000.0)
        commons: dict[str, Any] = {}
        pair = [travel(True, commons) for _ in range(2)]
        for world in pair:
            world.execute(book("extra"))
            world.execute(book("c"))
        assert [balance(world, "extra") for world in pair] == [4200.0, 4200.0], "charged twice"
        assert [balance(world, "c") for world in pair] == [600.0, 600.0], "the scenario's own is nobody else's"
        pair[0].execute("cancel_booking('t', 'more')")
        assert [balance(world, "extra") for world in pair] == [4600.0, 4600.0]
        assert pair[0].differs(pair[1]) == {"TravelAPI": ["booking_record"]}, "the records themselves are not shared"
        assert before == PAYLOAD

    def test_a_copied_pair_keeps_sharing_and_continues_exactly(self) -> None:
        commons: dict[str, Any] = {}
        pair = [travel(True, commons) for _ in range(2)]
        pair[0].execute(book("extra"))
        first, second = copy.deepcopy(pair)
        assert first.execute(book("extra")) == pair[0].execute(book("extra"))
        assert first.state() == pair[0].state()
        second.execute(book("extra"))
        assert (balance(first, "extra"), balance(pair[0], "extra")) == (3800.0, 4200.0)


@pytest.mark.parametrize(
    "call",
    [
        "get_flight_cost('SFO', 'LAX', '7' * 90_000, 'first')",
        "compute_exchange_rate('USD', 'JPY', '7' * 90_000)",
        "compute_exchange_rate('USD', 'JPY', [7] * 40_000)",
        "compute_exchange_rate('USD', 'JPY', 7 ** 30_000)",
        "compute_exchange_rate('JPY', 'USD', 7 ** 30_000)",
        "set_budget_limit('t', 7 ** 30_000)",
        "verify_traveler_information('A', 'B', '7' * 90_000, '')",
    ],
)
def test_large_arguments_end_soon(call: str) -> None:
    start = time.perf_counter()
    assert len(travel(long_context=True).execute(call)) < 10_000
    assert time.perf_counter() - start < 1
