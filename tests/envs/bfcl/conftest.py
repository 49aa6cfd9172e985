"""BFCL's data and the recorded outputs of its own program, for the tests that compare with them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bfcl_parity
from tooluse_gym.envs.bfcl import release
from tooluse_gym.envs.bfcl.data import CATEGORIES, load_tasks
from tooluse_gym.envs.bfcl.single_turn import SINGLE_TURN, load_single_turn
from tooluse_gym.errors import DataNotFoundError
from tooluse_gym.tasks import Task

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def bfcl_data() -> Path:
    """The folder; skips the test where there is none."""
    folder = Path(os.environ.get("TOOLUSE_TEST_DATA", REPOSITORY / "../shared/data")) / "bfcl"
    if not (folder / "possible_answer").is_dir():
        pytest.skip(f"no BFCL data in {folder}; set TOOLUSE_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def bfcl_records(bfcl_data: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Reads a file of recorded outputs; skips the test where it is absent."""

    def read(name: str) -> list[dict[str, Any]]:
        path = bfcl_data / name
        if not path.is_file():
            pytest.skip(f"no recorded outputs {path}; set TOOLUSE_TEST_DATA")
        return bfcl_parity.read(path)

    return read


@pytest.fixture(scope="session")
def bfcl_tasks(bfcl_data: Path) -> dict[str, Task]:
    """All 800 tasks by id."""
    return {name: task for category in CATEGORIES for name, task in load_tasks(category, bfcl_data).items()}


@pytest.fixture(scope="session")
def single_turn_tasks(bfcl_data: Path) -> dict[str, Task]:
    """All 3,641 single-turn tasks by id."""
    return {name: task for category in SINGLE_TURN for name, task in load_single_turn(category, bfcl_data).items()}


@pytest.fixture(scope="session")
def bfcl_release() -> Path:
    """The data folder of the unpacked release, the only one with upstream's prompts; skips the test if it is absent."""
    try:
        return release.source(release.where(), release.PROMPTS).parents[1] / "data"
    except DataNotFoundError as error:
        pytest.skip(f"texts of BFCL's release are needed: {error}")


@pytest.fixture(scope="session")
def oracle() -> str:
    """An interpreter with BFCL's own program; skips the test if none is named."""
    interpreter = os.environ.get("TOOLUSE_BFCL_ORACLE")
    if not interpreter:
        pytest.skip("TOOLUSE_BFCL_ORACLE names no interpreter with bfcl_eval")
    if subprocess.run([interpreter, "-c", "import bfcl_eval"], capture_output=True).returncode:
        pytest.skip(f"{interpreter} cannot import bfcl_eval")
    return interpreter
