"""ToolRL's test rows as a benchmark of the evaluator."""

from __future__ import annotations

from tooluse_gym.evaluation.benchmark import Benchmark, Category

_ROWS = Category(
    "test",
    "ToolRL-v0",
    {"prompting": {"dataset": "test"}, "fc": {"dataset": "test", "format": "structured"}},
)

BENCHMARKS = (Benchmark("toolrl", {_ROWS.name: _ROWS}),)
