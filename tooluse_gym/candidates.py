"""Candidates: what might an agent say now, judging by the tools' schemas and by what was said before?

For agents that choose where a language model writes: see :class:`tooluse_gym.wrappers.CallMenu`. Pure functions of the
visible tools and the conversation; they know no task and no ground truth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, NamedTuple

from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats.reply import Call
from tooluse_gym.messages import Message
from tooluse_gym.tasks import CLOSING, PLAN, Utterance
from tooluse_gym.tools import Tool

Candidates = Callable[[Sequence[Tool], Sequence[Message]], Sequence[Utterance | None]]
"""``candidates(tools, conversation)``: what may be said now, in order. None: nothing, in this place."""

_LONGEST_MESSAGE = 10_000  # characters of a message that are read
_LONGEST_VALUE = 200  # characters
_LARGEST_NUMBER = 2**53
_MOST_COMBINATIONS = 1_000  # of arguments, tried per tool and choice of parameters

_QUOTED = re.compile(rf'"([^"\n]{{1,{_LONGEST_VALUE}}})"' rf"|(?<!\w)'([^'\n]{{1,{_LONGEST_VALUE}}})'(?!\w)")
_WORD = re.compile(rf"\w(?:[\w.@/-]{{0,{_LONGEST_VALUE - 2}}}\w)?")  # file names and addresses are words, too
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,15})?(?!\w)")


class Said(NamedTuple):
    """Values that occur in a conversation, each once."""

    texts: tuple[str, ...]
    numbers: tuple[int | float, ...]


@dataclass(frozen=True)
class ConversationCalls:
    """Handing the turn back, then for every tool ``ways`` places: its calls with values found in the conversation.

    A place keeps its meaning while the tools do: the n-th way to fill the n-th tool's parameters. First come ways
    that give the required parameters alone, then those with one of the optional ones; among them first those that give
    no value twice, and values found early before those found late. Every call satisfies its schema.

    Args:
        tools: names of the tools that have places, in order, whether they are shown or not, so that places keep their
            meaning from task to task; None: those shown.
        ways: places per tool; those that are left over hold None.
        values: most texts, and most numbers, that are taken from the conversation (see :func:`values_said`).
    """

    tools: tuple[str, ...] | None = None
    ways: int = 4
    values: int = 4

    def __post_init__(self) -> None:
        if min(self.ways, self.values) < 1:
            raise ConfigurationError(f"ways and values must be at least 1, got {self.ways} and {self.values}")

    def __call__(self, tools: Sequence[Tool], conversation: Sequence[Message]) -> list[Utterance | None]:
        said = values_said(conversation, self.values)
        shown = {tool.name: tool for tool in tools}
        places: list[Utterance | None] = [CLOSING]
        for name in shown if self.tools is None else self.tools:
            calls = islice(_calls(shown[name], said), self.ways) if name in shown else ()
            ways = [Utterance((call,), PLAN) for call in calls]
            places += [*ways, *[None] * (self.ways - len(ways))]
        return places


def values_said(conversation: Sequence[Message], most: int) -> Said:
    """At most ``most`` texts and ``most`` numbers that user and tools have said.

    Those of the current turn come first, in order of appearance, then those of the turns before it. Texts are what
    stands in quotes, or every word where a message has no quotes; a tool's JSON gives its values.
    """
    texts: dict[str, None] = {}
    numbers: dict[int | float, None] = {}
    for message in _newest_turn_first(conversation):
        found = _values(message)
        texts.update(dict.fromkeys(found.texts))
        numbers.update(dict.fromkeys(found.numbers))
        if min(len(texts), len(numbers)) >= most:
            break
    return Said(tuple(islice(texts, most)), tuple(islice(numbers, most)))


def _newest_turn_first(conversation: Sequence[Message]) -> Iterator[Message]:
    turns: list[list[Message]] = [[]]
    for message in conversation:
        if message["role"] == "user":
            turns.append([])
        if message["role"] in ("user", "tool"):
            turns[-1].append(message)
    return (message for turn in reversed(turns) for message in turn)


def _values(message: Message) -> Said:
    text = message["content"][:_LONGEST_MESSAGE]
    if message["role"] == "tool":
        try:
            return _leaves(json.loads(text))
        except (ValueError, RecursionError):
            pass  # not JSON: read like any text
    quoted = [one or other for one, other in _QUOTED.findall(text)]
    numbers = [float(number) if "." in number else int(number) for number in _NUMBER.findall(text)]
    return Said(tuple(quoted or _WORD.findall(text)), tuple(numbers))


def _leaves(value: Any) -> Said:
    texts: list[str] = []
    numbers: list[int | float] = []
    ahead = [value]
    while ahead:
        value = ahead.pop()
        if isinstance(value, dict | list):
            ahead += reversed(list(value.values() if isinstance(value, dict) else value))
        elif isinstance(value, str) and 0 < len(value) <= _LONGEST_VALUE:
            texts.append(value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST_NUMBER:
            numbers.append(value)
    return Said(tuple(texts), tuple(numbers))


def _calls(tool: Tool, said: Said) -> Iterator[Call]:
    calls = (Call(tool.name, arguments) for arguments in _fillings(tool.parameters, said))
    return (call for call in calls if tool.check(call.arguments) is None)


def _fillings(schema: Mapping[str, Any], said: Said) -> Iterator[dict[str, Any]]:
    """Objects that have the required properties of ``schema``; then those that also have one of the others."""
    properties = schema.get("properties", {})
    required = [name for name in properties if name in schema.get("required", ())]
    for added in ([], *([name] for name in properties if name not in required)):
        names = required + added
        choices = [list(enumerate(_choices(properties[name], said))) for name in names]
        for values in sorted(islice(product(*choices), _MOST_COMBINATIONS), key=_rank):
            yield {name: value for name, (_, value) in zip(names, values, strict=True)}


def _rank(values: tuple[tuple[int, Any], ...]) -> tuple[int, int]:
    """How often a value is repeated, then how far down the lists of choices the values are."""
    different = {repr(value) for _, value in values}
    return len(values) - len(different), sum(place for place, _ in values)


def _choices(schema: Mapping[str, Any], said: Said) -> list[Any]:
    """Values of one parameter."""
    if "const" in schema:
        return [schema["const"]]
    if "enum" in schema:
        return list(schema["enum"])
    if "anyOf" in schema:
        return [value for option in schema["anyOf"] for value in _choices(option, said)]
    kinds = schema.get("type", ("string", "number"))
    return [value for kind in ((kinds,) if isinstance(kinds, str) else kinds) for value in _of_kind(kind, schema, said)]


def _of_kind(kind: str, schema: Mapping[str, Any], said: Said) -> list[Any]:
    if kind == "array":
        items = _choices(schema.get("items", {}), said)
        return [items, *([item] for item in items)] if len(items) > 1 else [[item] for item in items]
    if kind == "object":
        return list(islice(_fillings(schema, said), _MOST_COMBINATIONS))
    known: dict[str, Sequence[Any]] = {
        "string": said.texts,
        "number": said.numbers,
        "integer": [number for number in said.numbers if isinstance(number, int)],
        "boolean": (True, False),
        "null": (None,),
    }
    return list(known.get(kind, ()))
