"""Agreement with the ground truth: worked examples, and what ToolRL's and ResT's own programs gave."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tooluse_gym.agreement import Switches, call_agreement, overlap, published_agreement, published_scores, scale

DATA = Path(os.environ.get("TOOLUSE_TEST_DATA", Path(__file__).parents[2] / "../shared/data")) / "toolrl"
VARIABLES = {
    "SCHEDULEREWARD": "schedule",
    "MAX1STEP30MAX3": "two_stages",
    "CORRECTMAX1": "max_one",
    "REFINEDREWARD": "refined",
    "INTERMEDIATEREWARD": "intermediate",
    "COARSEREWARD": "coarse",
    "WITHLENGTH": "length",
    "SCHEDULELENGTH": "moving_length",
}
"""By the names that the recordings know."""


def _call(name: str, **parameters: Any) -> dict[str, Any]:
    return {"name": name, "parameters": parameters}


def _reply(*calls: Any, think: str = "so", after: str = "") -> str:
    block = "\n".join(call if isinstance(call, str) else json.dumps(call) for call in calls)
    return f"<think> {think} </think>\n<tool_call>\n{block}\n</tool_call>{after}"


G1 = (_call("f", a="1", b="2"),)
G2 = (_call("f", a="1"), _call("g", x=1, y=2))
ANSWER = "<think> so </think>\n<response> hi </response>"
LONG = f"<think> {'word ' * 128}</think>\n<response> hi </response>"
SPACED = _reply(*G1).replace("</think>\n", "</think>\n\n")


@pytest.mark.parametrize(
    ("gold", "text", "switches", "step", "scores", "rest"),
    [
        (_reply(*G1), _reply(*G1), {}, 1, (1, 3, 0), None),
        (_reply(*G1), _reply(_call("f", a="1", b="3")), {}, 1, (1, 1.5, 0), None),
        (_reply(*G1), _reply(_call("f", a="1")), {}, 1, (1, 0.75, 0), None),
        (_reply(*G1), _reply(_call("f", a="1", b="2", c="3")), {}, 1, (1, 2.5, 0), None),
        (_reply(*G1), _reply(_call("h", a="1", b="2")), {}, 1, (1, -3, 0), None),
        (_reply(*G2), _reply(*G2[::-1]), {}, 1, (1, 3, 0), None),
        (_reply(*G2), _reply(G2[0]), {}, 1, (1, -0.5, 0), None),
        (_reply(*G1), _reply({"name": "f"}), {}, 1, (1, -3, 0), None),
        (_reply(*G1), _reply("not json"), {}, 1, (1, -3, 0), None),
        (_reply(*G1), "f it is", {}, 1, (0, -3, 0), None),
        (ANSWER, ANSWER, {}, 1, (1, 0, 0), None),
        (ANSWER, ANSWER + " extra", {}, 1, (0, 0, 0), 1),
        (_reply(*G1), SPACED, {}, 1, (0, 3, 0), 4),
        (_reply(*G1), _reply(*G1, after="\n<response> hi </response>"), {}, 1, (0, 3, 0), None),
        (_reply(*G1), _reply(*G1), {"schedule": True}, 75, (1.5, 2.5, 0), None),
        (_reply(*G1), "f it is", {"schedule": True}, 75, (-1, -2.5, 0), None),
        (_reply(*G1), "f it is", {"schedule": True}, 150, (-1, -3, 0), None),
        (_reply(*G1), _reply(_call("f", a="1", b="3")), {"schedule": True}, 105, (1.3, 1.35, 0), None),
        (_reply(*G1), _reply(*G1), {"two_stages": True}, 29, (1, 1, 0), None),
        (_reply(*G1), _reply(*G1), {"two_stages": True}, 30, (0.5, 3, 0), None),
        (_reply(*G1), _reply(_call("f", a="1", b="3")), {"refined": True}, 1, (1, 1.5, 0), None),
        (_reply(*G1), _reply(_call("f", b="2", a="1")), {"refined": True}, 1, (1, 3, 0), None),
        (_reply(*G2), _reply(*G2[::-1]), {"refined": True}, 1, (1, 2, 0), None),
        (_reply(*G2), _reply(_call("f", a="2"), G2[1]), {"intermediate": True}, 1, (1, 1, 0), None),
        (_reply(*G2), _reply(_call("f", a="2"), G2[1]), {"coarse": True}, 1, (1, -3, 0), None),
        (_reply(*G1), _reply(_call("f", a="1", b="3")), {"max_one": True}, 1, (1, 0.5, 0), None),
        (ANSWER, LONG, {"length": True}, 1, (1, 0, 0.25), 1),
        (ANSWER, LONG, {"length": True, "moving_length": True}, 105, (1, 0, 0.2), 1),
        (_reply(*G1), _reply(*G1), {"schedule": True, "max_one": True}, 300, (1, 0, 0), None),
        (_reply(*G1), _reply(_call("f", a=1, b="2")), {}, 1, (1, 1.5, 0), None),
        (_reply(*G2), _reply(_call("f"), _call("f", a="1")), {}, 1, (1, -2 / 3, 0), None),
    ],
    ids=range(1, 32),
)
def test_worked_examples(
    gold: str, text: str, switches: dict[str, bool], step: int, scores: tuple[float, ...], rest: float | None
) -> None:
    assert published_scores(text, gold, Switches("toolrl", **switches), step) == pytest.approx(scores)
    found = published_scores(text, gold, Switches("rest", **switches), step)
    assert found.format + found.correctness == pytest.approx(sum(scores) if rest is None else rest)


@pytest.mark.parametrize("version", ["toolrl", "rest"])
def test_every_recorded_reward_is_that_of_the_program(version: Literal["toolrl", "rest"]) -> None:
    """The recorded replies stand in a chat, of which the programs cut out the last message."""
    path = DATA / "reward_cases.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no recorded rewards at {path.name}; set TOOLUSE_TEST_DATA")
    agreed = 0
    with gzip.open(path, "rt") as file:
        for line in file:
            case = json.loads(line)
            text, recorded = case["response"], case[version]
            if case["template"] == "qwen":
                text = text.split("<|im_start|>assistant")[-1].split("<|im_end|>")[0]
            on = {VARIABLES[name]: True for name, value in case["env"].items() if value == "1" and name in VARIABLES}
            switches = Switches(version, **on)
            if "error" in recorded:
                with pytest.raises(ValueError, match=r"Expecting|Extra data"):
                    published_scores(text, case["answer"], switches, case["step"])
            else:
                expected = [recorded[name] for name in ("format", "correctness", "length")]
                assert published_scores(text, case["answer"], switches, case["step"]) == pytest.approx(
                    expected, abs=1e-9
                ), case["id"]
            agreed += 1
    assert agreed == 2160


@pytest.mark.parametrize(
    ("said", "gold", "expected"),
    [
        (G1, G1, 1.0),
        ((), (), 1.0),
        (G1, (), 0.0),
        ((), G1, 0.0),
        ((_call("f", a="1", b="3"),), G1, (1 + 1 + 1) / 4),
        ((G2[0], G2[0], G2[1]), G2, 1.0),
        ((_call("f", a="1"), _call("h")), G2, (1 / 3 + 1 + 1) / 6),
        ((_call("f", b="2", c="0"),), G1, (1 + 1 / 3 + 1) / 4),
    ],
    ids=["equal", "nothing wanted", "needless", "none", "a value", "names are sets", "names", "parameters"],
)
def test_the_papers_accuracy_by_hand(said: Any, gold: Any, expected: float) -> None:
    assert call_agreement(said, gold, "sets") == pytest.approx(expected)


def test_of_calls_of_one_name_the_best_is_taken_and_served_once() -> None:
    twice = (_call("f", a="1"), _call("f", a="2"))
    assert call_agreement(twice[::-1], twice) == 1.0
    # The second call of the ground truth finds a call of its name, but not its value: (1 + 2 + 1) / 5.
    assert call_agreement((twice[0], twice[0]), twice) == pytest.approx(4 / 5)


@pytest.mark.parametrize("said", [None, ["f"], [3], [{"name": ["f"]}], [{"name": "f", "parameters": [1]}]])
def test_what_is_no_call_agrees_with_nothing(said: Any) -> None:
    assert published_agreement(said, G1, Switches()) == 0.0


def test_the_scale_moves_as_published() -> None:
    found = [scale(Switches(schedule=True), step) for step in (0, 30, 75, 150, 300)]
    assert [bounds.format for bounds in found] == [
        (-2, 2), (pytest.approx(-1.6), pytest.approx(1.8)), (-1, 1.5), (-1, 1), (-1, 1),
    ]  # fmt: skip
    assert [bounds.correctness for bounds in found] == [
        (-2, 2), (pytest.approx(-2.2), pytest.approx(2.2)), (-2.5, 2.5), (-3, 3), (-3, 3),
    ]  # fmt: skip


NAMES = st.lists(st.sampled_from("abc"), max_size=5)


@given(one=NAMES, other=NAMES, how=st.sampled_from(["lists", "sets", "exact"]))
def test_an_overlap_is_symmetric_and_one_for_equals(one: list[str], other: list[str], how: Any) -> None:
    assert overlap(one, other, how) == overlap(other, one, how)
    assert 0 <= overlap(one, other, how) <= 1
    assert (overlap(one, other, "exact") == 1) == (one == other)
    assert (overlap(one, other, "lists") == 1) == (sorted(one) == sorted(other))
    assert (overlap(one, other, "sets") == 1) == (set(one) == set(other))
