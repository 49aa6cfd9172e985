"""Random calls answer as BFCL's own program does, where an interpreter with bfcl_eval is named."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from benchmarks.bfcl_differential import Material, Tally, ask, compare, read_material, write_case
from tooluse_gym.envs.bfcl.simulators import SIMULATORS

CASES = 6  # of each class


@pytest.fixture(scope="module")
def material(bfcl_data: Path) -> Material:
    return read_material(bfcl_data)


@pytest.mark.parametrize("owner", SIMULATORS)
def test_random_calls_agree_with_upstream(owner: str, material: Material, oracle: str) -> None:
    cases = [write_case(owner, f"test/{owner}/{number}", material) for number in range(CASES)]
    tally = Tally()
    for case, answer in zip(cases, ask(oracle, cases), strict=True):
        compare(case, answer, tally)
    assert tally.disagreements == {}
    assert tally.cases == CASES
    assert tally.equal_calls == tally.calls >= 5 * CASES


@pytest.mark.parametrize("owner", SIMULATORS)
def test_differences_are_told(owner: str, material: Material) -> None:
    case = write_case(owner, "test", material)
    same = {"results": case.results, "state": case.state}
    tally = Tally()
    compare(case, same, tally)
    assert (tally.disagreements, tally.equal_calls, tally.equal_states) == ({}, len(case.calls), 1)
    compare(case, {**same, "results": [*case.results[:-1], "another result"]}, tally)
    assert (len(tally.disagreements), tally.calls - tally.equal_calls) == (1, 1)
    state = copy.deepcopy(case.state)
    state["another"] = 1
    compare(case, {**same, "state": state}, tally)
    assert (len(tally.disagreements), tally.states - tally.equal_states) == (2, 1)


def test_cases_are_those_of_their_seed(material: Material) -> None:
    first, again, other = (write_case("TravelAPI", seed, material) for seed in ("1", "1", "2"))
    assert first == again
    assert first.calls != other.calls
