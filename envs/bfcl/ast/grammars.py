"""Replies in Java or JavaScript, ``[f(a=1, b="x")]``, as the official program reads them with tree-sitter.

Whether a text without its semicolon is repaired depends on what the parser's error recovery finds cheapest:
``a.f(b=1)`` is an error in Java, ``a.f(b=1, c=2)`` is not. So only the very grammars give the official answer; they
come with the extra ``bfcl``. Kept as well: of a Java text, what tree-sitter counts in bytes is cut out in characters,
which garbles what follows a character beyond ASCII.

What is refused and the official program would attempt: texts longer than 4,000 characters and values nested deeper
than 100 levels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats.python_calls import MAX_DEPTH, DecodeError

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_LENGTH = 4_000  # error recovery takes quadratic time: some seconds here

_JAVA_TEXTS = ("string_literal", "character_literal")
_COMMAS = ("(", ",", ")")


def decode_java(source: str) -> Any:
    """The first method invocation of a Java text as ``[{name: {parameter: text}}]``; ``{}`` if it has none.

    Raises:
        DecodeError: it does not parse, two arguments have one name, or an array comes without its elements.
        ConfigurationError: the extra ``bfcl`` is not installed.
    """
    root = _parse("java", source)
    nodes = list(_walk(root))
    if any(node.type == "ERROR" for node in nodes):
        raise DecodeError("not Java")
    invocation = next((node for node in nodes if node.type == "method_invocation"), None)
    if invocation is None:
        return {}
    name = _java_slice(source, _child(invocation, "name"))
    owner = invocation.child_by_field_name("object")
    if owner is not None:
        name = f"{_java_slice(source, owner)}.{name}"
    arguments: dict[str | None, str] = {}
    for argument in _child(invocation, "arguments").children:
        if argument.type == "assignment_expression":
            target, value = argument.children[0], argument.children[2]
            text = _java_slice(source, value)[1:-1] if value.type in _JAVA_TEXTS else _java_text(source, value, 0)
            _add(arguments, _java_slice(source, target), text)
        elif argument.type in ("identifier", "class_literal"):
            _add(arguments, None, _java_slice(source, argument))
    return [{name: arguments}]


def _java_slice(source: str, node: Node) -> str:
    return source[node.start_byte : node.end_byte]  # bytes taken for characters, as upstream does


def _java_text(source: str, node: Node, depth: int) -> str:
    """A value as text: blanks between tokens go, but for those in calls, which stand as written."""
    if depth > MAX_DEPTH:
        raise DecodeError(f"nested deeper than {MAX_DEPTH} levels")
    if node.type == "method_invocation" or not node.children:
        return _java_slice(source, node)
    if node.type == "object_creation_expression":
        kept = [part for part in _child(node, "arguments").children if part.type not in _COMMAS]
        arguments = ", ".join(_java_text(source, part, depth + 1) for part in kept)
        return f"new {_java_text(source, _child(node, 'type'), depth + 1)}({arguments})"
    if node.type == "array_creation_expression":
        elements = node.child_by_field_name("value")
        if elements is None:
            raise DecodeError("an array without its elements")
        kind = _java_text(source, _child(node, "type"), depth + 1)
        return f"new {kind}[]{_java_text(source, elements, depth + 1)}"
    return "".join(_java_text(source, part, depth + 1) for part in node.children)


def decode_javascript(source: str) -> Any:
    """The first call that is a statement of a JavaScript text, as of :func:`decode_java`; None if it has none.

    Raises:
        DecodeError: it does not parse, or two arguments have one name.
        ConfigurationError: the extra ``bfcl`` is not installed.
    """
    root = _parse("javascript", source)
    if any(node.type == "ERROR" for node in _walk(root)):
        raise DecodeError("not JavaScript")
    statements = [node.children[0] for node in root.children if node.type == "expression_statement"]
    call = next((node for node in statements if node.type == "call_expression"), None)
    if call is None:
        return None
    arguments: dict[str | None, str] = {}
    for argument in _child(call, "arguments").children:
        if argument.type == "assignment_expression":
            target, value = argument.children[0], argument.children[2]
            text = _text(value)
            _add(arguments, _text(target), text[1:-1] if value.type == "string" else text)
        elif argument.type == "identifier":
            _add(arguments, None, _text(argument))
    return [{_text(_child(call, "function")): arguments}]


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _add(arguments: dict[str | None, str], name: str | None, text: str) -> None:
    if name in arguments:
        raise DecodeError("two arguments have the same name")
    arguments[name] = text


def _child(node: Node, field: str) -> Node:
    child = node.child_by_field_name(field)
    if child is None:
        raise DecodeError(f"a {node.type} without {field}")
    return child


def _parse(language: Literal["java", "javascript"], source: str) -> Node:
    if len(source) > MAX_LENGTH:
        raise DecodeError(f"longer than {MAX_LENGTH} characters")
    try:
        return _parser(language).parse(source.encode()).root_node
    except UnicodeEncodeError as error:  # an unpaired surrogate
        raise DecodeError(str(error)) from None


def _walk(root: Node) -> Iterator[Node]:
    """All nodes, parents before their children, in order."""
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending += reversed(node.children)


@cache
def _parser(language: Literal["java", "javascript"]) -> Parser:
    try:
        import tree_sitter
        import tree_sitter_java
        import tree_sitter_javascript
    except ImportError as error:
        raise ConfigurationError(
            f"replies in {language} need its grammar ({error.name} is missing): pip install 'tooluse-gym[bfcl]'"
        ) from error
    grammar = {"java": tree_sitter_java, "javascript": tree_sitter_javascript}[language]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # these grammars hand out a number, newer ones a capsule
        return tree_sitter.Parser(tree_sitter.Language(grammar.language()))
