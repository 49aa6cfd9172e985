"""Where a run came from: code, versions, machine. Saved with it, so that its numbers can be traced."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("tooluse-gym", "torch", "transformers", "tokenizers", "deepspeed", "gymnasium", "numpy")


def provenance() -> dict[str, Any]:
    """What ``results.json`` keeps: ``git``, ``versions`` and ``machine``. No host name, user or path."""
    return {"git": git_state(), "versions": versions(), "machine": machine()}


def versions() -> dict[str, str]:
    """Python's and each package's version; a package that is not installed is left out."""
    installed = {name: found for name in PACKAGES for found in metadata.distributions(name=name)}
    return {"python": platform.python_version()} | {name: found.version for name, found in installed.items()}


def machine() -> str:
    """Processors or accelerators, in words."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"CPU, {cores} cores ({platform.machine()})"


def git_state(folder: Path | None = None) -> str:
    """Commit of the checkout this code runs from, and whether files in it were changed since."""
    folder = folder or Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    # A package in site-packages may lie inside some other project's checkout.
    if commit is None or not _git(folder, "ls-files", "."):
        return "not run from a git checkout"
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit} with local changes" if changed else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
