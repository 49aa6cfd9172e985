from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tooluse_gym.envs.api_bank.rouge import response_score, rouge_l


def test_equal_texts_score_one_and_others_by_hand() -> None:
    assert rouge_l("The cat sat.", "The cat sat.") == pytest.approx(1.0)
    # common: the, sat. recall 2/3 of (the, cat, sat), precision 2/4 of (the, big, dog, sat): F = 4/7
    assert response_score("the big dog sat", "the cat sat") == round(4 / 7, 4)


def test_a_word_counts_once_however_often_it_is_said() -> None:
    assert rouge_l("no no no", "no") == pytest.approx(1.0)


def test_a_text_without_a_sentence_is_an_error_and_scores_zero() -> None:
    with pytest.raises(ValueError, match="at least one sentence"):
        rouge_l("...", "yes")
    assert response_score("", "yes") == 0.0


def test_an_endless_answer_is_cut() -> None:
    assert rouge_l("word " * 200_000, "word is here") == pytest.approx(rouge_l("word", "word is here"))


def test_the_recorded_scores(api_bank_records: Callable[[str], list[dict[str, Any]]]) -> None:
    records = [record for record in api_bank_records("expected.jsonl.gz") if record["mode"] == "response"]
    assert len(records) == 168
    for record in records:
        assert rouge_l(record["hypothesis"], record["reference"]) == pytest.approx(record["rouge_l_f"], abs=1e-12)
        assert response_score(record["hypothesis"], record["reference"]) == record["rounded4"]
