"""Official-mode execution: what upstream's ``eval`` of a call text yields, interpreted and never evaluated.

Upstream rewrites the text with a regular expression, checks a short deny list, evaluates it as Python, and shows the
result or the exception. Here the same text is parsed with :mod:`ast` and walked: literals, operators, subscripts, tool
calls (also nested) and harmless builtins mean what they mean in CPython, errors read as CPython's. Everything else
Python offers is refused with a message.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import io
import math
import operator
import re
import threading
import warnings
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from itertools import groupby
from numbers import Number
from types import MethodType
from typing import Any

from tooluse_gym.formats.reply import Call, written
from tooluse_gym.tools import ToolSet
from tooluse_gym.world import observation_text

from .docs import DOC_FILES
from .simulators.limits import (
    DEEPEST_VALUE,
    LARGEST_ARGUMENTS,
    LARGEST_RESULT,
    LONGEST_CALL,
    Budget,
    RefusedError,
    power,
    product,
    rounded,
)

_CALLED_NAME = re.compile(r"\b([a-zA-Z_]\w*)\s*(?=\()")
_DENIED = frozenset({"kill", "exit", "quit", "remove", "unlink", "popen", "Popen", "run"})
_UPSTREAM = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"  # its package of simulators, named in some errors
_MOST_CALLS = 32  # in one text
_LARGEST_NUMBER = 10**308  # of a Decimal or mpf to compute with; floats reach as far
_LONGEST_NUMBER = 1_000  # characters of it
_MOST_ON_STACK = 15  # entries of a dict that CPython evaluates all before it hashes the first key
_LONGEST_REMEMBERED = 1_000  # characters of a text whose syntax tree is kept
_LONGEST_PLAIN = 10_000  # characters of a call whose arguments are passed on without a look at its text
_DEEPEST_PLAIN = 8  # levels of lists and objects in them
_parsing = threading.Lock()


def execute_call(call: Call, owner: ToolSet | None, instances: dict[str, ToolSet]) -> str:
    """What ``execute(call.text, instances)`` returns, in a tenth of the time if evaluating that text just calls a tool.

    That is so if the text says the call's name and arguments and nothing else, with no parenthesis but its own, so that
    nothing in it is rewritten, and if the arguments are data whose Python text reads back as the same data.

    Args:
        owner: the tool set whose tool ``call.name`` is, if any.
    """
    text = call.text
    arguments = None if owner is None else _plain_arguments(call, text, owner.tools[call.name].parameters["properties"])
    if arguments is None:
        return execute(text, instances)
    try:
        return _observation(getattr(owner, call.name)(**arguments))  # a known tool's name
    except Exception as error:  # the boundary: whatever goes wrong in a call is an observation
        return f"Error during execution: {error}"


def _plain_arguments(call: Call, text: str, known: Collection[str]) -> dict[str, Any] | None:
    """A copy of the arguments; None if the text says more than a plain call with them."""
    if call.error is not None or text.count("(") != 1 or len(text) > _LONGEST_PLAIN:
        return None
    if call.source is not None and text != written(call.name, call.arguments):
        return None
    arguments = {}
    try:
        for name, value in call.arguments.items():
            if name not in known:
                return None
            arguments[name] = value if type(value) is str else _plain(value, 0)
    except _NotPlainError:
        return None
    return arguments


class _NotPlainError(Exception):
    pass


def _plain(value: Any, depth: int) -> Any:
    """A copy of ``value``, which must be small and of JSON's types."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None or (kind is float and math.isfinite(value)):
        return value
    if kind is list and depth < _DEEPEST_PLAIN:
        return [_plain(item, depth + 1) for item in value]
    if kind is dict and depth < _DEEPEST_PLAIN:
        return {_plain(key, depth + 1): _plain(item, depth + 1) for key, item in value.items()}
    raise _NotPlainError


def _observation(result: Any) -> str:
    text = observation_text(result)
    if len(text) > LARGEST_RESULT:
        Budget(LARGEST_RESULT, "the result").charge(len(text))
    return text


def execute(text: str, instances: dict[str, ToolSet]) -> str:
    """Execute one call text and return its observation. Never raises.

    Args:
        text: what the model, or the ground truth, wrote as one call.
        instances: tool sets by instance name, an identifier; on a clash of tool names the later one wins. That name is
            written before every tool name that a parenthesis follows, even inside string literals. As upstream's
            depends on who acts, such strings never agree between model and ground truth; give each its own names.
    """
    try:
        if len(text) > LONGEST_CALL:
            raise RefusedError(f"the call is too long (more than {LONGEST_CALL} characters)")
        text = _rewrite(text, instances)
        _deny(text)
        parse = _parse_again if len(text) <= _LONGEST_REMEMBERED else parse_expression
        result = _Evaluation(instances).value(parse(text))
        Budget(LARGEST_RESULT, "the result").copy(result)  # an expression can share one part many times
        return _observation(result)
    except Exception as error:  # the boundary: whatever goes wrong in a call is an observation
        return f"Error during execution: {error}"


def _rewrite(text: str, instances: dict[str, ToolSet]) -> str:
    def qualify(match: re.Match[str]) -> str:
        name = match[1]
        owner = next((owner for owner, toolset in reversed(instances.items()) if name in toolset.tools), None)
        return name if owner is None else f"{owner}.{name}"

    return _CALLED_NAME.sub(qualify, text)


def _deny(text: str) -> None:
    name = text.partition("(")[0]
    if "." in name:
        name = name.split(".")[1]
    if name in _DENIED:
        raise RefusedError(f"Function call {name} is not allowed.")


def parse_expression(text: str) -> ast.expr:
    """Parse one expression and check what CPython checks before it runs anything.

    Raises:
        SyntaxError: with CPython's message.
        RefusedError: the expression is nested too deeply, or has too many calls.
    """
    # Odd escapes and the like warn, which must neither print nor raise; the filter that says so is process-wide.
    with _parsing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = ast.parse(text.lstrip(" \t"), "<string>", mode="eval").body
    pending: list[tuple[ast.AST, int, bool]] = [(body, 1, False)]
    calls = 0
    while pending:
        node, depth, inner = pending.pop()
        if depth > DEEPEST_VALUE:
            raise RefusedError(f"the call is nested too deeply (more than {DEEPEST_VALUE} levels)")
        calls += isinstance(node, ast.Call)
        _check_compiles(node, inner)
        inner = inner or isinstance(node, _SCOPES)
        pending.extend((child, depth + 1, inner) for child in reversed([*ast.iter_child_nodes(node)]))
    if calls > _MOST_CALLS:
        raise RefusedError(f"too many calls in one (more than {_MOST_CALLS})")
    return body


def _check_compiles(node: ast.AST, inner: bool) -> None:
    """Refuse what parses but would not compile; ``inner``: within a function's scope, where more is allowed."""
    match node:
        case ast.Call():
            _check_keywords([given for given in node.keywords if given.arg is not None])
        case ast.Yield() | ast.YieldFrom() if not inner:
            raise _syntax_error("'yield' outside function", node)
        case ast.Await() if not inner:
            raise _syntax_error("'await' outside function", node)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() if any(part.is_async for part in node.generators):
            raise _syntax_error("asynchronous comprehension outside of an asynchronous function", node)


def _check_keywords(keywords: list[ast.keyword]) -> None:
    for index, given in enumerate(keywords):
        if given.arg == "__debug__":
            raise _syntax_error("cannot assign to __debug__", given)
        for other in keywords[index + 1 :]:
            if other.arg == given.arg:
                raise _syntax_error(f"keyword argument repeated: {given.arg}", other)


def _syntax_error(message: str, node: ast.expr | ast.keyword) -> SyntaxError:
    return SyntaxError(message, ("<string>", node.lineno, node.col_offset, None))


_SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

# Group rollouts and ground truths repeat themselves. Trees are never changed.
_parse_again = lru_cache(1_024)(parse_expression)


def _print(*values: Any, file: Any = None, **options: Any) -> None:
    print(*values, file=io.StringIO() if file is None else file, **options)  # no value has a method "write"


def _sum(items: Iterable[Any], start: Any = 0) -> Any:
    """``sum``, in linear time for lists and tuples too."""
    if not isinstance(start, list | tuple):
        return sum(items, start)
    empty = type(start)()
    total = list(start)
    for item in items:
        total.extend(item if type(item) is type(start) else empty + item)  # what cannot be added says so
    return type(start)(total)


def _behind(builtin: Callable[..., Any], bounded: Callable[..., Any]) -> Callable[..., Any]:
    """``bounded`` with the signature of ``builtin``, which is left to complain where arguments do not fit it."""
    signature = inspect.signature(builtin)

    def call(*arguments: Any, **keywords: Any) -> Any:
        try:
            bound = signature.bind(*arguments, **keywords)
        except TypeError:
            return builtin(*arguments, **keywords)
        return bounded(*bound.args, **bound.kwargs)

    return call


# Builtins that can be called. Sets are left out, as they print in another order in every process.
_BUILTINS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "all": all,
    "any": any,
    "bool": bool,
    "dict": dict,
    "float": float,
    "int": int,
    "len": len,
    "list": list,
    "max": max,
    "min": min,
    "print": print,
    "repr": repr,
    "round": round,
    "sorted": sorted,
    "str": str,
    "sum": sum,
    "tuple": tuple,
}
_INSTEAD: dict[str, Callable[..., Any]] = {
    "print": _print,
    "round": _behind(round, lambda number, places=None: rounded(number, places)),
    "sum": _behind(sum, _sum),
}
_RUN = {id(function): _INSTEAD.get(name, function) for name, function in _BUILTINS.items()}

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: product,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: power,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}


class _Evaluation:
    """Walks one expression, in CPython's order of evaluation."""

    def __init__(self, instances: dict[str, ToolSet]):
        self._instances = instances
        self._budget = Budget(LARGEST_RESULT, "the call")  # over all intermediate results

    def value(self, node: ast.expr) -> Any:
        self._budget.charge(1)
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self._named(node.id)
            case ast.Call():
                return self._call(node)
            case ast.List():
                return self._items(node.elts)
            case ast.Tuple():
                return tuple(self._items(node.elts))
            case ast.Dict():
                return self._dict(node)
            case ast.Subscript():
                return self.value(node.value)[self.value(node.slice)]
            case ast.Slice():
                lower, upper, step = (part and self.value(part) for part in (node.lower, node.upper, node.step))
                return slice(lower, upper, step)
            case ast.UnaryOp() if type(node.op) in _UNARY:
                return _UNARY[type(node.op)](self.value(node.operand))
            case ast.BinOp() if type(node.op) in _BINARY:
                return self._binary(node)
            case ast.BoolOp():
                stop = isinstance(node.op, ast.Or)
                for operand in node.values:
                    result = self.value(operand)
                    if bool(result) is stop:
                        break
                return result
            case ast.Compare():
                return self._compare(node)
            case ast.IfExp():
                return self.value(node.body if self.value(node.test) else node.orelse)
            case ast.Attribute():
                return self._attribute(node)
        raise RefusedError(f"Python's {type(node).__name__} is not available in a call")

    def _named(self, name: str) -> Any:
        if name in _BUILTINS:
            return _BUILTINS[name]
        if hasattr(builtins, name):
            raise RefusedError(f"Python's {name} is not available in a call")
        raise NameError(f"name '{name}' is not defined")

    def _attribute(self, node: ast.Attribute) -> Any:
        owner = self.value(node.value)
        if node.attr in dir(owner):
            raise RefusedError(f"attribute '{node.attr}' is not available in a call")
        kind = f"type object '{owner.__name__}'" if isinstance(owner, type) else f"'{type(owner).__name__}' object"
        raise AttributeError(f"{kind} has no attribute '{node.attr}'")

    def _call(self, node: ast.Call) -> Any:
        function = self._function(node.func)
        match node.args:
            case [ast.Starred(value=everything)]:  # CPython looks at it only after the keywords
                given = self.value(everything)
            case _:
                given = self._items(node.args)
        keywords = self._keywords(node.keywords, function)
        if not isinstance(given, _ITERABLE):
            raise TypeError(f"{_shown(function)} argument after * must be an iterable, not {type(given).__name__}")
        self._budget.charge(len(given))
        run = function if isinstance(function, MethodType) else _RUN.get(id(function))
        if run is None:
            raise TypeError(f"'{type(function).__name__}' object is not callable")
        if not all(isinstance(name, str) for name in keywords):
            raise TypeError("keywords must be strings")
        arguments, keywords = Budget(LARGEST_ARGUMENTS, "the arguments").copy((list(given), keywords))
        _check_numbers(*arguments, *keywords.values())
        return run(*arguments, **keywords)

    def _function(self, node: ast.expr) -> Any:
        """What is called: a method of a tool set, or any value."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in self._instances:
            owner = self._instances[node.value.id]
            if node.attr not in owner.tools:
                raise AttributeError(f"'{type(owner).__name__}' object has no attribute '{node.attr}'")
            return getattr(owner, node.attr)  # a known tool's name
        return self.value(node)

    def _items(self, nodes: list[ast.expr]) -> list[Any]:
        items: list[Any] = []
        for node in nodes:
            if not isinstance(node, ast.Starred):
                items.append(self.value(node))
                continue
            starred = self.value(node.value)
            if not isinstance(starred, _ITERABLE):
                raise TypeError(f"Value after * must be an iterable, not {type(starred).__name__}")
            self._budget.charge(len(starred))
            items.extend(starred)
        return items

    def _keywords(self, nodes: list[ast.keyword], function: Any) -> dict[Any, Any]:
        keywords: dict[Any, Any] = {}
        for unpacked, group in groupby(nodes, lambda given: given.arg is None):
            if unpacked:
                for given in group:
                    self._merge(keywords, self.value(given.value), function)
            else:
                self._merge(keywords, {given.arg: self.value(given.value) for given in group}, function)
        return keywords

    def _merge(self, keywords: dict[Any, Any], more: Any, function: Any) -> None:
        if not isinstance(more, dict):
            raise TypeError(f"{_shown(function)} argument after ** must be a mapping, not {type(more).__name__}")
        self._budget.charge(len(more))
        for name in more:
            if name in keywords:
                raise TypeError(f"{_shown(function)} got multiple values for keyword argument '{name}'")
        keywords.update(more)

    def _dict(self, node: ast.Dict) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        pairs = zip(node.keys, node.values, strict=True)
        for unpacked, group in groupby(pairs, lambda pair: pair[0] is None):
            if not unpacked:
                entries = [(key, value) for key, value in group if key is not None]
                found = ((self.value(key), self.value(value)) for key, value in entries)
                result.update(found if len(entries) > _MOST_ON_STACK else [*found])
                continue
            for _, value in group:
                mapping = self.value(value)
                if not isinstance(mapping, dict):
                    raise TypeError(f"'{type(mapping).__name__}' object is not a mapping")
                self._budget.charge(len(mapping))
                result.update(mapping)
        return result

    def _binary(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.Mod) and isinstance(left, str | bytes):
            raise RefusedError("text formatting is not available in a call")  # a width can be any number
        _check_numbers(left, right)
        result = _BINARY[type(node.op)](left, right)
        _check_numbers(result)
        self._budget.copy(result)
        return result

    def _compare(self, node: ast.Compare) -> Any:
        left, result = self.value(node.left), True
        for comparison, operand in zip(node.ops, node.comparators, strict=True):
            right = self.value(operand)
            result = _COMPARE[type(comparison)](left, right)
            if not result:
                break
            left = right
        return result


_ITERABLE = (str, bytes, list, tuple, dict)
_COMMON = (*_ITERABLE, int, float, complex)


def _check_numbers(*values: Any) -> None:
    """Refuse numbers of arbitrary precision, which tools make, that could take for ever to compute with.

    Their exponents have no end: an mpf of a few bytes is an integer of gigabytes.
    """
    precise: list[Any] = [value for value in values if not isinstance(value, _COMMON) and isinstance(value, Number)]
    for value in precise:
        size = abs(value)
        if size != size or size in (0, math.inf):
            continue
        if len(repr(value)) > _LONGEST_NUMBER or size > _LARGEST_NUMBER or size * _LARGEST_NUMBER < 1:
            raise RefusedError("the number is too large")


def _shown(function: Any) -> str:
    """What CPython's errors about ``*`` and ``**`` call a function, with the module that upstream's tool is in."""
    if isinstance(function, MethodType):
        name = type(function.__self__).__name__
        return f"{_UPSTREAM}.{DOC_FILES.get(name, name)}.{function.__qualname__}()"
    return f"{function.__qualname__}()" if id(function) in _RUN else str(function)
