"""Spaces for text and chat messages, and how vector environments batch them.

Gymnasium's own ``Text`` draws from a fixed alphabet without a blank; these two hold any Unicode text. A vector
environment's batch of either is a plain tuple with one entry per sub-environment. Text has no fixed size, therefore
``AsyncVectorEnv`` needs ``shared_memory=False``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import numpy as np
from gymnasium.spaces import Space, Tuple
from gymnasium.spaces.utils import is_space_dtype_shape_equiv
from gymnasium.vector.utils import batch_differing_spaces, create_empty_array, create_shared_memory

from tooluse_gym.errors import ConfigurationError
from tooluse_gym.messages import ROLES, Message

_LONGEST_SAMPLE = 64  # characters; a sample is meant to be looked at
_ALPHABET = (
    "".join(map(chr, range(0x20, 0x7F)))  # ASCII, the blank included
    + "\n\t"
    + "".join(map(chr, range(0xC0, 0x180)))  # Latin letters with marks
    + "".join(map(chr, range(0x3B1, 0x3CA)))  # Greek
    + "".join(map(chr, range(0x430, 0x450)))  # Cyrillic
    + "אבגدهو你好世界日本語한국어"
    + "–—“”„…€∑√≤→✓🙂🚀👩‍💻"
)


class UnicodeText(Space[str]):
    """Any text of at most ``max_length`` characters, the empty text included.

    Samples are short, printable, and mix scripts.
    """

    def __init__(self, max_length: int = 1 << 20, *, seed: int | np.random.Generator | None = None):
        if max_length < 0:
            raise ConfigurationError(f"max_length must not be negative, got {max_length}")
        super().__init__(seed=seed)
        self.max_length = max_length

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: None = None, probability: None = None) -> str:
        _refuse_masks(mask, probability)
        length = int(self.np_random.integers(min(self.max_length, _LONGEST_SAMPLE) + 1))
        return "".join(_ALPHABET[i] for i in self.np_random.integers(len(_ALPHABET), size=length))

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length

    def __repr__(self) -> str:
        return f"UnicodeText(max_length={self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and self.max_length == other.max_length

    __hash__ = None  # type: ignore[assignment]  # as Gymnasium's spaces: equal by value, holding a generator


class MessagesSpace(Space[tuple[Message, ...]]):
    """A tuple of chat messages: dicts of text with a known ``role`` and a ``content``."""

    def __init__(self, *, seed: int | np.random.Generator | None = None):
        super().__init__(seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: None = None, probability: None = None) -> tuple[Message, ...]:
        _refuse_masks(mask, probability)
        content = UnicodeText(seed=self.np_random)
        roles = [ROLES[i] for i in self.np_random.integers(len(ROLES), size=int(self.np_random.integers(4)))]
        return tuple(
            {"role": role, "name": "tool", "content": content.sample()}
            if role == "tool"
            else {"role": role, "content": content.sample()}
            for role in roles
        )

    def contains(self, x: Any) -> bool:
        return isinstance(x, tuple) and all(_is_message(message) for message in x)

    def to_jsonable(self, sample_n: Iterable[tuple[Message, ...]]) -> list[list[Message]]:
        return [list(sample) for sample in sample_n]

    def from_jsonable(self, sample_n: list[Any]) -> list[tuple[Message, ...]]:
        return [tuple(sample) for sample in sample_n]

    def __repr__(self) -> str:
        return "MessagesSpace()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MessagesSpace)

    __hash__ = None  # type: ignore[assignment]


def _refuse_masks(mask: object, probability: object) -> None:
    if mask is not None or probability is not None:
        raise ConfigurationError("text spaces sample without mask and probability")


def _is_message(message: object) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") in ROLES
        and "content" in message
        and all(isinstance(key, str) and isinstance(value, str) for key, value in message.items())
    )


# How vector environments treat the two. Gymnasium dispatches these functions on the type of the space; what is not
# registered here (batch_space, concatenate, iterate) already yields tuples for any custom space.


def _batch_differing(spaces: Sequence[Space[Any]]) -> Tuple[Any]:
    return Tuple(spaces)


def _empty_texts(space: UnicodeText, n: int = 1, fn: Callable[..., Any] = np.zeros) -> tuple[str, ...]:
    return ("",) * n


def _empty_messages(space: MessagesSpace, n: int = 1, fn: Callable[..., Any] = np.zeros) -> tuple[tuple[()], ...]:
    return ((),) * n


def _no_shared_memory(space: Space[Any], n: int = 1, ctx: Any = None) -> NoReturn:
    raise ConfigurationError(
        f"{space} has no fixed size and cannot live in shared memory: pass shared_memory=False to AsyncVectorEnv "
        '(vector_kwargs={"shared_memory": False} to gymnasium.make_vec)'
    )


def _same_kind(space: Space[Any], other: Space[Any]) -> bool:
    return type(space) is type(other)


create_empty_array.register(UnicodeText, _empty_texts)
create_empty_array.register(MessagesSpace, _empty_messages)
for _space_type in (UnicodeText, MessagesSpace):
    batch_differing_spaces.register(_space_type, _batch_differing)
    create_shared_memory.register(_space_type, _no_shared_memory)
    is_space_dtype_shape_equiv.register(_space_type, _same_kind)
