"""Which API does ToolSearcher find for some keywords?

The official program asks a sentence-embedding model. What answers here is a chain of retrievers, and each answer says
which of them gave it: ``replay`` of recorded searches, the ``name`` of an API as the keywords, ``bm25`` over names and
descriptions, or ``embedding``, the model itself where sentence-transformers is installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

from tooluse_gym.bm25 import Bm25, best_first
from tooluse_gym.errors import ConfigurationError

SEARCHER = "ToolSearcher"
MODEL = "sentence-transformers/paraphrase-MiniLM-L3-v2"
"""The official model."""

MAX_KEYWORDS = 200
"""Words of a query that are looked at."""

Path = Literal["replay", "name", "bm25", "embedding"]

_CAPITAL = re.compile(r"(?=[A-Z])")
_WORD = re.compile(r"[a-z0-9]+")


class Match(NamedTuple):
    """The API found, and which retriever found it."""

    name: str
    path: Path


class Retriever(Protocol):
    """Finds an API by keywords."""

    def find(self, keywords: str) -> Match | None:
        """The API that fits best; None if none fits."""


def split_name(name: str) -> str:
    """``QueryMeeting`` as ``query meeting``."""
    return " ".join(_CAPITAL.sub(" ", name).lower().split())


class Replay:
    """What recorded searches found, by their keywords."""

    def __init__(self, recorded: Mapping[str, str]):
        self._recorded = {_plain(keywords): name for keywords, name in recorded.items()}

    def find(self, keywords: str) -> Match | None:
        name = self._recorded.get(_plain(keywords))
        return None if name is None else Match(name, "replay")


class ByName:
    """The API whose name the keywords are, written together or as words."""

    def __init__(self, names: Sequence[str]):
        self._names = {_letters(name): name for name in names}

    def find(self, keywords: str) -> Match | None:
        name = self._names.get(_letters(keywords))
        return None if name is None else Match(name, "name")


class ByWords:
    """The API whose name and description share the rarest words with the keywords, by BM25.

    Args:
        descriptions: what every API does, by its name.
    """

    def __init__(self, descriptions: Mapping[str, str]):
        self._names = list(descriptions)
        self._index = Bm25([_words(f"{split_name(name)} {text}") for name, text in descriptions.items()])

    def find(self, keywords: str) -> Match | None:
        scores = self._index.okapi(_words(keywords)[:MAX_KEYWORDS])
        best = best_first(scores)[0]
        return Match(self._names[best], "bm25") if scores[best] > 0 else None


class ByEmbedding:
    """The official way: cosine similarity of sentence embeddings. Needs the package sentence-transformers.

    Args:
        descriptions: what every API does, by its name.
        model: name or folder of the model; None is the official one.
    """

    def __init__(self, descriptions: Mapping[str, str], model: str | None = None):
        self._names = list(descriptions)
        self._texts = [f"{split_name(name)}{text}" for name, text in descriptions.items()]  # no blank between: official
        self._model_name = model or MODEL

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ConfigurationError(
                "searching by embedding needs the package sentence-transformers: pip install sentence-transformers"
            ) from error
        return SentenceTransformer(self._model_name)

    @cached_property
    def _vectors(self) -> Any:
        return self._model.encode(self._texts, normalize_embeddings=True)

    def find(self, keywords: str) -> Match | None:
        scores = self._vectors @ self._model.encode([keywords], normalize_embeddings=True)[0]
        best = int(scores.argmax())
        return Match(self._names[best], "embedding") if scores[best] > 0 else None


class FirstOf:
    """Asks one retriever after the other; the first answer counts."""

    def __init__(self, *retrievers: Retriever):
        self._retrievers = retrievers

    def find(self, keywords: str) -> Match | None:
        answers = (retriever.find(keywords) for retriever in self._retrievers)
        return next((match for match in answers if match is not None), None)


def make_retriever(kind: str, descriptions: Mapping[str, str], recorded: Mapping[str, str] | None = None) -> Retriever:
    """The retriever called ``offline`` (replay, then name, then words), ``name``, ``bm25`` or ``embedding``.

    Raises:
        ConfigurationError: none has that name.
    """
    searchable = {name: text for name, text in descriptions.items() if name != SEARCHER}
    makers: dict[str, Callable[[], Retriever]] = {
        "offline": lambda: FirstOf(Replay(recorded or {}), ByName(list(searchable)), ByWords(searchable)),
        "name": lambda: ByName(list(searchable)),
        "bm25": lambda: ByWords(searchable),
        "embedding": lambda: ByEmbedding(searchable),
    }
    if kind not in makers:
        raise ConfigurationError(f"unknown retriever {kind!r}; choose one of {', '.join(makers)}")
    return makers[kind]()


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _letters(text: str) -> str:
    return "".join(_WORD.findall(text[:MAX_KEYWORDS].lower()))


def _words(text: str) -> list[str]:
    return [_stem(word) for word in _WORD.findall(split_name(text))]


def _stem(word: str) -> str:
    """Without the commonest endings, so that ``booking`` and ``books`` meet ``book``."""
    for ending in ("ing", "ies", "es", "ed", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
