from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tooluse_gym import rewards
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Reply
from tooluse_gym.rewards import DENSE, OFFICIAL, Rubric, StepOutcome, get_rubric
from tooluse_gym.scoring import TurnGrade, Verdict
from tooluse_gym.world import ToolResult

GOOD, BAD = Reply("x", ()), Reply("x", (), error="stray text")
RAN, RAISED, REFUSED = ToolResult("ok"), ToolResult("oh", "exception"), ToolResult("no", "invalid_arguments")
RIGHT = TurnGrade(None, True, 1.0)
WRONG = TurnGrade("instance_state_mismatch", False, 0.5)


def outcome(**changes: Any) -> StepOutcome:
    values: dict[str, Any] = {"replies": (GOOD,), "results": (), "gold_steps": 2, "turn": 0, "turns": 2}
    return StepOutcome(**{**values, **changes})


@pytest.mark.parametrize(
    ("term", "changes", "value"),
    [
        ("verdict", {}, 0.0),
        ("verdict", {"verdict": Verdict(True)}, 1.0),
        ("verdict", {"verdict": Verdict(False, "force_terminated", 0)}, 0.0),
        ("turn_right", {}, 0.0),
        ("turn_right", {"grade": RIGHT}, 0.5),
        ("turn_right", {"grade": WRONG}, 0.0),
        ("state_agrees", {"grade": RIGHT}, 0.5),
        ("state_agrees", {"grade": WRONG}, 0.0),
        ("results_seen", {"grade": WRONG}, 0.25),
        ("results_seen", {}, 0.0),
        ("well_formed", {"grade": RIGHT, "replies": (GOOD, BAD, GOOD, GOOD)}, 0.375),
        ("well_formed", {"replies": (GOOD,)}, 0.0),
        ("calls_valid", {"grade": RIGHT, "results": ((RAN, REFUSED), (RAISED, RAN))}, 0.375),
        ("calls_valid", {"grade": RIGHT}, 0.5),
        ("calls_valid", {"results": ((RAN,),)}, 0.0),
        ("needless_steps", {"replies": (GOOD, GOOD)}, 0.0),
        ("needless_steps", {"replies": (GOOD, GOOD, GOOD)}, 0.5),
    ],
)
def test_terms(term: str, changes: dict[str, Any], value: float) -> None:
    assert getattr(rewards, term)(outcome(**changes)) == value


def test_a_rubric_names_and_weighs_its_terms() -> None:
    rubric = Rubric({"a": (2.0, lambda outcome: outcome.turns), "b": (-0.5, lambda outcome: 1.0)})
    assert rubric(outcome()) == (3.5, {"a": 4.0, "b": -0.5})
    assert rubric.zeros() == {"a": 0.0, "b": 0.0}


def test_dense_by_hand() -> None:
    reward, terms = DENSE(outcome(grade=WRONG, replies=(GOOD, BAD, GOOD), results=((RAN,), (REFUSED,))))
    assert terms == pytest.approx(
        {"turn": 0.0, "state": 0.0, "results": 0.025, "format": 0.1 / 3, "schema": 0.025, "steps": -0.025}
    )
    assert reward == pytest.approx(0.025 + 0.1 / 3)


def test_a_faultless_episode_earns_one(house: Callable[..., ToolUseEnv]) -> None:
    for rubric in ("dense", "official"):
        assert house(rubric=rubric).demonstrate(seed=0).reward == pytest.approx(1.0)


def test_presets() -> None:
    assert get_rubric("official") is OFFICIAL
    assert get_rubric(DENSE) is DENSE
    with pytest.raises(ConfigurationError, match="unknown rubric 'sparse'; choose one of official, dense"):
        get_rubric("sparse")
