import math

import numpy as np
import pytest

from tooluse_gym.bm25 import Bm25, best_first

TEXTS = [
    ["hello", "there", "good", "man"],
    ["it", "is", "quite", "windy", "in", "london"],
    ["how", "is", "the", "weather"],
]


def test_okapi_by_hand() -> None:
    scores = Bm25(TEXTS).okapi(["windy", "london", "unheard"])
    assert scores[0] == scores[2] == 0
    norm = 1.5 * (0.25 + 0.75 * 6 / (14 / 3))
    assert scores[1] == pytest.approx(2 * (math.log(2.5) - math.log(1.5)) * 2.5 / (1 + norm))


def test_okapi_gives_a_word_of_most_texts_a_quarter_of_the_mean_idf() -> None:
    index = Bm25([["a", "b"], ["a", "c"], ["a", "d"]])
    rare, common = math.log(2.5) - math.log(1.5), math.log(0.5) - math.log(3.5)
    assert index.okapi(["a"]) == pytest.approx([0.25 * (3 * rare + common) / 4] * 3)


def test_plus_by_hand() -> None:
    scores = Bm25(TEXTS).plus(["windy"])
    norm = 1.5 * (0.25 + 0.75 * 6 / (14 / 3))
    assert scores == pytest.approx([math.log(4), math.log(4) * (1 + 2.5 / (1 + norm)), math.log(4)])


@pytest.mark.parametrize("texts", [[], [[]], [[], []]], ids=["no texts", "an empty text", "empty texts"])
def test_texts_without_words_fit_nothing(texts: list[list[str]]) -> None:
    index = Bm25(texts)
    assert index.okapi(["a"]).tolist() == index.plus(["a"]).tolist() == [0.0] * len(texts)


def test_a_word_said_twice_counts_twice() -> None:
    index = Bm25(TEXTS)
    assert index.okapi(["windy", "windy"]) == pytest.approx(2 * index.okapi(["windy"]))


def test_equal_scores_keep_their_order() -> None:
    assert best_first(np.array([0.0, 2.0, 0.0, 2.0, 3.0])) == [4, 1, 3, 0, 2]
