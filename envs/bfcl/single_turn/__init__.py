"""BFCL's single-turn tasks: one reply to one question, its calls judged and not carried out."""

from __future__ import annotations

from .tasks import (
    SENSITIVITY,
    SINGLE_TURN,
    UNANSWERED,
    documented,
    load_format_sensitivity,
    load_single_turn,
    read_single_turn,
)

__all__ = [
    "SENSITIVITY",
    "SINGLE_TURN",
    "UNANSWERED",
    "documented",
    "load_format_sensitivity",
    "load_single_turn",
    "read_single_turn",
]
