"""The published rewards' entry point."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest

from benchmarks.toolrl_parity import agree, rewarded
from tooluse_gym.agreement import Switches
from tooluse_gym.envs import toolrl
from tooluse_gym.envs.toolrl.scoring import cut, total, verdict
from tooluse_gym.scoring import Verdict

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
        (GOLD.replace('"1"', "9" * 5000), GOLD, "wrong_calls"),
        (GOLD.replace('"1"', "[" * 5000), GOLD, "wrong_calls"),
        (SWAPPED, GOLD, "wrong_format"),
        (ANSWER.replace(" hi ", " ho "), ANSWER, None),
        ("hi", ANSWER, "wrong_format"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_verdicts(text: str, gold: str, error: str | None) -> None:
    assert verdict(text, gold) == Verdict(error is None, error)


@pytest.mark.parametrize("version", ["toolrl", "rest"])
def test_every_recorded_reward(version: str, reward_cases: list[dict[str, Any]]) -> None:
    wrong = [record["id"] for record in reward_cases if not agree(rewarded(record, version), record[version])]
    assert len(reward_cases) == 2160
    assert wrong == []


@pytest.mark.parametrize("gold", [GOLD, ANSWER, ANSWER.replace("<response>", GOLD[19:] + "\n<response>")], ids=len)
def test_scoring_takes_time_in_proportion(gold: str) -> None:
    start = process_time()
    for unit in ("</think>\n<tool_call>\n", "\n</tool_call>", "</think>\n<response>", "</response>", "</think>\n"):
        assert not verdict("<think>" + unit * 50_000, gold).valid
    assert process_time() - start < 5


def test_the_total_is_the_programs() -> None:
    parts = toolrl.scores(SAID, GOLD)._replace(length=0.5)
    assert total(parts, Switches()) - total(parts, Switches(version="rest")) == 0.5
