"""A process that stands still ends by itself, and leaves word of where it stood."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rest_agent import watchdog
from rest_agent.watchdog import Watchdog

ROOT = Path(__file__).parents[2]


def _python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    head = "import sys, threading, time\nfrom pathlib import Path\nfrom rest_agent.watchdog import Watchdog, beat\n"
    command = [sys.executable, "-c", head + code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_process_without_progress_says_where_its_threads_stand(tmp_path: Path) -> None:
    code = """
def wait_for_ever():
    threading.Event().wait()
threading.Thread(target=wait_for_ever, daemon=True).start()
with Watchdog(0.01, Path(sys.argv[1]), rank=3):
    time.sleep(50)
"""
    done = _python(code, tmp_path)
    assert done.returncode == watchdog.EXIT_STATUS
    (report,) = tmp_path.glob("hang-*-rank3.txt")
    for text in (report.read_text(), done.stderr):
        assert re.search(r"rank 3: no progress for 0\.01\d* minutes \(run\.hang_minutes\)", text)
        assert f"--resume {tmp_path}" in text
        assert "in wait_for_ever" in text
        assert 'File "<string>", line 9 in <module>' in text  # the sleep
    assert not done.stdout


def test_beats_and_the_end_of_the_block_keep_a_process_alive(tmp_path: Path) -> None:
    code = """
with Watchdog(0.02, Path(sys.argv[1]), rank=0):
    for _ in range(25):
        beat()
        time.sleep(0.1)
time.sleep(4)
with Watchdog(0, Path(sys.argv[1]), rank=0):
    time.sleep(2)
"""
    done = _python(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.iterdir())


def test_a_process_that_keeps_python_from_running_ends_too(tmp_path: Path) -> None:
    """PyDLL calls hold the interpreter's lock: no thread of Python's can run meanwhile."""
    code = """
import ctypes
with Watchdog(0.01, Path(sys.argv[1]), rank=0):
    time.sleep(0.3)
    ctypes.PyDLL(None).sleep(50)
"""
    done = _python(code, tmp_path)
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert 'File "<string>", line 8 in <module>' in done.stderr


def test_a_rank_that_waits_for_one_that_hangs_reports_too(tmp_path: Path) -> None:
    """Once; and reports of an earlier hang do not concern it."""
    (tmp_path / "hang-20200101-000000-rank0.txt").write_text("long ago")
    code = """
folder = Path(sys.argv[1])
with Watchdog(0.05, folder, rank=1):
    for number in range(12):
        beat()
        time.sleep(0.25)
        if number == 4:
            assert len(list(folder.iterdir())) == 1
            (folder / "hang-20300101-000000-rank0.txt").write_text("now")
"""
    done = _python(code, tmp_path)
    assert done.returncode == 0
    assert done.stderr.count("rank 1: another rank hangs") == 1
    (report,) = tmp_path.glob("hang-*-rank1.txt")
    assert report.read_text().count("another rank hangs; this one made progress 0 s ago") == 1


SLEEPY = """
import os, sys, time
from pathlib import Path
from rest_agent import cli, rollout

demonstration = rollout.Arena.demonstration
asked = 0

def demonstrate_or_sleep(self, *arguments):
    global asked
    asked += 1
    if asked == 10 and os.environ["RANK"] == "1":
        Path(__file__).with_name("asleep").write_text(str(time.time()))
        time.sleep(1000)
    return demonstration(self, *arguments)

rollout.Arena.demonstration = demonstrate_or_sleep
sys.exit(cli.main())
"""


@pytest.mark.slow
def test_a_rank_that_sleeps_ends_a_run_of_two(
    launch: Callable[..., Any], folders: dict[str, Path], tmp_path: Path
) -> None:
    config: dict[str, Any] = {
        "model": {"path": str(folders["own"])},
        "environment": {"options": {"starter": {"turns": 1, "tools_shown": 1, "requests": ["post"]}}},
        "sft": [{"updates": 60, "batch": 4, "learning_rate": 1e-2}],
        "rl": {"updates": 0, "max_reply_tokens": 10, "max_tokens": 2000},
        "evaluation": {"tasks": 1, "sampled": False},
        "run": {"folder": str(tmp_path / "runs"), "save_every": 2, "tensorboard": False, "hang_minutes": 0.1},
    }
    path, script, asleep = (tmp_path / name for name in ("config.yaml", "sleepy.py", "asleep"))
    path.write_text(yaml.safe_dump(config))
    script.write_text(SLEEPY)
    process = launch(script, "--config", path)
    try:
        printed, _ = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0, printed
    assert asleep.exists(), printed
    assert time.time() - float(asleep.read_text()) < 40, printed
    (run,) = (tmp_path / "runs").iterdir()
    assert f"--resume {run}" in printed
    reports = {report.stem[-1]: report.read_text() for report in run.glob("hang-*.txt")}
    assert "in demonstrate_or_sleep" in reports["1"]
    assert "in gather" in reports["0"]
    assert sorted(checkpoint.name for checkpoint in (run / "checkpoints").iterdir())[-1] == "step-000004"


@pytest.fixture(autouse=True)
def _no_watchdog_is_left() -> Any:
    yield
    assert not any(thread.name == "watchdog" for thread in __import__("threading").enumerate())


def test_the_block_ends_with_its_thread(tmp_path: Path) -> None:
    with Watchdog(30, tmp_path, rank=0):
        pass
    assert not list(tmp_path.iterdir())
