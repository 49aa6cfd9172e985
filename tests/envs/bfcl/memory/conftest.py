"""BFCL's memory files, which only its release has."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def memory_release(bfcl_release: Path) -> Path:
    """The data folder of the unpacked release; skips the test if it lacks the memory files."""
    if not (bfcl_release / "memory_prereq_conversation").is_dir():
        pytest.skip(f"no memory files in {bfcl_release}: run 'tooluse-gym data get bfcl'")
    return bfcl_release
