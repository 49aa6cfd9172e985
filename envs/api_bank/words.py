"""Words of a text, as SearchEngine's stored documents are split: those of NLTK's tokeniser, for lower-case English."""

from __future__ import annotations

import re

_CLITIC = r"(?:'(?:s|m|d|ll|re|ve)\b|n't\b)"
_WORD = re.compile(rf"{_CLITIC}|\w+?(?={_CLITIC})|\w+(?:[-./&]\w+)*|[^\w\s]")


def words(text: str) -> list[str]:
    """Words and punctuation marks in order; ``don't`` is two words, ``year-end`` is one."""
    return _WORD.findall(text)
