"""Cases of single-turn scoring, made from BFCL's data and from nothing: what its program is asked, and what we say."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from benchmarks.bfcl_ast_odd import ODD, SOURCES, TOKENS, mangled, odd_value
from tooluse_gym.envs.bfcl.ast import java, javascript
from tooluse_gym.envs.bfcl.ast.checker import CRASH
from tooluse_gym.envs.bfcl.ast.return_formats import ReturnFormat, decode_reply
from tooluse_gym.envs.bfcl.ast.scalars import OfficialError
from tooluse_gym.envs.bfcl.ast.scorer import score_ast_calls
from tooluse_gym.envs.bfcl.languages import Language, language_of
from tooluse_gym.envs.bfcl.single_turn import SINGLE_TURN, UNANSWERED, load_single_turn
from tooluse_gym.envs.bfcl.single_turn.source_values import source_value
from tooluse_gym.formats.python_calls import DecodeError
from tooluse_gym.tasks import Task

CATEGORIES = tuple(name for name in SINGLE_TURN if name not in UNANSWERED)
FORMATS: tuple[ReturnFormat, ...] = get_args(ReturnFormat)
VALUES: dict[str, Callable[..., Any]] = {"java": java.convert, "javascript": javascript.convert}
_CONVERTED = {"java": tuple(java.PYTHON_TYPES), "javascript": tuple(javascript.PYTHON_TYPES)}
_COLLECTIONS = {"java": ("Array", "ArrayList", "HashMap"), "javascript": ("array", "dict")}
FAILED = "fails"
"""Says either side where no verdict or value comes out."""


@dataclass(frozen=True)
class Case:
    """What the oracle is asked, and what we say."""

    request: Mapping[str, Any]
    ours: Any


# --- Verdicts on calls ----------------------------------------------------------------------------------------------


def verdict_case(category: str, tasks: Sequence[Task], rng: random.Random) -> Case:
    drawn = rng.choices(tasks, k=rng.choice((1, 12)))
    task = next((task for task in drawn if _is_structured(task)), drawn[0])
    docs, answers = task.metadata["functions"], task.metadata["possible_answer"]
    under = rng.random() < 0.15
    language = language_of(category)
    calls: Any = [_accepted(rng, answer, docs, language) for answer in answers]
    if under and rng.random() < 0.8:
        calls = [{name.replace(".", "_"): given for name, given in call.items()} for call in calls]
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3))):
        calls = _perturbed(rng, calls, docs, language)
    verdict = score_ast_calls(category, task, calls, under)
    request = {"check": repr(calls), "docs": docs, "answers": answers, "category": category, "under": under}
    return Case(request, FAILED if verdict.error_type == CRASH else [verdict.valid, verdict.error_type])


def made_up_case(category: str, rng: random.Random) -> Case:
    """A verdict on a task that BFCL does not have, with accepted values of other shapes than its own."""
    language = language_of(category)
    kinds = _KINDS[language]
    properties, accepted = {}, {}
    for name in rng.sample("abcd", rng.randint(1, 3)):
        kind = rng.choice(kinds)
        properties[name] = {"type": kind} | ({"items": {"type": rng.choice(kinds)}} if kind in _LISTS else {})
        accepted[name] = rng.choices(_OPTIONS, k=rng.choice((0, 1, 1, 2, 2, 3)))
    required = rng.sample(list(properties), rng.randint(0, len(properties)))
    docs = [{"name": "f.g", "parameters": {"type": "dict", "properties": properties, "required": required}}]
    task = Task("made up", (), (), metadata={"functions": docs, "possible_answer": [{"f.g": accepted}]})
    given: dict[str, Any] = {name: _one(rng, rng.choice(options)) for name, options in accepted.items() if options}
    for name, value in given.items():
        if rng.random() < 0.4:
            given[name] = odd_value(rng, value)
        if language != "python" and rng.random() < 0.9:
            given[name] = rng.choice(SOURCES[language]) if rng.random() < 0.5 else json.dumps(str(value))
    calls = [{"f.g": given}]
    verdict = score_ast_calls(category, task, calls)
    request = {"check": repr(calls), "docs": docs, "answers": [{"f.g": accepted}], "category": category, "under": False}
    return Case(request, FAILED if verdict.error_type == CRASH else [verdict.valid, verdict.error_type])


_KINDS: dict[Language, tuple[str, ...]] = {
    "python": ("string", "integer", "float", "boolean", "array", "tuple", "dict", "any", "array", "dict"),
    "java": ("byte", "integer", "long", "float", "double", "boolean", "String", "any", "Array", "ArrayList", "HashMap"),
    "javascript": ("String", "integer", "float", "Bigint", "Boolean", "dict", "array", "any"),
}
_LISTS = ("array", "tuple", "Array", "ArrayList")
_OPTIONS: tuple[Any, ...] = (
    *("", "", "x", "A b", 1, 2.0, True, None, [], [1], [1.5], ["a"], ["a", "b"], [[1], [2]], {}),
    *({"a": [1]}, {"a": ["x", ""]}, {"a": [1, 2], "b": [""]}, {"a": [["x"]]}, {"a": [{"b": 1}]}, {"a": "xy"}, {"a": 1}),
    *(
        [{}],
        [{"a": [1]}],
        [{"a": ["x"]}, {"a": ["y", ""]}],
        [{"a": [1]}, 1],
        ["a", {"a": [1]}],
        [None],
        [""],
        ["", "a"],
    ),
)


def _is_structured(task: Task) -> bool:
    """Whether an object is accepted: few tasks have one."""
    options = [
        given for call in task.metadata["possible_answer"] for accepted in call.values() for given in accepted.values()
    ]
    members = [item for given in options for option in given if isinstance(option, list) for item in option]
    return any(isinstance(option, dict) for given in [*options, members] for option in given)


def _accepted(rng: random.Random, answer: Mapping[str, Any], docs: Sequence[Any], language: Language) -> dict[str, Any]:
    ((name, accepted),) = answer.items()
    properties = next(doc for doc in docs if doc["name"] == name)["parameters"]["properties"]
    given = {}
    for parameter, options in accepted.items():
        if options and not ("" in options and rng.random() < 0.4):
            value = _one(rng, rng.choice(options))
            written = language != "python" and parameter in properties and value is not None
            given[parameter] = source_value(value, properties[parameter], language) if written else value
    return {name: given}


def _one(rng: random.Random, option: Any) -> Any:
    if isinstance(option, dict):
        accepted = {key: values if isinstance(values, list | str) else [values] for key, values in option.items()}
        chosen = {key: rng.choice(values) for key, values in accepted.items() if values}
        return {key: value for key, value in chosen.items() if value != "" or rng.random() < 0.3}
    return [_one(rng, item) for item in option] if isinstance(option, list) else option


def _perturbed(rng: random.Random, calls: Any, docs: Sequence[Any], language: Language) -> Any:
    if not isinstance(calls, list) or not calls or not all(isinstance(call, dict) and call for call in calls):
        return calls
    place, change = rng.randrange(len(calls)), rng.randrange(20)
    name, given = next(iter(calls[place].items()))
    if not isinstance(given, dict):
        return calls
    if change == 0:
        return rng.sample(calls, len(calls))
    if change == 1:
        return [*calls, rng.choice(calls)] if rng.random() < 0.5 else calls[:place] + calls[place + 1 :]
    if change == 2 and rng.random() < 0.3:
        return rng.choice([calls[0], tuple(calls), [calls], None, "", [*calls, 1], [*calls, {}], {}])
    if change == 2:
        renamed: Any = {rng.choice([name.upper(), name.replace(".", "_"), f"{name}_", ""]): given}
    elif change == 3:
        renamed = rng.choice([{name: list(given)}, {name: None}, {name: given, "x": {}}, {"x": {}, name: given}])
    elif change == 4 and given:
        left_out = rng.choice(list(given))
        renamed = {name: {parameter: value for parameter, value in given.items() if parameter != left_out}}
    elif change == 5:
        known = [parameter for doc in docs for parameter in doc["parameters"]["properties"]]
        renamed = {name: {**given, rng.choice([*known, "x", None, 1]): rng.choice(ODD)}}
    elif change == 6:
        renamed = {name: dict(rng.sample(list(given.items()), len(given)))}
    elif given:
        parameter = rng.choice(list(given))
        value = given[parameter]
        mangle = language != "python" and isinstance(value, str) and rng.random() < 0.7
        value = mangled(rng, value, TOKENS[language]) if mangle else odd_value(rng, value)
        renamed = {name: {**given, parameter: value}}
    else:
        renamed = {name: {"x": 1}}
    return [*calls[:place], renamed, *calls[place + 1 :]]


# --- Values of Java and JavaScript ----------------------------------------------------------------------------------


def value_case(language: str, rng: random.Random) -> Case:
    if rng.random() < 0.5:
        text = "".join(rng.choices(TOKENS[language], k=rng.randint(1, 14)))
        if language == "javascript" and rng.random() < 0.6:
            text = rng.choice(("[", "[[", "{", "{a: ", "new Array(")) + text + rng.choice(("]", "]]", "}", ")"))
    else:
        text = mangled(rng, rng.choice(SOURCES[language]), TOKENS[language])
    kinds = _COLLECTIONS[language] if rng.random() < 0.7 else _CONVERTED[language]
    kind, items = rng.choice(kinds), rng.choice((None, None, *_CONVERTED[language]))
    try:
        ours = repr(VALUES[language](text, kind, items))
    except OfficialError:
        ours = FAILED
    return Case({"convert": language, "value": repr(text), "type": kind, "nested": items}, ours)


# --- Replies --------------------------------------------------------------------------------------------------------


def reply_case(return_format: ReturnFormat, material: Mapping[str, Sequence[Task]], rng: random.Random) -> Case:
    text = _written(return_format, material, rng)
    tagged = rng.random() < 0.2
    if tagged:
        text = f"<TOOLCALL>{text}</TOOLCALL>"
    if rng.random() < 0.15:
        text = rng.choice(("```{}```", "Sure: {}", "'{}'", " {}\n", "```json\n{}\n```", "{};", "{} ok")).format(text)
    text = mangled(rng, text, TOKENS[return_format])
    try:
        ours = repr(decode_reply(text, return_format, tagged))
    except DecodeError:
        ours = FAILED
    return Case({"decode": text, "format": return_format, "tagged": tagged}, ours)


def _written(return_format: ReturnFormat, material: Mapping[str, Sequence[Task]], rng: random.Random) -> str:
    language: Language = return_format if return_format in ("java", "javascript") else "python"
    category = (
        f"simple_{language}"
        if language != "python"
        else rng.choice([name for name in CATEGORIES if "_java" not in name])
    )
    task = rng.choice(material[category])
    accepted = [
        _accepted(rng, answer, task.metadata["functions"], language) for answer in task.metadata["possible_answer"]
    ]
    calls = [(name, given) for call in accepted for name, given in call.items()]
    if language != "python":
        (name, given) = calls[0]
        given = {key: rng.choice(SOURCES[language]) if rng.random() < 0.3 else value for key, value in given.items()}
        return f"[{name}({', '.join(f'{key}={value}' for key, value in given.items())}){rng.choice((';', '', ''))}]"
    if return_format == "python":
        return f"[{', '.join(f'{name}({_keywords(given)})' for name, given in calls)}]"
    if return_format == "json":
        return json.dumps(
            [{"function": name, "parameters": given} for name, given in calls], ensure_ascii=rng.random() < 0.5
        )
    functions = "".join(_xml(name, given, return_format) for name, given in calls)
    return f"<functions>{functions}</functions>"


def _keywords(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in given.items())


_XML_TYPES = {
    str: "string",
    int: "integer",
    float: "float",
    bool: "boolean",
    list: "array",
    dict: "dict",
    type(None): "null",
}


def _xml(name: str, given: Mapping[str, Any], return_format: ReturnFormat) -> str:
    params = []
    for key, value in given.items():
        kind, text = _XML_TYPES[type(value)], str(value).replace("&", "&amp;").replace("<", "&lt;")
        if return_format == "verbose_xml":
            quoted = text.replace('"', "&quot;")
            params.append(f'<param name="{key}" value="{quoted}" type="{kind}"/>')
        else:
            params.append(f'<param name="{key}" type="{kind}">{text}</param>')
    inner = "".join(params)
    inside = f"<params>{inner}</params>" if return_format == "verbose_xml" else inner
    return f'<function name="{name}">{inside}</function>'


# --- All kinds of cases


def load(folder: Path) -> dict[str, list[Task]]:
    return {category: list(load_single_turn(category, folder).values()) for category in CATEGORIES}


def write_case(what: str, seed: str, material: Mapping[str, Sequence[Task]]) -> Case:
    """A case of a row of the table: ``verdicts CATEGORY``, ``replies FORMAT`` or ``values LANGUAGE``."""
    kind, _, which = what.partition(" ")
    rng = random.Random(seed)
    if kind == "verdicts":
        return verdict_case(which, material[which], rng)
    if kind == "made-up":
        return made_up_case(f"simple_{which}", rng)
    if kind == "values":
        return value_case(which, rng)
    return reply_case(next(each for each in FORMATS if each == which), material, rng)


ROWS = (
    *(f"made-up {language}" for language in get_args(Language)),
    *(f"verdicts {category}" for category in CATEGORIES),
    *(f"replies {return_format}" for return_format in FORMATS),
    *(f"values {language}" for language in VALUES),
)
