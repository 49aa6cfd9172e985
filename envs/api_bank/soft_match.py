"""The API-Bank metric of ToolRL and ResT: one call for a given dialogue prefix, matched softly.

The first call that equals the gold one decides; further calls cost nothing, and an object without ``name`` or
``parameters`` counts as parameters under the right name. Equality is strict: the number 1 is not the text "1".
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Parsed(NamedTuple):
    """What the metric's program reads in a reply."""

    thought: str
    calls: tuple[Any, ...]  # whatever the JSON values are


def parse_reply(text: str) -> Parsed:
    """Thought: from the last ``<think>`` to the next ``</think>``; calls: the lines after the last ``<tool_call>``.

    Without its opening tag each of them is looked for in the whole text. Lines that are no JSON are left out.
    """
    thought = text.rpartition("<think>")[2].partition("</think>")[0].strip()
    body = text.rpartition("<tool_call>")[2].partition("</tool_call>")[0]
    calls = []
    for line in body.split("\n"):
        if line.strip():
            try:
                calls.append(json.loads(line.strip()))
            except (ValueError, RecursionError):
                continue
    return Parsed(thought, tuple(calls))


def soft_match(calls: Sequence[Any], name: str, parameters: Mapping[str, Any]) -> bool:
    """Whether one of ``calls`` is the gold call.

    A call that is no container, or no JSON text of one, ends the search.
    """
    read = (json.loads(call) if isinstance(call, str) else call for call in calls)
    try:
        return any(_matches(call, name, parameters) for call in read)
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def _matches(call: Any, name: str, parameters: Mapping[str, Any]) -> bool:
    if "name" not in call or "parameters" not in call:
        return bool(call == parameters)
    return bool(call["name"] == name and call["parameters"] == parameters)


def accuracies(scores: Iterable[tuple[int, bool]]) -> dict[str, float]:
    """Accuracy in percent, two digits, of every level that occurs (``level-1`` …) and of all items (``overall``)."""
    by_level: defaultdict[int, list[bool]] = defaultdict(list)
    for level, score in scores:
        by_level[level].append(score)
    groups = {f"level-{level}": by_level[level] for level in sorted(by_level)}
    groups["overall"] = [score for level in groups.values() for score in level]
    return {name: round(100 * sum(group) / len(group), 2) for name, group in groups.items() if group}
