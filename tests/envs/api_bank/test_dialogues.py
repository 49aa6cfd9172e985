from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.api_bank.dialogues import Dialogue, read_dialogues, samples
from tooluse_gym.errors import DataNotFoundError, TaskError

CALL = {"role": "API", "api_name": "F", "param_dict": {}, "result": {"input": {}, "output": 1, "exception": None}}
SAID = {"role": "User", "text": "Hello"}


def write(folder: Path, *lines: Any, name: str = "one") -> Path:
    place = folder / "lv1-lv2-samples/level-1-given-desc"
    place.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    (place / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("level", "dialogues", "calls", "responses"),
    [(1, 214, 399, 375), (2, 50, 135, 103), (3, 50, 245, 50)],
    ids=["level 1", "level 2", "level 3"],
)
def test_the_official_samples_are_counted(
    level: int, dialogues: int, calls: int, responses: int, api_bank_data: Path
) -> None:
    read = read_dialogues(api_bank_data, level)
    assert (len(read), len(samples(read, "API")), len(samples(read, "AI"))) == (dialogues, calls, responses)


def test_the_samples_of_levels_1_and_2_have_the_official_numbers(api_bank_data: Path) -> None:
    for level in (1, 2):
        prompts = json.loads((api_bank_data / f"test-data/level-{level}-api.json").read_text(encoding="utf-8"))
        official = {f"level-{level}/{prompt['file'].removesuffix('.jsonl')}#{prompt['id']}" for prompt in prompts}
        assert {sample.id for sample in samples(read_dialogues(api_bank_data, level), "API")} == official


def test_a_call_that_follows_a_call_is_asked_for_twice(tmp_path: Path) -> None:
    write(tmp_path, SAID, CALL, CALL, {"role": "AI", "text": "Done"}, SAID, CALL, SAID)
    (dialogue,) = read_dialogues(tmp_path, 1)
    assert [(sample.id, sample.turn) for sample in samples([dialogue], "API")] == [
        ("level-1/one#0", 1),
        ("level-1/one#1", 2),
        ("level-1/one#2", 2),
        ("level-1/one#4", 5),
    ]
    (answer,) = samples([dialogue], "AI")
    assert (answer.target.text, len(answer.history)) == ("Done", 3)


def test_an_empty_file_is_a_dialogue_without_a_word(tmp_path: Path) -> None:
    assert read_dialogues(write(tmp_path), 1) == (Dialogue("level-1/one", 1, ()),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"role": "User", "te', r"one\.jsonl:2: not JSON"),
        ({"role": "Bot", "text": "x"}, r"one\.jsonl:2: field role: 'Bot' is not one of"),
        ({"role": "AI"}, r"one\.jsonl:2: the record: 'text' is a required property"),
        ({**CALL, "param_dict": []}, r"one\.jsonl:2: field param_dict: \[\] is not of type 'object'"),
        ({**CALL, "result": {"output": 1}}, r"one\.jsonl:2: field result: 'input' is a required property"),
        ([], r"one\.jsonl:2: the record: \[\] is not of type 'object'"),
    ],
    ids=["truncated", "role", "text", "arguments", "result", "a list"],
)
def test_a_bad_line_is_named(line: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=message):
        read_dialogues(write(tmp_path, SAID, line), 1)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="level-2-toolsearcher holds no dialogues"):
        read_dialogues(tmp_path, 2)
    with pytest.raises(DataNotFoundError, match=r"level-3\.json is missing"):
        read_dialogues(tmp_path, 3)


def test_a_bad_chain_is_named(api_bank_data: Path, tmp_path: Path) -> None:
    (tmp_path / "test-data").mkdir()
    path = tmp_path / "test-data/level-3.json"
    shutil.copy(api_bank_data / "test-data/level-3.json", path)
    chains = json.loads(path.read_text(encoding="utf-8"))
    del chains[7]["apis"][2]["output"]
    path.chmod(0o600)
    path.write_text(json.dumps(chains), encoding="utf-8")
    with pytest.raises(TaskError, match=r"level-3\.json: field 7\.apis\.2: 'output' is a required property"):
        read_dialogues(tmp_path, 3)
