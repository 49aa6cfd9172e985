"""A level of API-Bank: its APIs, the tables behind them, the search for tools, and the official checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from tooluse_gym.formats.reply import Call
from tooluse_gym.tools import Tool

from .apis import SETS, make_sets
from .apis.base import ApiSet, Episode, Mode
from .apis.level3 import LEVEL3_SETS, make_level3_sets
from .checks import BrokenCheckError, check
from .database import Database, load_database, starter_database
from .descriptions import (
    FILE,
    Description,
    Searcher,
    demand_same_names,
    found_names,
    own_descriptions,
    read_descriptions,
)
from .dialogues import ApiCall, Dialogue, read_dialogues
from .judging import CallVerdict, judge_call
from .level3_checks import CHECKS as LEVEL3_CHECKS
from .level3_database import load_level3, starter_level3
from .manager import ApiManager, Result
from .retrieval import SEARCHER, split_name


@dataclass(frozen=True, eq=False)
class Level:
    """A level over one database. Never changes."""

    number: int
    database: Database
    descriptions: Mapping[str, Description]
    searcher: Searcher
    dialogues: tuple[Dialogue, ...] = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Level:
        return self

    @property
    def tools(self) -> dict[str, Tool]:
        """Every API of the level, by name."""
        return level_tools(self.number)

    @cached_property
    def shown(self) -> dict[str, Tool]:
        """The same APIs as the descriptions tell of them."""
        return {name: _described(tool, self.descriptions[name]) for name, tool in self.tools.items()}

    def episode(self, mode: Mode) -> tuple[dict[str, ApiSet], Episode]:
        """Fresh tool sets, and what they share."""
        shared = Episode(self.database.episode_tables(), self.database.library, mode, retriever=self.searcher)
        return _maker(self.number)(shared), shared

    def manager(self, mode: Mode) -> ApiManager:
        """Fresh APIs, called as the official program calls them."""
        return ApiManager(*self.episode(mode))

    def agrees(self, name: str, result: Result, gold: Result, mode: Mode) -> bool:
        """Whether the result of a call is as good as the recorded one of the API ``name``.

        ``corrected`` judges a search by the tool that it finds.

        Raises:
            BrokenCheckError: the official check raises; in reference mode only.
        """
        if name == SEARCHER and mode == "corrected":
            return found_names(result["output"])[-1:] == found_names(gold["output"])[-1:]
        if self.number != 3:
            return check(name, result, gold, mode)
        try:
            return LEVEL3_CHECKS[name](result, gold)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if mode == "corrected":
                return False
            raise BrokenCheckError(type(error).__name__, str(error)) from None

    def judge(self, manager: ApiManager, said: Call, gold: ApiCall, mode: Mode) -> CallVerdict:
        """The verdict on a call that ``manager``, which it changes, carries out.

        The official evaluator of level 3 compares no names, as most of its checks do, and splits what is searched for
        at capitals.
        """
        official3 = self.number == 3 and mode == "reference"
        arguments: Mapping[str, Any] = said.arguments
        if official3 and said.name == SEARCHER and isinstance(keywords := arguments.get("keywords"), str):
            arguments = {**arguments, "keywords": split_name(keywords)}
        recorded = (gold.name, gold.result)
        return judge_call(manager, said.name, arguments, recorded, mode, agrees=self.agrees, names=not official3)


def load_level(number: int, folder: Path, retriever: str = "offline") -> Level:
    """A level of the release. Its APIs have upstream's descriptions if the folder has them, else ours.

    Args:
        number: 1, 2 or 3.
        folder: the data folder.
        retriever: how ToolSearcher searches, see :func:`~tooluse_gym.envs.api_bank.retrieval.make_retriever`.

    Raises:
        DataNotFoundError: a file is missing, or that of another release.
        TaskError: a file is malformed; the message names file and place.
    """
    return _load(number, folder.resolve(), retriever)


@lru_cache(maxsize=8)
def _load(number: int, folder: Path, retriever: str) -> Level:
    database = load_level3(folder) if number == 3 else load_database(folder)
    descriptions = own_descriptions(level_tools(number).values())
    if (folder / FILE).is_file():  # no public home has it
        descriptions = read_descriptions(folder, number)
        demand_same_names(descriptions, level_tools(number), str(folder / FILE))
    dialogues = read_dialogues(folder, number)
    return Level(number, database, descriptions, Searcher(descriptions, retriever, searches(dialogues)), dialogues)


def starter_level(number: int, retriever: str = "offline") -> Level:
    """A level over the small databases of our own."""
    database = starter_level3() if number == 3 else starter_database()
    descriptions = own_descriptions(level_tools(number).values())
    return Level(number, database, descriptions, Searcher(descriptions, retriever))


def _described(tool: Tool, told: Description) -> Tool:
    """The tool with the words of a description; what it takes is as it was."""
    properties = {
        name: {**schema, "description": told["input_parameters"].get(name, schema).get("description", "")}
        for name, schema in tool.parameters["properties"].items()
    }
    return Tool(tool.name, told["description"], {**tool.parameters, "properties": properties})


def searches(dialogues: tuple[Dialogue, ...]) -> dict[str, Any]:
    """What ToolSearcher answered in recorded dialogues, by the keywords."""
    made = [call for dialogue in dialogues for call in dialogue.calls if call.name == SEARCHER]
    return {str(call.params["keywords"]): call.result["output"] for call in made if "keywords" in call.params}


def _maker(number: int) -> Callable[[Episode], dict[str, ApiSet]]:
    return make_level3_sets if number == 3 else make_sets


@lru_cache(maxsize=3)
def level_tools(number: int) -> dict[str, Tool]:
    """Every API of a level, by name."""
    return {name: tool for kind in (LEVEL3_SETS if number == 3 else SETS) for name, tool in kind.tools.items()}
