"""The languages of BFCL's functions: what upstream adds to the docs of functions in Python, Java and JavaScript.

In Java and JavaScript a model writes every argument as a string, its source text; the docs say so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

Language = Literal["python", "java", "javascript"]

_SYNTAX: Mapping[Language, str] = {"python": "Python 3", "java": "Java 8 SDK", "javascript": "JavaScript"}
_NAMES: Mapping[Language, str] = {"java": "Java", "javascript": "JavaScript"}
_LISTS: Mapping[Language, tuple[str, ...]] = {"java": ("ArrayList", "Array"), "javascript": ("array",)}

_ANY = " This parameter can be of any type of {language} object in string representation."
_TYPED = " This is {language} {type} type parameter in string representation."
_ELEMENTS = " The list elements are of type {type}; they are not in string representation."
_ENTRIES = " The dictionary entries have the following schema; they are not in string representation. "


def language_of(category: str) -> Language:
    """The language of a category's functions."""
    if category == "simple_java":
        return "java"
    return "javascript" if category == "simple_javascript" else "python"


def hint(language: Language) -> str:
    """What upstream adds to the description of every function that it shows from the start."""
    return f" Note that the provided function is in {_SYNTAX[language]} syntax."


def as_strings(doc: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """The doc of a Java or JavaScript function with every parameter a string; its description tells the type."""
    parameters = doc["parameters"]
    properties = {name: _as_string(parameter, language) for name, parameter in parameters["properties"].items()}
    return {**doc, "parameters": {**parameters, "properties": properties}}


def _as_string(parameter: Mapping[str, Any], language: Language) -> dict[str, Any]:
    name, kind = _NAMES[language], parameter["type"]
    told = _ANY.format(language=name) if kind == "any" else _TYPED.format(language=name, type=kind)
    gone: tuple[str, ...] = ()
    if kind in _LISTS[language] and "items" in parameter:
        told += _ELEMENTS.format(type=parameter["items"]["type"])
        gone = ("items",)
    elif kind == "dict" and "properties" in parameter:
        told += _ENTRIES + json.dumps(parameter["properties"])
        gone = ("properties",)
    shown = {key: value for key, value in parameter.items() if key not in gone}
    return {**shown, "type": "string", "description": parameter.get("description", "") + told}
