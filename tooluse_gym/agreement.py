"""How far one reply agrees with the ground truth's: the rewards that ToolRL and ResT train on. Pure functions.

Each scores a single step against what the ground truth says in its place, without carrying anything out. Two
layers: :func:`call_agreement` compares parsed calls, so that any reply format can be scored; :func:`published_scores`
reads reply and ground truth as text in ToolRL's format, exactly as the published programs of ToolRL and ResT do.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Overlap = Literal["lists", "sets", "exact"]
"""How two lists of names are compared: as multisets, as sets (the paper), or all or nothing and in order."""

_PERIOD = 150  # training steps over which the published scale moves


@dataclass(frozen=True)
class Switches:
    """What the published programs read from environment variables, by their names."""

    version: Literal["toolrl", "rest"] = "toolrl"
    """Whose program. ResT's wants the parts of a reply in order, whatever stands between them, and leaves the length
    out of the sum."""
    schedule: bool = False
    """SCHEDULEREWARD: the scale of format shrinks over 150 training steps, that of correctness grows."""
    two_stages: bool = False
    """MAX1STEP30MAX3: correctness counts a third before training step 30, format half from there on."""
    max_one: bool = False
    """CORRECTMAX1: correctness lies in [-1, 1] instead of [-3, 3]. Not together with ``schedule`` for 300 training
    steps or more, after which the sign of correctness changes."""
    refined: bool = False
    """REFINEDREWARD: names count only if all of them are there, in order."""
    intermediate: bool = False
    """INTERMEDIATEREWARD: a call counts only if all of it is right."""
    coarse: bool = False
    """COARSEREWARD: calls count only if all of them are right."""
    length: bool = False
    """WITHLENGTH: up to 1 for a long thought."""
    moving_length: bool = False
    """SCHEDULELENGTH: what a long thought is grows from 384 to 640 words over 105 training steps, and on; else 512."""


class Scale(NamedTuple):
    """The least and the most that format and correctness are worth."""

    format: tuple[float, float]
    correctness: tuple[float, float]


class Scores(NamedTuple):
    """The parts of the published reward of one reply."""

    format: float
    correctness: float
    length: float


def scale(switches: Switches, training_step: int) -> Scale:
    """What the parts are worth at a training step; the first is 1."""
    low, high = 0.0, 1.0
    bound = 1.0 if switches.max_one else 3.0
    worst, best = -bound, bound
    if switches.two_stages and training_step >= 30:
        low, high = low / 2, high / 2
    elif switches.two_stages:
        worst, best = worst / 3, best / 3
    if switches.schedule:
        way = training_step / _PERIOD
        low, high = min(-1.0, -2 + (2 + low) * way), max(1.0, 2 - (2 - high) * way)
        worst, best = max(-3.0, -2 + (worst + 2) * way), min(3.0, 2 + (best - 2) * way)
    return Scale((low, high), (worst, best))


def between(bounds: tuple[float, float], fraction: float) -> float:
    """The number that is ``fraction`` of the way from the first of ``bounds`` to the second."""
    low, high = bounds
    return (high - low) * fraction + low


def overlap(one: Sequence[str], other: Sequence[str], how: Overlap = "lists") -> float:
    """Jaccard's index of two lists of names, in [0, 1]; 1 for equal ones, empty ones included."""
    if list(one) == list(other):
        return 1.0
    if how == "exact" or not one or not other:
        return 0.0
    if how == "sets":
        one, other = sorted(set(one)), sorted(set(other))
    common = (Counter(one) & Counter(other)).total()
    return common / (len(one) + len(other) - common)


def call_agreement(
    said: Sequence[Any], gold: Sequence[Any], how: Overlap = "lists", intermediate: bool = False
) -> float:
    """(r_name + r_par + r_value) / (1 + |G| + sum over g in G of its number of parameters), in [0, 1].

    r_name compares the names of all calls. Each call of the ground truth, in order, takes that unused call of the same
    name which agrees best (the first of equals): r_par adds up how far the names of the parameters agree, r_value the
    number of equal values. Order, calls that are too many, and all but equality of values show in r_name alone.

    Args:
        said: calls ``{"name": …, "parameters": {…}}`` of the reply.
        gold: those of the ground truth.
        how: ``sets`` is what the paper writes, ``lists`` what the published programs do.
        intermediate: a call adds 1 if all of it is right, else nothing, and the denominator is 1 + |G|.
    """
    earned = overlap([call["name"] for call in gold], [call["name"] for call in said], how)
    possible = 1.0
    unused = list(said)
    for call in gold:
        parameters = call["parameters"]
        possible += 1 if intermediate else 1 + len(parameters)
        most, best = 0.0, None
        for place, candidate in enumerate(unused):
            if candidate["name"] != call["name"]:
                continue
            if intermediate:
                found = float(candidate == call)
            else:
                given = candidate["parameters"]
                found = overlap(list(parameters), list(given.keys()), how)
                found += sum(key in given and given[key] == value for key, value in parameters.items())
            if found > most:
                most, best = found, place
        if best is not None:
            earned += most
            del unused[best]
    return earned / possible


def published_agreement(said: Sequence[Any] | None, gold: Sequence[Any], switches: Switches) -> float:
    """:func:`call_agreement` as the published programs weigh it: 1 for equal lists of calls; None, unreadable, is 0.

    Whatever of a call is missing or no object makes all of them unreadable, if it is looked at.
    """
    if said is None:
        return 0.0
    if list(said) == list(gold):
        return 1.0
    if switches.coarse:
        return 0.0
    try:
        return call_agreement(said, gold, "exact" if switches.refined else "lists", switches.intermediate)
    except (KeyError, TypeError, AttributeError):  # what a model writes as JSON need not be a call
        return 0.0


def published_scores(text: str, gold: str, switches: Switches, training_step: int = 1) -> Scores:
    """Format, correctness and length of a reply, both as text in ToolRL's format.

    Raises:
        ValueError: the ground truth's calls are not JSON.
    """
    text, worth = text.strip(), scale(switches, training_step)
    right = _format_rest(text, gold) if switches.version == "rest" else _format_toolrl(text, gold)
    correctness = 0.0
    if "<tool_call>" in gold:
        wanted = [json.loads(line) for line in _first_block(gold).split("\n")]
        correctness = between(worth.correctness, published_agreement(_calls(text), wanted, switches))
    return Scores(between(worth.format, float(right)), correctness, _length(text, switches, training_step))


def thought_length(words: int, switches: Switches, training_step: int) -> float:
    """What a thought of so many words is worth, in [0, 1]."""
    long = 384 + 256 * training_step / 105 if switches.moving_length else 512
    return min(1.0, round(words / long, 2)) if switches.length else 0.0


def _length(text: str, switches: Switches, training_step: int) -> float:
    if "<think>" not in text or "</think>" not in text:
        return 0.0
    thought = text.split("<think>")[-1].split("</think>")[0]
    return thought_length(len(thought.split()), switches, training_step)


def _first_block(text: str) -> str:
    return text.split("<tool_call>")[1].split("</tool_call>")[0].strip()


def _calls(text: str) -> list[Any] | None:
    """The first block of calls, a line each; None if there is none, or a line is not JSON."""
    if "<tool_call>" not in text or "</tool_call>" not in text:
        return None
    try:
        return [json.loads(line) for line in _first_block(text).split("\n")]
    except (ValueError, RecursionError):  # an integer that is too long is no JSONDecodeError
        return None


_THINK, _TOOL, _RESPONSE = (("<think>", "</think>"), ("<tool_call>", "</tool_call>"), ("<response>", "</response>"))
_PATTERNS = {
    (): re.compile(r"^<think>.*?</think>$", re.DOTALL),
    (_RESPONSE,): re.compile(r"^<think>.*?</think>\n<response>.*?</response>$", re.DOTALL),
    (_TOOL,): re.compile(r"^<think>.*?</think>\n<tool_call>\n.*?\n</tool_call>$", re.DOTALL),
    (_TOOL, _RESPONSE): re.compile(
        r"^<think>.*?</think>\n<tool_call>\n.*?\n</tool_call>\n<response>.*?</response>$", re.DOTALL
    ),
}


def _parts(gold: str) -> tuple[tuple[str, str], ...]:
    """The pairs of tags that a reply needs besides those of its thought: those of the ground truth."""
    return tuple(pair for pair in (_TOOL, _RESPONSE) if pair[0] in gold)


def _format_toolrl(text: str, gold: str) -> bool:
    parts = _parts(gold)
    return _once(text, parts) and _PATTERNS[parts].search(text) is not None  # of unique tags the search is linear


def _format_rest(text: str, gold: str) -> bool:
    parts = _parts(gold)
    places = [text.find(tag) for pair in (_THINK, *parts) for tag in pair]
    if not parts:
        return _once(text, (_THINK,))
    if parts == (_TOOL,) and any(tag in text for tag in _RESPONSE):
        return False
    return -1 not in places and places == sorted(places) and _once(text, parts)


def _once(text: str, pairs: Sequence[tuple[str, str]]) -> bool:
    return all(text.count(tag) == 1 for pair in pairs for tag in pair)
