"""A configuration as text: YAML files and ``key.sub=value`` overrides, checked once, and back.

Unknown keys and values of a wrong type are errors that name the key and the nearest valid one.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from rest_agent.config import Config, ConfigError, RLConfig

T = TypeVar("T")
QUICKSTART = Path(__file__).with_name("quickstart.yaml")
ALGORITHMS = Path(__file__).with_name("algorithms.yaml")

_TRUNCATES = (
    "replies are sampled from the whole distribution; under truncation a token has another probability "
    "than the one that the trainer computes its gradient for"
)
_REFUSED = dict.fromkeys(("top_p", "top_k", "min_p"), _TRUNCATES)


def load(path: str | Path | None = None, overrides: Sequence[str] = (), otherwise: Path | None = QUICKSTART) -> Config:
    """The defaults, changed by a YAML file (``otherwise``, if none is named), changed by ``key.sub=value`` texts.

    The settings of ``rl.algorithm`` come right before the rest of what names it: an algorithm of the file is changed by
    the file, one of the command line replaces all that the file says of algorithms.

    Raises:
        ConfigError: the file is not YAML, a key is unknown, or a value has the wrong type. The message names the key.
    """
    path = otherwise if path is None else path
    file = {} if path is None else _read(path)
    changes = [_parse(override) for override in overrides]
    named = file["rl"].get("algorithm") if isinstance(file.get("rl"), dict) else None
    tree = to_tree(Config())
    tree = _merge(tree if named is None else _merge(tree, _algorithm(named)), file)
    for key, value in changes:
        if key == "rl.algorithm":
            tree = _merge(tree, _algorithm(value))
    for key, value in changes:
        _put(tree, key, value)
    return from_tree(Config, tree)


def _parse(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"override {override!r} is not of the form key.sub=value")
    try:
        return key, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {key}: {text!r} is not a YAML value") from error


def _algorithm(name: Any) -> dict[str, Any]:
    """The settings that an algorithm consists of, all of them."""
    known = _read(ALGORITHMS)
    if name not in known:
        raise ConfigError(f"rl.algorithm: expected one of {', '.join(known)}, got {name!r}")
    defaults = to_tree(RLConfig())
    everything = {key: defaults[key] for key in ("refill", "advantage", "loss", "kl")}
    return {"rl": {**_merge(everything, known[name]), "algorithm": name}}


def _read(path: str | Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if loaded is not None and not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected a mapping of keys, got {type(loaded).__name__}")
    return loaded or {}


def _merge(tree: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``tree`` changed key by key; a list is replaced as a whole."""
    merged = dict(tree)
    for key, value in changes.items():
        before = merged.get(key)
        merged[key] = _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set ``key.sub`` in ``tree``; a number names an item of a list (``sft.0.updates``)."""
    *parents, leaf = key.split(".")
    node: Any = tree
    for parent in parents:
        if isinstance(node, list):
            node = node[_index(node, parent, key)]
        elif isinstance(node, dict):
            if node.get(parent) is None:  # a group that the defaults leave out
                node[parent] = {}
            node = node[parent]
        else:
            raise ConfigError(f"override {key}: {parent} is not in a group of keys")
    if isinstance(node, list):
        node[_index(node, leaf, key)] = value
    elif isinstance(node, dict):
        node[leaf] = value
    else:
        raise ConfigError(f"override {key}: {leaf} is not in a group of keys")


def _index(items: list[Any], text: str, key: str) -> int:
    if text.isdecimal() and int(text) < len(items):
        return int(text)
    raise ConfigError(f"override {key}: expected an item from 0 to {len(items) - 1}, got {text}")


def from_tree(cls: type[T], tree: Any, place: str = "") -> T:
    """Build a configuration dataclass from plain dicts and lists; ``place`` is the key they stand under."""
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{place or 'configuration'}: expected a group of keys, got {tree!r}")
    hints = get_type_hints(cls)
    values = {}
    for key, value in tree.items():
        where = f"{place}.{key}" if place else str(key)
        if key not in hints:
            if key in _REFUSED:
                raise ConfigError(f"unknown key {where}: {_REFUSED[key]}")
            near = difflib.get_close_matches(str(key), hints, n=1, cutoff=0.4)
            prefix = f"{place}." if place else ""
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known keys: {', '.join(hints)}"
            raise ConfigError(f"unknown key {where}; {hint}")
        values[key] = _convert(hints[key], value, where)
    for required in dataclasses.fields(cls):  # type: ignore[arg-type]
        if required.name not in values and required.default is required.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{place}.{required.name} is missing" if place else f"{required.name} is missing")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{place}.{error}" if place else str(error)) from None


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_tree(hint, value, where)  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(option for option in arguments if option is not type(None)), value, where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where}: expected one of {', '.join(map(str, arguments))}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list, got {value!r}")
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise ConfigError(f"{where}: expected {len(arguments)} values, got {len(value)}")
        return tuple(_convert(arguments[0], item, f"{where}.{i}") for i, item in enumerate(value))
    expected = {Mapping: dict}.get(origin, hint)
    if expected is float:
        return _number(value, where)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise ConfigError(f"{where}: expected {expected.__name__}, got {value!r}")
    return value


def _number(value: Any, where: str) -> float:
    try:
        number = float("nan" if isinstance(value, bool) else value)  # YAML reads 3e-4 as text
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{where}: expected a finite number, got {value!r}")
    return number


def to_tree(config: Any) -> dict[str, Any]:
    """The inverse of :func:`from_tree`: plain dicts and lists, ready for YAML."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple | list) else value

    return plain(dataclasses.asdict(config))  # type: ignore[no-any-return]
