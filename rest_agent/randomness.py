"""The global random generators: Python's, NumPy's, PyTorch's on the CPU and on this rank's GPU.

What a run draws on purpose comes from generators seeded by (seed, phase, update, rank). The global ones serve what
libraries draw by themselves, such as a model's dropout.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed(run_seed: int, rank: int) -> None:
    """Seed them all, differently on every rank."""
    drawn = np.random.SeedSequence([run_seed, rank]).generate_state(3)
    random.seed(int(drawn[0]))
    np.random.seed(int(drawn[1]))
    torch.manual_seed(int(drawn[2]))  # GPUs too


def state() -> dict[str, Any]:
    """Where they stand, as JSON can hold it."""
    name, keys, position, has_gauss, cached_gaussian = np.random.get_state(legacy=True)
    found = {
        "python": random.getstate(),
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached_gaussian],
        "torch": _text(torch.get_rng_state()),
    }
    if torch.cuda.is_available():
        found["cuda"] = _text(torch.cuda.get_rng_state())
    return found


def restore(state: dict[str, Any]) -> None:
    """Continue from what :func:`state` found."""
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(_tensor(state["torch"]))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(_tensor(state["cuda"]))


@contextmanager
def untouched() -> Iterator[None]:
    """Whatever is drawn in the ``with`` block, they go on behind it from where they stood before it."""
    before = state()
    try:
        yield
    finally:
        restore(before)


def _text(generator: torch.Tensor) -> str:
    return bytes(generator.tolist()).hex()


def _tensor(text: str) -> torch.Tensor:
    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)
