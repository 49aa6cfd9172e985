"""What an API of API-Bank is: a typed method of a tool set, over the tables that an episode's APIs share."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, NoReturn

from tooluse_gym.bm25 import Bm25
from tooluse_gym.envs.api_bank.words import words
from tooluse_gym.errors import ToolUseError
from tooluse_gym.tools import ToolSet

Mode = Literal["reference", "corrected"]
"""``reference`` behaves as the official code does, mistakes included; ``corrected`` mends those the README lists."""

Retriever = Callable[[str], Any]
"""What answers ToolSearcher: keywords to the description of the best tool, or a list of descriptions."""

_TOKEN_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class RefusalError(Exception):
    """An API refuses a call; the message is what the caller is told."""


class RejectedCallError(ToolUseError):
    """A call did not reach its API, or broke it. ``kind`` names the exception that the official code raises."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class Frozen(dict[str, Any]):
    """Tables that no API changes; all episodes share them, so copies of a world keep the same object."""

    @cached_property
    def search_index(self) -> Bm25:
        """SearchEngine's documents, ready to be searched."""
        documents = self["SearchEngine"]["raw_documents"]
        return Bm25([words(f"{page['title']} - {page['abstract']}".lower()) for page in documents])

    def __deepcopy__(self, memo: dict[int, Any]) -> Frozen:
        return self


@dataclass
class Episode:
    """What the APIs of one episode share.

    Args:
        tables: those that APIs change, by name; the episode's own.
        library: those that nobody changes, by name.
        mode: whether the official mistakes are made.
        seed: of the generator that draws tokens and appointment numbers.
        retriever: what ToolSearcher asks; None: it refuses every call.
    """

    tables: dict[str, Any]
    library: Frozen
    mode: Mode = "corrected"
    seed: int = 0
    retriever: Retriever | None = None
    recorded: Any = None
    """While a recorded call is repeated: its output, of which a random part is drawn again."""
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def user(self, token: object) -> str:
        """The name of the user whose token this is.

        Raises:
            RefusalError: it is nobody's.
        """
        for name, account in self.tables["Account"].items():
            if account["token"] == token:
                return str(name)
        raise RefusalError("The token is invalid.")

    def draw_token(self) -> str:
        """A new user token."""
        drawn = "".join(self._random.choice(_TOKEN_LETTERS) for _ in range(18))
        return drawn if self.recorded is None else str(self.recorded["token"])

    def draw_number(self) -> str:
        """A new appointment number; the first ones of seed 0 are those in the official recordings."""
        drawn = str(self._random.randint(10_000_000, 99_999_999))
        return drawn if self.recorded is None else str(self.recorded)


class ApiSet(ToolSet):
    """A few APIs of one theme; names are upstream's.

    ``tables`` maps public attributes to the tables they are: an episode's sets share one object per table.
    """

    tables: ClassVar[Mapping[str, str]] = {}

    def __init__(self, episode: Episode):
        self._episode = episode
        for attribute, table in self.tables.items():
            setattr(self, attribute, episode.tables[table])

    @property
    def _corrected(self) -> bool:
        return self._episode.mode == "corrected"


def refuse(message: str) -> NoReturn:
    """Answer a call with a refusal."""
    raise RefusalError(message)


def next_number(table: Mapping[str, Any]) -> str:
    """The key of a new row: one more than the greatest."""
    return str(max((int(key) for key in table), default=-1) + 1)
