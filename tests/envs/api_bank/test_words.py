from __future__ import annotations

import json
from pathlib import Path

import pytest

from tooluse_gym.envs.api_bank.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the year-end report, 5g.", ["the", "year-end", "report", ",", "5g", "."]),
        ("it's what they don't say", ["it", "'s", "what", "they", "do", "n't", "say"]),
        ("(a) 12/13", ["(", "a", ")", "12/13"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_stored_documents_are_split_as_stored(api_bank_data: Path) -> None:
    stored = json.loads((api_bank_data / "init_database/SearchEngine.json").read_text(encoding="utf-8"))
    pages = [f"{page['title']} - {page['abstract']}".lower() for page in stored["raw_documents"]]
    assert [words(page) for page in pages] == stored["tokenized_documents"]
