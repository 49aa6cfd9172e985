from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tooluse_gym import rewards
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call, Reply, get_format
from tooluse_gym.messages import user
from tooluse_gym.rewards import DENSE, OFFICIAL, Rubric, StepOutcome, get_rubric
from tooluse_gym.scoring import TurnGrade, Verdict
from tooluse_gym.tasks import Task, Turn
from tooluse_gym.world import ToolResult

GOOD, BAD = Reply("x", ()), Reply("x", (), error="stray text")
RAN, RAISED, REFUSED = ToolResult("ok"), ToolResult("oh", "exception"), ToolResult("no", "invalid_arguments")
RIGHT = TurnGrade(None, True, 1.0)
WRONG = TurnGrade("instance_state_mismatch", False, 0.5)
TASK = Task("t", (Turn((user("one"),), ((Call("f"),),)), Turn((user("two"),), ((Call("f"),),))), ("Store",))


def outcome(**changes: Any) -> StepOutcome:
    values: dict[str, Any] = {"task": TASK, "turn": 0, "replies": (GOOD,), "results": ()}
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
    rubric = Rubric({"a": (2.0, lambda outcome: len(outcome.task.turns)), "b": (-0.5, lambda outcome: 1.0)})
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


def _step(text: str, gold: tuple[Call, ...], update: int = 1) -> StepOutcome:
    said = Turn((user("one"),), ((Call("before"),), gold) if gold else ((Call("before"),),))
    replies = (GOOD, get_format("toolrl").parse(text))
    return outcome(task=Task("t", (said,), ("Store",)), replies=replies, update=update)


WANTED = (Call("f", {"a": "1", "b": "2"}),)
NEAR = '<think> so </think>\n<tool_call>\n{"name": "f", "parameters": {"a": "1", "b": "3"}}\n</tool_call>'
CLOSING = "<think> so </think>\n<response> hi </response>"
LONG = f"<think> {'word ' * 128}</think>\n<response> hi </response>"
BROKEN = NEAR.replace("}}", "}")


@pytest.mark.parametrize(
    ("rubric", "text", "gold", "update", "terms"),
    [
        ("paper", NEAR, WANTED, 1, {"format": 1.0, "accuracy": 0.75}),
        ("paper", CLOSING, (), 1, {"format": 1.0, "accuracy": 1.0}),
        ("paper", CLOSING, WANTED, 1, {"format": 0.0, "accuracy": 0.0}),
        ("paper", NEAR, (), 1, {"format": 0.0, "accuracy": 0.0}),
        ("paper", BROKEN, WANTED, 1, {"format": 0.0, "accuracy": 0.0}),
        ("toolrl", NEAR, WANTED, 105, {"format": 1.0, "correctness": 1.5}),
        ("toolrl", BROKEN, WANTED, 105, {"format": 0.0, "correctness": -3.0}),
        ("toolrl", CLOSING, (), 105, {"format": 1.0, "correctness": 0.0}),
        ("rest", NEAR, WANTED, 105, {"format": 1.3, "correctness": 1.35}),
        ("rest", CLOSING, WANTED, 75, {"format": -1.0, "correctness": -2.5}),
        ({"name": "rest", "schedule": False, "coarse": True}, NEAR, WANTED, 105, {"format": 1.0, "correctness": -3.0}),
        ({"name": "rest", "length": True}, CLOSING, (), 150, {"format": 1.0, "correctness": 0.0}),
        ({"name": "toolrl", "length": True}, LONG, (), 1, {"format": 1.0, "correctness": 0.0, "length": 0.25}),
    ],
)  # fmt: skip
def test_steps_against_the_ground_truth(
    rubric: Any, text: str, gold: tuple[Call, ...], update: int, terms: dict[str, float]
) -> None:
    reward, found = get_rubric(rubric)(_step(text, gold, update))
    assert found == pytest.approx(terms)
    assert reward == pytest.approx(sum(terms.values()))


def test_every_step_of_the_ground_truth_earns_all_there_is(house: Callable[..., ToolUseEnv]) -> None:
    """Of two turns with a call and a closing each; the published correctness of a closing is 0."""
    for format in ("toolrl", "hermes"):
        for rubric, expected in {"paper": [2, 2, 2, 2], "toolrl": [4, 1, 4, 1], "rest": [4, 1.5, 4, 1.5]}.items():
            env = house(rubric=rubric, format=format)
            record = env.demonstrate(seed=0, options={"task_id": "two turns", "update": 75})
            assert [step.reward for step in record.steps] == expected
            assert record.update == 75


def test_a_step_is_compared_with_the_ground_truths_in_its_place(
    house: Callable[..., ToolUseEnv], say: Callable[..., str]
) -> None:
    env = house("two turns", rubric="paper")
    needed = env.task.turns[0].steps[0]
    call = say(*((call.name, call.arguments) for call in needed))
    rewards = [env.step(text)[1] for text in (call, call, "Done.")]
    assert rewards == [2.0, 0.0, 2.0]  # instead of the second call the turn was to be handed back
    after = house("two turns", prefix=1, rubric="paper")
    assert after.step("Done.")[1] == 2.0


def test_presets() -> None:
    assert get_rubric("official") is OFFICIAL
    assert get_rubric(DENSE) is DENSE
    for wrong in ({"name": "rest", "rough": True}, {"name": "rest", "coarse": 1}, {"name": "rest", "version": "rest"}):
        with pytest.raises(ConfigurationError, match=r"rubric 'rest' takes true or false for schedule, .* got"):
            get_rubric(wrong)
    with pytest.raises(ConfigurationError, match="rubric 'paper' takes no switches, got coarse=True"):
        get_rubric({"name": "paper", "coarse": True})
    with pytest.raises(
        ConfigurationError, match="unknown rubric 'sparse'; choose one of official, dense, paper, toolrl, rest"
    ):
        get_rubric("sparse")
