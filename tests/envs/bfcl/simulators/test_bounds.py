"""Whatever the arguments, a call ends soon, its result is short, and the state can be recorded, copied and compared."""

from __future__ import annotations

import copy
import functools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.formats.reply import Call

LONGEST_CALL = 2.0  # seconds of processor time
LONGEST_OBSERVATION = 1_000_100  # characters
LARGEST_GROWTH = 1_000_000  # characters of encoded state that two calls may add

HOSTILE = [  # as Python writes them, so that large ones are short in a call's text
    "10**4_300 - 1",  # has as many digits as can be printed
    "1 - 10**4_300",
    "10**20_000",
    "10**9",
    "-(10**9)",
    "1e308",
    "float('nan')",
    "-float('inf')",
    "None",
    "True",
    "''",
    "'9999-99-99'",
    "'1e999999999'",
    "'9' * 4_300",
    "'a\\n' * 45_000",
    "'\\x00\\ud800\\n\\\\(a+)+$[^%s{0!r}../*~' * 4_000",
    "b'\\xff' * 20_000",
    "['AAPL', 10**4_000] * 5",
    "('driver', 1)",
    "{'a': [{'b': ('driver',)}], 1: None}",
    "[" * 90 + "]" * 90,
]
LONG_LIST = "[0] * 20_000"
VALUES = {source: eval(source) for source in (*HOSTILE, LONG_LIST)}

SCENARIOS: dict[str, dict[str, Any]] = {
    "MemoryAPI_kv": {"core_memory": {"x": "x"}, "archival_memory": {f"x_{n}": "x" * 2_000 for n in range(49)}},
    "MemoryAPI_rec_sum": {"memory": "x" * 10_000},
    "GorillaFileSystem": {
        "root": {
            "w": {
                "type": "directory",
                "contents": {
                    "f": {"type": "file", "content": "b\na\n" * 12_000},
                    "g": {"type": "file", "content": "a"},
                    "d": {"type": "directory", "contents": {}},
                },
            }
        }
    },
    "MessageAPI": {"current_user": "USR001"},
    "TicketAPI": {
        "current_user": "ann",
        "ticket_queue": [{"id": 1, "status": "Open", "created_by": "ann"}],
        "ticket_counter": 2,
    },
    "TradingBot": {"authenticated": True, "market_status": "Open"},
    "TravelAPI": {
        "access_token": "t",
        "token_expires_in": 2,
        "credit_card_list": {"c": {"card_number": "1", "balance": 5_000}},
        "booking_record": {
            "b": {
                "card_id": "c",
                "travel_date": "2024-01-01",
                "travel_from": "SFO",
                "travel_to": "LAX",
                "travel_class": "first",
                "travel_cost": 100.0,
                "transaction_id": "1",
            }
        },
        "user_first_name": "x",
        "user_last_name": "x",
    },
    "TwitterAPI": {
        "authenticated": True,
        "tweets": {"1": {"id": 1, "username": "john", "content": "x", "tags": ["#x"], "mentions": []}},
    },
    "VehicleControlAPI": {
        "engineState": "running",
        "brakePedalStatus": "pressed",
        "brakePedalForce": 1_000.0,
        "doorStatus": dict.fromkeys(("driver", "passenger", "rear_left", "rear_right"), "locked"),
    },
}
CARD = {"card_number": "2", "balance": 5_000.0}
PAYLOAD: dict[str, Any] = {
    "AUTOMOBILE_EXTENSION": ["TSLA", "F"],
    "BOOKING_RECORD_EXTENSION": {"booking_1": {"card_id": "2", "travel_cost": 400.0, "transaction_id": "trans_1"}},
    "CAR_STATUS_METADATA_EXTENSION": "Manufacturer: x",
    "CREDIT_CARD_EXTENSION": {"2": CARD},
    "FILES_TAIL_USED": ["log.txt"],
    "FILE_CONTENT_EXTENSION": " and more",
    "INTERMEDIARY_CITIES": ["x", "y"],
    "LONG_WEATHER_EXTENSION": {"1_day": {"humidity": 75.0}},
    "MA_20_EXTENSION": [1.5],
    "MA_5_EXTENSION": [2.5],
    "ORDER_DETAIL_EXTENSION": {"company_overview": "{symbol} is large."},
    "PARKING_BRAKE_INSTRUCTION": "Pull.",
    "POPULATE_FILE_EXTENSION": ["image_1.jpg"],
    "TECHNOLOGY_EXTENSION": ["AAPL", "GOOG"],
    "TRANSACTION_HISTORY_EXTENSION": [{"type": "deposit", "amount": 1.5, "timestamp": "2024-05-01 22:14:05"}],
    "WATCH_LIST_EXTENSION": ["AAPL", ...],
}

# Arguments that let a call get as far as it can.
BY_NAME: dict[str, Any] = {
    "access_token": "t",
    "booking_id": "b",
    "card_id": "c",
    "cityA": "Rivermist",
    "date_of_birth": "1990-01-01",
    "dir_name": "d",
    "door": ["driver"],
    "end_date": "2024-12-31",
    "file_name": "f",
    "file_name1": "f",
    "file_name2": "g",
    "folder": "d",
    "name": "f",
    "option": "climate",
    "order_id": 12345,
    "order_type": "Buy",
    "passport_number": "US1",
    "path": ".",
    "pattern": "a",
    "receiver_id": "USR002",
    "sector": "Technology",
    "source": "f",
    "speed": 50,
    "start_date": "2024-01-01",
    "stock": "AAPL",
    "stocks": ["AAPL"],
    "symbol": "AAPL",
    "travel_class": "first",
    "travel_date": "2024-01-01",
    "travel_from": "SFO",
    "travel_to": "LAX",
    "unit_in": "km",
    "unit_out": "m",
    "updates": {"title": "x"},
    "user": "Bob",
    "user_id": "USR002",
    "username": "john",
}
BY_TYPE: dict[str, Any] = {"string": "x", "integer": 1, "number": 1.0, "boolean": True, "array": ["x"], "object": {}}
TOOLS = [(owner, tool) for owner, simulator in SIMULATORS.items() for tool in simulator.tools]


def parameters(owner: str, tool: str) -> dict[str, Any]:
    properties: dict[str, Any] = SIMULATORS[owner].tools[tool].parameters["properties"]
    return properties


def plausible(owner: str, tool: str) -> dict[str, str]:
    """Python texts of right arguments."""
    texts = {}
    for name, schema in parameters(owner, tool).items():
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        texts[name] = repr(BY_NAME.get(name, [1.0] if name == "numbers" else BY_TYPE[kinds[0]]))
    return texts


def hostile(owner: str, tool: str, source: str) -> Iterator[dict[str, str]]:
    """Python texts of arguments: the hostile one in each place, then in all."""
    right = plausible(owner, tool)
    for name in right:
        yield {**right, name: source}
    if len(right) != 1:
        yield dict.fromkeys(right, source)


@functools.cache
def starts(owner: str) -> list[World]:
    """Worlds to copy: plain, and with the long-context texts if the class has them."""
    worlds = [World([owner], SCENARIOS, long_context, payload=PAYLOAD) for long_context in (False, True)]
    return worlds if "long_context" in worlds[0].state()[owner] else worlds[:1]


def run(world: World, tool: str, arguments: dict[str, str]) -> None:
    """One call in both modes."""
    values = {name: VALUES[text] if text in VALUES else eval(text) for name, text in arguments.items()}
    text = f"{tool}({', '.join(f'{name}={source}' for name, source in arguments.items())})"
    for mode in ("official", "strict"):
        start = time.process_time()
        observation = world.execute(text) if mode == "official" else world.call(Call(tool, values)).text
        assert time.process_time() - start < LONGEST_CALL, f"{mode}: {text}"
        assert len(observation) < LONGEST_OBSERVATION, f"{mode}: {text}"


def recorded(world: World, other: World) -> str:
    """The encoded state, of a world that can be copied and compared."""
    state = json.dumps(world.state())
    assert json.dumps(copy.deepcopy(world).state()) == state
    world.differs(other)
    return state


@pytest.mark.parametrize(("owner", "tool"), TOOLS)
def test_no_argument_makes_a_call_run_away(owner: str, tool: str) -> None:
    for start in starts(owner):
        size = len(json.dumps(start.state()))
        for source in HOSTILE:
            for arguments in hostile(owner, tool, source):
                world = copy.deepcopy(start)
                run(world, tool, arguments)
                assert len(recorded(world, start)) < size + LARGEST_GROWTH, arguments


@pytest.mark.parametrize(("owner", "tool"), TOOLS)
def test_no_long_list_makes_a_call_run_away(owner: str, tool: str) -> None:
    right = plausible(owner, tool)
    lists = [name for name, text in right.items() if text.startswith("[")]
    start = starts(owner)[0]
    world = copy.deepcopy(start)
    run(world, tool, {**right, **dict.fromkeys(lists or right, LONG_LIST)})
    recorded(world, start)


@pytest.mark.parametrize("source", HOSTILE, ids=lambda source: source[:20])
@pytest.mark.parametrize("owner", SIMULATORS)
def test_no_argument_makes_later_calls_run_away(owner: str, source: str) -> None:
    for start in starts(owner):
        world = copy.deepcopy(start)
        for tool in SIMULATORS[owner].tools:
            for arguments in hostile(owner, tool, source):
                run(world, tool, arguments)
        for tool in SIMULATORS[owner].tools:
            run(world, tool, plausible(owner, tool))
        recorded(world, start)
