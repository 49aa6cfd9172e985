"""Scores from counts: the formulas by hand, and the official leaderboard's own cells."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.bfcl import aggregate_scores, format_sensitivity
from tooluse_gym.envs.bfcl.scores import TOTALS
from tooluse_gym.errors import ConfigurationError

ALL_RIGHT = {name: (total, total) for name, total in TOTALS.items()}
V3_ONLY = {name: count for name, count in ALL_RIGHT.items() if not name.startswith(("memory", "web_search"))}


def test_v4_by_hand() -> None:
    counts = ALL_RIGHT | {
        "simple_python": (200, 400),  # 0.5: simple AST is 2.5 / 3
        "live_multiple": (0, 1053),  # live is 298 / 1351
        "live_irrelevance": (221, 884),  # irrelevance is 0.625
        "multi_turn_base": (0, 200),  # multi-turn is 0.75
        "memory_kv": (0, 155),  # memory is 2 / 3, agentic 5 / 6
        "live_relevance": (1, 16),
    }
    scores = aggregate_scores(counts)
    assert scores.missing == ()
    assert scores.categories["live_relevance"] == 1 / 16
    assert scores.groups == pytest.approx(
        {
            "simple_ast": 2.5 / 3,
            "multi_turn": 0.75,
            "non_live": (2.5 / 3 + 3) / 4,
            "live": 298 / 1351,
            "irrelevance": 0.625,
            "web_search": 1.0,
            "memory": 2 / 3,
            "agentic": 5 / 6,
        }
    )
    assert scores.overall == pytest.approx(
        0.1 * (2.5 / 3 + 3) / 4 + 0.1 * 298 / 1351 + 0.1 * 0.625 + 0.3 * 0.75 + 0.4 * 5 / 6
    )


def test_v3_by_hand() -> None:
    counts = V3_ONLY | {"irrelevance": (0, 240), "live_irrelevance": (0, 884), "multi_turn_base": (100, 200)}
    old = {"simple_python": "simple", "simple_java": "java", "simple_javascript": "javascript"}
    scores = aggregate_scores({old.get(name, name): count for name, count in counts.items()}, "v3")
    assert scores == aggregate_scores(counts, "v3")
    live = (258 + 1053 + 16 + 24 + 16) / 2251
    assert scores.groups == pytest.approx({"simple_ast": 1, "multi_turn": 0.875, "non_live": 0.8, "live": live})
    assert scores.overall == pytest.approx((live + 0.8 + 0.875) / 3)


def test_missing_categories_are_named_and_count_as_nothing() -> None:
    assert aggregate_scores(ALL_RIGHT).overall == pytest.approx(1)
    scores = aggregate_scores({"live_simple": (129, 258), "memory_kv": (155, 155)})
    assert set(scores.missing) == set(TOTALS) - {"live_simple", "memory_kv", "live_relevance"}
    assert scores.categories == {"live_simple": 0.5, "memory_kv": 1}
    assert scores.groups["live"] == pytest.approx(129 / 1351)
    assert scores.overall == pytest.approx(0.1 * 129 / 1351 + 0.4 / 6)
    assert aggregate_scores({}, "v3").missing[-1] == "live_relevance"


@pytest.mark.parametrize(
    ("counts", "version", "message"),
    [
        ({"simple": (1, 400)}, "v4", "BFCL v4 has no category 'simple'; it has simple_python, "),
        ({"memory_kv": (1, 155)}, "v3", "BFCL v3 has no category 'memory_kv'"),
        ({"simple": (1, 400), "simple_python": (1, 400)}, "v3", "both of its names"),
        ({"multiple": (201, 200)}, "v4", "multiple: 201 right of 200 is impossible"),
        ({"multiple": (0, 0)}, "v4", "multiple: 0 right of 0 is impossible; leave out"),
        ({}, "v5", "unknown version 'v5'; choose one of v4, v3"),
    ],
)
def test_refusals(counts: dict[str, tuple[int, int]], version: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        aggregate_scores(counts, version)


def test_format_sensitivity_by_hand() -> None:
    spread = format_sensitivity({"a": (100, 200), "b": (120, 200), "c": (140, 200)})
    assert spread.accuracies == {"a": 0.5, "b": 0.6, "c": 0.7}
    assert (spread.max_delta, spread.variance, spread.standard_deviation) == pytest.approx((20, 100, 10))
    one = format_sensitivity({"a": (1, 2)})
    assert (one.max_delta, one.variance, one.standard_deviation) == (0, 0, 0)
    with pytest.raises(ConfigurationError, match="no configuration"):
        format_sensitivity({})


CELLS = {
    "overall": [("data_overall", "Overall Acc")],
    "non_live": [("data_non_live", "Non-Live Overall Acc")],
    "live": [("data_live", "Live Overall Acc"), ("data_overall", "Live Acc")],
    "multi_turn": [("data_multi_turn", "Multi Turn Overall Acc")],
    "agentic": [("data_agentic", "Agentic Overall Acc")],
    "simple_ast": [("data_non_live", "Simple AST")],
    "irrelevance": [("data_overall", "Irrelevance Detection")],
    "web_search": [("data_overall", "Web Search Acc")],
    "memory": [("data_overall", "Memory Acc")],
}
"""The leaderboard's cells of each score; those of incomplete groups may say N/A."""


def test_the_leaderboard_says_the_same() -> None:
    interpreter = os.environ.get("TOOLUSE_BFCL_ORACLE")
    if not interpreter:
        pytest.skip("TOOLUSE_BFCL_ORACLE names no interpreter with bfcl_eval")
    rng = random.Random(0)
    cases = []
    for _ in range(12):
        chosen = rng.sample(sorted(TOTALS), rng.choice([len(TOTALS), 18, 9, 3]))
        totals = {name: rng.choice([TOTALS[name], rng.randint(1, TOTALS[name])]) for name in chosen}
        cases.append({name: (rng.randint(0, total), total) for name, total in totals.items()})
    oracle = Path(__file__).parents[3] / "benchmarks/bfcl_scores_oracle.py"
    done = subprocess.run([interpreter, oracle], input=json.dumps(cases), capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{interpreter} cannot make BFCL's tables: {done.stderr.splitlines()[-1]}")
    compared = 0
    for counts, tables in zip(cases, json.loads(done.stdout), strict=True):
        scores = aggregate_scores(counts)
        for name, places in CELLS.items():
            score = scores.overall if name == "overall" else scores.groups[name]
            for table, column in places:
                cell = tables[table][column]
                if cell != "N/A":
                    assert float(cell.rstrip("%")) == pytest.approx(100 * score, abs=0.00501), (name, counts)
                    compared += 1
    assert compared > 6 * len(cases)
