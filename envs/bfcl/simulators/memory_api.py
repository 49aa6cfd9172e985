"""MemoryAPI: what an agent keeps from one conversation to the next, as keys and values or as a single text."""

from __future__ import annotations

import re
from typing import Any

from tooluse_gym.bm25 import Bm25, best_first

from .base import Simulator
from .limits import LARGEST_RESULT, LONGEST_QUERY, RefusedError

_KEY = re.compile(r"[a-z]+(_[a-z0-9]+)*\n?")
_CORE, _ARCHIVAL = (7, 300), (50, 2_000)  # entries, characters of one
_LONGEST_TEXT = 10_000


class MemoryAPI_kv(Simulator):  # noqa: N801 (upstream's name, which Python's error messages show)
    """Values under snake_case keys: a small core memory, always before the agent's eyes, and a large archive."""

    core_memory: dict[str, str]
    archival_memory: dict[str, str]

    defaults = {"core_memory": {}, "archival_memory": {}}  # noqa: RUF012

    def archival_memory_add(self, key: str, value: str) -> dict[str, Any]:
        """Store a value in the archive.

        Args:
            key: a new key in snake_case.
            value: the text to store, at most 2000 characters.
        """
        return _add(self.archival_memory, "Long term", _ARCHIVAL, key, value) or {"status": "Key added."}

    def archival_memory_clear(self) -> dict[str, Any]:
        """Delete the whole archive."""
        self.archival_memory = {}
        return {"status": "Long term memory cleared."}

    def archival_memory_key_search(self, query: str, k: int = 5) -> dict[str, Any]:
        """Rank the archive's keys by their likeness to a query (BM25+).

        Args:
            query: the words to look for.
            k: how many keys to return.
        """
        return _search(list(self.archival_memory), query, k)

    def archival_memory_list_keys(self) -> dict[str, Any]:
        """List the archive's keys."""
        return {"keys": list(self.archival_memory)}

    def archival_memory_remove(self, key: str) -> dict[str, Any]:
        """Delete a value from the archive.

        Args:
            key: its key.
        """
        return _remove(self.archival_memory, key)

    def archival_memory_replace(self, key: str, value: str) -> dict[str, Any]:
        """Store another value in the archive under a key that is there.

        Args:
            key: the key.
            value: the new text, at most 2000 characters.
        """
        return _replace(self.archival_memory, _ARCHIVAL, key, value)

    def archival_memory_retrieve(self, key: str) -> dict[str, Any]:
        """Get a value from the archive.

        Args:
            key: its key.
        """
        return _retrieve(self.archival_memory, key)

    def core_memory_add(self, key: str, value: str) -> dict[str, Any]:
        """Store a value in the core memory.

        Args:
            key: a new key in snake_case.
            value: the text to store, at most 300 characters.
        """
        return _add(self.core_memory, "Core", _CORE, key, value) or {"status": "Key-value pair added."}

    def core_memory_clear(self) -> dict[str, Any]:
        """Delete the whole core memory."""
        self.core_memory = {}
        return {"status": "Short term memory cleared."}

    def core_memory_key_search(self, query: str, k: int = 5) -> dict[str, Any]:
        """Rank the core memory's keys by their likeness to a query (BM25+).

        Args:
            query: the words to look for.
            k: how many keys to return.
        """
        return _search(list(self.core_memory), query, k)

    def core_memory_list_keys(self) -> dict[str, Any]:
        """List the core memory's keys."""
        return {"keys": list(self.core_memory)}

    def core_memory_remove(self, key: str) -> dict[str, Any]:
        """Delete a value from the core memory.

        Args:
            key: its key.
        """
        return _remove(self.core_memory, key)

    def core_memory_replace(self, key: str, value: str) -> dict[str, Any]:
        """Store another value in the core memory under a key that is there.

        Args:
            key: the key.
            value: the new text, at most 300 characters.
        """
        return _replace(self.core_memory, _CORE, key, value)

    def core_memory_retrieve(self, key: str) -> dict[str, Any]:
        """Get a value from the core memory.

        Args:
            key: its key.
        """
        return _retrieve(self.core_memory, key)

    def core_memory_retrieve_all(self) -> dict[str, Any]:
        """Get all keys and values of the core memory."""
        return dict(self.core_memory)


class MemoryAPI_rec_sum(Simulator):  # noqa: N801 (upstream's name, which Python's error messages show)
    """A single text, always before the agent's eyes, which it keeps up to date and short."""

    memory: str

    defaults = {"memory": ""}  # noqa: RUF012

    def memory_append(self, text: str) -> dict[str, Any]:
        """Add a text to the end of the memory, which holds at most 10000 characters.

        Args:
            text: what to add.
        """
        added = self.memory + str(text)
        return self._set(added, len(added), "appending", "appended")

    def memory_clear(self) -> dict[str, Any]:
        """Delete the whole memory."""
        self.memory = ""
        return {"status": "Short term memory cleared."}

    def memory_replace(self, old_text: str, new_text: str) -> dict[str, Any]:
        """Replace a text wherever it occurs in the memory.

        Args:
            old_text: the text to replace.
            new_text: what to put in its place.
        """
        old, new = str(old_text), str(new_text)
        if old not in self.memory:
            return {"error": f"Text '{old_text}' not found in memory."}
        if len(self.memory) + self.memory.count(old) * len(new) > LARGEST_RESULT:
            raise RefusedError(f"the memory is too large (more than {LARGEST_RESULT} characters)")
        return self._set(self.memory.replace(old, new), len(new), "replacing", "updated")  # upstream's limit of it

    def memory_retrieve(self) -> dict[str, Any]:
        """Get the whole memory."""
        return {"memory_content": self.memory} if self.memory else {"error": "Memory is empty."}

    def memory_update(self, text: str) -> dict[str, Any]:
        """Put another text in the place of the whole memory.

        Args:
            text: the new text, at most 10000 characters.
        """
        return self._set(str(text), len(str(text)), "updating", "updated")

    def _set(self, text: str, length: int, doing: str, done: str) -> dict[str, Any]:
        if length > _LONGEST_TEXT:
            return {
                "error": f"Entry will be too long after {doing}. "
                f"Please shorten the entry to less than {_LONGEST_TEXT} characters."
            }
        self.memory = text
        return {"status": f"Memory {done}."}


def _add(memory: dict[str, str], name: str, size: tuple[int, int], key: Any, value: Any) -> dict[str, Any] | None:
    """Store a value; None, or why it cannot be."""
    entries, longest = size
    key, value = str(key), str(value)
    if len(memory) >= entries:
        return {"error": f"{name} memory is full. Please clear some entries."}
    if len(value) > longest:
        return _too_long(longest)
    if not _KEY.fullmatch(key):
        return {"error": "Key must be in snake_case format and cannot contain spaces."}
    if key in memory:
        return {"error": "Key name must be unique."}
    memory[key] = value
    return None


def _remove(memory: dict[str, str], key: Any) -> dict[str, Any]:
    if key not in memory:
        return _not_found()
    del memory[key]
    return {"status": "Key removed."}


def _replace(memory: dict[str, str], size: tuple[int, int], key: Any, value: Any) -> dict[str, Any]:
    key, value = str(key), str(value)
    if key not in memory:
        return _not_found()
    if len(value) > size[1]:
        return _too_long(size[1])
    memory[key] = value
    return {"status": "Key replaced."}


def _retrieve(memory: dict[str, str], key: Any) -> dict[str, Any]:
    return {"value": memory[key]} if key in memory else _not_found()


def _search(keys: list[str], query: Any, k: Any) -> dict[str, Any]:
    if not keys:
        raise ZeroDivisionError("division by zero")  # upstream's search of nothing
    if isinstance(query, str) and len(query) > LONGEST_QUERY:
        raise RefusedError(f"the query is too long (more than {LONGEST_QUERY} characters)")
    words = query.replace("_", " ").lower().split()
    scores = Bm25([key.replace("_", " ").lower().split() for key in keys]).plus(words)
    return {"ranked_results": [(float(scores[place]), keys[place]) for place in best_first(scores)[:k]]}


def _not_found() -> dict[str, Any]:
    return {"error": "Key not found."}


def _too_long(longest: int) -> dict[str, Any]:
    return {"error": f"Entry is too long. Please shorten the entry to less than {longest} characters."}
