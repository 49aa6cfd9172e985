"""Names: what files, people and messages are called in a starter world."""

from __future__ import annotations

from dataclasses import dataclass

from tooluse_gym.errors import ConfigurationError

_FEWEST = 24  # a world of the largest scene and a few turns of new names
_FORBIDDEN = frozenset('|/\\?%*:"<>')  # GorillaFileSystem refuses them in names; quotes delimit names in sentences


@dataclass(frozen=True)
class Lexicon:
    """A closed set of names. ``name`` stands in task ids, so two lexicons must not share it.

    Words may be any text, blanks inside included, that can name a file and stand between double quotes.

    Raises:
        ConfigurationError: too few words, a word twice, or one that cannot be a name.
    """

    name: str
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", tuple(self.words))
        if not self.name.isidentifier():
            raise ConfigurationError(f"a lexicon's name stands in task ids and must be an identifier: {self.name!r}")
        if len(set(self.words)) != len(self.words):
            twice = next(word for word in self.words if self.words.count(word) > 1)
            raise ConfigurationError(f"lexicon {self.name!r} has the word {twice!r} twice")
        if len(self.words) < _FEWEST:
            raise ConfigurationError(f"lexicon {self.name!r} has {len(self.words)} words; it needs {_FEWEST}")
        for word in self.words:
            if not word.isprintable() or word != word.strip() or word[:1] in ("", ".") or _FORBIDDEN & set(word):
                raise ConfigurationError(f"lexicon {self.name!r}: {word!r} cannot be the name of a file")


WORDS = Lexicon(
    "words",
    (
        *("acorn", "amber", "basil", "birch", "breeze", "cedar", "clover", "cobalt"),
        *("drift", "dune", "ember", "falcon", "fjord", "garnet", "hazel", "heron"),
        *("iris", "ivory", "jade", "kelp", "lotus", "maple", "nectar", "onyx"),
        *("pearl", "quartz", "raven", "saffron", "tulip", "umber", "violet", "willow"),
    ),
)
"""The default: 32 lower-case words, none of which occurs in a request's sentence."""
