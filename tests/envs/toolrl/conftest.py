"""ToolRL's own rows, and what its reward program and ResT's gave; tests that need them skip where they are absent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.toolrl_parity import CASES, read

DATA = Path(os.environ.get("TOOLUSE_TEST_DATA", Path(__file__).parents[3] / "../shared/data"))


@pytest.fixture(scope="session")
def data() -> Path:
    folder = DATA / "toolrl"
    if not folder.is_dir():
        pytest.skip(f"ToolRL's data is not in {folder}")
    return folder


@pytest.fixture(scope="session")
def reward_cases(data: Path) -> list[dict[str, Any]]:
    return read(data / CASES)


@pytest.fixture(scope="session")
def bank_rows() -> list[dict[str, Any]]:
    folder = DATA / "api_bank" / "processed"
    if not folder.is_dir():
        pytest.skip(f"ToolRL's edition of API-Bank is not in {folder}")
    return [row for path in sorted(folder.glob("*.json")) for row in json.loads(path.read_text(encoding="utf-8"))]
