"""BFCL's decoding of Python call lists, ``[f(a=1), g(b='x')]``, without ``eval``.

What the official program does and this module keeps: back-ticks, line breaks and blanks at both ends are dropped and
missing brackets added; positional arguments are dropped; a bare name is a string; any unary operator negates;
arithmetic on literals is computed; a call with keywords is an object, one without is its source text, and so is a
subscript.

What it refuses and the official program would attempt, so that no reply can exhaust time or memory: texts longer than
100,000 characters, expressions nested deeper than 100 levels, integers of more than 4,300 digits, arithmetic that makes
more than 100,000 characters or elements in one reply, and arithmetic on anything but literals (official arithmetic
sees the builtins of the program: ``len('a') + 1`` is a number there), on sets, and ``%`` on texts.
"""

from __future__ import annotations

import ast
import operator
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from tooluse_gym.errors import ToolUseError

MAX_LENGTH = 100_000
MAX_DEPTH = 100
MAX_ELEMENTS = 100_000  # made by the arithmetic of one reply
MAX_BITS = 14_284  # just under 4,300 digits, the longest integer that CPython prints

_TAG_OPEN, _TAG_CLOSE = "<TOOLCALL>", "</TOOLCALL>"
_warnings_lock = threading.Lock()  # catch_warnings swaps process-wide filters


class DecodeError(ToolUseError):
    """A text is not a list of calls. The message says why."""


def decode(text: str, tagged: bool = False) -> list[dict[str, dict[str, Any]]]:
    """The calls of a reply, ``[{name: {argument: value}}, …]``, as the official ``decode_ast`` gives them.

    ``**value`` becomes an argument whose key is None.

    Args:
        text: the reply.
        tagged: read what the first ``<TOOLCALL>…</TOOLCALL>`` holds (a variant of the benchmark's prompt).

    Raises:
        DecodeError: the official decoder raises on it, or it exceeds a bound of this module.
    """
    source, _ = normalize(text)
    if tagged:
        source = tagged_text(source).strip("'")
    return [{name: arguments} for _, name, arguments in decode_nodes(source)]


def render_calls(decoded: list[dict[str, dict[str, Any]]]) -> list[str]:
    """The texts that the official ``decode_execute`` makes of decoded calls, to be executed one by one.

    A dict whose values are all dicts is taken for a call of its first key, which fails for an empty dict.

    Raises:
        DecodeError: an argument is, or holds in a nested dict, an empty dict.
    """
    return [f"{name}({_render_arguments(arguments)})" for call in decoded for name, arguments in call.items()]


def normalize(text: str) -> tuple[str, int]:
    """The Python source of a reply, and what to add to an offset in it to get the offset in the reply."""
    ends = "`\n "
    inner = text.strip(ends)
    opening = "" if inner.startswith("[") else "["
    source = f"{opening}{inner}"
    return source if source.endswith("]") else f"{source}]", len(text) - len(text.lstrip(ends)) - len(opening)


def tagged_text(source: str) -> str:
    """What the first ``<TOOLCALL>…</TOOLCALL>`` holds, without blanks at its ends.

    Raises:
        DecodeError: there is none.
    """
    start = source.find(_TAG_OPEN)
    end = source.find(_TAG_CLOSE, start)
    if start < 0 or end < 0:
        raise DecodeError("no tool-call tags")
    return source[start + len(_TAG_OPEN) : end].strip()


def decode_nodes(source: str) -> list[tuple[ast.Call, str, dict[Any, Any]]]:
    """Syntax node, name and arguments of every call of a normalised reply.

    Raises:
        DecodeError: see ``decode``.
    """
    body = parse_expression(source)
    nodes = [body] if isinstance(body, ast.Call) else getattr(body, "elts", None)
    if nodes is None:
        raise DecodeError(f"expected a list of calls, got {_node_name(body)}")
    for node in nodes:
        if not isinstance(node, ast.Call):
            raise DecodeError(f"expected a call, got {_node_name(node)}")
    values = _Values()
    try:
        return [(node, _call_name(node), values.keywords(node)) for node in nodes]
    except (ArithmeticError, TypeError, ValueError) as error:
        raise DecodeError(f"cannot compute a value: {error}") from None


def parse_expression(source: str) -> ast.expr:
    """The syntax tree of one Python expression, within the bounds of this module; never a warning.

    Raises:
        DecodeError: it is none, or exceeds a bound.
    """
    if len(source) > MAX_LENGTH:
        raise DecodeError(f"longer than {MAX_LENGTH} characters")
    try:
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # '\d' warns, and with warnings as errors would not parse
            body = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        raise DecodeError(f"not a Python expression: {error.msg}") from None
    except ValueError as error:  # NUL, unpaired surrogates, integers that are too long
        raise DecodeError(f"not a Python expression: {error}") from None
    except (MemoryError, RecursionError):  # the parser's own guards
        raise DecodeError(f"nested deeper than {MAX_DEPTH} levels") from None
    level: list[ast.AST] = [body]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return body
    raise DecodeError(f"nested deeper than {MAX_DEPTH} levels")


def _call_name(node: ast.Call) -> str:
    parts: list[str] = []
    function = node.func
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name):  # anything else is left out of the name, officially too
        parts.append(function.id)
    return ".".join(reversed(parts))


class _Values:
    """Turns syntax nodes into values; counts what arithmetic makes in one reply."""

    def __init__(self) -> None:
        self._elements = 0

    def keywords(self, node: ast.Call) -> dict[Any, Any]:
        return {keyword.arg: self.value(keyword.value) for keyword in node.keywords}

    def value(self, node: ast.expr | None) -> Any:
        match node:
            case ast.Constant(value=value):
                return "..." if value is ... else _bounded(value)
            case ast.UnaryOp(operand=ast.Constant(value=int() | float() | complex() as value)):
                return -_bounded(value)
            case ast.Name(id=name):
                return name
            case ast.List(elts=items):
                return [self.value(item) for item in items]
            case ast.Tuple(elts=items):
                return tuple(self.value(item) for item in items)
            case ast.Dict(keys=keys, values=values):
                return {self.value(key): self.value(value) for key, value in zip(keys, values, strict=True)}
            case ast.Call(keywords=[]):
                return ast.unparse(node)
            case ast.Call(keywords=_):
                return {_call_name(node): self.keywords(node)}
            case ast.Subscript(value=value, slice=index):
                return f"{ast.unparse(value)}[{ast.unparse(index)}]"
            case ast.BinOp():
                return self.compute(node)
        raise DecodeError(f"a value cannot be {_node_name(node)}")

    def compute(self, node: ast.expr | None) -> Any:
        """A value with Python's own meaning of operators, as an operand of arithmetic."""
        match node:
            case ast.Constant(value=value):
                return _bounded(value)
            case ast.UnaryOp(op=sign, operand=operand):
                return _UNARY[type(sign)](self.compute(operand))
            case ast.List(elts=items):
                return [self.compute(item) for item in items]
            case ast.Tuple(elts=items):
                return tuple(self.compute(item) for item in items)
            case ast.Dict(keys=keys, values=values):
                return {self.compute(key): self.compute(value) for key, value in zip(keys, values, strict=True)}
            case ast.BinOp(left=left, op=sign, right=right):
                return self._apply(sign, self.compute(left), self.compute(right))
        raise DecodeError(f"arithmetic is not possible on {_node_name(node)}")

    def _apply(self, sign: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            _check_growth(sign, left, right)
        elif isinstance(left, _SIZED) or isinstance(right, _SIZED):
            self._count(sign, left, right)
        if type(sign) not in _BINARY:
            raise DecodeError(f"arithmetic with {_node_name(sign)} is not possible")
        return _bounded(_BINARY[type(sign)](left, right))

    def _count(self, sign: ast.operator, left: Any, right: Any) -> None:
        if isinstance(sign, ast.Mod):
            raise DecodeError("% on a text is not supported")  # '%999999999d' % 1
        if isinstance(sign, ast.Mult):
            times, items = (left, right) if isinstance(left, int) else (right, left)
            size = _size(items) * max(0, times) if isinstance(times, int) else 0
        else:
            size = _size(left) + _size(right)
        self._elements += size
        if self._elements > MAX_ELEMENTS:
            raise DecodeError(f"arithmetic makes more than {MAX_ELEMENTS} elements")


def _check_growth(sign: ast.operator, left: int, right: int) -> None:
    """Refuse an operation on integers whose result would be far out of bounds."""
    bits = 0
    if isinstance(sign, ast.Pow) and abs(left) > 1:
        bits = left.bit_length() * max(0, right)
    elif isinstance(sign, ast.LShift):
        bits = left.bit_length() + max(0, right)
    # b bits to the power of e give more than (b - 1) * e, at least half of b * e: results themselves are checked later.
    if bits > 2 * MAX_BITS:
        raise DecodeError("an integer has more than 4,300 digits")


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise DecodeError("an integer has more than 4,300 digits")
    return value


def _size(value: Any) -> int:
    """Characters of a text, elements at all levels of a collection. No more work than the elements counted so far."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list | tuple):
        return 1 + sum(map(_size, value))
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    return 1


def _render_arguments(arguments: Mapping[Any, Any]) -> str:
    return ", ".join(f"{key}={_render(value)}" for key, value in arguments.items())


def _render(value: Any) -> str:
    if not isinstance(value, dict):
        return repr(value)
    if not all(isinstance(member, dict) for member in value.values()):
        members = ", ".join(f"'{key}': {_render(member)}" for key, member in value.items())
        return f"{{{members}}}"
    if not value:
        raise DecodeError("an empty dict cannot be executed")
    name = next(iter(value))
    return f"{name}({_render_arguments(value[name])})"


def _node_name(node: ast.AST | None) -> str:
    return "**" if node is None else type(node).__name__


_SIZED = (str, bytes, list, tuple, dict)

_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.BitAnd: operator.and_,
}
