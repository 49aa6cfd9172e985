"""API-Bank's call syntax, ``[ApiName(key='value', …)]``: read as the official program does, and as it is meant.

Neither reading raises, whatever the text, and both take time linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tooluse_gym.formats.python_calls import DecodeError, decode
from tooluse_gym.formats.reply import Call

_HEAD = re.compile(r"\[(\w+)\(")
_KEY = re.compile(r"\b(\w+)\s*=\s*")
_WORD = re.compile(r"\w+")
_QUOTE = re.compile("['\"]")

_LONGEST_BARE = 10_000  # characters of a value without quotes that are read as a literal
_SPACED_KEY = re.compile(r"\s*(\w+)\s*=\s*")
_NO_ARGUMENTS = re.compile(r"\s*(?P<last>\)\s*\])")
_FOLLOWS = re.compile(r"\s*(?:,\s*(?=\w+\s*=)|(?P<last>,?\s*\)\s*\]))")  # what comes after a whole value
_BARE_END = re.compile(r",\s*(?=\w+\s*=)|(?P<last>\)\s*\])")
_MARK = {quote: re.compile(rf"\\.|{quote}", re.DOTALL) for quote in ("'", '"')}
_ESCAPED = re.compile(r"\\([\\'\"nrt])")
_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_TO_ESCAPE = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


# As the official program reads it


def reference_call(text: str) -> Call | None:
    """The first call in ``text``, all values as text; None if there is none. Its faults are kept:

    * a value ends at the next quote of either kind, so an apostrophe cuts it;
    * an empty value swallows what follows, up to the next quote;
    * ``-3`` without quotes is no value, ``1.5`` is ``1``;
    * a list without quotes reaches to the last bracket;
    * other text between parameters is passed over, and the second of two calls on a line belongs to the first.
    """
    position = 0
    while head := _HEAD.search(text, position):
        line_end = text.find("\n", head.end())
        line_end = len(text) if line_end < 0 else line_end
        end = text.rfind(")]", head.end(), line_end)
        if end >= 0:
            return Call(head[1], dict(_reference_values(text[head.end() : end])))
        position = line_end  # no later call of this line can end either
    return None


def _reference_values(text: str) -> Iterator[tuple[str, str]]:
    last_bracket = text.rfind("]")
    position = 0
    while key := _KEY.search(text, position):
        start = position = key.end()
        if text[start : start + 1] in ("'", '"') and (quote := _QUOTE.search(text, start + 2)):
            yield key[1], text[start + 1 : quote.start()]
            position = quote.end()
        elif text[start : start + 1] == "[" and last_bracket > start:
            yield key[1], text[start : last_bracket + 1]
            position = last_bracket + 1
        elif word := _WORD.match(text, start):
            yield key[1], word[0]
            position = word.end()


# As it is meant


class Found(NamedTuple):
    """A call as it stands in a text: ``[start, end)`` is the call with its brackets."""

    call: Call
    start: int
    arguments_start: int  # after the opening parenthesis
    arguments_end: int
    end: int


def find_calls(text: str) -> tuple[Found, ...]:
    """Every call in ``text``.

    A quoted value is text, and ends at a quote of its own kind that ``, key=`` or ``)]`` follows: apostrophes and lists
    inside need no escape, though a backslash may stand before a quote. A value without quotes is a Python literal
    (number, list, dict, True, False, None), or else the text it is.
    """
    found = []
    position = 0
    while head := _HEAD.search(text, position):
        one = _read_call(text, head)
        found.append(one)
        position = one.end
    return tuple(found)


def _read_call(text: str, head: re.Match[str]) -> Found:
    arguments: dict[str, Any] = {}
    follows = _NO_ARGUMENTS.match(text, head.end())
    position = head.end()
    while follows is None or follows["last"] is None:
        key = _SPACED_KEY.match(text, position)
        if key is None or key[1] in arguments:
            error = "expected key='value'" if key is None else f"the parameter '{key[1]}' is given twice"
            following = _HEAD.search(text, position)
            return _malformed(text, head, arguments, error, following.start() if following else len(text))
        quoted = text[key.end() : key.end() + 1] in _MARK
        value, follows = (_quoted if quoted else _bare)(text, key.end())
        if follows is None:
            return _malformed(text, head, arguments, f"the value of '{key[1]}' does not end", len(text))
        arguments[key[1]] = value
        position = follows.end()
    return Found(Call(head[1], arguments), head.start(), head.end(), follows.start(), follows.end())


def _malformed(text: str, head: re.Match[str], arguments: dict[str, Any], error: str, end: int) -> Found:
    call = Call(head[1], arguments, error=error, source=text[head.start() : end])
    return Found(call, head.start(), head.end(), end, end)


def _quoted(text: str, start: int) -> tuple[str, re.Match[str] | None]:
    for mark in _MARK[text[start]].finditer(text, start + 1):
        if len(mark[0]) == 1 and (follows := _FOLLOWS.match(text, mark.end())):
            value = text[start + 1 : mark.start()]
            return _ESCAPED.sub(lambda found: _UNESCAPED.get(found[1], found[1]), value), follows
    return "", None


def _bare(text: str, start: int) -> tuple[Any, re.Match[str] | None]:
    follows = _BARE_END.search(text, start)
    return (None, None) if follows is None else (literal(text[start : follows.start()].strip()), follows)


def literal(text: str) -> Any:
    """The number, list, dict, truth value or None that ``text`` writes in Python; else the text itself."""
    if len(text) > _LONGEST_BARE:
        return text
    try:
        decoded = decode(f"[f(value={text})]")
    except DecodeError:
        return text
    values = [arguments for call in decoded for arguments in call.values()]
    return values[0]["value"] if len(values) == 1 and values[0].keys() == {"value"} else text


def write_call(name: str, arguments: Mapping[str, Any]) -> str:
    """A call that :func:`find_calls` reads back: texts in quotes, everything else as a Python literal."""
    values = (f"{key}={_written(value)}" for key, value in arguments.items())
    return f"[{name}({', '.join(values)})]"


def _written(value: Any) -> str:
    return f"'{value.translate(_TO_ESCAPE)}'" if isinstance(value, str) else repr(value)


def official_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as upstream's prompts and recorded texts write it: every value in single quotes, nothing escaped."""
    values = ", ".join(f"{key}='{value}'" for key, value in arguments.items())
    return f"[{name}({values})]"
