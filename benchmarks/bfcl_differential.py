"""Compare our simulators with BFCL's own program on random calls.

    python benchmarks/bfcl_differential.py FOLDER --oracle PYTHON [--cases N] [--seed S] [--classes NAME ...]

FOLDER holds BFCL's data. PYTHON is an interpreter that has bfcl-eval (``pip install --no-deps bfcl-eval==2026.3.23
mpmath``, for the memory classes also ``overrides rank_bm25``), by default the one that ``TOOLUSE_BFCL_ORACLE`` names. A
case is one simulator, loaded from a scenario of the data (of the memory classes: a made-up one) or from none, and a
sequence of calls: valid ones, and ones with odd arguments, malformed ones and broken text. Every result and the state
at the end must agree to the letter. Exits with 1 if something does not.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tooluse_gym.envs.bfcl.data import CATEGORIES, load_payload
from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.envs.bfcl.world import World

ORACLE = Path(__file__).with_name("bfcl_oracle.py")
COLUMNS = ("class", "cases", "calls", "equal results", "equal states", "left out")
_MOST_CALLS = 25  # of a case
_SHOWN = 600  # characters of each side of a disagreement

# --- What we do not claim: see "Where we differ from upstream" in envs/bfcl/README.md -------------------------------

_BOUNDS = (
    "is limited to",
    "is too large",
    "nested too deeply",
    "too many entries",
    "too many calls",
    "call is too long",
    "no message id is left",
    "Exceeds the limit (4300 digits)",
)
_EXHAUSTED = ("Error during execution: ", "maximum recursion depth exceeded", "Exceeds the limit (4300 digits)")
_REFUSED = "is not available in a call"

DEVIATIONS: dict[str, Callable[[str, str, str], bool]] = {
    "bounds": lambda call, ours, theirs: any(text in ours for text in _BOUNDS),
    "upstream's recursion or memory": lambda call, ours, theirs: (
        theirs == _EXHAUSTED[0] or any(text in theirs for text in _EXHAUSTED[1:])
    ),
    "Python beyond calls": lambda call, ours, theirs: (
        _REFUSED in ours or ("is not defined" in ours and "module '" in theirs)
    ),
    "order of a set": lambda call, ours, theirs: "Invalid " in ours and sorted(ours) == sorted(theirs),
    "wall clock": lambda call, ours, theirs: (
        "verify_traveler_information" in call
        and "at least 18" in ours + theirs
        and "date of birth" not in ours + theirs
    ),
}
"""By name, what tells a disagreement (call text, our result, upstream's) that is meant. The case ends there."""

# --- Cases ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    owner: str
    scenario_from: str | None
    scenario: dict[str, Any]
    long_context: bool
    calls: list[str]
    results: list[str]
    state: dict[str, Any]

    def line(self) -> str:
        """What the oracle is asked."""
        names = ("owner", "scenario", "long_context", "calls")
        return json.dumps({name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Material:
    """What cases are made of: scenarios by class and entry id, and the arguments of the ground truths by parameter."""

    scenarios: dict[str, dict[str, Any]]
    examples: dict[str, list[Any]]
    payload: Any


def read_material(folder: Path) -> Material:
    scenarios: dict[str, dict[str, Any]] = {name: dict(MEMORIES.get(name, {})) for name in SIMULATORS}
    examples: dict[str, list[Any]] = {}
    for category in CATEGORIES:
        name = f"BFCL_v4_multi_turn_{category}.json"
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            for owner, scenario in entry["initial_config"].items():
                scenarios[owner][entry["id"]] = scenario
        for line in (folder / "possible_answer" / name).read_text(encoding="utf-8").splitlines():
            for turn in json.loads(line)["ground_truth"]:
                for text in turn:
                    for parameter, value in _arguments(text):
                        values = examples.setdefault(parameter, [])
                        if value not in values:
                            values.append(value)
    return Material(scenarios, examples, load_payload(folder))


def _arguments(text: str) -> Iterator[tuple[str, Any]]:
    """Parameters, named ``tool.parameter``, and values of a ground-truth call."""
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    tool = call.func.id
    names = next(list(s.tools[tool].parameters["properties"]) for s in SIMULATORS.values() if tool in s.tools)
    for name, value in [*zip(names, call.args, strict=False), *((word.arg, word.value) for word in call.keywords)]:
        yield f"{tool}.{name}", ast.literal_eval(value)


# Argument texts that no one would pass: boundaries, wrong types, and what only just is a number, a date or a name.
_ODD_TEXTS = """
0|1|-1|2|5|-7|0.0|-0.0|0.5|1.0|1.5|-0.5|2.5|1e-9|1e308|12345678901234567890|10**30|-10**25|2**63|100.0|3.0|50|1000|''
' '|'a'|'abc'|'A'|'0'|'1'|'5'|'-1'|'1.5'|'1e5'|' 12 '|'1_000'|'٣'|'²'|'None'|'True'|'nan'|'inf'|'0x10'|'1/2'|'1e400'
'Ünï'|'日本'|'a\\nb'|'a\\tb c'|'\\\\'|'"'|"it's"|'a/b'|'/'|'//'|'.'|'..'|'./'|'*'|'?'|'a\\x7cb'|'ß'|'İ'|'\\x00'
'\\ud800'|'x'*300|'sort (x)'|'cd(x)'|'a\\r\\nb\\x0bc\\u2028d'|'%s'|'{}'|'{0}'|'#Tag'|'@bob'|'tags'|'status'|'id'
'price'|'balance'|'USR001'|'2024-1-5'|'2024-13-01'|'0001-01-01'|'9999-12-31'|'2024-02-30'|'20240901'|'2024-09-01'
'2024-09-01 10:30:00'|'2024-09-02'|True|False|None|...|b''|b'ab'|1j|(1+2j)|float('nan')|float('inf')|-float('inf')|len
str|dict|[]|[0]|[1, 2]|['a']|['a', 'b']|[None]|[[]]|[1, 'a']|[True, 1.5]|['']|[{}]|['AAPL', 'GOOG']|['driver']
['driver', 'trunk']|()|(1,)|('a', 'b')|{}|{'a': 1}|{1: 2}|{'': None}|{None: 1}|{'title': None}
{'title': 'x', 'bad': 1}|{'status': 'Closed'}|{'priority': 9}|{1: 'x'}|{'bad': None}|{'id': 3}|{'title': []}
{'driver': 1}|{'AAPL': 1}|{(1, 2): 3}|{1.5: 'x', 'status': 1}|10**400|[10**400, 1.5]|[float('nan'), 1]|[1j, 2]
['b', 'a']|[[1], [2]]|[0.1]*10|[1e308, 1e308]
"""
_ODD = _ODD_TEXTS.strip().replace("\n", "|").split("|")
_DATES = ["2024-11-15", "2024-09-01", "2024-09-02", "1990-01-01", "2000-02-29", "2015-05-05", "2024-1-5", "01-01-1990"]

_KEYS = [
    "user_name",
    "user_home",
    "home_town",
    "a",
    "a_b",
    "b_a",
    "a_1",
    "a_b_c",
    "Name",
    "a b",
    "a1",
    "_a",
    "a_",
    "c_d",
]
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
MEMORIES: dict[str, dict[str, Any]] = {
    "MemoryAPI_kv": {
        "nothing": {},
        "a little": {"core_memory": {"user_name": "Ann", "home": ""}, "archival_memory": {"a_b": "1", "b_c": "2"}},
        "full": {
            "core_memory": {f"key_{number}": "x" for number in range(7)},
            "archival_memory": {f"{_LETTERS[n % 26]}_{_LETTERS[n // 7]}": "x" * n for n in range(49)},
        },
    },
    "MemoryAPI_rec_sum": {
        "nothing": {},
        "a little": {"memory": "The user likes tea."},
        "full": {"memory": "a" * 9_999},
    },
}
"""What conversations before may have left: scenarios of the memory classes."""

_NAMES = [".", "..", "", "d", "e", "f", ".f", "d/e", "/", "d/", "/d", "./d"]

_UNITS = ["km", "m", "cm", "mm", "um", "nm", "in", "ft", "yd", "miles", "kg", "lb", "celsius", "fahrenheit"]
_CURRENCIES = ["USD", "USD", "EUR", "GBP", "JPY", "RMB", "CAD", "INR", "XYZ"]

# What a parameter's value names in the state of a simulator, so that most calls find something.
LIVE: dict[str, Callable[[Any], list[Any]]] = {
    "GorillaFileSystem": lambda s: [*s._current.contents, *s._current.contents, *_NAMES],
    "MathAPI.unit_in": lambda s: _UNITS,
    "MemoryAPI_kv.key": lambda s: [*s.core_memory, *s.archival_memory, *_KEYS],
    "MemoryAPI_kv.query": lambda s: [*s.core_memory, *s.archival_memory, "user name", "HOME_town", "a  b\tc"],
    "MemoryAPI_kv.k": lambda s: [1, 2, 5, 10, 0, -1],
    "MemoryAPI_kv.value": lambda s: ["Ann", "x" * 300, "x" * 301, "x" * 2_001, 5, "Ünï\n"],
    "MemoryAPI_rec_sum.old_text": lambda s: [s.memory[:3], s.memory[-5:], "a", "like"],
    "MemoryAPI_rec_sum": lambda s: ["The user likes tea. ", "a", "", "x" * 3_400, "y" * 10_001, "Ünï\n", "tea"],
    "MathAPI.unit_out": lambda s: _UNITS,
    "MessageAPI.user_name": lambda s: [*s.user_map, "Eve", "Mallory"],
    "MessageAPI.user": lambda s: list(s.user_map),
    "MessageAPI": lambda s: list(s.user_map.values()),
    "TicketAPI.ticket_id": lambda s: [ticket.get("id") for ticket in s.ticket_queue],
    "TicketAPI": lambda s: [s.current_user or "user", *(ticket.get("status") for ticket in s.ticket_queue)],
    "TradingBot.order_id": lambda s: list(s.orders),
    "TradingBot": lambda s: [*s.stocks, *s.watch_list],
    "TravelAPI.access_token": lambda s: [s.access_token],
    "TravelAPI.card_id": lambda s: list(s.credit_card_list),
    "TravelAPI.booking_id": lambda s: list(s.booking_record),
    "TravelAPI.card_number": lambda s: [*s.credit_card_list, "4111"],
    "TravelAPI.travel_from": lambda s: s.list_all_airports(),
    "TravelAPI.travel_to": lambda s: s.list_all_airports(),
    "TravelAPI.travel_class": lambda s: ["economy", "business", "first"],
    "TravelAPI.base_currency": lambda s: _CURRENCIES,
    "TravelAPI.target_currency": lambda s: _CURRENCIES,
    "TravelAPI.first_name": lambda s: [s.user_first_name],
    "TravelAPI.last_name": lambda s: [s.user_last_name],
    "TwitterAPI.tweet_id": lambda s: list(s.tweets),
    "TwitterAPI.username": lambda s: [s.username],
    "TwitterAPI.password": lambda s: [s.password],
    "TwitterAPI": lambda s: list(s.following_list),
    "VehicleControlAPI.door": lambda s: list(s.doorStatus),
}
OPENING: dict[str, Callable[[Any], list[str]]] = {
    "GorillaFileSystem": lambda s: [
        *("mkdir('d')", "mkdir('e')", "touch('f')", "echo('b a\\nc\\n', 'f')"),
        *("cd('d')", "touch('f')", "touch('.f')", "mkdir('e')", "cd('..')"),
    ],
    "MessageAPI": lambda s: [f"message_login({next(iter(s.user_map.values()), None)!r})"],
    "TicketAPI": lambda s: [f"ticket_login({next((t.get('created_by') for t in s.ticket_queue), 'user')!r}, 'secret')"],
    "TradingBot": lambda s: ["trading_login('user', 'secret')"],
    "TravelAPI": lambda s: ["authenticate_travel('id', 'secret', 'token', 'read_write', 'Ann', 'Lee')"],
    "TwitterAPI": lambda s: [f"authenticate_twitter({s.username!r}, {s.password!r})"],
    "VehicleControlAPI": lambda s: [
        f"lockDoors(unlock=False, door={list(s.doorStatus)!r})",
        "pressBrakePedal(1.0)",
        "startEngine('START')",
    ],
}
"""Calls without which most others just report that nobody is logged in, or find nothing."""
TWEAKS: dict[str, dict[str, list[Any]]] = {
    "MessageAPI": {
        "current_user": ["USR001", ""],
        "user_count": [1, 998],
        "inbox": [[], [{"USR001": "Hi", "USR002": "Ho"}, {"USR002": "Hi"}], [{"USR001": 5}], [{}]],
    },
    "TicketAPI": {
        "current_user": ["user", ""],
        "ticket_counter": [1, 0],
        "ticket_queue": [[{"id": 1, "status": "Open"}, {"id": 1, "created_by": "user"}, {"id": "2", "status": None}]],
    },
    "TradingBot": {
        "market_status": ["Open"],
        "account_info": [{"balance": 100}, {}],
        "order_counter": [12345],
        "orders": [{"7": {}, "8": {"status": "Completed"}, "x": 5, "-1": {"status": "Open"}}],
        "stocks": [{"AAPL": {"price": "5", "percent_change": -3}, "GOOG": {}}],
        "transaction_history": [[{"timestamp": "x"}], [{"type": "deposit", "timestamp": "2024-09-01 00:00:00"}]],
    },
    "TravelAPI": {
        "token_expires_in": [0, None],
        "budget_limit": [0, 800.0, 1e6],
        "credit_card_list": [{"1": {}, "2": {"balance": 800}, "3": {"balance": 20_000.5}}],
        "booking_record": [{"1": {"card_id": "3"}, "2": {"card_id": "3", "travel_cost": 5}, "3": {"travel_cost": 1.5}}],
    },
    "TwitterAPI": {
        "tweet_counter": [0],
        "retweets": [{"john": [0]}],
        "tweets": [{"0": {"id": 0, "username": "john", "content": "Hi", "tags": ["#A", 5]}, "1": {"id": 1}}],
    },
    "VehicleControlAPI": {"fuelLevel": [-1.0, 0, 49], "engineState": ["running"], "doorStatus": [{"driver": "ajar"}]},
}
"""Values of scenarios that the data lack."""


@dataclass
class Author:
    """Writes calls for one world."""

    rng: random.Random
    owner: str
    simulator: Any
    examples: dict[str, list[Any]]
    scenario: Any
    seen: list[Any] = field(default_factory=list)  # parts of the scenario and of results

    def __post_init__(self) -> None:
        self._collect(self.scenario)

    def take_note(self, result: str) -> None:
        """Results are a source of arguments."""
        if len(result) < 3_000:
            try:
                self._collect(json.loads(result))
            except ValueError:
                self._collect(result)
        del self.seen[:-200]

    def _collect(self, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                self.seen.append(key)
                self._collect(item)
        elif isinstance(value, list):
            for item in value[:50]:
                self._collect(item)
        elif not isinstance(value, str) or len(value) < 500:
            self.seen.append(value)

    def call(self) -> str:
        name = self.rng.choice(list(self.simulator.tools))
        schema = self.simulator.tools[name].parameters
        wildness = self.rng.choices((0.0, 0.15, 0.5, 1.0), (50, 25, 15, 10))[0]
        given = {
            parameter: self._odd() if self.rng.random() < wildness else self._fitting(name, parameter, details)
            for parameter, details in schema["properties"].items()
            if parameter in schema.get("required", ()) or self.rng.random() < 0.5
        }
        text = self._written(name, given)
        return self._broken(text) if self.rng.random() < 0.03 else text

    def _written(self, name: str, given: dict[str, str]) -> str:
        names = list(given)
        positional = 0
        order = list(self.simulator.tools[name].parameters["properties"])
        if self.rng.random() < 0.4:
            while positional < len(names) and names[positional] == order[positional]:
                positional += 1
            positional = self.rng.randint(0, positional)
        arguments = [given[parameter] for parameter in names[:positional]]
        keywords = [f"{parameter}={given[parameter]}" for parameter in names[positional:]]
        if self.rng.random() < 0.04:  # wrongly bound
            change = self.rng.randrange(5)
            if change == 0 and keywords:
                del keywords[self.rng.randrange(len(keywords))]
            elif change == 1:
                arguments += [self._odd()] * self.rng.randint(1, 4)
            elif change == 2:
                keywords.append(f"{self.rng.choice(['zzz', 'self', 'name', *order])}={self._odd()}")
            elif change == 3:
                arguments, keywords = arguments[:-1], keywords[:-1]
            else:
                arguments, keywords = [], []
        return f"{name}({', '.join(arguments + keywords)})"

    def _broken(self, text: str) -> str:
        place = self.rng.randrange(len(text))
        return self.rng.choice(
            [
                text[:place] + text[place + 1 :],
                text[:place] + self.rng.choice("()[]{},='\"\\ \n#:*.@0a") + text[place:],
                text[:place],
                f"[{text}, {self.call()}]",
                f"len({text})",
                f"{text}['{self.rng.choice(['error', 'result', 'x'])}']",
                f"{text}[0]",
                f"{text} + 1",
                f" {text}",
                f"{text};",
                text.replace("(", " (", 1),
                text.replace("(", ".(", 1),
                text.partition("(")[0],
                f"exit({place})",
                f"x.{text}",
            ]
        )

    def _odd(self) -> str:
        kind = self.rng.random()
        if kind < 0.15:
            return repr(self.rng.choice(self.seen or [None]))
        if kind < 0.20:
            return f"[{', '.join(self._odd() for _ in range(self.rng.randint(1, 3)))}]"
        if kind < 0.22:
            return f"{{{self._odd()}: {self._odd()}}}"
        if kind < 0.24:  # the result of another call
            return self.rng.choice(("str({})", "{}['result']")).format(self.call())
        return self.rng.choice(_ODD)

    def _fitting(self, tool: str, parameter: str, schema: dict[str, Any]) -> str:
        kinds = schema.get("type", [])
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        if "array" in kinds:
            if self.rng.random() < 0.3 and self.examples.get(f"{tool}.{parameter}"):
                return repr(self.rng.choice(self.examples[f"{tool}.{parameter}"]))
            numeric = schema.get("items", {}).get("type") in ("number", "integer")
            count = self.rng.choices(range(6), (1, 3, 3, 2, 1, 1))[0]
            items = (self._number() if numeric else self._one(tool, parameter, schema) for _ in range(count))
            return repr(list(items))
        if "object" in kinds:
            fields = ("title", "description", "status", "priority", "created_by")
            chosen = self.rng.sample(fields, self.rng.randint(0, 3))
            return repr({name: self.rng.choice(["Open", "Closed", "Resolved", 3, None, "x"]) for name in chosen})
        if "boolean" in kinds:
            return self.rng.choice(("True", "False"))
        return repr(self._one(tool, parameter, schema, numeric=bool(kinds & {"number", "integer"})))

    def _one(self, tool: str, parameter: str, schema: dict[str, Any], numeric: bool = False) -> Any:
        live = LIVE.get(f"{self.owner}.{parameter}")
        if live is None and not numeric:
            live = LIVE.get(self.owner)
        known = live(self.simulator) if live else []
        if known and self.rng.random() < (0.85 if f"{self.owner}.{parameter}" in LIVE else 0.5):
            return self.rng.choice(known)
        if numeric and self.rng.random() < 0.6:
            return self._number()
        if ("date" in parameter or "birth" in parameter) and self.rng.random() < 0.5:
            return self.rng.choice(_DATES)
        described = re.findall(r"[\w-]+", schema.get("description", "").partition(";")[0])
        examples = self.examples.get(f"{tool}.{parameter}", [])
        examples = [item for value in examples for item in (value if isinstance(value, list) else [value])]
        pools = [pool for pool in (described, examples, examples, self.seen) if pool]
        return self.rng.choice(self.rng.choice(pools)) if pools else "x"

    def _number(self) -> float:
        return self.rng.choice(
            [
                self.rng.randint(-3, 12),
                self.rng.randint(0, 3_000),
                round(self.rng.uniform(-20, 200), self.rng.randint(0, 4)),
                self.rng.random(),
            ]
        )


def write_case(owner: str, seed: str, material: Material) -> Case:
    """A case with our results and state."""
    rng = random.Random(seed)
    source = rng.choice([*material.scenarios[owner]]) if rng.random() < 0.85 else None
    scenario = {} if source is None else json.loads(json.dumps(material.scenarios[owner][source]))
    if rng.random() < 0.15:
        scenario = {name: value for name, value in scenario.items() if rng.random() < 0.7}
    if rng.random() < 0.1:
        scenario["random_seed"] = rng.randrange(1_000)
    for name, values in TWEAKS.get(owner, {}).items():
        if rng.random() < 0.15:
            scenario[name] = rng.choice(values)
    long_context = rng.random() < 0.25
    # Instance names can get into results; this actor's are those of the oracle's actor "model" and entry "case".
    world = World([owner], {owner: scenario}, long_context, payload=material.payload, actor="model_case")
    simulator: Any = world.toolsets[owner]
    author = Author(rng, owner, simulator, material.examples, scenario)
    calls: list[str] = []
    results: list[str] = []

    def execute(text: str) -> None:
        calls.append(text)
        results.append(world.execute(text))
        author.take_note(results[-1])

    if rng.random() < 0.8:
        for text in OPENING.get(owner, lambda _: [])(simulator):
            execute(text)
    for _ in range(rng.randint(1, _MOST_CALLS)):
        execute(author.call())
    return Case(owner, source, scenario, long_context, calls, results, world.state()[owner])


# --- Comparison -----------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    cases: int = 0
    calls: int = 0
    equal_calls: int = 0
    states: int = 0
    equal_states: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    disagreements: dict[str, list[str]] = field(default_factory=dict)  # by kind

    def disagree(self, what: str, ours: str, theirs: str, where: str) -> None:
        kind = " ".join([what, *(re.sub(r"'.*?'|\d", "", text)[:60] for text in (ours, theirs))])
        self.disagreements.setdefault(kind, []).append(f"{where}\n{_both(ours, theirs)}")

    def row(self, owner: str) -> tuple[str, ...]:
        left_out = ", ".join(f"{count} {name}" for name, count in self.left_out.most_common()) or "–"
        calls, states = f"{self.equal_calls}/{self.calls}", f"{self.equal_states}/{self.states}"
        return owner, str(self.cases), str(self.calls), calls, states, left_out


def compare(case: Case, answer: dict[str, Any], tally: Tally) -> None:
    tally.cases += 1
    if "died" in answer:
        tally.left_out["upstream did not come back"] += 1
        return
    where = f"{case.owner}, {case.scenario_from}{', long context' if case.long_context else ''}"
    for number, (call, ours, theirs) in enumerate(zip(case.calls, case.results, answer["results"], strict=True)):
        if ours != theirs:
            meant = next((name for name, tells in DEVIATIONS.items() if tells(call, ours, theirs)), None)
            if meant:
                tally.left_out[meant] += 1
                return
            before = "; ".join(case.calls[max(0, number - 3) : number])
            tally.disagree(call.partition("(")[0], ours, theirs, f"{where}: {call}\n  after  {before[-_SHOWN:]}")
        tally.calls += 1
        tally.equal_calls += ours == theirs
    if answer["state"] is None:
        tally.left_out["upstream's recursion or memory"] += 1
        return
    tally.states += 1
    if _text(case.state) == _text(answer["state"]):
        tally.equal_states += 1
        return
    for name in sorted({*case.state, *answer["state"]}):
        ours, theirs = (_text(state.get(name, "missing")) for state in (case.state, answer["state"]))
        if ours != theirs:
            after = "; ".join(case.calls)[-4 * _SHOWN :]
            tally.disagree(f"state {name}", ours, theirs, f"{where}: state {name}\n  after  {after}")


def _text(state: Any) -> str:
    return json.dumps(state, sort_keys=True)


def _both(ours: str, theirs: str) -> str:
    start = next((place for place, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), 100)
    start = max(0, start - 100)
    return "\n".join(f"  {who} {text[start : start + _SHOWN]}" for who, text in (("ours  ", ours), ("theirs", theirs)))


def ask(oracle: str, cases: list[Case]) -> list[dict[str, Any]]:
    questions = "".join(f"{case.line()}\n" for case in cases)
    done = subprocess.run([oracle, str(ORACLE)], input=questions, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="BFCL's data")
    parser.add_argument("--oracle", default=os.environ.get("TOOLUSE_BFCL_ORACLE"), help="an interpreter with bfcl-eval")
    parser.add_argument("--cases", type=int, default=1_000, help="of each class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", nargs="*", default=list(SIMULATORS), choices=SIMULATORS)
    parser.add_argument("--show", type=int, default=5, help="kinds of disagreements shown of each class")
    options = parser.parse_args()
    if not options.oracle:
        parser.error("name an interpreter with bfcl-eval by --oracle or $TOOLUSE_BFCL_ORACLE")
    material = read_material(options.folder)
    rows: list[tuple[str, ...]] = []
    wrong = 0
    for owner in options.classes:
        tally = Tally()
        for start in range(0, options.cases, 250):
            numbers = range(start, min(start + 250, options.cases))
            cases = [write_case(owner, f"{options.seed}/{owner}/{number}", material) for number in numbers]
            for case, answer in zip(cases, ask(options.oracle, cases), strict=True):
                compare(case, answer, tally)
        rows.append(tally.row(owner))
        wrong += len(tally.disagreements)
        for texts in list(tally.disagreements.values())[: options.show]:
            print(f"{len(texts)} times: {texts[0]}\n", flush=True)
    for row in (COLUMNS, ("---",) * len(COLUMNS), *rows):
        print(f"| {' | '.join(row)} |")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
