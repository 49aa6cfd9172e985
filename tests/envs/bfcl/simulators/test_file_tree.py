"""Trees, which may share nodes and contain themselves, can be walked, copied and compared in bounded time."""

from __future__ import annotations

import copy

import pytest

from tooluse_gym.envs.bfcl.simulators.file_tree import Directory, File, load
from tooluse_gym.envs.bfcl.simulators.limits import DEEPEST_TREE, MOST_NODES, RefusedError


def directory(name: str, *children: Directory | File) -> Directory:
    result = Directory(name, contents={child.name: child for child in children})
    for child in children:
        if isinstance(child, Directory):
            child.parent = result
    return result


def chain(levels: int) -> Directory:
    top = bottom = Directory("d")
    for _ in range(levels):
        below = Directory("d", bottom)
        bottom.contents["d"] = below
        bottom = below
    return top


def loop() -> Directory:
    result = Directory("d")
    result.contents["d"] = result
    return result


def test_a_description_becomes_a_tree() -> None:
    inner = {"type": "directory", "contents": {"f": {"type": "file", "content": "x"}}}
    tree = load("w", {"type": "directory", "contents": {"d": inner}})
    assert tree == directory("w", directory("d", File("f", "x")))
    child = tree.contents["d"]
    assert isinstance(child, Directory)
    assert child.parent is tree
    assert tree.parent is None


def test_equality_ignores_order_and_parents() -> None:
    left = directory("w", File("a", "x"), Directory("b"))
    right = Directory("w", Directory("p"), {"b": Directory("b"), "a": File("a", "x")})
    assert left == right
    right.contents["a"] = File("a", "y")
    assert left != right


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (File("a", "x"), Directory("a")),
        (File("a", "x"), File("b", "x")),
        (Directory("a"), Directory("b")),
        (directory("w", File("a")), directory("w", Directory("a"))),
        (directory("w", File("a")), directory("w", File("a"), File("b"))),
        (loop(), chain(3)),
    ],
    ids=["kind", "file name", "directory name", "kind of an entry", "one more entry", "loop"],
)
def test_what_differs(left: Directory | File, right: Directory | File) -> None:
    assert left != right
    assert right != left


def test_walks_are_depth_first_in_insertion_order() -> None:
    tree = directory("w", directory("b", File("c"), Directory("a")), File("a"))
    assert [path for path, _ in tree.walk()] == [("b",), ("b", "c"), ("b", "a"), ("a",)]


def test_walks_end() -> None:
    assert len(list(chain(DEEPEST_TREE - 1).walk())) == DEEPEST_TREE - 1
    for deep in (chain(DEEPEST_TREE), loop()):
        with pytest.raises(RefusedError, match="nested too deeply"):
            list(deep.walk())
    doubled = Directory("d")
    for _ in range(MOST_NODES.bit_length()):
        doubled = Directory("d", contents={"a": doubled, "b": doubled})
    with pytest.raises(RefusedError, match="too many entries"):
        list(doubled.walk())


def test_copies_keep_what_is_shared_and_share_nothing_with_the_original() -> None:
    file = File("f", "x")
    tree = directory("w", directory("a", file), directory("b", file))
    clone = copy.deepcopy(tree)
    assert clone == tree
    first, second = clone.contents.values()
    assert isinstance(first, Directory)
    assert isinstance(second, Directory)
    assert first.contents["f"] is second.contents["f"]
    assert first.contents["f"] is not file
    assert first.parent is clone


@pytest.mark.parametrize("tree", [chain(3_000), loop()], ids=["deep", "loop"])
def test_any_tree_can_be_copied_and_compared(tree: Directory) -> None:
    clone = copy.deepcopy(tree)
    assert clone == tree
    clone.contents["d"].name = "e"
    assert clone != tree
