"""A run that is killed twice, by the benchmark that can kill it more often."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_a_run_that_is_killed_ends_as_one_that_never_was(start: Callable[..., Any], tmp_path: Path) -> None:
    process = start("benchmarks/kill.py", "--kills", 2, "--stages", 2, "--folder", tmp_path)
    printed, _ = process.communicate(timeout=600)
    assert process.returncode == 0, printed
    heading, _, row = [line for line in printed.splitlines() if line.startswith("|")]
    found = dict(zip(heading.split(" | "), row.split(" | "), strict=True))
    assert int(found["kills"]) >= 2
    assert found["identical"] == "yes"
    assert found["control |"] == "differs |"
