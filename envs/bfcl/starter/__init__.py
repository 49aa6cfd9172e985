"""The starter world: small multi-turn tasks without end, verified by execution, for a first agent."""

from __future__ import annotations

from .demonstrations import NoiseProfile
from .lexicon import WORDS, Lexicon
from .requests import STARTER_REQUESTS, Act, Request
from .tasks import StarterTasks

__all__ = ["STARTER_REQUESTS", "WORDS", "Act", "Lexicon", "NoiseProfile", "Request", "StarterTasks"]
