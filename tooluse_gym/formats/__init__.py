"""Reply formats: how tools are shown, how a reply is parsed, how calls and results are written.

A format is one small class; ``get_format(name)`` returns the one instance. Formats keep no state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Protocol

from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats.reply import Call, Kind, Reply, Segment
from tooluse_gym.messages import Message
from tooluse_gym.tools import Tool

__all__ = ["FORMATS", "Call", "Format", "Kind", "Reply", "Segment", "get_format"]


class Format(Protocol):
    """What a reply format offers."""

    name: str

    def parse(self, text: str) -> Reply:
        """Read an assistant message. Never raises, whatever the text; time is linear in its length."""

    def write(self, calls: Sequence[Call], think: str | None = None, response: str | None = None) -> str:
        """An assistant message that ``parse`` reads back to the same calls, think and response.

        Formats that have no place for a thought ignore ``think``.
        """

    def system_prompt(self, tools: Sequence[Tool]) -> str:
        """Tell a model, in a system message, which tools it has and how to reply."""

    def announce(self, tools: Sequence[Tool], text: str) -> str:
        """The user's ``text``, which may be empty, with tools that have become available told before it."""

    def results(self, calls: Sequence[Call], texts: Sequence[str]) -> tuple[Message, ...]:
        """The messages that carry the observation texts of a step's calls back to the agent."""


FORMATS = ("toolrl", "hermes", "pythonic", "structured")


def get_format(name: str | Format) -> Format:
    """The format called ``name``; a format object is returned as it is.

    Raises:
        ConfigurationError: no format has that name.
    """
    if not isinstance(name, str):
        return name
    if name not in FORMATS:
        raise ConfigurationError(f"unknown reply format {name!r}; choose one of {', '.join(FORMATS)}")
    make: Callable[[], Format] = import_module(f"{__name__}.{name}").make
    return make()
