"""Values as the source text that a Java or JavaScript function gets them in: the inverse of upstream's conversion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tooluse_gym.envs.bfcl.languages import Language


def source_value(value: Any, parameter: Mapping[str, Any], language: Language) -> str:
    """The text that upstream reads as ``value``, an accepted value of a parameter with this doc.

    A value that is a text in spite of the parameter's type, the name of a variable for instance, stands for itself.
    """
    kind, item = parameter["type"], parameter.get("items", {}).get("type", "any")
    if isinstance(value, list):
        return _java_list(value, kind, item) if language == "java" else _javascript_list(value, item)
    if isinstance(value, dict):
        return _java_map(value) if language == "java" else _javascript_object(value)
    return _scalar(value, kind, language)


def _scalar(value: Any, kind: str, language: Language) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # Upstream takes one pair of quotes off a JavaScript string.
        quoted = language == "javascript" and kind == "String" and len(value) > 1 and value[0] == value[-1]
        return f'"{value}"' if quoted and value[0] in "\"'" else value
    suffix = {"long": "L", "float": "f"} if language == "java" else {"Bigint": "n"}
    number = float(value) if kind in ("float", "double") else value
    return f"{number}{suffix.get(kind, '')}"


def _java_list(values: list[Any], kind: str, item: str) -> str:
    if kind == "Array":  # whose texts keep their quotes, so that they have none
        return f"new {item}[]{{{','.join(_scalar(value, item, 'java') for value in values)}}}"
    texts = (f'"{value}"' if isinstance(value, str) else _scalar(value, item, "java") for value in values)
    return f"new ArrayList<{item}>(Arrays.asList({', '.join(texts)}))"


def _java_map(values: Mapping[str, Any]) -> str:
    puts = " ".join(f'put("{key}", {_java_literal(value)});' for key, value in values.items())
    return f"new HashMap<String, Object>() {{{{ {puts} }}}}" if puts else "new HashMap<String, Object>()"


def _java_literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else _scalar(value, "any", "java")


def _javascript_list(values: list[Any], item: str) -> str:
    if any(isinstance(value, list) for value in values):
        return f"[{', '.join(_javascript_list(value, item) for value in values)}]"
    return f"[{', '.join(_javascript_literal(value) for value in values)}]"


def _javascript_object(values: Mapping[str, Any]) -> str:
    return f"{{{', '.join(f'{key}: {_javascript_literal(value)}' for key, value in values.items())}}}"


def _javascript_literal(value: Any) -> str:
    if isinstance(value, list):
        return _javascript_list(value, "any")
    if isinstance(value, dict):
        return _javascript_object(value)
    if isinstance(value, str):
        quote = '"' if "'" in value else "'"
        return f"{quote}{value}{quote}"
    return _scalar(value, "any", "javascript")
