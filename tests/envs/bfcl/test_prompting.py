"""BFCL's prompting mode: its system prompt, its way to write results and new functions."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.bfcl import data, release
from tooluse_gym.envs.bfcl.docs import document, load_docs
from tooluse_gym.envs.bfcl.env import BFCLMultiTurnEnv
from tooluse_gym.envs.bfcl.prompting import Prompting, load_prompting
from tooluse_gym.errors import DataNotFoundError
from tooluse_gym.formats import get_format
from tooluse_gym.tools import Tool

Records = Callable[[str], list[dict[str, Any]]]

PROMPTING = Prompting(("You have:\n", "\nGo."))
DOC = {
    "name": "touch",
    "description": "Make a file – 'now'.",
    "parameters": {"type": "dict", "properties": {"lines": {"type": "any", "description": "a\nb"}}, "required": []},
}
PLAIN = Tool("look", "Look.", {"type": "object", "properties": {}})


@pytest.mark.parametrize("count", [0, 1, 2])
def test_system_prompt_holds_the_docs_as_indented_json(count: int) -> None:
    tools = [document(DOC, hinted=False), PLAIN][:count]
    docs = [DOC, {"name": "look", "description": "Look.", "parameters": PLAIN.parameters}][:count]
    assert PROMPTING.system_prompt(tools) == f"You have:\n{json.dumps(docs, indent=4)}\nGo."


def test_new_functions_are_printed_before_the_users_words() -> None:
    docs, said = PROMPTING.announce([document(DOC, hinted=False)], "What now?").split("\n")
    assert ast.literal_eval(docs) == [DOC]
    assert said == "What now?"


def test_results_are_one_message_of_the_user() -> None:
    text = "[touch(lines='a'),  look()]"
    calls = PROMPTING.parse(text).calls
    (message,) = PROMPTING.results(calls, ["None", "it's \ud800"])
    assert message["role"] == "user"
    assert message["content"] == (
        "[{'role': 'tool', 'name': \"touch(lines='a')\", 'content': 'None'}, "
        "{'role': 'tool', 'name': 'look()', 'content': \"it's \\ud800\"}]"
    )


@pytest.mark.parametrize("text", ["[f(a=1), g()]", "f(a=1)", "Done.", "[", ""])
def test_replies_are_read_as_pythonic(text: str) -> None:
    assert PROMPTING.parse(text) == get_format("pythonic").parse(text)


def test_prompt_needs_the_release(bfcl_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if (bfcl_data.parent / release.PROMPTS).is_file():
        pytest.skip("the test data is an unpacked release")
    with pytest.raises(DataNotFoundError, match=r"default_prompts.py is there: run 'tooluse-gym data get bfcl'"):
        BFCLMultiTurnEnv("base", data_dir=bfcl_data, format="prompting")


def test_system_prompts_are_upstreams(bfcl_release: Path, bfcl_records: Records) -> None:
    format = load_prompting(bfcl_release)
    expected = {
        record["id"]: record["prompting_system_sha256"] for record in bfcl_records("expected_loaded_docs.jsonl.gz")
    }
    compared = 0
    for category in data.CATEGORIES:
        for task in data.load_tasks(category, bfcl_release).values():
            docs = load_docs(bfcl_release, task.toolsets, tuple(name for turn in task.turns for name in turn.reveals))
            prompt = format.system_prompt([docs[name] for name in task.visible(0, tuple(docs))])
            assert hashlib.sha256(prompt.encode()).hexdigest() == expected[task.id], task.id
            compared += 1
    assert compared == 800


def test_any_dataset_can_be_prompted(bfcl_release: Path) -> None:
    env = BFCLMultiTurnEnv(format="prompting", data_dir=bfcl_release)
    (system, *_), info = env.reset(seed=0)
    assert all(json.dumps(tool["function"]["name"]) in system["content"] for tool in info["tools"])
