"""Arguments in Java's notation: every one is a text, converted by the type that its parameter has in the function doc.

A text that does not match its type stays a text and so fails the type check later. Collections are taken apart by
pattern, not by grammar: strings with commas or brackets in them break, as they officially do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tooluse_gym.envs.bfcl.ast.scalars import INTEGER, LONGEST, OfficialError, guessed, integer, unquoted

_LONG = re.compile(r"(-?\d+)[lL]$")
_FLOAT = re.compile(r"(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)[fF]$")
_DOUBLE = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$")

_ARRAY = re.compile(r"new\s+\w+\[\]\s*\{(.*?)\}")
_LIST_OF = re.compile(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)")
_LIST_FILLED = re.compile(r"new\s+ArrayList<\w*>\(\)\s*\{\{(.*?)\}\}", re.DOTALL)
_LIST_EMPTY = re.compile(r"new\s+ArrayList<\w*>\(\)")
_ADD = re.compile(r"add\((.+?)\)")
_MAP_FILLED = re.compile(r"new\s+HashMap<.*?>\s*\(\)\s*\{(.*?)\}", re.DOTALL)
_MAP_EMPTY = re.compile(r"new\s+HashMap<.*?>\s*\(\)")
_PUT = re.compile(r'put\("(.*?)",\s*(.*?)\)')

PYTHON_TYPES: dict[str, type] = {
    "byte": int,
    "short": int,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": bool,
    "char": str,
    "String": str,
    "any": str,
    "Array": list,
    "ArrayList": list,
    "HashMap": dict,
    "Hashtable": dict,
    "Set": set,
    "Queue": list,
    "Stack": list,
}
"""What a value of each type of the function docs is after conversion."""


def convert(text: str, kind: str, items: str | None = None) -> Any:
    """The value of an argument of type ``kind``, with elements of type ``items`` (None: each of its own).

    Raises:
        OfficialError: upstream has no rule for this type, or a number has too many digits.
    """
    if kind not in _RULES:
        raise OfficialError(f"there is no rule for Java's {kind}")
    return _RULES[kind](text, items)


def _whole(text: str, items: str | None) -> int | str:
    return integer(text) if INTEGER.match(text) else text


def _long(text: str, items: str | None) -> int | str:
    match = _LONG.match(text)
    return integer(match[1]) if match else text


def _float(text: str, items: str | None) -> float | str:
    match = _FLOAT.match(text)
    return float(match[1]) if match else text


def _double(text: str, items: str | None) -> float | str:
    return float(text) if _DOUBLE.match(text) else text


def _boolean(text: str, items: str | None) -> bool | str:
    return {"true": True, "false": False}.get(text, text)


def _text(text: str, items: str | None) -> str:
    return text


def _array(text: str, items: str | None) -> list[Any] | str:
    match = _ARRAY.search(text) if len(text) <= LONGEST else None
    if match is None:
        return text
    return [_element(part.strip(), items) for part in match[1].split(",") if part.strip()]


def _array_list(text: str, items: str | None) -> list[Any] | str:
    if len(text) > LONGEST:
        return text
    if match := _LIST_OF.search(text):
        parts = match[1].split(",")
    elif match := _LIST_FILLED.search(text):
        parts = _ADD.findall(match[1])
    elif _LIST_EMPTY.search(text):
        return []
    else:
        return text
    # Only here do strings lose their first and last character, whatever these are.
    stripped = [part.strip() for part in parts]
    return [part[1:-1] for part in stripped] if items in ("String", "char") else [_element(p, items) for p in stripped]


def _hash_map(text: str, items: str | None) -> dict[str, Any] | str:
    if len(text) > LONGEST:
        return text
    if match := _MAP_FILLED.search(text):
        return {key: _guess(value.strip()) for key, value in _PUT.findall(match[1])}
    return {} if _MAP_EMPTY.search(text) else text


def _element(text: str, items: str | None) -> Any:
    return _guess(text) if items is None else convert(text, items)


def _guess(text: str) -> Any:
    """A value whose type no doc tells."""
    if text in ("true", "false"):
        return text == "true"
    if text.startswith('"') and text.endswith('"'):
        return unquoted(text, '"')
    if match := _LONG.match(text):
        return integer(match[1])
    if match := _FLOAT.match(text):
        return float(match[1])
    return guessed(text)


_RULES: dict[str, Callable[[str, str | None], Any]] = {
    **dict.fromkeys(("byte", "short", "integer"), _whole),
    "long": _long,
    "float": _float,
    "double": _double,
    "boolean": _boolean,
    **dict.fromkeys(("char", "String", "any"), _text),
    "Array": _array,
    "ArrayList": _array_list,
    "HashMap": _hash_map,
}
