"""BM25: how well each text of a small collection fits a query, by the words they share.

Both variants give the numbers of the ``rank_bm25`` package with its defaults, because benchmarks were recorded with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]

_SATURATION = 1.5  # k1
_LENGTH_WEIGHT = 0.75  # b
_COMMON_SHARE = 0.25  # of the mean idf, for a word that more than half of the texts have
_PRESENCE = 1.0  # delta of BM25+


class Bm25:
    """A collection of tokenised texts, ready to be searched.

    Args:
        texts: the words of each text.
    """

    def __init__(self, texts: Sequence[Sequence[str]]):
        self._counts = [Counter(words) for words in texts]
        lengths = np.array([len(words) for words in texts], dtype=np.float64)
        mean = lengths.mean() if lengths.sum() else 1.0  # texts without words fit nothing, whatever their length
        self._norms = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * lengths / mean)
        self._containing = Counter(word for counts in self._counts for word in counts)

    def okapi(self, query: Sequence[str]) -> Scores:
        """BM25Okapi: a score per text, ``(N,)``; 0 where no word of the query occurs."""
        total = len(self._counts)
        idf = {word: np.log(total - n + 0.5) - np.log(n + 0.5) for word, n in self._containing.items()}
        common = _COMMON_SHARE * sum(idf.values()) / len(idf) if idf else 0.0
        scores = np.zeros(total)
        for word in query:
            if word in idf:
                weight = common if idf[word] < 0 else idf[word]
                scores += weight * self._saturated(word)
        return scores

    def plus(self, query: Sequence[str]) -> Scores:
        """BM25Plus: a score per text, ``(N,)``; every word that any text has adds its idf to all of them."""
        total = len(self._counts)
        scores = np.zeros(total)
        for word in query:
            if word in self._containing:
                scores += np.log((total + 1) / self._containing[word]) * (_PRESENCE + self._saturated(word))
        return scores

    def _saturated(self, word: str) -> Scores:
        frequency = np.array([counts[word] for counts in self._counts], dtype=np.float64)
        return frequency * (_SATURATION + 1) / (frequency + self._norms)


def best_first(scores: Scores) -> list[int]:
    """Places of the texts, the best score first; equal scores keep the order of the texts."""
    return [int(place) for place in np.argsort(-scores, kind="stable")]
