"""Function docs as upstream's prompts may show them beside JSON: like Python's docstrings, or as XML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Doc = Mapping[str, Any]

_PYTHON_TYPES = {"string": "str", "integer": "int", "boolean": "bool"}
_LISTS = ("array", "tuple")


def as_python(docs: Sequence[Doc]) -> str:
    """A comment with the name and a docstring for each function."""
    return "\n\n".join(_python_function(doc) for doc in docs)


def as_xml(docs: Sequence[Doc]) -> str:
    """A ``function`` element for each function; nothing in it is escaped."""
    return "\n".join(_xml_function(doc) for doc in docs)


def _python_function(doc: Doc) -> str:
    parameters = doc["parameters"].get("properties", {})
    arguments = [f"    {line}" for line in ("Args:", *_python_parameters(parameters, 1))] if parameters else []
    lines = ['    """', f"    {doc['description']}", "", *arguments, '    """']
    return f"# Function: {doc['name']}\n" + "\n".join(lines) + "\n" * 4


def _python_parameters(parameters: Mapping[str, Doc], level: int) -> Iterator[str]:
    for name, doc in parameters.items():
        default = f", default={doc['default']!r}" if "default" in doc else ""
        yield f"{'    ' * level}{name} ({_python_type(doc)}{default}): {_told(doc)}"
        yield from _python_parameters(doc.get("properties", {}), level + 1)


def _python_type(doc: Doc) -> str:
    kind: str = doc["type"]
    if kind in _LISTS and "items" in doc:
        return f"list[{_python_type(doc['items'])}]"
    return _PYTHON_TYPES.get(kind, kind)


def _xml_function(doc: Doc) -> str:
    lines = [
        f'<function name="{doc["name"]}">',
        f"  <desc>{doc['description']}</desc>",
        *_xml_parameters(doc["parameters"], "  "),
        "</function>\n",
    ]
    return "\n".join(lines)


def _xml_parameters(parent: Doc, indent: str) -> Iterator[str]:
    yield f"{indent}<params>"
    properties = parent.get("properties", {})
    for name, doc in properties.items():
        required = name in parent.get("required", properties)
        default = f' default="{doc["default"]!r}"'.replace(",", "") if "default" in doc else ""
        kind = f"{doc['type']}[{doc['items']['type']}]" if "items" in doc else doc["type"]
        yield f'{indent}  <param name="{name}" type="{kind}" required="{str(required).lower()}"{default}>'
        yield f"{indent}    <desc>{_told(doc)}</desc>"
        if "properties" in doc:
            yield from _xml_parameters(doc, f"{indent}    ")
        yield f"{indent}  </param>"
    yield f"{indent}</params>"


def _told(doc: Doc) -> str:
    enum = f" Enum values: {doc['enum']}." if "enum" in doc else ""
    return f"{doc.get('description', '')}{enum}"
