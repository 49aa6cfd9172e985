"""Perturbed answers, odd values and broken replies come out as in BFCL's own program, where one is named."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.bfcl_ast_cases import ROWS, load, write_case
from benchmarks.bfcl_ast_differential import Tally, ask, compare
from tooluse_gym.envs.bfcl.single_turn import load_single_turn

CASES = 8  # of each row


@pytest.fixture(scope="module")
def oracle() -> str:
    interpreter = os.environ.get("TOOLUSE_BFCL_ORACLE")
    if not interpreter:
        pytest.skip("TOOLUSE_BFCL_ORACLE names no interpreter with bfcl_eval")
    if subprocess.run([interpreter, "-c", "import bfcl_eval, tree_sitter_java"], capture_output=True).returncode:
        pytest.skip(f"{interpreter} cannot import bfcl_eval and its grammars")
    return interpreter


def test_everything_agrees_with_upstream(bfcl_data: Path, oracle: str) -> None:
    pytest.importorskip("tree_sitter", reason="needs the extra bfcl")
    material = load(bfcl_data)
    rows = [row for row in ROWS for _ in range(CASES)]
    cases = [write_case(row, f"test/{row}/{number}", material) for number, row in enumerate(rows)]
    tally = Tally()
    for case, answer in zip(cases, ask(oracle, cases), strict=True):
        compare(case, answer, tally)
    assert tally.disagreements == []
    assert tally.equal == len(rows)


def test_differences_are_told(bfcl_data: Path) -> None:
    material = {"multiple": list(load_single_turn("multiple", bfcl_data).values())}
    case = write_case("verdicts multiple", "test", material)
    assert case == write_case("verdicts multiple", "test", material)
    valid, error_type = case.ours
    tally = Tally()
    compare(case, {"valid": valid, "error_type": error_type}, tally)
    assert (tally.equal, tally.disagreements) == (1, [])
    compare(replace(case, ours=[valid, "another"]), {"valid": valid, "error_type": error_type}, tally)
    compare(case, {"raises": "KeyError: 0"}, tally)
    assert (tally.equal, len(tally.disagreements)) == (1, 2)
