"""Level 3: where places are, the weather there, what to wear, where to eat and how to get there."""

from __future__ import annotations

from typing import Any

from .base import ApiSet, Episode, RejectedCallError, refuse
from .dates import DAY, read

_CLOTHES = (  # up to, but not at, this temperature
    (10, ("Warm coat", "Hat", "Gloves")),
    (20, ("Light jacket", "Long-sleeved shirt")),
    (30, ("T-shirt", "Shorts")),
    (float("inf"), ("Sun hat", "Sunglasses", "Loose-fitting clothes")),
)
_WET = 70  # percent; the weather tables hold fractions, which never reach it


class Places(ApiSet):
    """Coordinates, weather and restaurants."""

    def Geocoding(self, address: str) -> dict[str, float]:
        """Tell latitude and longitude of a place.

        Args:
            address: name of the place.
        """
        places = self._episode.library["Geocoding"]
        if address not in places:
            refuse(repr(address))
        latitude, longitude = places[address]
        return {"latitude": latitude, "longitude": longitude}

    def GetWeatherForCoordinates(self, latitude: float, longitude: float) -> dict[str, Any]:
        """Tell temperature, humidity and a description of the weather at some coordinates.

        Args:
            latitude: latitude of the place.
            longitude: longitude of the place.
        """
        for coordinates, weather in self._episode.library["GetWeatherForCoordinates"]:
            if coordinates == [latitude, longitude]:
                return dict(weather)
        if self._corrected:
            refuse("There is no weather report for these coordinates.")
        raise RejectedCallError("TypeError", "'NoneType' object is not subscriptable")

    def ClothingRecommendation(
        self, temperature: float, humidity: float, weather_conditions: str
    ) -> dict[str, list[str]]:
        """Recommend clothes for some weather.

        Args:
            temperature: in degrees Celsius.
            humidity: in percent.
            weather_conditions: description of the weather.
        """
        options = next((clothes for below, clothes in _CLOTHES if temperature < below), _CLOTHES[-1][1])
        wet = ("Umbrella", "Waterproof shoes") if humidity > _WET else ()
        rain = ("Raincoat",) if "rain" in weather_conditions.lower() else ()
        return {"clothing_options": [*options, *wet, *rain]}

    def NearbyRestaurants(self, latitude: float, longitude: float, distance: int) -> dict[str, list[dict[str, Any]]]:
        """List restaurants around some coordinates.

        Args:
            latitude: latitude of the middle.
            longitude: longitude of the middle.
            distance: how far away they may be, in metres.
        """
        return {"restaurants": self._episode.library["NearbyRestaurants"]}  # upstream looks at no distance


class Travel(ApiSet):
    """Flights and hotels.

    Upstream writes the dates of what it found back into its store as text. A later search that meets them fails;
    the same search never succeeds twice. In ``corrected`` mode it does.
    """

    def __init__(self, episode: Episode):
        super().__init__(episode)
        self._spoilt_flights: set[int] = set()
        self._spoilt_hotels: set[int] = set()

    def FlightSearch(self, source: str, destination: str, travel_dates: str) -> dict[str, list[dict[str, str]]]:
        """Search flights between two cities on one day.

        Args:
            source: where the journey begins.
            destination: where it ends.
            travel_dates: the day of departure, as %Y-%m-%d.
        """
        day = read(travel_dates, DAY).date().isoformat()
        found = []
        for number, flight in enumerate(self._episode.library["FlightSearch"]):
            if (flight["source"], flight["destination"]) != (source, destination):
                continue
            if number in self._spoilt_flights:
                refuse("'str' object has no attribute 'date'")
            if flight["departure_date"].startswith(day):
                found.append(flight)
                self._spoil(self._spoilt_flights, number)
        return {"flights": found}

    def HotelAvailability(
        self, destination: str, check_in_date: str, check_out_date: str
    ) -> dict[str, list[dict[str, str]]]:
        """Search hotels that are free from one day to another.

        Args:
            destination: the city.
            check_in_date: the first day, as %Y-%m-%d.
            check_out_date: the last day, as %Y-%m-%d.
        """
        first, last = (read(date, DAY).date().isoformat() for date in (check_in_date, check_out_date))
        found = []
        for number, hotel in enumerate(self._episode.library["HotelAvailability"].values()):
            from_day, to_day = hotel["check_in_date"][:10], hotel["check_out_date"][:10]
            if hotel["destination"] == destination and from_day <= first and last <= to_day:
                if number in self._spoilt_hotels:
                    refuse("'str' object has no attribute 'strftime'")
                found.append({"destination": destination, "check_in_date": from_day, "check_out_date": to_day})
                self._spoil(self._spoilt_hotels, number)
        return {"hotels": found}

    def _spoil(self, spoilt: set[int], number: int) -> None:
        if not self._corrected:
            spoilt.add(number)
