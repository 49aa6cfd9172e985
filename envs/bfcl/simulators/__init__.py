"""The simulated APIs of BFCL's multi-turn tasks, by upstream's class names."""

from __future__ import annotations

from .base import Simulator
from .gorilla_file_system import GorillaFileSystem
from .math_api import MathAPI
from .twitter_api import TwitterAPI

SIMULATORS: dict[str, type[Simulator]] = {
    simulator.__name__: simulator
    for simulator in (
        GorillaFileSystem,
        MathAPI,
        TwitterAPI,
    )
}

__all__ = ["SIMULATORS", "GorillaFileSystem", "MathAPI", "Simulator", "TwitterAPI"]
