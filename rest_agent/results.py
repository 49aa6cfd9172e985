"""What a run achieved: ``results.json`` in its folder, which the report and the summary are made from.

.. code-block:: text

    {
      "parameters": 652032, "vocabulary": 1024,
      "updates": {"sft0": 120, "sft1": 200, "rl": 60},           made, by phase
      "seconds": {"sft0": 61.5, "rl": 150.2, "evaluation": 40},  spent, by phase
      "stages": {                                                in the order they were measured
        "start": {
          "greedy": {
            "n": 256, "valid": 163,                              tasks, and those solved by the official verdict
            "reward": 0.81,                                      mean over episodes
            "truncated": 3,                                      optional: episodes cut short
            "outcomes": [true, false, ...],                      optional: per task, in one order for all stages
            "by_kind": {"copy a file": [12, 20], ...}            optional: solved and tried, by kind of request
          },
          "sampled": {...}
        },
        "sft": {...}, "rl": {...}
      },
      "provenance": {"git": "...", "versions": {...}, "machine": "..."},   optional: see provenance.py
      "command": "deepspeed train_agent.py ...",                           optional: what started the run
      "notes": ["trained on the benchmark's test file", ...]               optional: what a reader must know
    }

Other keys are passed over. With outcomes, a change between stages is judged task by task; without, no interval of the
change is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tooluse_gym.evaluation.intervals import Difference, paired_difference, wilson

RESULTS_NAME = "results.json"


@dataclass(frozen=True)
class Score:
    """A policy on a set of tasks."""

    n: int
    valid: int
    reward: float
    truncated: int | None = None
    outcomes: Sequence[bool] = ()
    by_kind: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.valid <= self.n:
            raise ValueError(f"{self.valid} of {self.n} tasks solved")
        if self.outcomes and (len(self.outcomes) != self.n or sum(self.outcomes) != self.valid):
            raise ValueError(f"outcomes say {sum(self.outcomes)} of {len(self.outcomes)}, not {self.valid} of {self.n}")

    @property
    def rate(self) -> float:
        """Solved tasks / n; nan without tasks."""
        return self.valid / self.n if self.n else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % (Wilson)."""
        return wilson(self.valid, self.n)


def change(before: Score, after: Score) -> Difference | None:
    """The change on the same tasks; None where outcomes are not known task by task."""
    if not before.outcomes or len(before.outcomes) != len(after.outcomes):
        return None
    return paired_difference(before.outcomes, after.outcomes)


@dataclass(frozen=True)
class Results:
    """Fields as in ``results.json``."""

    stages: Mapping[str, Mapping[str, Score]]
    parameters: int | None = None
    vocabulary: int | None = None
    updates: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    notes: Sequence[str] = ()

    @property
    def modes(self) -> tuple[str, ...]:
        """The ways of decoding that any stage was measured with."""
        return tuple(dict.fromkeys(mode for stage in self.stages.values() for mode in stage))

    def of_mode(self, mode: str) -> dict[str, Score]:
        """The stages measured with ``mode``, in order."""
        return {name: stage[mode] for name, stage in self.stages.items() if mode in stage}


def read_results(folder: str | Path) -> Results:
    """The results in a run's folder.

    Raises:
        ValueError: the file does not have the documented form; the message names it.
    """
    path = Path(folder) / RESULTS_NAME
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        stages = {
            name: {mode: _score(score) for mode, score in stage.items()} for name, stage in tree.pop("stages").items()
        }
        known = {name: tree[name] for name in Results.__dataclass_fields__ if name in tree}
        return Results(stages=stages, **known)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: not a run's results ({type(error).__name__}: {error})") from error


def _score(tree: Mapping[str, Any]) -> Score:
    known = {name: tree[name] for name in Score.__dataclass_fields__ if name in tree}
    known["by_kind"] = {kind: (int(solved), int(n)) for kind, (solved, n) in known.get("by_kind", {}).items()}
    return Score(**known)
