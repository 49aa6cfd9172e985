"""BFCL's data and the recorded outputs of its own program, for the tests that compare with them."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.bfcl import release
from tooluse_gym.errors import DataNotFoundError

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
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    return read


@pytest.fixture(scope="session")
def bfcl_release() -> Path:
    """The data folder of the unpacked release, the only one with upstream's prompts; skips the test if it is absent."""
    try:
        return release.source(release.where(), release.PROMPTS).parents[1] / "data"
    except DataNotFoundError as error:
        pytest.skip(f"texts of BFCL's release are needed: {error}")
