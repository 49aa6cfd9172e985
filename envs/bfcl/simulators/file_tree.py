"""Files and directories of the simulated file system.

Names are upstream's, since ``'Directory' object has no attribute '_write'`` is an observation. Nodes can form any graph
(a copied directory shares its files, ``cp d d`` makes a directory contain itself), hence no recursion here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from .limits import DEEPEST_TREE, MOST_NODES, RefusedError


class File:
    """A text with a name. Equal to files of the same name and text."""

    def __init__(self, name: str, content: Any = ""):
        self.name = name
        self.content = content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, File) and self.name == other.name and bool(self.content == other.content)

    __hash__ = None  # type: ignore[assignment]


class Directory:
    """Named entries in insertion order. Equal to directories of the same name and equal entries, in any order.

    ``parent`` says where ``cd ..`` leads. It is not compared, and not kept up when the directory moves.
    """

    def __init__(self, name: str, parent: Directory | None = None, contents: dict[str, Node] | None = None):
        self.name = name
        self.parent = parent
        self.contents: dict[str, Node] = {} if contents is None else contents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Directory) and _same(self, other)

    __hash__ = None  # type: ignore[assignment]

    def walk(self) -> Iterator[tuple[tuple[str, ...], Node]]:
        """Every entry below with its path from here: depth first, parents first, in insertion order.

        Raises:
            RefusedError: there are too many entries or levels, or no end of them.
        """
        path: list[str] = []
        open_directories = [iter(self.contents.items())]
        visited = 0
        while open_directories:
            name, node = next(open_directories[-1], (None, None))
            if node is None or name is None:
                open_directories.pop()
                if path:
                    path.pop()
                continue
            visited += 1
            if visited > MOST_NODES:
                raise RefusedError(f"the directory has too many entries (more than {MOST_NODES})")
            yield (*path, name), node
            if isinstance(node, Directory):
                if len(open_directories) >= DEEPEST_TREE:
                    raise RefusedError(f"directories are nested too deeply (more than {DEEPEST_TREE} levels)")
                path.append(name)
                open_directories.append(iter(node.contents.items()))

    def __deepcopy__(self, memo: dict[int, Any]) -> Directory:
        # By hand, because a long chain of directories would exhaust Python's stack. Mappings that two nodes share stay
        # shared in the copy.
        result = memo[id(self)] = Directory(self.name)
        pending = [self]
        while pending:
            old = pending.pop()
            new = memo[id(old)]
            for neighbour in (old.parent, *old.contents.values()):
                if isinstance(neighbour, Directory) and id(neighbour) not in memo:
                    memo[id(neighbour)] = Directory(neighbour.name)
                    pending.append(neighbour)
            new.parent = None if old.parent is None else memo[id(old.parent)]
            if id(old.contents) not in memo:
                memo[id(old.contents)] = {name: copy.deepcopy(node, memo) for name, node in old.contents.items()}
            new.contents = memo[id(old.contents)]
        return result


Node = File | Directory


def load(name: str, description: Mapping[str, Any], parent: Directory | None = None) -> Directory:
    """Build the directory that a scenario describes as ``{"type", "contents"}``, files as ``{"type", "content"}``."""
    directory = Directory(name, parent)
    for child, inner in description["contents"].items():
        directory.contents[child] = (
            load(child, inner, directory) if inner["type"] == "directory" else File(child, inner["content"])
        )
    return directory


def _same(left: Directory, right: Directory) -> bool:
    pending = [(left, right)]
    assumed = set()  # pairs already taken up; makes directories that contain themselves comparable
    while pending:
        a, b = pending.pop()
        if a is b or (id(a), id(b)) in assumed:
            continue
        assumed.add((id(a), id(b)))
        if a.name != b.name or len(a.contents) != len(b.contents):
            return False
        for name, mine in a.contents.items():
            theirs = b.contents.get(name)
            if isinstance(mine, Directory):
                if not isinstance(theirs, Directory):
                    return False
                pending.append((mine, theirs))
            elif mine is not theirs and mine != theirs:
                return False
    return True
