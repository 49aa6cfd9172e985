"""VehicleControlAPI: a car."""

# ruff: noqa: N815 (the names of attributes are upstream's)

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Simulator

_EXTENSIONS = (
    "CAR_STATUS_METADATA_EXTENSION",
    "INTERMEDIARY_CITIES",
    "LONG_WEATHER_EXTENSION",
    "PARKING_BRAKE_INSTRUCTION",
)
_TANK = 50  # gallons
_MILES_PER_GALLON = 20.0
_FULL_BRAKE = 1000.0  # newtons
_ZIP_CODES = {
    "Rivermist": "83214",
    "Stonebrook": "74532",
    "Maplecrest": "56108",
    "Silverpine": "62947",
    "Shadowridge": "71354",
    "Sunset Valley": "83462",
    "Oakendale": "47329",
    "Willowbend": "52013",
    "Crescent Hollow": "69238",
    "Autumnville": "51479",
    "San Francisco": "94016",
}
_KILOMETRES = {  # between two zip codes, in either direction
    ("83214", "74532"): 750.0,
    ("56108", "62947"): 320.0,
    ("71354", "83462"): 450.0,
    ("47329", "52013"): 290.0,
    ("69238", "51479"): 630.0,
    ("94016", "83214"): 980.0,
    ("94016", "94704"): 600.0,
    ("94704", "08540"): 2550.0,
    ("94016", "08540"): 1950.0,
    ("62947", "47329"): 1053.0,
    ("94016", "62947"): 780.0,
    ("74532", "94016"): 880.0,
}
_Result = dict[str, Any]


class VehicleControlAPI(Simulator):
    """A car: engine, brakes, doors, climate, lights, cruise control and navigation."""

    fuelLevel: float
    batteryVoltage: float
    engine_state: str
    remainingUnlockedDoors: int
    doorStatus: dict[str, str]
    acTemperature: float
    fanSpeed: int
    acMode: str
    humidityLevel: float
    headLightStatus: str
    parkingBrakeStatus: str
    brakePedalStatus: str
    distanceToNextVehicle: float
    cruiseStatus: str
    destination: str
    frontLeftTirePressure: float
    frontRightTirePressure: float
    rearLeftTirePressure: float
    rearRightTirePressure: float
    long_context: bool

    defaults = {  # noqa: RUF012
        "fuelLevel": 0.0,
        "batteryVoltage": 12.6,
        "engine_state": "stopped",
        "remainingUnlockedDoors": 4,
        "doorStatus": {
            "driver": "unlocked",
            "passenger": "unlocked",
            "rear_left": "unlocked",
            "rear_right": "unlocked",
        },
        "acTemperature": 25.0,
        "fanSpeed": 50,
        "acMode": "auto",
        "humidityLevel": 50.0,
        "headLightStatus": "off",
        "parkingBrakeStatus": "released",
        "brakePedalStatus": "released",
        "distanceToNextVehicle": 50.0,
        "cruiseStatus": "inactive",
        "destination": "None",
        "frontLeftTirePressure": 32.0,
        "frontRightTirePressure": 32.0,
        "rearLeftTirePressure": 30.0,
        "rearRightTirePressure": 30.0,
    }
    default_seed = 141053

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        # The engine is the one attribute that a scenario spells differently; "engine_state" itself means nothing there.
        engine = scenario.get("engineState", self.defaults["engine_state"])
        super()._load({**scenario, "engine_state": engine}, long_context)
        self.remainingUnlockedDoors = 4 - list(self.doorStatus.values()).count("locked")  # whatever the scenario says
        self._parkingBrakeForce = scenario.get("parkingBrakeForce", 0.0)
        self._slopeAngle = scenario.get("slopeAngle", 0.0)
        self._brakePedalForce = scenario.get("brakePedalForce", 0.0)
        self.long_context = long_context
        if long_context:
            for name in _EXTENSIONS:
                self._extension(name)  # missing data is an error now, not an observation later

    def startEngine(self, ignitionMode: str) -> _Result:
        """Turn the ignition key; to start, all doors must be locked and the brake pedal fully pressed.

        Args:
            ignitionMode: START or STOP.
        """
        if ignitionMode == "STOP":  # takes effect, and still ends in one of the errors below, as upstream's does
            self.engine_state = "stopped"
        if self.remainingUnlockedDoors > 0:
            unlocked = ", ".join(door for door, status in self.doorStatus.items() if status == "unlocked")
            return _error(
                f"All doors must be locked before starting the engine. Here are the unlocked doors: {unlocked}"
            )
        if self.brakePedalStatus != "pressed":
            return _error("Brake pedal needs to be pressed when starting the engine.")
        if self._brakePedalForce != _FULL_BRAKE:
            return _error("Must press the brake fully before starting the engine.")
        if self.fuelLevel < 0:
            return _error("Fuel tank is empty.")
        if ignitionMode != "START":
            return _error("Invalid ignition mode.")
        self.engine_state = "running"
        return {"engineState": "running", "fuelLevel": self.fuelLevel, "batteryVoltage": self.batteryVoltage}

    def pressBrakePedal(self, pedalPosition: float) -> _Result:
        """Push the brake pedal down; it stays there until it is released.

        Args:
            pedalPosition: how far, from 0 (not at all) to 1 (fully).
        """
        if not 0 <= pedalPosition <= 1:
            return _error("Pedal position must be between 0 and 1.")
        if pedalPosition == 0:
            return self.releaseBrakePedal()
        self.brakePedalStatus = "pressed"
        self._brakePedalForce = pedalPosition * 1000  # of an integer position an integer, as the car's status shows
        return {"brakePedalStatus": "pressed", "brakePedalForce": float(self._brakePedalForce)}

    def releaseBrakePedal(self) -> _Result:
        """Take the foot off the brake pedal."""
        self.brakePedalStatus = "released"
        self._brakePedalForce = 0.0
        return {"brakePedalStatus": "released", "brakePedalForce": 0.0}

    def activateParkingBrake(self, mode: str) -> _Result:
        """Engage or release the parking brake.

        Args:
            mode: engage or release.
        """
        if mode == "engage":
            self.parkingBrakeStatus, self._parkingBrakeForce = "engaged", 500.0
        elif mode == "release":
            self.parkingBrakeStatus, self._parkingBrakeForce = "released", 0.0
        else:
            return _error("Invalid mode")
        self._slopeAngle = 10.0  # in both modes
        instruction = (
            {"parkingBrakeInstruction": self._extension("PARKING_BRAKE_INSTRUCTION")} if self.long_context else {}
        )
        return {
            **instruction,
            "parkingBrakeStatus": self.parkingBrakeStatus,
            "_parkingBrakeForce": self._parkingBrakeForce,
            "_slopeAngle": self._slopeAngle,
        }

    def lockDoors(self, unlock: bool, door: list[str]) -> _Result:
        """Lock or unlock some of the doors.

        Args:
            unlock: true to unlock them, false to lock them.
            door: the doors, of driver, passenger, rear_left and rear_right.
        """
        status, change = ("unlocked", 1) if unlock else ("locked", -1)
        for name in door:
            if self.doorStatus[name] != status:
                self.doorStatus[name] = status
                self.remainingUnlockedDoors += change
        return {"lockStatus": status, "remainingUnlockedDoors": self.remainingUnlockedDoors}

    def setHeadlights(self, mode: str) -> _Result:
        """Switch the headlights.

        Args:
            mode: on, off or auto.
        """
        if mode not in ("on", "off", "auto"):
            return _error("Invalid headlight mode.")
        self.headLightStatus = "on" if mode == "on" else "off"
        return {"headlightStatus": self.headLightStatus}

    def adjustClimateControl(
        self, temperature: float, unit: str = "celsius", fanSpeed: int = 50, mode: str = "auto"
    ) -> _Result:
        """Set the air conditioning.

        Args:
            temperature: temperature wanted.
            unit: celsius or fahrenheit.
            fanSpeed: speed of the fan, from 0 to 100.
            mode: auto, cool, heat or defrost.
        """
        if not 0 <= fanSpeed <= 100:
            return _error("Fan speed must be between 0 and 100.")
        self.acTemperature = temperature
        if unit == "fahrenheit":
            self.acTemperature = (temperature - 32) * 5 / 9
        self.fanSpeed = fanSpeed
        self.acMode = mode
        return {"currentACTemperature": temperature, "climateMode": mode, "humidityLevel": self.humidityLevel}

    def setCruiseControl(self, speed: float, activate: bool, distanceToNextVehicle: float) -> _Result:
        """Turn the cruise control on or off; the engine must be running.

        Args:
            speed: speed to hold, a multiple of 5 from 0 to 120.
            activate: true to turn it on, false to turn it off.
            distanceToNextVehicle: metres to keep from the vehicle ahead.
        """
        distance, speed = float(distanceToNextVehicle), float(speed)
        if self.engine_state == "stopped":
            return _error("Start the engine before activating the cruise control.")
        self.distanceToNextVehicle = distance  # even if the speed is refused
        if activate and (speed < 0 or speed > 120 or speed % 5 != 0):
            return _error("Invalid speed")
        self.cruiseStatus = "active" if activate else "inactive"
        return {"cruiseStatus": self.cruiseStatus, "currentSpeed": speed, "distanceToNextVehicle": distance}

    def get_current_speed(self) -> _Result:
        """Read the speedometer, in km/h."""
        return {"currentSpeed": self._random.uniform(0.0, 120.0)}

    def displayCarStatus(self, option: str) -> _Result:
        """Show one part of the car's status.

        Args:
            option: the part: fuel, battery, doors, climate, headlights, parkingBrake, brakePedal or engine.
        """
        metadata = {"metadata": self._extension("CAR_STATUS_METADATA_EXTENSION")} if self.long_context else {}
        return {**metadata, **self._status(option)}

    def check_tire_pressure(self) -> _Result:
        """Measure the pressure of the four tyres, in psi, and judge their mean."""
        front_left, front_right = self.frontLeftTirePressure, self.frontRightTirePressure
        rear_left, rear_right = self.rearLeftTirePressure, self.rearRightTirePressure
        # Added with `+`: `sum` rounds differently from CPython 3.12 on.
        mean = (front_left + front_right + rear_left + rear_right) / 4
        return {
            "frontLeftTirePressure": front_left,
            "frontRightTirePressure": front_right,
            "rearLeftTirePressure": rear_left,
            "rearRightTirePressure": rear_right,
            "healthy_tire_pressure": 30 <= mean <= 35,
            "car_info": self._extension("CAR_STATUS_METADATA_EXTENSION") if self.long_context else {},
        }

    def find_nearest_tire_shop(self) -> _Result:
        """Look up the address of the closest tyre shop."""
        return {"shopLocation": "456 Oakwood Avenue, Rivermist, 83214"}

    def fillFuelTank(self, fuelAmount: float) -> _Result:
        """Add fuel to the tank, which holds 50 gallons.

        Args:
            fuelAmount: gallons to add.
        """
        if fuelAmount < 0:
            return _error("Fuel amount cannot be negative.")
        filled = self.fuelLevel + fuelAmount
        if filled > _TANK:
            return _error("Cannot fill gas above the tank capacity.")
        if filled < 0:
            return _error("Fuel tank is empty. Min fuel level is 0 gallons.")
        self.fuelLevel = filled
        return {"fuelLevel": filled}

    def estimate_drive_feasibility_by_mileage(self, distance: float) -> _Result:
        """Tell whether the fuel in the tank is enough for a distance.

        Args:
            distance: miles to drive.
        """
        return {"canDrive": not self.fuelLevel * _MILES_PER_GALLON < distance}

    def gallon_to_liter(self, gallon: float) -> _Result:
        """Convert gallons to litres.

        Args:
            gallon: the volume in gallons.
        """
        return {"liter": gallon * 3.78541}

    def liter_to_gallon(self, liter: float) -> _Result:
        """Convert litres to gallons.

        Args:
            liter: the volume in litres.
        """
        return {"gallon": liter * 0.264172}

    def set_navigation(self, destination: str) -> _Result:
        """Let the navigation system lead to a place.

        Args:
            destination: address of the place, as street, city, state.
        """
        self.destination = destination  # even if it is no text, which then fails
        return {"status": "Navigating to " + destination}

    def get_zipcode_based_on_city(self, city: str) -> _Result:
        """Look up the zip code of a city, 00000 if it is not known.

        Args:
            city: name of the city.
        """
        # Compared one by one: an argument need not be hashable.
        return {"zipcode": next((zip_code for name, zip_code in _ZIP_CODES.items() if name == city), "00000")}

    def estimate_distance(self, cityA: str, cityB: str) -> _Result:
        """Estimate the distance in kilometres between two cities.

        Args:
            cityA: zip code of one city.
            cityB: zip code of the other city.
        """
        asked = ((cityA, cityB), (cityB, cityA))
        kilometres = next((kilometres for pair, kilometres in _KILOMETRES.items() if pair in asked), None)
        result = _error("distance not found in database.") if kilometres is None else {"distance": kilometres}
        if self.long_context:
            result["intermediaryCities"] = self._extension("INTERMEDIARY_CITIES")
        return result

    def get_outside_temperature_from_google(self) -> _Result:
        """Ask Google for the temperature outside, in degrees Celsius."""
        weather = self._weather() if self.long_context else {}
        weather["outsideTemperature"] = self._random.uniform(-10.0, 40.0)
        return weather

    def get_outside_temperature_from_weather_com(self) -> _Result:
        """Ask weather.com for the temperature outside, in degrees Celsius."""
        return {"error": 404}  # always, and a number

    def display_log(self, messages: list[str]) -> _Result:
        """Show messages on the dashboard.

        Args:
            messages: the messages, first to last.
        """
        return {"log": messages}

    def _weather(self) -> _Result:
        # Upstream has one weather object and writes every temperature into it: two answers within one call text, as in
        # `[f(), f()]`, both show the later temperature. Here it is a copy, so that the payload stays as it is.
        weather: _Result | None = self._commons.get("VehicleControlAPI.weather")
        if weather is None:
            weather = self._commons["VehicleControlAPI.weather"] = dict(self._extension("LONG_WEATHER_EXTENSION"))
        return weather

    def _status(self, option: str) -> _Result:
        match option:
            case "fuel":
                return {"fuelLevel": self.fuelLevel}
            case "battery":
                return {"batteryVoltage": self.batteryVoltage}
            case "doors":
                return {"doorStatus": self.doorStatus}
            case "climate":
                return {
                    "currentACTemperature": self.acTemperature,
                    "fanSpeed": self.fanSpeed,
                    "climateMode": self.acMode,
                    "humidityLevel": self.humidityLevel,
                }
            case "headlights":
                return {"headlightStatus": self.headLightStatus}
            case "parkingBrake":
                return {
                    "parkingBrakeStatus": self.parkingBrakeStatus,
                    "parkingBrakeForce": self._parkingBrakeForce,
                    "slopeAngle": self._slopeAngle,
                }
            case "brakePedal":
                return {"brakePedalStatus": self.brakePedalStatus, "brakePedalForce": self._brakePedalForce}
            case "engine":
                return {"engineState": self.engine_state}
        return _error("Invalid option")


def _error(text: str) -> _Result:
    return {"error": text}
