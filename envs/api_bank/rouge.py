"""ROUGE-L of two texts, as the ``rouge`` package computes it for API-Bank's answers.

Sentences end at a full stop; words are what blanks separate, with case and punctuation. Precision and recall count
*distinct* words.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_WORDS = 4_000
"""Words of a hypothesis that are read; no recorded answer comes near, and time grows with both texts."""


def rouge_l(hypothesis: str, reference: str) -> float:
    """The F value in [0, 1].

    Raises:
        ValueError: a text holds nothing but full stops, or nothing at all.
    """
    said, expected = _sentences(hypothesis), _sentences(reference)
    if not said or not expected:
        raise ValueError("ROUGE needs at least one sentence in each text")
    said = _cut(said)
    common: set[str] = set()
    for sentence in expected:
        for other in said:
            common |= _common_words(sentence, other)
    recall = len(common) / len(_distinct(expected))
    precision = len(common) / len(_distinct(said))
    return 2.0 * precision * recall / (precision + recall + 1e-8)


def response_score(response: str, reference: str) -> float:
    """ROUGE-L as the evaluators report it: four digits, 0 where one of the texts is empty."""
    try:
        return round(rouge_l(response, reference), 4)
    except ValueError:
        return 0.0


def _sentences(text: str) -> list[list[str]]:
    # A piece of blanks alone is a sentence of one empty word, there as here.
    return [" ".join(piece.split()).split(" ") for piece in text.split(".") if piece]


def _cut(sentences: list[list[str]]) -> list[list[str]]:
    kept, left = [], MAX_WORDS
    for sentence in sentences:
        if left <= 0:
            break
        kept.append(sentence[:left])
        left -= len(sentence)
    return kept


def _distinct(sentences: Sequence[Sequence[str]]) -> set[str]:
    return {word for sentence in sentences for word in sentence}


def _common_words(one: Sequence[str], other: Sequence[str]) -> set[str]:
    """The words on the longest common subsequence; where there are several, the back-trace decides for one."""
    lengths = [[0] * (len(other) + 1)]
    for word in one:
        above, row = lengths[-1], [0]
        for column, candidate in enumerate(other):
            row.append(above[column] + 1 if word == candidate else max(above[column + 1], row[-1]))
        lengths.append(row)
    words = set()
    i, j = len(one), len(other)
    while i and j:
        if one[i - 1] == other[j - 1]:
            words.add(one[i - 1])
            i, j = i - 1, j - 1
        elif lengths[i - 1][j] > lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return words
