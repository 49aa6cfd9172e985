"""Sentences: a prefix, a core and a suffix, and which of their combinations belong to which split.

Every fragment occurs in training; what validation and test hold out are combinations of fragments. A combination's
split depends on the positions of its fragments alone, so fragments may be appended without moving any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from tooluse_gym.errors import ConfigurationError

SPLITS = ("train", "validation", "test")
PREFIXES = ("", "please", "now", "can you", "i want you to")
SUFFIXES = ("", "thanks", "for me", "right away")


def split_of(prefix: int, core: int, suffix: int) -> str:
    """The split of the combination of the fragments at these positions: four in six are for training."""
    return {0: "validation", 1: "test"}.get((prefix + 2 * core + 3 * suffix) % 6, "train")


def templates(cores: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Sentences with slots still open, by split.

    Raises:
        ConfigurationError: two combinations read the same, or a core is never trained on.
    """
    by_split: dict[str, list[str]] = {split: [] for split in SPLITS}
    trained = set()
    for (p, prefix), (c, core), (s, suffix) in product(enumerate(PREFIXES), enumerate(cores), enumerate(SUFFIXES)):
        split = split_of(p, c, s)
        by_split[split].append(" ".join(part for part in (prefix, core, suffix) if part))
        if split == "train":
            trained.add(core)
    sentences = [sentence for group in by_split.values() for sentence in group]
    if len(set(sentences)) < len(sentences):
        raise ConfigurationError(f"two phrasings read the same: {cores}")
    if trained < set(cores) or not cores:
        raise ConfigurationError(f"a core has no training phrasing: {cores}")
    return {split: tuple(group) for split, group in by_split.items()}
