"""A run that is killed twice, by the benchmark that can kill it more often."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_run_that_is_killed_ends_as_one_that_never_was(tmp_path: Path) -> None:
    own = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # of the test's own process group
    environment = {name: value for name, value in os.environ.items() if name not in own} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "benchmarks/kill.py", "--kills", "2", "--stages", "2", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    heading, _, row = done.stdout.splitlines()[-3:]
    found = dict(zip(heading.split(" | "), row.split(" | "), strict=True))
    assert int(found["kills"]) >= 2
    assert found["identical"] == "yes"
    assert found["control |"] == "differs |"
