"""What GorillaFileSystem does that a reader would not expect."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tooluse_gym.envs.bfcl.simulators.file_tree import Directory
from tooluse_gym.envs.bfcl.simulators.gorilla_file_system import GorillaFileSystem
from tooluse_gym.envs.bfcl.simulators.limits import RefusedError
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.errors import DataNotFoundError

PAYLOAD = {
    "FILE_CONTENT_EXTENSION": " and more",
    "POPULATE_FILE_EXTENSION": ["image_1.jpg", "image_2.jpg"],
    "FILES_TAIL_USED": ["log.txt"],
}


def folder(**contents: Any) -> dict[str, Any]:
    return {"type": "directory", "contents": contents}


def file(text: str) -> dict[str, Any]:
    return {"type": "file", "content": text}


def file_system(**contents: Any) -> GorillaFileSystem:
    return GorillaFileSystem({"root": {"w": folder(**contents)}})


def test_parent_links_of_moved_directories_go_stale() -> None:
    files = file_system(d=folder(s=folder()))
    assert files.mv("d", "e") == {"result": "'d' moved to 'e'"}
    files.cd("e")
    files.cd("s")
    assert files.pwd() == {"current_working_directory": "/w/d/s"}
    assert files.cd("..") == {}
    files.touch("new")
    assert files.pwd() == {"current_working_directory": "/w/d"}
    files.cd("/")
    assert files.find()["matches"] == ["./e", "./e/s", "./e/new"], "the old node shares the moved one's entries"


def test_copied_directories_share_their_files() -> None:
    files = file_system(d=folder(f=file("old"), s=folder()))
    files.cp("d", "e")
    files.cd("d")
    files.echo("new", "f")
    files.touch("g")
    files.cd("/")
    files.cd("e")
    assert files.cat("f") == {"file_content": "new"}
    assert files.ls() == {"current_directory_content": ["f", "s"]}
    files.cd("s")
    assert files.pwd() == {"current_working_directory": "/w/d/s"}


def test_a_directory_moved_into_itself_vanishes() -> None:
    files = file_system(d=folder(f=file("x")))
    assert files.mv("d", "d") == {"result": "'d' moved to 'd/d'"}
    assert files.ls() == {"current_directory_content": []}


def test_a_directory_copied_into_itself_contains_itself() -> None:
    files, other = file_system(d=folder()), file_system(d=folder())
    assert files.cp("d", "d") == {"result": "'d' copied to 'd/d'"}
    with pytest.raises(RefusedError, match="nested too deeply"):
        files.find()
    with pytest.raises(RefusedError, match="nested too deeply"):
        files.du()
    assert files.root != other.root
    other.cp("d", "d")
    assert files.root == other.root
    clone = copy.deepcopy(files)
    assert clone.root == files.root
    inner = clone.root.contents["d"]
    assert isinstance(inner, Directory)
    loop = inner.contents["d"]
    assert isinstance(loop, Directory)
    assert loop.contents["d"] is loop


def test_copies_of_copies_stay_bounded() -> None:
    files = file_system(d=folder(f=file("x")))
    for _ in range(40):  # each round doubles what is below d
        files.cp("d", "e")
        files.mkdir("top")
        files.mv("d", "top")
        files.mv("e", "top")
        files.mv("top", "d")
    for walk in (files.find, files.du):
        with pytest.raises(RefusedError, match=r"too many entries|too large"):
            walk()
    world = World(["GorillaFileSystem"])
    world.toolsets["GorillaFileSystem"].root = files.root  # type: ignore[attr-defined]
    assert len(json.dumps(world.state())) < 100_000_000
    assert copy.deepcopy(files).root == files.root


def test_a_copy_stands_in_its_own_tree_however_deep() -> None:
    files = file_system()
    for _ in range(3_000):
        files.mkdir("d")
        files.cd("d")
    clone = copy.deepcopy(files)
    assert clone.root == files.root
    assert clone.pwd() == files.pwd()
    clone.touch("x")
    assert clone.root != files.root


def test_long_context_extends_files_and_crowds_leaves() -> None:
    scenario = {"root": {"w": folder(**{"log.txt": file("a"), "b.txt": file("b"), "d": folder()})}}
    files = GorillaFileSystem(scenario, long_context=True, payload=PAYLOAD)
    assert files.cat("log.txt") == {"file_content": "a"}
    assert files.cat("b.txt") == {"file_content": "b and more"}
    assert files.find()["matches"] == ["./log.txt", "./b.txt", "./d", "./d/image_1.jpg", "./d/image_2.jpg"]
    assert files.state()["long_context"] is True
    assert GorillaFileSystem(long_context=True).ls() == {"current_directory_content": []}


def test_long_context_without_payload_names_the_command() -> None:
    with pytest.raises(DataNotFoundError, match="tooluse-gym data get bfcl"):
        GorillaFileSystem({"root": {"w": folder()}}, long_context=True)


def test_only_the_first_root_counts() -> None:
    files = GorillaFileSystem({"root": {"w": folder(a=file("")), "stray": folder()}})
    assert files.pwd() == {"current_working_directory": "/w"}


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        ("cd", ["d/s"], {"error": "cd: d/s: Unsupported path. Only one folder level at a time is supported."}),
        ("cd", ["d//"], {"current_working_directory": "d"}),
        ("cd", ["//"], {"current_working_directory": "w"}),
        ("cd", ["."], {"current_working_directory": "w"}),
        ("cd", ["f"], {"error": "cd: 'f': No such file or directory"}),
        ("cd", [".."], {"error": "Current directory is already the root. Cannot go back."}),
        ("tail", ["f", 0], {"last_lines": "b\na\nc"}),
        ("tail", ["f", -1], {"last_lines": "a\nc"}),
        ("tail", ["f", 1], {"last_lines": "c"}),
        ("sort", ["f"], {"sorted_content": "a\nb\nc"}),
        ("diff", ["f", "g"], {"diff_lines": "- a\n+ x"}),
        ("wc", ["d", "z"], {"error": "wc: invalid mode 'z'"}),
        ("wc", ["f", "w"], {"count": 3, "type": "words"}),
        ("wc", ["f", "c"], {"count": 5, "type": "characters"}),
        ("echo", ["x", ""], {"terminal_output": "x"}),
        ("echo", ["x", "a|b"], {"error": "echo: cannot write to 'a|b': Invalid character"}),
        ("touch", ["a?"], {"error": "touch: cannot touch 'a?': Invalid character"}),
        ("cp", ["f", "f"], {"error": "cp: cannot copy 'f' to 'f': Not a directory"}),
        ("mv", ["f", "d"], {"error": "mv: cannot move 'f' to 'd/f': File exists"}),
        ("mv", ["f", "/d"], {"error": "mv: path not allowed in destination. Provide only a file or directory name."}),
        ("rmdir", ["d"], {"error": "rmdir: cannot remove 'd': Directory not empty"}),
        ("du", [], {"disk_usage": "8 bytes"}),
        ("du", [True], {"disk_usage": "8.00 B"}),
        ("find", ["d/"], {"matches": ["d/f", "d/s"]}),
        ("find", ["/", "s"], {"matches": ["/d/s"]}),
        ("find", [".."], {"error": "find: '..': No such file or directory"}),
        ("diff", ["x", []], {"error": "diff: x or []: No such file or directory"}),
        ("echo", ["x", []], {"terminal_output": "x"}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_commands(command: str, arguments: list[Any], expected: Any) -> None:
    files = file_system(f=file("b\na\nc"), g=file("b\nx"), d=folder(f=file(""), s=folder()))
    assert getattr(files, command)(*arguments) == expected


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("cp", ["f", "d"], "File 'f' already exists in directory 'd'."),
        ("cp", ["s", "d"], "Directory 's' already exists in directory 'd'."),
        ("echo", ["x", "d"], "'Directory' object has no attribute '_write'"),
        ("echo", ["x", False], "argument of type 'bool' is not iterable"),
        ("diff", ["f", []], "unhashable type: 'list'"),
        ("find", [[]], "'list' object has no attribute 'strip'"),
        ("tail", ["f", "9"], "'>' not supported between instances of 'str' and 'int'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_commands_that_raise(command: str, arguments: list[Any], message: str) -> None:
    files = file_system(f=file(""), s=folder(), d=folder(f=file(""), s=folder()))
    with pytest.raises((ValueError, AttributeError, TypeError)) as error:
        getattr(files, command)(*arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        ("cat", ["."], {"error": "cat: '.': Is a directory"}),
        ("sort", ["."], {"error": "sort: .: No such file or directory"}),
        ("mv", ["g", "."], {"error": "mv: cannot move 'g' to './g': File exists"}),
        ("mv", [".", "d"], {"result": "'.' moved to 'd/.'"}),
        ("rmdir", ["."], {"error": "rmdir: cannot remove '.': Directory not empty"}),
        ("rm", ["."], {"result": "'.' removed"}),
        ("cat", [".."], {"file_content": ""}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_file_called_dot_is_taken_for_the_current_directory(
    command: str, arguments: list[Any], expected: Any
) -> None:
    files = file_system(g=file("x"), d=folder())
    for name in (".", ".."):
        files.touch(name)
    assert getattr(files, command)(*arguments) == expected


def test_a_copy_of_dot_holds_what_the_current_directory_held() -> None:
    files = file_system(g=file("x"))
    files.mkdir(".")
    assert files.cp(".", "copy") == {"result": "'.' copied to 'copy'"}
    files.cd("copy")
    assert files.ls(True) == {"current_directory_content": ["g", ".", "copy"]}


def test_a_tuple_can_be_a_name() -> None:
    files: Any = file_system()
    files.touch((1,))
    assert files.find() == {"matches": ["./(1,)"]}


def test_the_default_root_prints_twice() -> None:
    assert GorillaFileSystem().pwd() == {"current_working_directory": "//"}
