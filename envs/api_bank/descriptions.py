"""What ToolSearcher knows of the APIs: their descriptions, and the search in them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema

from tooluse_gym.errors import TaskError
from tooluse_gym.tasks import check
from tooluse_gym.tools import Tool

from .database import read_json
from .retrieval import Match, Retriever, make_retriever, split_name

FILE = "api_descriptions.json"
Description = Mapping[str, Any]
"""``{"description", "input_parameters", "output_parameters"}`` of one API."""

_TOKEN_API = "GetUserToken"
_KEYS = {1: "level1_2", 2: "level1_2", 3: "level3"}
_PARAMETERS = {"type": "object", "additionalProperties": {"type": "object"}}
_DESCRIPTIONS = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "description": {"type": "string"},
                    "input_parameters": _PARAMETERS,
                    "output_parameters": _PARAMETERS,
                },
                "required": ["description", "input_parameters", "output_parameters"],
            },
        },
        "required": ["level1_2", "level3"],
    }
)


def read_descriptions(folder: Path, level: int) -> dict[str, Description]:
    """Upstream's descriptions of a level's APIs, by name.

    Raises:
        DataNotFoundError: the file is missing.
        TaskError: it is not JSON, or has another form.
    """
    path = folder / FILE
    record = read_json(path)
    check(_DESCRIPTIONS, record, str(path))
    kept = ("description", "input_parameters", "output_parameters")
    return {name: {key: said[key] for key in kept} for name, said in record[_KEYS[level]].items()}


def own_descriptions(tools: Iterable[Tool]) -> dict[str, Description]:
    """The same of our own words: what the methods' docstrings say."""
    return {
        tool.name: {
            "description": tool.description,
            "input_parameters": {
                name: {"type": schema.get("type", "any"), "description": schema.get("description", "")}
                for name, schema in tool.parameters["properties"].items()
            },
            "output_parameters": {},
        }
        for tool in tools
    }


def demand_same_names(told: Iterable[str], tools: Iterable[str], place: str) -> None:
    """Raise TaskError unless exactly our APIs are described."""
    if odd := sorted(set(told) ^ set(tools)):
        raise TaskError(f"{place}: the APIs described are not those of the release: {', '.join(odd[:5])}")


class Searcher:
    """ToolSearcher's library. Never changes: all episodes share it.

    Args:
        descriptions: what can be found, by name.
        kind: how it is found, see :func:`~tooluse_gym.envs.api_bank.retrieval.make_retriever`.
        recorded: what recorded searches answered, by their keywords; only asked in the order of that function.
    """

    def __init__(
        self, descriptions: Mapping[str, Description], kind: str = "offline", recorded: Mapping[str, Any] | None = None
    ):
        self._descriptions = descriptions
        self._recorded = {} if recorded is None else recorded
        texts = {name: said["description"] for name, said in descriptions.items()}
        names = {keywords: found_names(output)[-1] for keywords, output in self._recorded.items()}
        self._retriever: Retriever = make_retriever(kind, texts, names)

    def __deepcopy__(self, memo: dict[int, Any]) -> Searcher:
        return self

    def find(self, keywords: str) -> Match | None:
        """The API found, and by which way."""
        return self._retriever.find(keywords)

    def __call__(self, keywords: str) -> Any:
        """What the API ToolSearcher answers: a description, or two where the tool found wants a user's token.

        A search that was recorded is answered as it was recorded. One that finds nothing is answered None.
        """
        match = self.find(keywords)
        if match is None:
            return None
        if match.path == "replay" and keywords in self._recorded:
            return copy.deepcopy(self._recorded[keywords])
        best = {"name": match.name, **copy.deepcopy(dict(self._descriptions[match.name]))}
        if "token" not in best["input_parameters"] or _TOKEN_API not in self._descriptions:
            return best
        told = copy.deepcopy(dict(self._descriptions[_TOKEN_API]))
        searched = f"{split_name(_TOKEN_API)}{told['description']}"  # upstream leaves it in this one
        return [{"name": _TOKEN_API, **told, "desc_for_search": searched}, best]


def found_names(output: Any) -> tuple[str, ...]:
    """The names of the tools in an answer of ToolSearcher, the one searched for last."""
    entries = output if isinstance(output, list) else [output]
    return tuple(entry["name"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("name"), str))
