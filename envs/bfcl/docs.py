"""The docs of BFCL's functions as tools: what upstream shows a model, in prompting and in function-calling mode."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import jsonschema

from tooluse_gym.envs.bfcl.languages import Language, as_strings, hint
from tooluse_gym.envs.bfcl.release import FILES, GET, demand_release, read_records
from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.errors import TaskError
from tooluse_gym.tools import Tool

FOLDER = "multi_turn_func_doc"
DOC_FILES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
    "MemoryAPI_kv": "memory_kv",
    "MemoryAPI_rec_sum": "memory_rec_sum",
}
"""The benchmark's classes, and the file in ``FOLDER`` that documents each."""

HINT = hint("python")
"""What upstream adds to every description, but to those of held-out functions: they have left its list by then."""

_FLOAT = " This is a float type value."
"""What upstream's function-calling mode adds to the description of a number that need not be whole."""

_TYPES = ("string", "integer", "float", "boolean", "array", "tuple", "dict", "any")
_FOREIGN_TYPES = (  # of Java and JavaScript; one nested parameter has an empty type
    *("byte", "short", "long", "double", "char", "String", "Array", "ArrayList", "HashMap"),
    *("Boolean", "Bigint", ""),
)

DOC_FORM = jsonschema.Draft202012Validator(
    {
        "$id": "urn:bfcl:doc",
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "description": {"type": "string"},
            "parameters": {
                "type": "object",
                "properties": {
                    "type": {"const": "dict"},
                    "properties": {"type": "object", "additionalProperties": {"$ref": "#/$defs/value"}},
                    "required": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["type", "properties", "required"],
            },
        },
        "required": ["name", "description", "parameters"],
        "$defs": {
            "value": {
                "type": "object",
                "properties": {
                    "type": {"enum": [*_TYPES, *_FOREIGN_TYPES]},
                    "description": {"type": "string"},
                    "properties": {"type": "object", "additionalProperties": {"$ref": "#/$defs/value"}},
                    "items": {"$ref": "#/$defs/value"},
                },
                "required": ["type"],
            },
        },
    }
)
"""What the docs of functions look like, of all languages."""


@dataclass(frozen=True)
class Documented(Tool):
    """A tool with upstream's own doc, in either validation mode.

    ``parameters``, which strict mode validates with, says what the doc says in the terms of JSON Schema, and null where
    the default is the text "None". ``openai()`` is the narrower form that upstream's function-calling mode shows: what
    it allows, strict mode accepts.
    """

    doc: Mapping[str, Any]

    def openai(self) -> dict[str, Any]:
        tool: dict[str, Any] = json.loads(self._function_calling)
        return tool

    @cached_property
    def _function_calling(self) -> str:
        parameters = {**_shown(self.doc["parameters"]), "type": "object"}
        function = {**self.doc, "name": underscored(self.doc["name"]), "parameters": parameters}
        return json.dumps({"type": "function", "function": function})

    @cached_property
    def indented(self) -> str:
        """The doc as JSON, four blanks per level."""
        return json.dumps(self.doc, indent=4)


def underscored(name: str) -> str:
    """A function's name in function-calling mode, which knows no dots."""
    return name.replace(".", "_")


def document(doc: Mapping[str, Any], hinted: bool = True, language: Language = "python") -> Documented:
    """The tool that upstream's doc of a function describes."""
    if language != "python":
        doc = as_strings(doc, language)
    description = doc["description"] + hint(language) * hinted
    parameters = {**json_schema(doc["parameters"]), "additionalProperties": False}
    return Documented(doc["name"], description, parameters, {**doc, "description": description})


@lru_cache(maxsize=1024)
def load_docs(folder: Path, classes: tuple[str, ...], held_out: tuple[str, ...] = ()) -> Mapping[str, Documented]:
    """The docs of ``classes`` by function name, as upstream loads them from the data folder; made once per process.

    Args:
        folder: the data folder.
        classes: in upstream's ``involved_classes`` order, which is the order of the docs.
        held_out: functions that a later turn reveals. Who asks for the tools of a turn leaves them out until then.

    Raises:
        DataNotFoundError: a file is missing, or another release's.
        TaskError: a file is malformed, or does not describe the functions that its class has; the message names file,
            line and field.
    """
    variants = (_read_docs(folder / FOLDER / f"{DOC_FILES[name]}.json", name) for name in classes)
    return {name: plain[name] if name in held_out else hinted[name] for plain, hinted in variants for name in hinted}


@lru_cache(maxsize=64)
def _read_docs(path: Path, class_name: str) -> tuple[dict[str, Documented], dict[str, Documented]]:
    """The tools of a doc file by name, without and with the hint."""
    functions = SIMULATORS[class_name].tools
    docs: dict[str, dict[str, Any]] = {}
    for place, doc in read_records(path, DOC_FORM):
        if doc["name"] in docs:
            raise TaskError(f"{place}: field name: {doc['name']!r} occurs twice")
        if doc["name"] not in functions:
            raise TaskError(f"{place}: field name: {class_name} has no function {doc['name']!r}; '{GET}' gets its docs")
        docs[doc["name"]] = doc
    if missing := [name for name in functions if name not in docs]:
        raise TaskError(f"{path} lacks the functions {', '.join(missing)}; '{GET}' gets a complete copy")
    demand_release(path, FILES[f"data/{FOLDER}/{path.name}"])
    plain, hinted = ({name: document(doc, hint) for name, doc in docs.items()} for hint in (False, True))
    return plain, hinted


_JSON_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}


def json_schema(doc: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter doc in upstream's types as a JSON Schema.

    What defaults to null, also written as the text "None", may be null. The enum of an array is that of its items.
    """
    nullable = "default" in doc and doc["default"] in (None, "None")
    of_items = doc.get("type") in ("array", "tuple")
    schema: dict[str, Any] = {}
    for key, value in doc.items():
        if key == "type":
            kind = _JSON_TYPES.get(value, value)
            if kind is not None:
                schema["type"] = [kind, "null"] if nullable else kind
        elif key == "properties":
            schema[key] = {name: json_schema(part) for name, part in value.items()}
        elif key == "items":
            schema[key] = {**json_schema(value), **({"enum": doc["enum"]} if of_items and "enum" in doc else {})}
        elif key == "enum":
            if not of_items:
                schema[key] = [*value, None] if nullable else value
        else:
            schema[key] = None if key == "default" and nullable else value
    return schema


_SHOWN_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}


def _shown(doc: Mapping[str, Any], item: bool = False) -> dict[str, Any]:
    """A parameter doc as upstream's function-calling mode shows it; array items keep their other words."""
    shown = {**doc, "type": _SHOWN_TYPES.get(doc["type"], doc["type"])}
    if doc["type"] == "float" and not item:
        shown |= {"format": "float", "description": doc.get("description", "") + _FLOAT}
    if "properties" in doc:
        shown["properties"] = {name: _shown(part) for name, part in doc["properties"].items()}
    elif "items" in doc:
        shown["items"] = _shown(doc["items"], item=True)
    return shown
