"""BFCL's prompting mode: its system prompt, its way to write results and new functions."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bfcl_parity
from tooluse_gym.envs.bfcl import release
from tooluse_gym.envs.bfcl.docs import document
from tooluse_gym.envs.bfcl.env import BFCLMultiTurnEnv
from tooluse_gym.envs.bfcl.prompting import Prompting, load_prompting
from tooluse_gym.errors import DataNotFoundError
from tooluse_gym.formats import get_format
from tooluse_gym.tasks import Task
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


def test_system_prompts_are_upstreams(
    bfcl_release: Path, bfcl_tasks: dict[str, Task], single_turn_tasks: dict[str, Task], bfcl_records: Records
) -> None:
    records, tasks = bfcl_records(bfcl_parity.DOCS), {**bfcl_tasks, **single_turn_tasks}
    cases = list(bfcl_parity.system_prompts(records, tasks, bfcl_release, load_prompting(bfcl_release)))
    assert len(cases) == 4441
    assert bfcl_parity.differing(cases) == []


def test_any_dataset_can_be_prompted(bfcl_release: Path) -> None:
    env = BFCLMultiTurnEnv(format="prompting", data_dir=bfcl_release)
    (system, *_), info = env.reset(seed=0)
    assert all(json.dumps(tool["function"]["name"]) in system["content"] for tool in info["tools"])
