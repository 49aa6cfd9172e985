"""The published rewards' entry point."""

from __future__ import annotations

from typing import Any

import pytest

from tooluse_gym.agreement import Switches
from tooluse_gym.envs import toolrl
from tooluse_gym.envs.toolrl.scoring import cut, total, verdict
from tooluse_gym.scoring import Verdict

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
"""The switches by the names that the recordings know."""

GOLD = '<think> so </think>\n<tool_call>\n{"name": "f", "parameters": {"a": "1"}}\n</tool_call>'
SAID = GOLD.replace('"1"', '"2"')
SWAPPED = '<tool_call>\n{"name": "f", "parameters": {"a": "1"}}\n</tool_call>\n<think> so </think>'
ANSWER = "<think> so </think>\n<response> hi </response>"


def test_presets_and_switches() -> None:
    assert toolrl.reward(SAID, GOLD) == pytest.approx(2)  # 1 + (6 x 2/3 - 3)
    assert toolrl.reward(SAID, GOLD, preset="toolrl", coarse=True) == -2
    assert toolrl.reward(GOLD, GOLD, 75, "rest") == 4
    assert toolrl.scores(GOLD, GOLD, 75, "rest") == (1.5, 2.5, 0)
    assert toolrl.reward(GOLD, GOLD, 75, "rest", schedule=False) == 4
    long = ANSWER.replace("so", "so " * 256)
    assert toolrl.reward(long, ANSWER, length=True) == 1.5
    assert toolrl.reward(long, ANSWER, preset="rest", schedule=False, length=True) == 1
    assert toolrl.scores(long, ANSWER, preset="rest", schedule=False, length=True).length == 0.5


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answer": GOLD.replace("{", "")}, "calls of the answer '<think> so .* are not one JSON object per line"),
        ({"preset": "grpo"}, "unknown preset 'grpo'; choose one of toolrl, rest"),
        ({"fine": True}, "takes true or false for schedule, .* got fine=True"),
        ({"template": "gemma"}, "unknown template 'gemma'"),
    ],
    ids=["answer", "preset", "switch", "template"],
)
def test_what_cannot_be_scored(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        toolrl.reward(**{"response": SAID, "answer": GOLD, **change})


@pytest.mark.parametrize(
    ("sequence", "template", "reply"),
    [
        ("<|im_start|>assistant\na<|im_end|>", None, "<|im_start|>assistant\na<|im_end|>"),
        ("<|im_start|>assistant\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>c", "qwen", "\nb"),
        ("q<|im_end|>a", "qwen", "q<|im_end|>a"),
        ("<|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>", "llama", "\n\na"),
        ("<|start_header_id|>assistant<|end_header_id|>a<|im_end|>", "llama", "a<|im_end|>"),
    ],
)
def test_cutting(sequence: str, template: Any, reply: str) -> None:
    assert cut(sequence, template) == reply


@pytest.mark.parametrize(
    ("text", "gold", "error"),
    [
        (GOLD, GOLD, None),
        (f"\n{GOLD} ", GOLD, None),
        (SAID, GOLD, "wrong_calls"),
        ("f", GOLD, "wrong_calls"),
        (SWAPPED, GOLD, "wrong_format"),
        (ANSWER.replace(" hi ", " ho "), ANSWER, None),
        ("hi", ANSWER, "wrong_format"),
    ],
)
def test_verdicts(text: str, gold: str, error: str | None) -> None:
    assert verdict(text, gold) == Verdict(error is None, error)


def _ours(record: dict[str, Any], preset: str) -> dict[str, Any]:
    """What we say of a recorded case, in the recording's words."""
    on = {VARIABLES[name]: True for name, value in record["env"].items() if value == "1" and name in VARIABLES}
    switches = {"schedule": False, **on}
    begin, end = {
        "qwen": ("<|im_start|>assistant\n", "<|im_end|>"),
        "llama": ("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
    }[record["template"]]
    options = {"step": record["step"], "preset": preset, "template": record["template"], **switches}
    sequence = f"<think> a decoy </think>{begin}{record['response']}{end}"
    try:
        parts = toolrl.scores(sequence, record["answer"], **options)
        return {"score": toolrl.reward(sequence, record["answer"], **options), **parts._asdict()}
    except ValueError:
        return {"error": "ValueError"}


def test_every_recorded_case(reward_cases: list[dict[str, Any]]) -> None:
    wrong = []
    for record in reward_cases:
        for preset in ("toolrl", "rest"):
            ours, theirs = _ours(record, preset), record[preset]
            if not ("error" in ours and "error" in theirs) and ours != pytest.approx(theirs, abs=1e-9):
                wrong.append((record["id"], preset, ours, theirs))
    assert len(reward_cases) == 2160
    assert wrong == []


def test_the_total_is_the_programs() -> None:
    parts = toolrl.scores(SAID, GOLD)._replace(length=0.5)
    assert total(parts, Switches()) - total(parts, Switches(version="rest")) == 0.5
