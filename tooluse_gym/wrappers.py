"""Wrappers for agents that want something other than chat messages: texts, arrays, and a choice instead of writing.

They may be stacked: ``CallMenu(TokenObservation(TextObservation(env, whole=True), length=256), size=32)`` has spaces of
fixed size, as reinforcement-learning libraries and shared memory want them. What they show depends on the episode
alone, so that snapshots of the environment inside need nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from tooluse_gym.candidates import Candidates, ConversationCalls
from tooluse_gym.env import Observation, inside
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats.wording import UnwritableReplyError
from tooluse_gym.messages import render
from tooluse_gym.spaces import UnicodeText
from tooluse_gym.tasks import Utterance
from tooluse_gym.tools import Tool

Array = NDArray[Any]


class TextObservation(gymnasium.ObservationWrapper[str, Any, Observation], RecordConstructorArgs):
    """Chat messages as one text, each under its ``[role]`` heading.

    Args:
        env: a :class:`~tooluse_gym.env.ToolUseEnv`, wrapped or not, that gives messages.
        whole: show all messages of the episode, not only the new ones.
    """

    def __init__(self, env: gymnasium.Env[Observation, Any], whole: bool = False):
        RecordConstructorArgs.__init__(self, whole=whole)
        gymnasium.ObservationWrapper.__init__(self, env)
        self.observation_space = UnicodeText()
        self._whole = whole
        self._inner = inside(env, "TextObservation")

    def observation(self, observation: Observation) -> str:
        return render(self._inner.conversation if self._whole else observation)


def utf8(text: str) -> bytes:
    """A text's bytes, which are token ids from 0 to 255. Unpaired surrogates get bytes, too."""
    return text.encode("utf-8", "surrogatepass")


class TokenObservation(gymnasium.ObservationWrapper[Array, Any, str], RecordConstructorArgs):
    """A text as the ids of its last ``length`` tokens: a ``Box`` of integers, ``(length,)``.

    The last token always stands in the last place; a shorter text has ``padding`` before it.

    Args:
        env: gives texts, as :class:`TextObservation` does.
        length: how many tokens are kept.
        tokenize: a text's ids, from 0 to ``vocabulary`` - 1; by default its UTF-8 bytes.
        vocabulary: how many ids there are.
        padding: the id of no token. Byte 0 occurs in no printable text; give a tokenizer's own.
    """

    def __init__(
        self,
        env: gymnasium.Env[str, Any],
        length: int,
        tokenize: Callable[[str], Sequence[int]] = utf8,
        vocabulary: int = 256,
        padding: int = 0,
    ):
        if length < 1 or not 0 <= padding < vocabulary:
            raise ConfigurationError(
                f"length must be at least 1 and padding an id below {vocabulary}, got {length} and {padding}"
            )
        RecordConstructorArgs.__init__(
            self, length=length, tokenize=tokenize, vocabulary=vocabulary, padding=padding, _disable_deepcopy=True
        )
        gymnasium.ObservationWrapper.__init__(self, env)
        kind: type[np.integer[Any]] = np.uint8 if vocabulary <= 256 else np.int64
        self.observation_space = Box(0, vocabulary - 1, (length,), kind)
        self._length, self._tokenize, self._vocabulary, self._padding = length, tokenize, vocabulary, padding

    def observation(self, observation: str) -> Array:
        kept = list(self._tokenize(observation)[-self._length :])
        shown = np.array([self._padding] * (self._length - len(kept)) + kept)
        if shown.min() < 0 or shown.max() >= self._vocabulary:
            raise ConfigurationError(
                f"tokenize gave ids from {shown.min()} to {shown.max()}; vocabulary={self._vocabulary} allows "
                f"0 to {self._vocabulary - 1}"
            )
        return shown.astype(self.observation_space.dtype)


class WordObservation(gymnasium.ObservationWrapper[Array, Any, str], RecordConstructorArgs):
    """Which words a text has: a ``Box`` of zeros and ones, ``(size,)``; a word's place is its hash (CRC-32).

    Args:
        env: gives texts, as :class:`TextObservation` does.
        size: how many places there are; words that share one cannot be told apart.
    """

    def __init__(self, env: gymnasium.Env[str, Any], size: int = 1024):
        if size < 1:
            raise ConfigurationError(f"size must be at least 1, got {size}")
        RecordConstructorArgs.__init__(self, size=size)
        gymnasium.ObservationWrapper.__init__(self, env)
        self.observation_space = Box(0.0, 1.0, (size,), np.float32)
        self._size = size

    def observation(self, observation: str) -> Array:
        shown = np.zeros(self._size, np.float32)
        shown[[crc32(utf8(word)) % self._size for word in re.findall(r"\w+", observation.lower())]] = 1
        return shown


class CallMenu(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """A menu of replies: the action is an index, ``Discrete(size)``.

    ``info["action_mask"]`` (and ``action_masks()``, for libraries that ask) tells which indices hold a reply now. Those
    that do not may be chosen all the same: the agent then says nothing, which hands the turn back.

    Args:
        env: a :class:`~tooluse_gym.env.ToolUseEnv`, wrapped or not, whose actions are texts.
        candidates: what may be said, given the visible tools and the conversation; by default calls whose arguments
            were found in the conversation (:class:`~tooluse_gym.candidates.ConversationCalls`).
        size: how many candidates the menu has; those beyond are left out.
    """

    def __init__(self, env: gymnasium.Env[Any, str], candidates: Candidates | None = None, size: int = 64):
        if size < 1:
            raise ConfigurationError(f"size must be at least 1, got {size}")
        RecordConstructorArgs.__init__(self, candidates=candidates, size=size)
        gymnasium.Wrapper.__init__(self, env)
        self.action_space = Discrete(size)
        self._candidates = candidates or ConversationCalls()
        self._size = size
        self._inner = inside(env, "CallMenu")
        self._seen: tuple[tuple[Tool, ...], Observation] | None = None
        self._menu: tuple[Utterance | None, ...] = ()

    @property
    def menu(self) -> tuple[Utterance | None, ...]:
        """What each index says now; None: nothing."""
        seen = (self._inner.visible_tools, self._inner.conversation)
        if seen != self._seen:  # asked for again and again between two steps
            found = tuple(self._candidates(*seen))[: self._size]
            self._seen, self._menu = seen, found + (None,) * (self._size - len(found))
        return self._menu

    def reply(self, index: int) -> str:
        """The text that an index stands for now; empty where it holds nothing, or what the format cannot write."""
        said = self.menu[index]
        try:
            return "" if said is None else self._inner.write(said)
        except UnwritableReplyError:
            return ""

    def action_masks(self) -> NDArray[np.bool_]:
        """Which indices hold a reply now."""
        return np.array([said is not None for said in self.menu])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, self._with_mask(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(self.reply(int(action)))
        return observation, reward, terminated, truncated, self._with_mask(info)

    def _with_mask(self, info: dict[str, Any]) -> dict[str, Any]:
        return {**info, "action_mask": self.action_masks().astype(np.int8)}  # the type that Discrete.sample takes
