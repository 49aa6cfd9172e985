"""How replies are read as calls: Python, Java and JavaScript call lists, and the JSON and XML of format_sensitivity.

A reply may have to put its calls between tool-call tags. What is refused and the official program would attempt:
texts longer than 100,000 characters (4,000 in Java and JavaScript), and deep nesting.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args
from xml.etree import ElementTree

from tooluse_gym.envs.bfcl.ast.grammars import decode_java, decode_javascript
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats.python_calls import (
    MAX_LENGTH,
    DecodeError,
    decode,
    normalize,
    parse_expression,
    tagged_text,
)

ReturnFormat = Literal["python", "java", "javascript", "json", "verbose_xml", "concise_xml"]

_LIST_START, _LIST_END = re.compile(r"\[\s*\{"), re.compile(r"\}\s*\]")
_OPEN, _CLOSE = "<functions>", "</functions>"


def decode_reply(reply: str, return_format: ReturnFormat = "python", tagged: bool = False) -> Any:
    """The value of a reply as the official ``decode_ast`` gives it: a list of calls ``{name: {parameter: value}}``.

    It may be something else where the reply holds no call: see :func:`~tooluse_gym.envs.bfcl.ast.checker.is_calls`.

    Raises:
        DecodeError: the official decoder raises, or a bound is exceeded.
        ConfigurationError: there is no such format, or it needs the extra ``bfcl``.
    """
    if return_format == "python":
        return decode(reply, tagged)
    if return_format not in get_args(ReturnFormat):
        formats = ", ".join(get_args(ReturnFormat))
        raise ConfigurationError(f"unknown return format {return_format!r}; choose one of {formats}")
    source, _ = normalize(reply)
    if len(source) > MAX_LENGTH:
        raise DecodeError(f"longer than {MAX_LENGTH} characters")
    if tagged:
        source = tagged_text(source)
    match return_format:
        case "java":
            return decode_java(source[1:-1])
        case "javascript":
            return decode_javascript(source[1:-1])
        case "json":
            return _decode_json(source)
    return _decode_xml(source, return_format)


def decode_function_calls(recorded: Any) -> Any:
    """The value of an answer in function-calling mode, ``[{name: arguments as a JSON text}, …]``.

    Raises:
        DecodeError: it has another form.
    """
    if not isinstance(recorded, list):
        raise DecodeError(f"expected a list of calls, got {type(recorded).__name__}")
    decoded = []
    for call in recorded:
        if not isinstance(call, Mapping) or len(call) != 1:
            raise DecodeError("expected one name and its arguments")
        ((name, text),) = call.items()
        if not isinstance(text, str):
            raise DecodeError(f"the arguments of {name} are not a JSON text")
        decoded.append({name: _loads(text)})
    return decoded


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"not JSON: {error}") from None


def _decode_json(source: str) -> list[dict[Any, Any]]:
    """The first list of objects, which ends with the first ``}]`` even if that stands in an argument; else none."""
    start = _LIST_START.search(source)
    end = _LIST_END.search(source, start.end()) if start else None
    try:
        found = json.loads(source[start.start() : end.end()] if start and end else source)
    except json.JSONDecodeError:
        return []
    except (ValueError, RecursionError) as error:  # a number with too many digits, deep nesting
        raise DecodeError(f"not JSON: {error}") from None
    if not isinstance(found, list | dict | str):
        raise DecodeError(f"expected a list of calls, got {found!r}"[:80])
    calls = []
    for call in found:
        if isinstance(call, dict):
            if not {"function", "parameters"} <= call.keys() or isinstance(call["function"], list | dict):
                raise DecodeError("a call needs a function and parameters")
            calls.append({call["function"]: call["parameters"]})
    return calls


def _decode_xml(source: str, return_format: ReturnFormat) -> list[dict[str, Any]]:
    start = source.find(_OPEN)
    end = source.find(_CLOSE, start)
    if start < 0 or end < 0:
        raise DecodeError(f"no {_OPEN}")
    try:
        root = ElementTree.fromstring(source[start : end + len(_CLOSE)])
    except (ElementTree.ParseError, UnicodeEncodeError) as error:
        raise DecodeError(f"not XML: {error}") from None
    read = _verbose if return_format == "verbose_xml" else _concise
    return [{_attribute(function, "name"): read(function)} for function in root.findall("function")]


def _verbose(function: ElementTree.Element) -> dict[Any, Any]:
    found = function.find("params")
    holder = function if found is None else found
    return {each.get("name"): _value(each.get("value", ""), each.get("type")) for each in holder.findall("param")}


def _concise(function: ElementTree.Element) -> dict[Any, Any]:
    return {
        _attribute(each, "name"): _value((each.text or "").strip(), each.get("type"))
        for each in function.findall("param")
    }


def _attribute(element: ElementTree.Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise DecodeError(f"a {element.tag} without {name}")
    return value


def _value(text: str, kind: str | None) -> Any:
    """A value of the type that its element names; other types leave it a text."""
    try:
        match kind:
            case "integer":
                return int(text)
            case "float":
                return float(text)
            case "boolean":
                return text in ("true", "True")
            case "null":
                return None
            case "array" | "tuple" | "dict" | "object":
                return ast.literal_eval(parse_expression(text.lstrip(" \t")))
    except (ValueError, TypeError) as error:
        raise DecodeError(f"not of type {kind}: {error}") from None
    return text
