"""How a task begins: with a memory that earlier conversations left, and a system message that shows it.

A memory is plain data in upstream's form, that of its snapshot files: ``{"core_memory": {key: text},
"archival_memory": {key: text}}`` in the back-end ``kv``, ``{"memory": text}`` in ``rec_sum``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jsonschema

from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.messages import system
from tooluse_gym.tasks import Task
from tooluse_gym.world import World

CLASSES = {"kv": "MemoryAPI_kv", "rec_sum": "MemoryAPI_rec_sum"}
"""The back-ends, and the simulator of each."""

CONTENT = "{memory_content}"
"""The place of the memory in a system message, as upstream marks it."""

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_FORMS = {
    "kv": {"core_memory": _TEXTS, "archival_memory": _TEXTS},
    "rec_sum": {"memory": {"type": "string"}},
}
_VALIDATORS = {
    backend: jsonschema.Draft202012Validator({"type": "object", "properties": form, "additionalProperties": False})
    for backend, form in _FORMS.items()
}
_EMPTY = {
    "kv": "There is no content in the core memory at this point.",
    "rec_sum": "There is no content in the memory at this point.",
}


def begin(task: Task, memory: Mapping[str, Any]) -> Task:
    """The task with that memory, which its system message shows: ``metadata["system"]`` with the memory in its place.

    Raises:
        ConfigurationError: it is no memory of the task's back-end; the message names the field.
    """
    backend = task.metadata["backend"]
    error = next(_VALIDATORS[backend].iter_errors(memory), None)
    if error is not None:
        field = ".".join(["memory", *map(str, error.absolute_path)])
        raise ConfigurationError(f"reset option {field}: {error.message[:200]} (back-end {backend})")
    first, *others = task.turns
    message = system(task.metadata["system"].replace(CONTENT, _shown(backend, memory)))
    opened = replace(first, messages=(message, *(said for said in first.messages if said["role"] != "system")))
    return replace(task, turns=(opened, *others), initial_state={CLASSES[backend]: dict(memory)})


def left(world: World, backend: str) -> dict[str, Any]:
    """A copy of the memory in a world."""
    return copy.deepcopy(world.toolsets[CLASSES[backend]].state())


def text_of(world: World, backend: str) -> str:
    """All that the memory in a world says."""
    return json.dumps(left(world, backend), ensure_ascii=False)


def empty(backend: str) -> dict[str, Any]:
    """The memory that a first conversation begins with."""
    return copy.deepcopy(dict(SIMULATORS[CLASSES[backend]].defaults))


def _shown(backend: str, memory: Mapping[str, Any]) -> str:
    always_shown = memory.get("core_memory" if backend == "kv" else "memory")
    if not always_shown:
        return _EMPTY[backend]
    return json.dumps(always_shown, indent=4) if backend == "kv" else str(always_shown)
