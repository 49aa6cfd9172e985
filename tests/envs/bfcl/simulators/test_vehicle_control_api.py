"""The car: orders of checks, half-done calls, and what the long-context variant adds."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tooluse_gym.envs.bfcl.simulators.vehicle_control_api import VehicleControlAPI
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.errors import DataNotFoundError

PAYLOAD: dict[str, Any] = {
    "CAR_STATUS_METADATA_EXTENSION": "a car",
    "INTERMEDIARY_CITIES": ["A", "B"],
    "LONG_WEATHER_EXTENSION": {"-1_day": {"humidity": 75.0}},
    "PARKING_BRAKE_INSTRUCTION": "pull",
}
LOCKED = dict.fromkeys(("driver", "passenger", "rear_left", "rear_right"), "locked")
STARTED = {"doorStatus": LOCKED, "engineState": "running"}
READY = {"doorStatus": LOCKED, "fuelLevel": 5.5, "brakePedalStatus": "pressed", "brakePedalForce": 1000}
RUNNING = {**READY, "engineState": "running"}
UNLOCKED = "All doors must be locked before starting the engine. Here are the unlocked doors: "


def car(scenario: dict[str, Any] | None = None, long_context: bool = False, **keywords: Any) -> World:
    return World(["VehicleControlAPI"], {"VehicleControlAPI": scenario or {}}, long_context, **keywords)


def state(world: World) -> dict[str, Any]:
    return world.state()["VehicleControlAPI"]


def test_a_scenario_spells_the_engine_differently_and_cannot_set_the_count_of_doors() -> None:
    doors = {**LOCKED, "passenger": "ajar", "rear_left": "unlocked"}
    world = car({"engineState": "running", "engine_state": "x", "doorStatus": doors, "remainingUnlockedDoors": 0})
    assert state(world)["engine_state"] == "running"
    assert state(world)["remainingUnlockedDoors"] == 2
    assert world.execute("startEngine('START')") == f'{{"error": "{UNLOCKED}rear_left"}}'
    assert state(car({"engine_state": "running"}))["engine_state"] == "stopped"


def test_forces_and_slope_are_not_compared() -> None:
    world = car({"parkingBrakeForce": 15.3, "slopeAngle": 5.0, "brakePedalForce": 2})
    assert world.differs(car()) == {}
    assert world.execute("displayCarStatus('parkingBrake')") == (
        '{"parkingBrakeStatus": "released", "parkingBrakeForce": 15.3, "slopeAngle": 5.0}'
    )
    assert world.execute("displayCarStatus('brakePedal')") == '{"brakePedalStatus": "released", "brakePedalForce": 2}'


def test_random_numbers_are_upstreams() -> None:
    world = car()
    assert world.execute("get_current_speed()") == '{"currentSpeed": 111.92365689097284}'
    clone = copy.deepcopy(world)
    for each in (world, clone):
        temperature = each.execute("get_outside_temperature_from_google()")
        assert temperature == '{"outsideTemperature": 31.29968928699752}'


@pytest.mark.parametrize(
    ("scenario", "mode", "error", "engine"),
    [
        ({}, "STOP", f"{UNLOCKED}driver, passenger, rear_left, rear_right", "stopped"),
        ({"engineState": "running"}, "GO", f"{UNLOCKED}driver, passenger, rear_left, rear_right", "running"),
        (STARTED, "START", "Brake pedal needs to be pressed when starting the engine.", "running"),
        (
            {**READY, "brakePedalForce": 999},
            "START",
            "Must press the brake fully before starting the engine.",
            "stopped",
        ),
        ({**READY, "fuelLevel": -0.5}, "GO", "Fuel tank is empty.", "stopped"),
        (RUNNING, "STOP", "Invalid ignition mode.", "stopped"),
        (RUNNING, ["STOP"], "Invalid ignition mode.", "running"),
    ],
    ids=["stop", "mode last", "pedal", "half pressed", "no fuel", "stop when ready", "not hashable"],
)
def test_the_engine_does_not_start(scenario: dict[str, Any], mode: Any, error: str, engine: str) -> None:
    simulator = VehicleControlAPI(scenario)
    assert simulator.startEngine(mode) == {"error": error}
    assert simulator.engine_state == engine


def test_the_engine_starts_even_with_an_empty_tank() -> None:
    world = car({"doorStatus": LOCKED, "fuelLevel": 0})
    world.execute("pressBrakePedal(True)")
    assert world.execute("startEngine('START')") == '{"engineState": "running", "fuelLevel": 0, "batteryVoltage": 12.6}'
    assert state(world)["engine_state"] == "running"


@pytest.mark.parametrize(
    ("call", "expected", "distance"),
    [
        ("(65, 1, '3')", '{"cruiseStatus": "active", "currentSpeed": 65.0, "distanceToNextVehicle": 3.0}', 3),
        ("('-3', 0, 3)", '{"cruiseStatus": "inactive", "currentSpeed": -3.0, "distanceToNextVehicle": 3.0}', 3),
        ("(125, True, 3)", '{"error": "Invalid speed"}', 3),
        ("(-5, True, 3)", '{"error": "Invalid speed"}', 3),
        ("(2.5, True, 3)", '{"error": "Invalid speed"}', 3),
        ("(float('nan'), True, 3)", '{"error": "Invalid speed"}', 3),
        ("(5, True, 'x')", "Error during execution: could not convert string to float: 'x'", 50),
        ("('y', True, 'x')", "Error during execution: could not convert string to float: 'x'", 50),
        ("(10 ** 400, True, 1)", "Error during execution: int too large to convert to float", 50),
    ],
)
def test_cruise_control_sets_the_distance_before_it_looks_at_the_speed(
    call: str, expected: str, distance: float
) -> None:
    world = car(STARTED)
    assert world.execute(f"setCruiseControl{call}") == expected
    assert state(world)["distanceToNextVehicle"] == distance
    assert state(world)["cruiseStatus"] == ("active" if '"active"' in expected else "inactive")


def test_cruise_control_of_a_standing_car_reads_its_numbers_and_stops_there() -> None:
    world = car()
    error = '{"error": "Start the engine before activating the cruise control."}'
    assert world.execute("setCruiseControl(7, False, 1)") == error
    assert world.execute("setCruiseControl([], False, 1)").startswith(
        "Error during execution: float() argument must be"
    )
    assert world.differs(car()) == {}


def test_doors_before_an_unknown_one_are_changed() -> None:
    world = car()
    assert world.execute("lockDoors(False, ['driver', 'driver', 'trunk', 'rear_left'])") == (
        "Error during execution: 'trunk'"
    )
    assert state(world)["doorStatus"]["driver"] == "locked"
    assert world.execute("lockDoors(True, [])") == '{"lockStatus": "unlocked", "remainingUnlockedDoors": 3}'
    assert world.execute("lockDoors('False', ('driver',))") == '{"lockStatus": "unlocked", "remainingUnlockedDoors": 4}'
    assert world.execute("lockDoors(True, 'driver')") == "Error during execution: 'd'"
    assert world.execute("lockDoors(True, [[]])") == "Error during execution: unhashable type: 'list'"


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (["pressBrakePedal(1)"], '{"brakePedalStatus": "pressed", "brakePedalForce": 1000.0}'),
        (
            ["pressBrakePedal(1)", "displayCarStatus('brakePedal')"],
            '{"brakePedalStatus": "pressed", "brakePedalForce": 1000}',
        ),
        (["pressBrakePedal(0.5)", "pressBrakePedal(0)"], '{"brakePedalStatus": "released", "brakePedalForce": 0.0}'),
        (["pressBrakePedal(1.01)"], '{"error": "Pedal position must be between 0 and 1."}'),
        (["pressBrakePedal('1')"], "Error during execution: '<=' not supported between instances of 'int' and 'str'"),
        (
            ["activateParkingBrake('engage')", "activateParkingBrake('release')"],
            '{"parkingBrakeStatus": "released", "_parkingBrakeForce": 0.0, "_slopeAngle": 10.0}',
        ),
        (["activateParkingBrake('auto')"], '{"error": "Invalid mode"}'),
        (["setHeadlights('on')", "setHeadlights('auto')"], '{"headlightStatus": "off"}'),
        (["setHeadlights('high')"], '{"error": "Invalid headlight mode."}'),
        (
            ["adjustClimateControl(50, 'fahrenheit', 0, 'x')"],
            '{"currentACTemperature": 50, "climateMode": "x", "humidityLevel": 50.0}',
        ),
        (
            ["adjustClimateControl(50, 'fahrenheit', 0, 'x')", "displayCarStatus('climate')"],
            '{"currentACTemperature": 10.0, "fanSpeed": 0, "climateMode": "x", "humidityLevel": 50.0}',
        ),
        (["adjustClimateControl(1, fanSpeed=101)"], '{"error": "Fan speed must be between 0 and 100."}'),
        (["displayCarStatus([])"], '{"error": "Invalid option"}'),
        (["fillFuelTank(-0.1)"], '{"error": "Fuel amount cannot be negative."}'),
        (["fillFuelTank(39.5)"], '{"fuelLevel": 50.0}'),
        (["fillFuelTank(39.6)"], '{"error": "Cannot fill gas above the tank capacity."}'),
        (["estimate_drive_feasibility_by_mileage(210)"], '{"canDrive": true}'),
        (["estimate_drive_feasibility_by_mileage(210.1)"], '{"canDrive": false}'),
        (["estimate_drive_feasibility_by_mileage(float('nan'))"], '{"canDrive": true}'),
        (
            ["estimate_drive_feasibility_by_mileage('9')"],
            "Error during execution: '<' not supported between instances of 'float' and 'str'",
        ),
        (["estimate_distance('08540', '94704')"], '{"distance": 2550.0}'),
        (["estimate_distance('94704', ['08540'])"], '{"error": "distance not found in database."}'),
        (["get_zipcode_based_on_city('Sunset Valley')"], '{"zipcode": "83462"}'),
        (["get_zipcode_based_on_city({})"], '{"zipcode": "00000"}'),
        (["gallon_to_liter(2)"], '{"liter": 7.57082}'),
        (["liter_to_gallon(True)"], '{"gallon": 0.264172}'),
        (["get_outside_temperature_from_weather_com()"], '{"error": 404}'),
        (["display_log('é')"], '{"log": "\\u00e9"}'),
        (["set_navigation(7)"], 'Error during execution: can only concatenate str (not "int") to str'),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_answers(calls: list[str], expected: str) -> None:
    world = car({"fuelLevel": 10.5})
    assert [world.execute(call) for call in calls][-1] == expected


def test_what_a_failed_call_has_set_stays() -> None:
    world = car({"fuelLevel": -3})
    assert world.execute("fillFuelTank(2)") == '{"error": "Fuel tank is empty. Min fuel level is 0 gallons."}'
    world.execute("set_navigation(7)")
    world.execute("adjustClimateControl('hot', 'fahrenheit', 1)")
    assert world.differs(car({"fuelLevel": -3})) == {"VehicleControlAPI": ["acTemperature", "destination"]}
    assert (state(world)["destination"], state(world)["acTemperature"]) == (7, "hot")


@pytest.mark.parametrize(("rear", "healthy"), [(24.0, "false"), (28.0, "true"), (38.0, "true"), (38.5, "false")])
def test_tyres_are_judged_by_their_mean(rear: float, healthy: str) -> None:
    answer = car({"rearLeftTirePressure": rear, "rearRightTirePressure": rear}).execute("check_tire_pressure()")
    assert answer.endswith(f'"rearRightTirePressure": {rear}, "healthy_tire_pressure": {healthy}, "car_info": {{}}}}')


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            "activateParkingBrake('engage')",
            '{"parkingBrakeInstruction": "pull", "parkingBrakeStatus": "engaged", '
            '"_parkingBrakeForce": 500.0, "_slopeAngle": 10.0}',
        ),
        ("activateParkingBrake('x')", '{"error": "Invalid mode"}'),
        ("displayCarStatus('fuel')", '{"metadata": "a car", "fuelLevel": 0.0}'),
        ("displayCarStatus('x')", '{"metadata": "a car", "error": "Invalid option"}'),
        ("check_tire_pressure()['car_info']", "a car"),
        ("estimate_distance('83214', '94016')", '{"distance": 980.0, "intermediaryCities": ["A", "B"]}'),
        ("estimate_distance('', '')", '{"error": "distance not found in database.", "intermediaryCities": ["A", "B"]}'),
    ],
    ids=lambda value: value.partition(")")[0],
)
def test_long_context(call: str, expected: str) -> None:
    assert car(long_context=True, payload=PAYLOAD).execute(call) == expected


def test_long_weather_is_one_object_and_never_the_payloads() -> None:
    payload, commons = copy.deepcopy(PAYLOAD), dict[str, Any]()
    world, other = (car(long_context=True, payload=payload, commons=commons) for _ in range(2))
    call = "get_outside_temperature_from_google()"
    first = '{"-1_day": {"humidity": 75.0}, "outsideTemperature": 36.63485703790535}'
    assert world.execute(call) == first
    clone = copy.deepcopy(world)
    assert world.execute(f"{call} == {call}") == clone.execute(f"{call} == {call}") == "True"
    assert world.execute(f"[{call}, {call}]") == clone.execute(f"[{call}, {call}]")
    assert other.execute(call) == car(long_context=True, payload=payload).execute(call) == first
    assert payload == PAYLOAD


def test_long_context_without_payload_fails_at_once() -> None:
    with pytest.raises(DataNotFoundError, match="tooluse-gym data get bfcl"):
        car(long_context=True)


def test_worlds_share_no_doors() -> None:
    scenario = {"doorStatus": dict(LOCKED)}
    one, two = car(scenario), car(scenario)
    clone = copy.deepcopy(one)
    one.execute("lockDoors(True, ['driver'])")
    car().execute("lockDoors(False, ['driver'])")
    assert two.differs(clone) == {}
    assert one.differs(two) == {"VehicleControlAPI": ["remainingUnlockedDoors", "doorStatus"]}
    assert scenario == {"doorStatus": LOCKED}
    assert set(state(car())["doorStatus"].values()) == {"unlocked"}
