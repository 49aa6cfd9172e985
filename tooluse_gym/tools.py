"""Tools: typed Python methods become JSON Schemas, once, when their class is defined.

Subclass :class:`ToolSet`; every public method is a tool. Its parameters need type hints, its docstring (Google style)
gives the descriptions::

    class Files(ToolSet):
        def touch(self, file_name: str) -> None:
            \"\"\"Create an empty file.

            Args:
                file_name: name of the new file.
            \"\"\"
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Union, cast, get_args, get_origin, get_type_hints

import jsonschema

from tooluse_gym.acceptance import Acceptor, compile_acceptor
from tooluse_gym.errors import InvalidToolError

_JSON_TYPES: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): "null",
}
_LONGEST_VALUE = 80  # characters of a bad value repeated in an error observation


@dataclass(frozen=True)
class Tool:
    """A callable shown to the agent: ``parameters`` is a JSON Schema (Draft 2020-12) of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    def openai(self) -> dict[str, Any]:
        """The tool in OpenAI form, as chat templates take it; a fresh copy that the caller may change."""
        tool: dict[str, Any] = json.loads(self._json)
        return tool

    def signature(self) -> str:
        """The tool on one line, ``name(param: type, optional?: type|null)``."""
        required = self.parameters.get("required", ())
        parts = [
            f"{name}{'' if name in required else '?'}: {_type_name(schema)}"
            for name, schema in self.parameters.get("properties", {}).items()
        ]
        return f"{self.name}({', '.join(parts)})"

    @cached_property
    def _json(self) -> str:
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return json.dumps({"type": "function", "function": function})

    @cached_property
    def _validator(self) -> jsonschema.Draft202012Validator:
        return jsonschema.Draft202012Validator(self.parameters)

    @cached_property
    def _accepts(self) -> Acceptor:
        return compile_acceptor(self.parameters)

    def check(self, arguments: Mapping[str, Any]) -> str | None:
        """None if ``arguments`` satisfy the schema, else a sentence naming argument, expectation and value."""
        try:
            if self._accepts(arguments):
                return None
            error = next(iter(self._validator.iter_errors(arguments)), None)
            return None if error is None else f"{self.name}: {_explain(error)}"
        except (RecursionError, ValueError):  # jsonschema prints what it refuses, and CPython cannot print everything
            return f"{self.name}: an argument is nested too deeply, or is too long an integer"


def _explain(error: jsonschema.ValidationError) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    rule, expected, value = str(error.validator), cast(Any, error.validator_value), cast(Any, error.instance)
    if rule == "required":
        missing = next(name for name in expected if name not in value)
        return f"missing argument '{f'{place}.{missing}' if place else missing}'"
    if rule == "additionalProperties":
        known = cast(Any, error.schema).get("properties", {})
        extra = _shorten(str(next(name for name in value if name not in known)))
        return f"unknown argument '{f'{place}.{extra}' if place else extra}' (known: {', '.join(known) or 'none'})"
    if rule == "type":
        wanted = expected if isinstance(expected, str) else " or ".join(expected)
    elif rule == "anyOf":
        wanted = " or ".join(_type_name(option) for option in expected)
    elif rule == "enum":
        wanted = f"one of {json.dumps(expected, ensure_ascii=False)}"
    else:
        wanted = f"{rule} {expected!r}"
    return f"argument '{place}': expected {wanted}, got {_shorten(repr(value))}"


def _type_name(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, str):
        return kind
    if kind is not None:
        return "|".join(kind)
    if "enum" in schema:
        return "|".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    if "anyOf" in schema:
        return "|".join(_type_name(option) for option in schema["anyOf"])
    return "any"


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


class ToolSet:
    """Base of simulated APIs. Public methods are tools; public attributes are the state that is compared."""

    tools: ClassVar[Mapping[str, Tool]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.tools = {name: tool_from_method(method, cls.__name__) for name, method in _public_methods(cls)}

    def state(self) -> dict[str, Any]:
        """Every public attribute, live (not a copy). Two tool sets agree iff their states are equal."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


def _public_methods(cls: type) -> Iterator[tuple[str, Any]]:
    inherited = dir(ToolSet)
    members = {name: member for base in reversed(cls.__mro__) for name, member in vars(base).items()}
    for name, member in members.items():
        if not name.startswith("_") and name not in inherited and inspect.isfunction(member):
            yield name, member


def tool_from_method(method: Any, owner: str) -> Tool:
    """Derive a tool from a method's signature, type hints and docstring.

    Raises:
        InvalidToolError: a hint or the docstring is missing, a hint or a default has no JSON form, or the docstring
            describes a parameter that does not exist.
    """
    place = f"{owner}.{method.__name__}"
    summary, described = _read_docstring(inspect.getdoc(method) or "")
    if not summary:
        raise InvalidToolError(f"{place} needs a docstring: its first paragraph describes the tool to the model")
    hints = get_type_hints(method)
    properties: dict[str, Any] = {}
    required = []
    for name, parameter in list(inspect.signature(method).parameters.items())[1:]:
        if name not in hints:
            raise InvalidToolError(f"{place}: parameter {name!r} needs a type hint")
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise InvalidToolError(f"{place}: *{name} has no JSON Schema; name the parameters")
        schema = _schema(hints[name], f"{place}: parameter {name!r}")
        if name in described:
            schema["description"] = described[name]
        if parameter.default is parameter.empty:
            required.append(name)
        else:
            schema["default"] = _json_value(parameter.default, f"{place}: the default of {name!r}")
        properties[name] = schema
    unknown = described.keys() - properties.keys()
    if unknown:
        raise InvalidToolError(f"{place}: the docstring describes {min(unknown)!r}, which is not a parameter")
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Tool(method.__name__, summary, parameters)


def _schema(hint: Any, place: str) -> dict[str, Any]:
    if hint is Any:
        return {}
    if hint in _JSON_TYPES:
        return {"type": _JSON_TYPES[hint]}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": [_json_value(argument, place) for argument in arguments]}
    if origin in (Union, types.UnionType):
        options = [_schema(argument, place) for argument in arguments]
        if all(set(option) == {"type"} for option in options):
            return {"type": [option["type"] for option in options]}
        return {"anyOf": options}
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0], place)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1], place)}
    raise InvalidToolError(f"{place}: no JSON Schema for the type {hint!r}")


def _json_value(value: Any, place: str) -> Any:
    if isinstance(value, (list, tuple)):
        return [_json_value(item, place) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _json_value(item, place) for key, item in value.items()}
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise InvalidToolError(f"{place}: {value!r} has no JSON form")


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """First paragraph, and the descriptions under ``Args:`` (Google style) by parameter name."""
    summary = " ".join(text.split("\n\n", 1)[0].split())
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", text, re.MULTILINE)
    described: dict[str, str] = {}
    current = None
    for line in inspect.cleandoc(section[1]).splitlines() if section else ():
        entry = re.match(r"(\w+)(?: \([^)]*\))?:\s*(.*)", line)
        if entry:
            current = entry[1]
            described[current] = entry[2]
        elif current and line.strip():
            described[current] = f"{described[current]} {line.strip()}".strip()
    return summary, described
