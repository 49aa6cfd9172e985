"""TravelAPI: flights, bookings and credit cards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from .base import Simulator, data_copy
from .limits import product

_TABLES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
_AIRPORTS = [code for code, _ in _TABLES["airports"]]
_EXCHANGE_RATES = _TABLES["exchange_rates"]
_AIRPORT_OF_CITY = {city: code for code, city in _TABLES["airports"]}
_BASE_COSTS = {(origin, destination): cost for origin, destination, cost in _TABLES["routes"]}  # many go one way only
_CLASS_FACTORS = {"economy": 1, "business": 2, "first": 5}
_INVOICED = ("travel_date", "travel_from", "travel_to", "travel_class", "travel_cost", "transaction_id")
# Upstream asks the wall clock; here the same calls give the same observations on any day.
_TODAY = date(2024, 9, 1)
# Upstream prints a set, in another order in every process.
_BAD_CLASS = f"Invalid travel class. Must be one of {{{', '.join(map(repr, sorted(_CLASS_FACTORS)))}}}"


class TravelAPI(Simulator):
    """A travel agency that sells flights and insurance to one user and charges the user's credit cards."""

    credit_card_list: dict[str, dict[str, Any]]
    booking_record: dict[str, dict[str, Any]]
    access_token: str | None
    token_type: str | None
    token_expires_in: int | None
    token_scope: str | None
    user_first_name: str | None
    user_last_name: str | None
    budget_limit: float | None
    long_context: bool

    defaults = {  # noqa: RUF012
        "credit_card_list": {},
        "booking_record": {},
        "access_token": None,
        "token_type": None,
        "token_expires_in": None,
        "token_scope": None,
        "user_first_name": None,
        "user_last_name": None,
        "budget_limit": None,
    }
    default_seed = 141053

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        super()._load(scenario, long_context)
        self.long_context = long_context
        if long_context:
            for attribute, name in (
                ("credit_card_list", "CREDIT_CARD_EXTENSION"),
                ("booking_record", "BOOKING_RECORD_EXTENSION"),
            ):
                known = getattr(self, attribute)
                for key, record in self._shared(attribute, name).items():
                    known.setdefault(key, record)

    def _shared(self, attribute: str, name: str) -> dict[str, dict[str, Any]]:
        # Upstream adds its own objects without copying them: what one instance charges to such a card, every other
        # instance in the process sees.
        key = f"TravelAPI.{attribute}"
        if key not in self._commons:
            self._commons[key] = data_copy(self._extension(name))
        shared: dict[str, dict[str, Any]] = self._commons[key]
        return shared

    def authenticate_travel(
        self,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        grant_type: str,
        user_first_name: str,
        user_last_name: str,
    ) -> dict[str, Any]:
        """Log a user in and get the access token that most other tools ask for.

        Args:
            client_id: identifier of the application that asks.
            client_secret: secret of that application.
            refresh_token: token of an earlier login.
            grant_type: what the access token allows: read_write, read or write.
            user_first_name: first name of the user.
            user_last_name: last name of the user.
        """
        self.token_expires_in = 2  # never counts down
        self.access_token = self._draw(100_000, 999_999)
        self.token_type = "Bearer"
        self.token_scope = grant_type
        self.user_first_name = user_first_name
        self.user_last_name = user_last_name
        return {
            "expires_in": self.token_expires_in,
            "access_token": self.access_token,
            "token_type": self.token_type,
            "scope": self.token_scope,
        }

    def travel_get_login_status(self) -> dict[str, Any]:
        """Tell whether a user is logged in."""
        return {"status": self.token_expires_in not in (None, 0)}

    def verify_traveler_information(
        self, first_name: str, last_name: str, date_of_birth: str, passport_number: str
    ) -> dict[str, Any]:
        """Check that a traveller is the logged-in user, 18 or older on 2024-09-01, and has a United States passport.

        Args:
            first_name: first name of the traveller.
            last_name: last name of the traveller.
            date_of_birth: day of birth as YYYY-MM-DD.
            passport_number: number of the passport, which begins with the issuing country.
        """
        failure = None
        if (first_name, last_name) != (self.user_first_name, self.user_last_name):
            expected, got = f"{self.user_first_name} {self.user_last_name}", f"{first_name} {last_name}"
            failure = f"Cannot book flight information for another user.Expected {expected}, got {got}"
        elif (born := _parse_date(date_of_birth)) is None:
            failure = "Invalid date of birth format. Please use YYYY-MM-DD."
        elif _age(born) < 18:
            failure = "Traveler must be at least 18 years old."
        elif not passport_number.startswith("US"):
            failure = "Passport must be issued by the United States."
        if failure is not None:
            return {"verification_status": False, "verification_failure": failure}
        return {"verification_status": True}

    def list_all_airports(self) -> list[str]:
        """List the codes of all airports."""
        return list(_AIRPORTS)

    def get_nearest_airport_by_city(self, location: str) -> dict[str, Any]:
        """Find the airport of a city.

        Args:
            location: name of the city, such as Rivermist or London.
        """
        return {"nearest_airport": _AIRPORT_OF_CITY.get(location, "Unknown")}

    def get_flight_cost(self, travel_from: str, travel_to: str, travel_date: str, travel_class: str) -> dict[str, Any]:
        """Look up the price of a flight in US dollars.

        Args:
            travel_from: code of the airport of departure.
            travel_to: code of the airport of arrival.
            travel_date: day of the flight as YYYY-MM-DD.
            travel_class: economy, business or first.
        """
        if (travel_from, travel_to) not in _BASE_COSTS:
            raise ValueError("No available route for the given airports.")
        if travel_class not in list(_CLASS_FACTORS):  # a list, because a class may be anything, even unhashable
            raise ValueError("Invalid travel class. Options are: economy, business, first.")
        # The long-context variant buries the price asked for among those of all routes.
        base_costs = _BASE_COSTS.values() if self.long_context else [_BASE_COSTS[travel_from, travel_to]]
        factor = _factor(travel_date, travel_class)
        return {"travel_cost_list": [float(cost * factor) for cost in base_costs]}

    def book_flight(
        self, access_token: str, card_id: str, travel_date: str, travel_from: str, travel_to: str, travel_class: str
    ) -> dict[str, Any]:
        """Book a flight and charge its price to a credit card.

        Args:
            access_token: token got by logging in.
            card_id: identifier of a registered credit card.
            travel_date: day of the flight as YYYY-MM-DD.
            travel_from: code of the airport of departure.
            travel_to: code of the airport of arrival.
            travel_class: economy, business or first.
        """
        problem = self._token_problem(access_token) or self._booking_problem(
            card_id, travel_date, travel_from, travel_to, travel_class
        )
        if problem is not None:
            return {"booking_status": False, "error": problem}
        cost = float(_BASE_COSTS[travel_from, travel_to] * _factor(travel_date, travel_class))
        card = self.credit_card_list[card_id]
        if card["balance"] < cost:
            return {"booking_status": False, "error": "Insufficient funds"}
        if self.budget_limit is not None and card["balance"] < self.budget_limit:
            return {"booking_status": False, "error": "Balance is less than budget limit"}
        card["balance"] -= cost
        booking_id = self._draw(1_000_000, 9_999_999)
        transaction_id = self._draw(10_000_000, 99_999_999)
        self.booking_record[booking_id] = {
            "card_id": card_id,
            "travel_date": travel_date,
            "travel_from": travel_from,
            "travel_to": travel_to,
            "travel_class": travel_class,
            "travel_cost": cost,
            "transaction_id": transaction_id,
        }
        return {
            "booking_id": booking_id,
            "transaction_id": transaction_id,
            "booking_status": True,
            "booking_history": self.booking_record if self.long_context else {},
        }

    def _booking_problem(
        self, card_id: str, travel_date: str, travel_from: str, travel_to: str, travel_class: str
    ) -> str | None:
        if card_id not in self.credit_card_list:
            return "Card not registered"
        if "balance" not in self.credit_card_list[card_id]:
            return "Balance not found"
        if travel_from not in _AIRPORTS:
            return f"Invalid departure airport code: {travel_from}"
        if travel_to not in _AIRPORTS:
            return f"Invalid destination airport code: {travel_to}"
        if _parse_date(travel_date) is None:
            return "Invalid date format. Use YYYY-MM-DD."
        if travel_class not in _CLASS_FACTORS:  # unhashable ones raise, as in the set that upstream looks them up in
            return _BAD_CLASS
        if (travel_from, travel_to) not in _BASE_COSTS:
            return "No available route for the given airports."
        return None

    def cancel_booking(self, access_token: str, booking_id: str) -> dict[str, Any]:
        """Cancel a booking and refund its price to the credit card that paid.

        Args:
            access_token: token got by logging in.
            booking_id: identifier of the booking.
        """
        problem = self._token_problem(access_token)
        if problem is None and booking_id not in self.booking_record:
            problem = "Booking not found"
        if problem is not None:
            return {"cancel_status": False, "error": problem}
        booking = self.booking_record[booking_id]
        card_id, cost = booking["card_id"], booking["travel_cost"]
        self.credit_card_list[card_id]["balance"] += cost
        del self.booking_record[booking_id]
        return {"cancel_status": True}

    def get_booking_history(self, access_token: str) -> dict[str, Any]:
        """Show all bookings of the user.

        Args:
            access_token: token got by logging in.
        """
        problem = self._token_problem(access_token)
        return {"booking_history": self.booking_record} if problem is None else {"error": problem}

    def retrieve_invoice(
        self, access_token: str, booking_id: str | None = None, insurance_id: str | None = None
    ) -> dict[str, Any]:
        """Show the invoice of a booking.

        Args:
            access_token: token got by logging in.
            booking_id: identifier of the booking.
            insurance_id: identifier of an insurance of the booking; makes no difference.
        """
        problem = self._token_problem(access_token)
        if problem is not None:
            return {"error": problem}
        if booking_id not in self.booking_record:
            return {"error": "Booking not found"}
        booking = self.booking_record[booking_id]
        return {"invoice": {"booking_id": booking_id, **{name: booking[name] for name in _INVOICED}}}

    def contact_customer_support(self, booking_id: str, message: str) -> dict[str, Any]:
        """Write to customer support about a booking.

        Args:
            booking_id: identifier of the booking.
            message: text for customer support.
        """
        if booking_id not in self.booking_record:
            return {"error": "Booking not found"}
        return {
            "customer_support_message": "Thank you for contacting customer support. "
            "Your message has been received and we will get back to you shortly."
        }

    def purchase_insurance(
        self, access_token: str, insurance_type: str, booking_id: str, insurance_cost: float, card_id: str
    ) -> dict[str, Any]:
        """Insure a booking and charge the cost to a credit card.

        Args:
            access_token: token got by logging in.
            insurance_type: kind of insurance.
            booking_id: identifier of the booking.
            insurance_cost: cost of the insurance.
            card_id: identifier of a registered credit card.
        """
        problem = self._token_problem(access_token)
        if problem is None:
            if self.budget_limit is not None and self.budget_limit < insurance_cost:
                problem = "Exceeded budget limit"
            elif booking_id not in self.booking_record:
                problem = "Booking not found"
            elif card_id not in self.credit_card_list:
                problem = "Credit card not registered"
        if problem is not None:
            return {"insurance_status": False, "error": problem}
        self.credit_card_list[card_id]["balance"] -= insurance_cost  # may become negative
        return {"insurance_id": self._draw(100_000_000, 999_999_999), "insurance_status": True}

    def register_credit_card(
        self,
        access_token: str,
        card_number: str,
        expiration_date: str,
        cardholder_name: str,
        card_verification_number: int,
    ) -> dict[str, Any]:
        """Register a credit card and get its identifier.

        Args:
            access_token: token got by logging in.
            card_number: number on the card.
            expiration_date: month in which the card ends, as MM/YYYY.
            cardholder_name: name on the card.
            card_verification_number: security code of the card.
        """
        problem = "Token not initialized" if self.token_expires_in is None else self._token_problem(access_token)
        if problem is None and card_number in self.credit_card_list:  # by identifier, not by number, as upstream does
            problem = "Card already registered"
        if problem is not None:
            return {"error": problem}
        card_id = self._draw(100_000_000_000, 999_999_999_999)
        self.credit_card_list[card_id] = {
            "card_number": card_number,
            "expiration_date": expiration_date,
            "cardholder_name": cardholder_name,
            "card_verification_number": card_verification_number,
            "balance": self._random.randint(10_000, 99_999),
        }
        return {"card_id": card_id}

    def get_all_credit_cards(self) -> dict[str, Any]:
        """Show all registered credit cards."""
        return {"credit_card_list": self.credit_card_list}

    def get_credit_card_balance(self, access_token: str, card_id: str) -> dict[str, Any]:
        """Show what is left on a credit card.

        Args:
            access_token: token got by logging in.
            card_id: identifier of a registered credit card.
        """
        problem = self._token_problem(access_token)
        if problem is not None:
            return {"error": problem}
        if card_id not in self.credit_card_list:
            return {"error": f"Card not registered. Here are a list of card_id's: {list(self.credit_card_list)}"}
        return {"card_balance": self.credit_card_list[card_id]["balance"]}

    def set_budget_limit(self, access_token: str, budget_limit: float) -> dict[str, Any]:
        """Set the user's budget, against which insurance costs and card balances are checked.

        Args:
            access_token: token got by logging in.
            budget_limit: the budget in US dollars.
        """
        problem = self._token_problem(access_token)
        if problem is not None:
            return {"error": problem}
        self.budget_limit = float(budget_limit)
        return {"budget_limit": self.budget_limit}

    def get_budget_fiscal_year(
        self, lastModifiedAfter: str | None = None, includeRemoved: str | None = None
    ) -> dict[str, Any]:
        """Tell the fiscal year of the budget; the filters make no difference.

        Args:
            lastModifiedAfter: look only at fiscal years changed after this time, YYYY-MM-DDTHH:MM:SS in UTC.
            includeRemoved: look at removed fiscal years, too.
        """
        return {"budget_fiscal_year": "2018"}

    def compute_exchange_rate(self, base_currency: str, target_currency: str, value: float) -> dict[str, Any]:
        """Convert an amount of money between the US dollar and another currency.

        Args:
            base_currency: code of the currency of the amount, such as USD or EUR.
            target_currency: code of the currency wanted.
            value: the amount.
        """
        for base, target, rate in _EXCHANGE_RATES:
            if base_currency == base and target_currency == target:
                return {"exchanged_value": float(product(value, rate))}
            if base_currency == target and target_currency == base:
                return {"exchanged_value": round(value / rate, 2)}
        raise ValueError("No available exchange rate for the given currencies.")

    def _token_problem(self, access_token: str) -> str | None:
        if self.token_expires_in == 0:
            return "Token expired"
        if access_token != self.access_token:
            return "Invalid access token"
        return None

    def _draw(self, low: int, high: int) -> str:
        return str(self._random.randint(low, high))


def _factor(travel_date: str, travel_class: str) -> int:
    digits = sum(int(character) for character in travel_date if character.isdigit())
    return _CLASS_FACTORS[travel_class] * (2 if digits % 2 == 0 else 1)


def _parse_date(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        return None


def _age(born: date) -> int:
    return _TODAY.year - born.year - ((_TODAY.month, _TODAY.day) < (born.month, born.day))
