"""Reading and writing one tool call as a JSON object, ``{"name": …, "arguments": {…}}``, with exact spans.

Only the top-level keys of the object count: a key called "name" inside the arguments is an argument. Of a repeated
key the last one counts, as in ``json.loads``. Numbers that JSON or CPython cannot hold (NaN, 1e999, integers of more
than 4,300 digits) and nesting deeper than 100 levels make a call malformed, so that every later ``repr``, ``==`` and
``json.dumps`` of the arguments is safe and bounded.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tooluse_gym.errors import ToolUseError
from tooluse_gym.formats.reply import Call, Kind, Segment
from tooluse_gym.formats.wording import UnwritableReplyError

MAX_DEPTH = 100  # far above any schema, far below the interpreter's recursion limit
MAX_DIGITS = 4300  # CPython refuses to print longer integers

_KEYS = ("arguments", "parameters")
_BLANKS = re.compile(r"[ \t\r\n]*")
_STRUCTURE = re.compile(r'\\.|["\[\]{}]', re.DOTALL)
_LONGEST_KEY = 40  # characters of a model's key repeated in an error


class JsonError(ToolUseError):
    """A text is not JSON, or holds a value that is out of bounds. The message says what and where."""


@dataclass(frozen=True, slots=True)
class ReadCall:
    """A call, where its parts are, and a tolerated departure from the format."""

    call: Call
    spans: tuple[Segment, ...]
    deviation: str | None = None


def read_call(text: str, start: int, end: int, key: str = "arguments", text_arguments: bool = False) -> ReadCall:
    """Read ``text[start:end]`` as one call; never raises.

    The spans are those of the top-level name, without quotes, and of the argument object, with braces, in the order
    of the text. A text that is no JSON object is one STRAY span.

    Args:
        text: the whole reply.
        start: where the call begins; blanks around it are skipped.
        end: where it ends.
        key: the format's key of the arguments, "arguments" or "parameters"; the other is tolerated.
        text_arguments: whether the arguments may also be a JSON string that holds the object (as OpenAI sends them);
            the span is then what is between the quotes.
    """
    start, end = trim(text, start, end)
    source = text[start:end]
    if not source:
        return _unreadable(source, start, "there is no call between the tags")
    try:
        value = parse_json(source)
    except JsonError as error:
        return _unreadable(source, start, str(error))
    if not isinstance(value, dict):
        return _unreadable(source, start, f"a call must be an object, got {json_type(value)}")
    members = {name: (member, first, last) for name, member, first, last in _members(source)}
    given = next((name for name in (key, *_KEYS) if name in members), None)
    extra = next((name for name in members if name not in ("name", given)), None)
    name = ""
    arguments: dict[str, Any] = {}
    problem: str | None = None
    spans: list[Segment] = []
    try:
        name, span = _read_name(members)
        spans.append(span)
        arguments, span = _read_arguments(members, given, key, text_arguments)
        spans.append(span)
    except JsonError as error:
        problem = str(error)
    deviation = None
    if given is not None and given != key:
        deviation = f'"{given}" instead of "{key}"'
    elif extra is not None:
        deviation = f'unexpected key "{extra[:_LONGEST_KEY]}"'
    shown = source if problem else execution_text(name, arguments)
    placed = sorted((Segment(span.kind, start + span.start, start + span.end) for span in spans), key=_start)
    return ReadCall(Call(name, arguments, problem, shown), tuple(placed), deviation)


def write_call(call: Call, key: str = "arguments", *, escape: tuple[str, ...] = ()) -> str:
    """``call`` as a JSON object on one line.

    Args:
        call: a well-formed call.
        key: the key of the arguments.
        escape: tags that must not occur in the text; inside JSON strings their ``<`` becomes ``\\u003c``.

    Raises:
        UnwritableReplyError: an argument is not a JSON value.
    """
    try:
        text = json.dumps({"name": call.name, key: call.arguments}, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UnwritableReplyError(f"JSON cannot express the arguments of {call.name}: {error}") from None
    for tag in escape:
        text = text.replace(tag, f"\\u003c{tag[1:]}")  # "<" occurs in JSON only inside strings
    return text


def parse_json(text: str) -> Any:
    """The value of a JSON document.

    Raises:
        JsonError: it is not JSON (RFC 8259), nested too deep, or has a number out of bounds.
    """
    # The scanner recurses in C: look at the depth first. Up to the first error both read strings in the same way.
    if text.count("{") + text.count("[") > MAX_DEPTH and nesting(text)[0] > MAX_DEPTH:
        raise JsonError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise JsonError(f"not valid JSON: {error.msg} at character {error.pos}") from None


def execution_text(name: str, arguments: Mapping[str, Any]) -> str:
    """The call in Python syntax, as BFCL executes function calls: joined without a blank, unlike Python replies."""
    return f"{name}({','.join(f'{key}={value!r}' for key, value in arguments.items())})"


def elements(text: str) -> Iterator[tuple[Any, int, int]]:
    """Each element of ``text``, a valid JSON array, with its span."""
    position = _skip(text, _skip(text, 0) + 1)
    while text[position] != "]":
        value, end = _DECODER.raw_decode(text, position)
        yield value, position, end
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)


def nesting(text: str) -> tuple[int, int]:
    """How deep brackets outside JSON strings nest, and how many are open at the end (negative: closed too often)."""
    deepest = depth = 0
    quoted = False
    for match in _STRUCTURE.finditer(text):
        mark = match[0]
        if mark == '"':
            quoted = not quoted
        elif not quoted and mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif not quoted and mark in "]}":
            depth -= 1
    return deepest, depth


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """``[start, end)`` without the JSON blanks at both ends."""
    inner = text[start:end].rstrip(" \t\r\n")
    return start + len(inner) - len(inner.lstrip(" \t\r\n")), start + len(inner)


def json_type(value: object) -> str:
    """The kind of a decoded JSON value, in words."""
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _unreadable(source: str, start: int, error: str) -> ReadCall:
    span = Segment(Kind.STRAY, start, start + len(source))
    return ReadCall(Call("", error=error, source=source), (span,))


def _read_name(members: Mapping[str, tuple[Any, int, int]]) -> tuple[str, Segment]:
    if "name" not in members:
        raise JsonError('missing "name"')
    name, start, end = members["name"]
    if not isinstance(name, str):
        raise JsonError(f'"name" must be a string, got {json_type(name)}')
    if not name:
        raise JsonError('"name" is empty')
    return name, Segment(Kind.NAME, start + 1, end - 1)


def _read_arguments(
    members: Mapping[str, tuple[Any, int, int]], given: str | None, key: str, text_arguments: bool
) -> tuple[dict[str, Any], Segment]:
    if given is None:
        raise JsonError(f'missing "{key}"')
    value, start, end = members[given]
    if text_arguments and isinstance(value, str):
        start, end = start + 1, end - 1
        try:
            value = parse_json(value)
        except JsonError as error:
            raise JsonError(f'"{given}" is a string that is {error}') from None
    if not isinstance(value, dict):
        raise JsonError(f'"{given}" must be an object, got {json_type(value)}')
    return value, Segment(Kind.ARGUMENTS, start, end)


def _members(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """Key, value and span of the value of each member of ``text``, a valid JSON object."""
    position = _skip(text, 1)
    while text[position] != "}":
        key, end = _DECODER.raw_decode(text, position)
        position = _skip(text, _skip(text, end) + 1)  # behind the colon
        value, end = _DECODER.raw_decode(text, position)
        yield key, value, position, end
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)


def _skip(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position


def _start(segment: Segment) -> int:
    return segment.start


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise JsonError(f"an integer of {len(digits)} digits is too long (at most {MAX_DIGITS})")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise JsonError(f"the number {digits[:_LONGEST_KEY]} is too large")
    return value


def _constant(name: str) -> Any:
    raise JsonError(f"not valid JSON: {name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_number, parse_constant=_constant)
