"""Function docs in Python's and XML's manner; that they are upstream's, the prompts of format_sensitivity show."""

from __future__ import annotations

from typing import Any

from tooluse_gym.envs.bfcl.doc_formats import as_python, as_xml

PARAMETERS: dict[str, Any] = {
    "name": {"type": "string", "description": "Who.", "default": "a, b", "enum": ["a, b", "c"]},
    "sizes": {"type": "array", "items": {"type": "tuple", "items": {"type": "float"}}},
    "more": {
        "type": "dict",
        "description": "More.",
        "properties": {
            "on": {"type": "boolean", "description": "Is it on?"},
            "level": {"type": "integer", "default": None},
        },
        "required": ["on"],
    },
    "rest": {"type": "dict", "properties": {"x": {"type": "any"}}},
}
DOCS = [
    {"name": "a.f", "description": "F it.", "parameters": {"properties": PARAMETERS, "required": ["sizes"]}},
    {"name": "g", "description": "G it.", "parameters": {"properties": {}, "required": []}},
]

PYTHON = '''\
# Function: a.f
    """
    F it.

    Args:
        name (str, default='a, b'): Who. Enum values: ['a, b', 'c'].
        sizes (list[list[float]]):_
        more (dict): More.
            on (bool): Is it on?
            level (int, default=None):_
        rest (dict):_
            x (any):_
    """





# Function: g
    """
    G it.

    """



'''
XML = """\
<function name="a.f">
  <desc>F it.</desc>
  <params>
    <param name="name" type="string" required="false" default="'a b'">
      <desc>Who. Enum values: ['a, b', 'c'].</desc>
    </param>
    <param name="sizes" type="array[tuple]" required="true">
      <desc></desc>
    </param>
    <param name="more" type="dict" required="false">
      <desc>More.</desc>
      <params>
        <param name="on" type="boolean" required="true">
          <desc>Is it on?</desc>
        </param>
        <param name="level" type="integer" required="false" default="None">
          <desc></desc>
        </param>
      </params>
    </param>
    <param name="rest" type="dict" required="false">
      <desc></desc>
      <params>
        <param name="x" type="any" required="true">
          <desc></desc>
        </param>
      </params>
    </param>
  </params>
</function>

<function name="g">
  <desc>G it.</desc>
  <params>
  </params>
</function>
"""


def test_docs_like_docstrings() -> None:
    assert as_python(DOCS) == PYTHON.replace(":_\n", ": \n")
    assert as_python([]) == ""


def test_docs_as_xml() -> None:
    assert as_xml(DOCS) == XML
    assert as_xml([]) == ""
