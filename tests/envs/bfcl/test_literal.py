"""Call texts as calls."""

from __future__ import annotations

from typing import Any

import pytest

from tooluse_gym.envs.bfcl.literal import literal_call
from tooluse_gym.envs.bfcl.simulators import SIMULATORS
from tooluse_gym.envs.bfcl.world import World

TOOLS = SIMULATORS["GorillaFileSystem"].tools

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "ls()": ("ls", {}),
    "ls(True)": ("ls", {"a": True}),
    "echo('b', file_name='a.txt')": ("echo", {"content": "b", "file_name": "a.txt"}),
    " mkdir ( dir_name = 'a' 'b' ) ": ("mkdir", {"dir_name": "ab"}),
    "cd(-1.5)": ("cd", {"folder": -1.5}),
    "cd([{'a': (1, None)}])": ("cd", {"folder": [{"a": (1, None)}]}),
    "cd(color='red')": ("cd", {"color": "red"}),
    r"cd('\d sort (x)')": ("cd", {"folder": r"\d sort (x)"}),
    "fry(1, pan='a')": ("fry", {"pan": "a"}),
}


@pytest.mark.parametrize(("text", "expected"), CALLS.items(), ids=CALLS)
def test_literal_calls_are_bound(text: str, expected: tuple[str, dict[str, Any]]) -> None:
    call = literal_call(text, TOOLS)
    assert (call.error, call.source) == (None, text)
    assert (call.name, call.arguments) == expected


NO_CALLS = {
    "": "invalid syntax",
    "I am done.": "invalid syntax",
    "cd('a'": "was never closed",
    "'cd'": "it does not call a function by its name",
    "[cd('a')]": "it does not call a function by its name",
    "cd('a'), ls()": "it does not call a function by its name",
    "os.remove('a')": "it does not call a function by its name",
    "ls()()": "it does not call a function by its name",
    "cd(folder)": "argument 1 is not a literal",
    "echo('a', ls())": "argument 2 is not a literal",
    "cd(folder=1 + 1)": "argument 'folder' is not a literal",
    "cd(folder=f'{1}')": "argument 'folder' is not a literal",
    "cd({[]: 1})": "argument 1 is not a literal",
    "cd(*['a'])": "argument 1 is not a literal",
    "cd(**{'folder': 'a'})": "** is not a literal",
    "cd(1, 2)": "2 positional arguments, but cd has 1 parameters",
    "cd('a', folder='a')": "argument 'folder' is given both by position and by name",
    "cd(folder='a', folder='b')": "keyword argument repeated: folder",
    f"cd({'[' * 150}{']' * 150})": "nested too deeply",
    f"cd({'-' * 50_000}1)": "nested too deeply",
    f"cd('{'x' * 100_000}')": "it is longer than 100000 characters",
}


@pytest.mark.parametrize(("text", "reason"), NO_CALLS.items(), ids=[text[:30] for text in NO_CALLS])
def test_what_is_no_literal_call_says_why(text: str, reason: str) -> None:
    call = literal_call(text, TOOLS)
    assert call.error is not None
    assert call.error.startswith("not a call with literal arguments: ")
    assert reason in call.error
    assert " at 0x" not in call.error
    result = World(["GorillaFileSystem"]).call(call)
    assert (result.text, result.failure) == (f"Malformed call: {call.error}", "malformed")
