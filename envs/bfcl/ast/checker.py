"""BFCL's AST checker: do decoded calls agree with the accepted ones? Pure: docs and answers in, error type out.

Every rule is upstream's, its leniencies included: a text made of blanks and dashes passes for an omitted parameter, a
wrong key of a dict outweighs its wrong values, matching of unordered calls is greedy. Where the official checker
crashes on a value's shape, the call is wrong with the error type ``CRASH``, which is ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tooluse_gym.envs.bfcl.ast import java, javascript
from tooluse_gym.envs.bfcl.ast.scalars import OfficialError
from tooluse_gym.envs.bfcl.languages import Language, language_of
from tooluse_gym.envs.bfcl.single_turn.accepted import OMITTABLE

Doc = Mapping[str, Any]
Options = Sequence[Any]
"""The accepted values of a parameter; "" among them says that it may be omitted."""
Accepted = Mapping[str, Mapping[str, Options]]
"""One accepted call, ``{function: {parameter: options}}``."""

CRASH = "ast_checker:crash"

_SIMPLE, _MULTIPLE, _PARALLEL = (
    "simple_function_checker",
    "multiple_function_checker",
    "parallel_function_checker_no_order",
)
_PYTHON_TYPES: dict[str, type[Any]] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}
_TYPES = {"python": _PYTHON_TYPES, "java": java.PYTHON_TYPES, "javascript": javascript.PYTHON_TYPES}
_CONVERTERS = {"java": java.convert, "javascript": javascript.convert}
_TYPE_ERRORS = {"java": "type_error:java", "javascript": "type_error:js"}
_COLLECTIONS = ("array", "tuple", "Array", "ArrayList")
_IGNORED = re.compile(r"[ ,./\-_*^]")


def check_calls(
    category: str, docs: Sequence[Doc], answers: Sequence[Accepted], calls: Any, underscore_to_dot: bool = False
) -> str | None:
    """What is wrong with the decoded ``calls`` of a reply, ``[{name: {parameter: value}}, …]``, or None.

    Args:
        category: it decides by its name how calls are matched, and their language.
        docs: the functions that the model was given.
        answers: the accepted calls.
        underscore_to_dot: expect ``_`` for every ``.`` in a function's name, which function-calling APIs forbid.
    """
    if not is_calls(calls):
        return "ast_decoder:decoder_wrong_output_format"
    checker = _Checker(language_of(category), underscore_to_dot)
    if "parallel" in category:
        return _unordered(checker, docs, answers, calls)
    kind, doc = (_MULTIPLE, _find(docs, answers[0])) if "multiple" in category else (_SIMPLE, docs[0])
    if len(calls) != len(answers):
        return f"{kind}:wrong_count"
    return checker.call(doc, answers[0], calls[0])


def is_calls(decoded: Any) -> bool:
    """Whether a decoded value is a list of calls, of none perhaps."""
    return isinstance(decoded, list) and all(
        isinstance(call, dict) and len(call) == 1 and isinstance(next(iter(call.values())), dict) for call in decoded
    )


def _find(docs: Sequence[Doc], accepted: Accepted) -> Doc:
    name = next(iter(accepted))
    return next(doc for doc in docs if doc["name"] == name)


def _unordered(checker: _Checker, docs: Sequence[Doc], answers: Sequence[Accepted], calls: list[Any]) -> str | None:
    if len(calls) != len(answers):
        return f"{_PARALLEL}:wrong_count"
    left = list(calls)
    for accepted in answers:
        doc = _find(docs, accepted)
        for index, call in enumerate(left):
            error = checker.call(doc, accepted, call)
            if error == CRASH:
                return CRASH
            if error is None:
                del left[index]
                break
        else:
            return f"{_PARALLEL}:cannot_find_match"
    return None


class _Checker:
    """Compares one call with one accepted call."""

    def __init__(self, language: Language, underscore_to_dot: bool):
        self._language = language
        self._underscore_to_dot = underscore_to_dot

    def call(self, doc: Doc, accepted: Accepted, call: Mapping[str, Any]) -> str | None:
        try:
            return self._call(doc, next(iter(accepted.values())), call)
        except OfficialError:
            return CRASH

    def _call(self, doc: Doc, accepted: Mapping[str, Options], call: Mapping[str, Any]) -> str | None:
        name = doc["name"].replace(".", "_") if self._underscore_to_dot else doc["name"]
        if name not in call:
            return f"{_SIMPLE}:wrong_func_name"
        arguments = call[name]
        schema = doc["parameters"]
        for parameter in schema["required"]:
            if parameter not in arguments:
                return f"{_SIMPLE}:missing_required"
        for parameter, value in arguments.items():
            if parameter not in schema["properties"] or parameter not in accepted:
                return f"{_SIMPLE}:unexpected_param"
            error = self._argument(schema["properties"][parameter], accepted[parameter], value)
            if error is not None:
                return error
        for parameter, options in accepted.items():
            if parameter not in arguments and OMITTABLE not in options:
                return f"{_SIMPLE}:missing_optional"
        return None

    def _argument(self, schema: Mapping[str, Any], options: Options, value: Any) -> str | None:
        kind: str = schema["type"]
        types = _TYPES[self._language]
        expected = types[kind]
        items: str | None = schema["items"]["type"] if kind in _COLLECTIONS else None
        if self._language != "python":
            if type(value) is not str:
                return _TYPE_ERRORS[self._language]
            value = _CONVERTERS[self._language](value, kind, items)
        elif kind == "tuple" and type(value) is tuple:
            value = list(value)
        elif kind == "float" and type(value) is int:
            value = _as_float(value)
        nested = types[items] if items is not None else None
        error, is_variable = _type_error(value, options, expected, nested)
        if error is not None:
            return error
        if not is_variable:
            if expected is dict:
                return _dict_error(value, options)
            if expected is list:
                return _dicts_error(value, options) if nested is dict else _list_error(value, options)
            if expected is str:
                return _text_error(value, options)
        return None if value in options else "value_error:others"


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise OfficialError("an integer too large for a float") from None


def _type_error(value: Any, options: Options, expected: type[Any], nested: type[Any] | None) -> tuple[str | None, bool]:
    """What is wrong with the type, and whether the value passes for a variable: it is of the answer's type instead."""
    answered = expected
    for option in options:
        if option != OMITTABLE:
            answered = type(option)
            break
    is_variable = answered is not expected
    if type(value) is expected:
        if nested is None:
            return None, is_variable
        for option in options:
            if not isinstance(option, list) or not any(_type_error(item, option, nested, None)[0] for item in value):
                return None, is_variable
        return ("type_error:nested" if options else "type_error:simple"), is_variable
    return (None if type(value) is answered else "type_error:simple"), True


def _text_error(value: str, options: Options) -> str | None:
    if value in options:  # most right values are written as accepted
        return None
    accepted = {_plain(option) for option in options if isinstance(option, str)}
    return None if _plain(value) in accepted else "value_error:string"


def _list_error(value: list[Any], options: Options) -> str | None:
    return None if _plain_all(value) in [_plain_all(option) for option in options] else "value_error:list/tuple"


def _dicts_error(value: list[Any], options: Options) -> str | None:
    error: str | None = "value_error:list_dict_count"
    for option in options:
        error = "value_error:list_dict_count"
        if not isinstance(option, list | str | dict):
            raise OfficialError("an accepted value without a length")
        if len(value) == len(option):
            pairs = zip(value, _elements(option), strict=True)
            errors = (_dict_error(item, [accepted]) for item, accepted in pairs)
            error = next((error for error in errors if error is not None), None)
        if error is None:
            return None
    return error


def _dict_error(value: Mapping[Any, Any], options: Options) -> str | None:
    error: str | None = "dict_checker:unclear"
    for option in options:
        if option == OMITTABLE:
            continue
        error = _one_dict_error(value, option)
        if error is None:
            return None
    return error


def _one_dict_error(value: Any, option: Any) -> str | None:
    if not isinstance(value, dict) or not isinstance(option, dict):
        raise OfficialError("neither may be anything but an object")
    if any(key not in value and OMITTABLE not in _elements(accepted) for key, accepted in option.items()):
        return "value_error:dict_key"
    for key, member in value.items():
        if key not in option:
            return "value_error:dict_key"
        if _plain_text(member) not in _plain_all(option[key]):
            return "value_error:dict_value"
    return None


def _plain(text: str) -> str:
    return _IGNORED.sub("", text).lower().replace("'", '"')


def _plain_text(value: Any) -> Any:
    return _plain(value) if isinstance(value, str) else value


def _plain_all(values: Any) -> list[Any]:
    return [_plain_text(value) for value in _elements(values)]


def _elements(values: Any) -> Any:
    if not isinstance(values, list | str) and values != {}:
        raise OfficialError("neither a list nor a text")
    return values
