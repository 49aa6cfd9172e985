"""API-Bank's data and the recorded outputs of its own programs, for the tests that compare with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import api_bank_parity

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def api_bank_data() -> Path:
    """The folder; skips the test where there is none."""
    folder = Path(os.environ.get("TOOLUSE_TEST_DATA", REPOSITORY / "../shared/data")) / "api_bank"
    if not (folder / "init_database").is_dir():
        pytest.skip(f"no API-Bank data in {folder}; set TOOLUSE_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def api_bank_records(api_bank_data: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Reads a file of recorded outputs; skips the test where it is absent."""

    def read(name: str) -> list[dict[str, Any]]:
        path = api_bank_data / name
        if not path.is_file():
            pytest.skip(f"no recorded outputs {path}; set TOOLUSE_TEST_DATA")
        return api_bank_parity.read(path)

    return read
