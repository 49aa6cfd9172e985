"""Every rule of the scorer, on a store whose ``put`` returns what it put and whose ``peek`` changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tooluse_gym.formats import Call
from tooluse_gym.messages import user
from tooluse_gym.scoring import ErrorType, TurnGrade, Verdict, WorldJudge
from tooluse_gym.tasks import Task, Turn
from tooluse_gym.tools import ToolSet
from tooluse_gym.world import World


class Store(ToolSet):
    def __init__(self) -> None:
        self.items: list[int] = []
        self.shelves = 1
        self._log: list[int] = []

    def put(self, item: int) -> str:
        """Put."""
        self.items.append(item)
        self._log.append(item)
        return f"put {item}"

    def drop(self, item: int) -> str:
        """Drop."""
        self.items.remove(item)
        return f"dropped {item}"

    def peek(self) -> str:
        """Peek."""
        return f"{len(self.items)} items"


def put(item: int) -> Call:
    return Call("put", {"item": item})


def drop(item: int) -> Call:
    return Call("drop", {"item": item})


PEEK = Call("peek")
Said = list[list[Call]]  # the agent's steps of one turn


def grades(gold: list[list[Call]], said: list[Said], strict: bool = False) -> tuple[list[TurnGrade], Verdict]:
    """Play ``said`` turn by turn against ``gold`` (the calls of each turn)."""
    turns = tuple(Turn((user("?"),), tuple((call,) for call in calls)) for calls in gold)
    agent, other = World({"Store": Store()}), World({"Store": Store()})
    judge = WorldJudge(Task("t", turns, ("Store",)), agent, other, strict)
    found = [judge.end_turn([[agent.call(call).text for call in step] for step in steps]) for steps in said]
    return found, judge.verdict()


def errors(gold: list[list[Call]], said: list[Said], strict: bool = False) -> list[str | None]:
    return [grade.error_type for grade in grades(gold, said, strict)[0]]


STATE: ErrorType = "instance_state_mismatch"
RESULTS: ErrorType = "execution_response_mismatch"
EMPTY: ErrorType = "empty_turn_model_response"


@pytest.mark.parametrize(
    ("gold", "said", "expected"),
    [
        ([[put(1), put(2)]], [[[put(1), put(2)]]], [None]),
        ([[put(1), put(2)]], [[[put(1)], [put(2)]]], [None]),
        ([[put(1)]], [[[put(1)], [PEEK], [PEEK]]], [None]),
        ([[put(1)]], [[[put(2)], [put(1)], [drop(2)]]], [None]),
        ([[put(1), put(2)]], [[[put(2), put(1)]]], [STATE]),
        ([[put(1)]], [[[put(2)]]], [STATE]),
        ([[put(1)]], [[]], [EMPTY]),
        ([[put(1)]], [[[]]], [EMPTY]),
        ([[put(1)]], [[[], []]], [STATE]),
        ([[PEEK]], [[[]]], [EMPTY]),
        ([[PEEK]], [[[drop(9)]]], [RESULTS]),
        ([[PEEK, PEEK]], [[[PEEK]]], [RESULTS]),
        ([[PEEK, PEEK]], [[[PEEK], [PEEK]]], [None]),
        ([[PEEK], [PEEK]], [[[PEEK]], [[drop(9)]]], [None, None]),
        ([[PEEK], [PEEK, PEEK]], [[[PEEK]], [[drop(9)]]], [None, RESULTS]),
        ([[put(1)], [PEEK]], [[[put(1)]], []], [None, EMPTY]),
        ([[]], [[]], [None]),
        ([[]], [[[put(1)]]], [None]),
        ([[], [put(1)]], [[[put(1)]], [[PEEK]]], [None, None]),
        ([[], [put(1)]], [[[put(2)]], [[put(1)]]], [None, STATE]),
        ([[put(1)], [put(2)]], [[[put(2)]], [[drop(2), put(1), put(2)]]], [STATE, None]),
    ],
    ids=[
        "exact",
        "other grouping",
        "more results than needed",
        "detour",
        "order matters where the state shows it",
        "wrong argument",
        "no step",
        "one step without results",
        "two steps without results count as steps",
        "empty is judged before the results",
        "result not seen",
        "a result serves once in a turn",
        "and twice if seen twice",
        "results of earlier turns count",
        "but still once per turn",
        "an earlier turn does not fill an empty one",
        "empty ground truth",
        "calls in an empty turn are not judged",
        "but what they did and saw counts later",
        "nor its state, until a later turn",
        "a wrong turn may be repaired, the verdict stays",
    ],
)
def test_turn_rules(gold: list[list[Call]], said: list[Said], expected: list[str | None]) -> None:
    assert errors(gold, said) == expected


def test_strict_mode_wants_no_call_in_an_empty_turn() -> None:
    assert errors([[]], [[[PEEK]]], strict=True) == ["needless_call"]
    assert errors([[]], [[]], strict=True) == [None]


def test_private_attributes_are_not_compared() -> None:
    agent, gold = World({"Store": Store()}), World({"Store": Store()})
    agent.call(put(1))
    agent.call(drop(1))
    assert agent.differs(gold) == {}


def test_grades_tell_state_and_share_of_results() -> None:
    found, _ = grades([[put(1), put(2), PEEK]], [[[put(1)]]])
    assert found == [TurnGrade(STATE, False, 1 / 3, {"Store": ["items"]})]
    found, _ = grades([[put(1)]], [[[put(2), drop(2), put(1)]]])
    assert found == [TurnGrade(None, True, 1.0, {})]
    found, _ = grades([[put(1)]], [[]])
    assert found == [TurnGrade(EMPTY, False, 0.0, {})]


@pytest.mark.parametrize(
    ("gold", "said", "verdict"),
    [
        ([[put(1)], [PEEK]], [[[put(1)]], [[PEEK]]], Verdict(True)),
        ([[put(1)], [PEEK]], [[[put(2)]], []], Verdict(False, STATE, 0, {"Store": ["items"]})),
        ([[put(1)], [PEEK]], [[[put(1)]], []], Verdict(False, EMPTY, 1)),
        ([[put(1)], [PEEK]], [[[put(1)]]], Verdict(False, "force_terminated", 1)),
        ([[put(1)], [PEEK]], [[[put(2)]]], Verdict(False, "force_terminated", 1)),
        ([[put(1)], [PEEK]], [], Verdict(False, "force_terminated", 0)),
    ],
    ids=["valid", "first failure decides", "later failure", "stopped", "stopped after a failure", "stopped at once"],
)
def test_verdict(gold: list[list[Call]], said: list[Said], verdict: Verdict) -> None:
    assert grades(gold, said)[1] == verdict


def test_ground_truth_that_errs_must_be_seen_to_err() -> None:
    said: list[Any] = [[[drop(9)]]]
    assert errors([[drop(9)]], said) == [None]
    assert errors([[drop(9)]], [[[PEEK]]]) == [RESULTS]
