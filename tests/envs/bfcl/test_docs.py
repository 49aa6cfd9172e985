"""BFCL's docs as tools: what strict mode validates with, and what upstream shows a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from benchmarks import bfcl_parity
from tooluse_gym.envs.bfcl.docs import HINT, document, json_schema, load_docs
from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.envs.bfcl.single_turn import documented
from tooluse_gym.tasks import Task

Records = Callable[[str], list[dict[str, Any]]]

DOC: dict[str, Any] = {
    "name": "touch",
    "description": "Make a file.",
    "parameters": {
        "type": "dict",
        "properties": {
            "file_name": {"type": "string", "description": "its name", "default": "None"},
            "size": {"type": "float", "description": "in bytes"},
            "weights": {"type": "tuple", "description": "some", "items": {"type": "float"}},
            "type": {"type": "any", "description": "a parameter called type"},
            "owner": {
                "type": "dict",
                "description": "who",
                "properties": {"share": {"type": "float", "description": "of it"}},
            },
        },
        "required": ["file_name"],
    },
    "response": {"type": "dict", "properties": {"share": {"type": "float"}}},
}


def test_parameters_are_json_schema() -> None:
    tool = document(DOC)
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "file_name": {"type": ["string", "null"], "description": "its name", "default": None},
            "size": {"type": "number", "description": "in bytes"},
            "weights": {"type": "array", "description": "some", "items": {"type": "number"}},
            "type": {"description": "a parameter called type"},
            "owner": {
                "type": "object",
                "description": "who",
                "properties": {"share": {"type": "number", "description": "of it"}},
            },
        },
        "required": ["file_name"],
        "additionalProperties": False,
    }
    assert tool.check({"file_name": None, "weights": [0.5], "type": 3}) is None


def test_openai_form_is_upstreams() -> None:
    description = "of it This is a float type value."
    assert document(DOC).openai() == {
        "type": "function",
        "function": {
            "name": "touch",
            "description": "Make a file. Note that the provided function is in Python 3 syntax.",
            "parameters": {
                "type": "object",
                "properties": {
                    "file_name": {"type": "string", "description": "its name", "default": "None"},
                    "size": {
                        "type": "number",
                        "description": "in bytes This is a float type value.",
                        "format": "float",
                    },
                    "weights": {"type": "array", "description": "some", "items": {"type": "number"}},
                    "type": {"type": "string", "description": "a parameter called type"},
                    "owner": {
                        "type": "object",
                        "description": "who",
                        "properties": {"share": {"type": "number", "description": description, "format": "float"}},
                    },
                },
                "required": ["file_name"],
            },
            "response": DOC["response"],
        },
    }


@pytest.mark.parametrize(
    ("doc", "schema"),
    [
        ({"type": "integer", "default": None}, {"type": ["integer", "null"], "default": None}),
        (
            {"type": "string", "enum": ["a"], "default": None},
            {"type": ["string", "null"], "enum": ["a", None], "default": None},
        ),
        (
            {"type": "array", "items": {"type": "string"}, "enum": ["a", "b"]},
            {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        ),
    ],
    ids=["null by default", "null among others", "enum of items"],
)
def test_schemas_say_what_docs_mean(doc: dict[str, Any], schema: dict[str, Any]) -> None:
    assert json_schema(doc) == schema


def test_function_calling_knows_no_dots() -> None:
    tool = document({**DOC, "name": "shell.file.touch"})
    assert tool.name == tool.doc["name"] == "shell.file.touch"
    assert tool.openai()["function"]["name"] == "shell_file_touch"


def test_held_out_docs_have_no_hint() -> None:
    for hinted in (False, True):
        tool = document(DOC, hinted)
        assert tool.description == tool.doc["description"] == DOC["description"] + HINT * hinted
        assert tool.openai()["function"]["description"] == tool.description
    assert document(DOC, False).doc == DOC


def test_what_is_shown_belongs_to_the_caller() -> None:
    tool = document(DOC)
    tool.openai()["function"]["parameters"]["properties"].clear()
    assert tool.openai()["function"]["parameters"]["properties"]


def test_docs_are_made_once(bfcl_data: Path) -> None:
    assert load_docs(bfcl_data, ("MathAPI",)) is load_docs(bfcl_data, ("MathAPI",))


def test_official_docs_agree_with_simulators(bfcl_data: Path) -> None:
    docs = load_docs(bfcl_data, tuple(SIMULATORS))
    own = {name: tool for simulator in SIMULATORS.values() for name, tool in simulator.tools.items()}
    assert docs.keys() == own.keys()
    assert len(docs) == 148
    for name, doc in docs.items():
        ours, theirs = (_outline(tool.parameters) for tool in (own[name], doc))
        assert ours == theirs, name


def _outline(parameters: Any) -> Any:
    # The doc of purchase_insurance has its parameters in another order than the function.
    types = {name: (schema.get("type"), schema.get("default")) for name, schema in parameters["properties"].items()}
    return types, parameters["required"]


def test_strict_mode_accepts_what_the_official_form_allows(bfcl_data: Path) -> None:
    samples = {"string": "a", "integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}
    for tool in load_docs(bfcl_data, tuple(SIMULATORS)).values():
        shown = tool.openai()["function"]["parameters"]
        arguments = {name: samples[schema["type"]] for name, schema in shown["properties"].items()}
        jsonschema.Draft202012Validator(shown).validate(arguments)
        assert tool.check(arguments) is None


def test_official_docs_are_loaded_as_upstream_does(
    bfcl_data: Path, bfcl_tasks: dict[str, Task], bfcl_records: Records
) -> None:
    records = [record for record in bfcl_records(bfcl_parity.DOCS) if record["id"] in bfcl_tasks]
    cases = list(bfcl_parity.loaded_docs(records, bfcl_tasks, bfcl_data))
    assert len(cases) == 800
    assert bfcl_parity.differing(cases) == []


def test_single_turn_docs_are_loaded_as_upstream_does(
    bfcl_data: Path, single_turn_tasks: dict[str, Task], bfcl_records: Records
) -> None:
    records = [record for record in bfcl_records(bfcl_parity.DOCS) if record["id"] in single_turn_tasks]
    cases = list(bfcl_parity.loaded_docs(records, single_turn_tasks, bfcl_data))
    assert len(cases) == 3641
    assert bfcl_parity.differing(cases) == []


def test_schemas_are_valid(single_turn_tasks: dict[str, Task]) -> None:
    schemas = {json.dumps(tool.parameters) for task in single_turn_tasks.values() for tool in documented(task)}
    for schema in sorted(schemas)[::40]:
        jsonschema.Draft202012Validator.check_schema(json.loads(schema))


def test_what_is_held_out_is_loaded_without_hint(bfcl_data: Path) -> None:
    for hinted, held_out in ((True, ()), (False, ("sort",))):
        docs = load_docs(bfcl_data, ("GorillaFileSystem",), held_out)
        assert docs["sort"].description.endswith(HINT) is hinted
        assert docs["ls"].description.endswith(HINT)
