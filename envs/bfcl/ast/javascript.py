"""Arguments in JavaScript's notation: every one is a text, converted by the type that its parameter has in the docs.

A text that does not match its type stays a text and so fails the type check later. Collections are taken apart by
pattern, not by grammar: a value with a comma, bracket or brace in it breaks, as it officially does.
"""

from __future__ import annotations

import re
from typing import Any

from tooluse_gym.envs.bfcl.ast.scalars import INTEGER, LONGEST, OfficialError, guessed, integer, unquoted

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?$")
_BIGINT = re.compile(r"-?\d+n$")

# Upstream's pattern of an array of arrays repeats a group that can match itself in many ways, and takes exponential
# time. These match the same texts: once no line breaks stand between the inner arrays, any end will do.
_BETWEEN = re.compile(r"\]\s*,\s*\[")
_ROWS = re.compile(r"\[\s*\[.*?\]\s*\]")
_ROWS_OF_NEW = re.compile(r"new\s+Array\(\s*\[.*?\]\s*\)")
_ROW = re.compile(r"\[(.*?)\]")
_NEW = re.compile(r"new\s+Array\((.*?)\)")
_OBJECT = re.compile(r"\{(.*?)\}")
_PAIR = re.compile(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)")

PYTHON_TYPES: dict[str, type] = {
    "String": str,
    "integer": int,
    "float": float,
    "Bigint": int,
    "Boolean": bool,
    "dict": dict,
    "array": list,
    "any": str,
}
"""What a value of each type of the function docs is after conversion."""


def convert(text: str, kind: str, items: str | None = None) -> Any:
    """The value of an argument of type ``kind``, with elements of type ``items`` (None: each of its own).

    Raises:
        OfficialError: upstream has no rule for this type, or a number has too many digits.
    """
    match kind:
        case "String":
            return unquoted(text, "\"'")
        case "integer":
            return integer(text) if INTEGER.match(text) else text
        case "float":
            return float(text) if _NUMBER.match(text) else text
        case "Bigint":
            return integer(text[:-1]) if _BIGINT.match(text) else text
        case "Boolean":
            return {"true": True, "false": False}.get(text, text)
        case "any":
            return text
        case "array":
            return _array(text.strip(), items)
        case "dict":
            return _object(text.strip())
    raise OfficialError(f"there is no rule for JavaScript's {kind}")


def _array(text: str, items: str | None = None) -> Any:
    if len(text) > LONGEST:
        return text
    joined = _BETWEEN.sub("],[", text)
    if matrix := _ROWS.match(joined) or _ROWS_OF_NEW.match(joined):
        first, *others = _ROW.findall(matrix[0])
        return [_row(row) for row in (first.strip().removeprefix("["), *others)]
    match = _ROW.match(text) or _NEW.match(text)
    if match is None:
        return text
    if not match[1].strip():
        return []
    parts = [part.strip() for part in match[1].split(",")]
    if items is None:
        return [_guess(part) for part in parts]
    try:
        return [convert(part, items) for part in parts]
    except OfficialError:
        return text


def _row(text: str) -> list[Any]:
    return [_guess(part.strip()) for part in text.split(",")]


def _object(text: str) -> Any:
    match = _OBJECT.match(text) if len(text) <= LONGEST else None
    if match is None:
        return text
    return {key.strip().strip("\"'"): _member(value.strip()) for key, value in _PAIR.findall(match[1])}


def _member(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return _array(text)
    return _guess(text.strip("\"'").strip())


def _guess(text: str) -> Any:
    """A value whose type no doc tells."""
    if text in ("true", "false"):
        return text == "true"
    bare = unquoted(text, "\"'")
    return guessed(text) if bare == text else bare
