"""Which part of a reply every sampled token belongs to.

The parser says what each *character* of a reply is (:class:`tooluse_gym.formats.reply.Segment`); the policy is trained
on *tokens*. The way between them goes through the sampled ids alone: text is never tokenised again, because a model may
emit a segmentation that no tokenizer would choose, and everything behind it would then be shifted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tooluse_gym.formats.reply import Kind, Reply, Segment

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Region(IntEnum):
    """What a token of an episode is. Everything but NONE was sampled by the policy."""

    NONE = 0  # not sampled: prompt, tool result, padding
    THINK = 1
    TAG = 2
    NAME = 3
    ARGUMENTS = 4
    SCAFFOLD = 5
    RESPONSE = 6
    STRAY = 7
    END = 8  # the end-of-turn token


# Where a token covers several segments (`</think>⏎` can be one token), the first of these decides.
_PRIORITY = (
    (Region.NAME, Kind.NAME),
    (Region.TAG, Kind.TAG),
    (Region.ARGUMENTS, Kind.ARGUMENTS),
    (Region.THINK, Kind.THINK),
    (Region.RESPONSE, Kind.RESPONSE),
    (Region.SCAFFOLD, Kind.SCAFFOLD),
    (Region.STRAY, Kind.STRAY),
)
_RANK = {kind: len(_PRIORITY) - 1 - position for position, (_, kind) in enumerate(_PRIORITY)}
_REGION_OF_RANK = np.array([region for region, _ in reversed(_PRIORITY)], dtype=np.int8)


def token_regions(segments: Iterable[Segment], intervals: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
    """The region of each token: the highest-ranking segment that its characters overlap.

    Args:
        segments: the parsed reply's, in any order.
        intervals: (n, 2), the characters ``[start, end)`` of each token, as :meth:`TokenText.read` gives them.

    Returns:
        (n,) int8. A token that overlaps no segment, or has no text at all, is STRAY: it was sampled after all.
        Tokens are not known by their id here, so the caller marks the end-of-turn token END.
    """
    if not len(intervals):
        return np.zeros(0, dtype=np.int8)
    start, end = intervals[:, 0], intervals[:, 1]
    # Per character; one spare, as reduceat wants every index inside.
    ranks = np.zeros(int(end.max()) + 1, dtype=np.int8)
    for segment in segments:
        ranks[segment.start : segment.end] = _RANK[segment.kind]
    best = np.maximum.reduceat(ranks, intervals.ravel())[::2]
    return _REGION_OF_RANK[np.where(start < end, best, 0)]


class TokenText:
    """The text of sampled ids, and where in it each id stands.

    Works on bytes: an id is worth the same bytes wherever it occurs, so nothing depends on how a tokenizer would have
    cut the text. Special and other added tokens count as their text. Unlike ``tokenizer.decode``, nothing is cleaned up
    and no leading blank is dropped.

    Raises:
        TypeError: the pieces of this kind of tokenizer cannot be mapped to bytes.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        decoder = json.loads(backend.to_str())["decoder"] if backend is not None else None
        steps = decoder["decoders"] if decoder and decoder["type"] == "Sequence" else [decoder] if decoder else []
        names = {step["type"] for step in steps}
        blanks = any(step["type"] == "Replace" and step["pattern"] == {"String": "▁"} for step in steps)
        self._byte_level = "ByteLevel" in names
        if not (self._byte_level or blanks or "Metaspace" in names):
            raise TypeError(
                f"cannot tell the bytes of the tokens of {type(tokenizer).__name__}: "
                f"its decoder is {decoder and decoder['type']}, neither byte-level nor SentencePiece-like"
            )
        self._byte_pieces = "ByteFallback" in names
        self._backend = backend
        self._bytes = _Table(self._find_bytes)
        self._bytes |= {index: token.content.encode() for index, token in tokenizer.added_tokens_decoder.items()}

    def pieces(self, ids: Iterable[int]) -> list[bytes]:
        """The bytes of each id."""
        return list(map(self._bytes.__getitem__, ids))

    def token_bytes(self, index: int) -> bytes:
        """The bytes of one id; none for an id beyond the vocabulary (models pad their embeddings)."""
        return self._bytes[index]

    def _find_bytes(self, index: int) -> bytes:
        piece = self._backend.id_to_token(index)
        return b"" if piece is None else self._piece_bytes(piece)

    def _piece_bytes(self, piece: str) -> bytes:
        if self._byte_level:
            try:
                return bytes(_BYTE_OF_CHARACTER[character] for character in piece)
            except KeyError:  # not written in the byte alphabet
                return piece.encode()
        if self._byte_pieces and len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            return bytes([int(piece[3:5], 16)])
        return piece.replace("▁", " ").encode()

    def read(self, ids: Sequence[int]) -> tuple[str, npt.NDArray[np.int64]]:
        """The text of ``ids`` and each token's characters in it.

        Returns:
            The text: the ids' bytes as UTF-8, invalid ones replaced by U+FFFD (``errors="replace"``).
            intervals: (n, 2) int64, ``[start, end)``. The pieces of a character that is split over tokens all report
            that character; a token without bytes has an empty interval.
        """
        pieces = self.pieces(ids)
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        stops = np.cumsum(lengths)
        starts = stops - lengths
        data = b"".join(pieces)
        if data.isascii():
            return data.decode("ascii"), np.stack([starts, stops], axis=1)
        text, character = _decode(data)
        # For a token without bytes `first` is where the next one begins; both ends agree there.
        first = character[starts]
        last = np.where(starts < stops, character[np.maximum(stops - 1, 0)] + 1, first)
        return text, np.stack([first, last], axis=1)


def reply_regions(
    ids: Sequence[int],
    text_of: TokenText,
    end_ids: Collection[int],
    parse: Callable[[str], Reply],
    prefix: str = "",
) -> tuple[str, list[int]]:
    """A sampled reply: its text without the end token, and the region of every id.

    Args:
        end_ids: the tokens that end a reply; a reply that was cut has none.
        prefix: what the chat template puts into the mouth of the model: part of the text, but not sampled.
    """
    ended = bool(ids) and ids[-1] in end_ids
    text, intervals = text_of.read(ids[:-1] if ended else ids)
    regions = token_regions(parse(prefix + text).segments, intervals + len(prefix))
    return prefix + text, [*regions.tolist(), *([int(Region.END)] if ended else [])]


class _Table(dict[int, bytes]):
    """The bytes of ids, worked out when they are first met: a loop over ids is then one of C."""

    def __init__(self, find: Callable[[int], bytes]):
        self._find = find

    def __missing__(self, index: int) -> bytes:
        found = self[index] = self._find(index)
        return found


def _decode(data: bytes) -> tuple[str, npt.NDArray[np.int64]]:
    """``data`` as text, and (len(data) + 1,) the index of the character that each byte is part of."""
    leads = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80  # all bytes but 10xxxxxx begin a character
    parts = []
    position = 0
    while position < len(data):
        try:
            parts.append(data[position:].decode())
            break
        except UnicodeDecodeError as error:
            wrong = slice(position + error.start, position + error.end)
            parts += [data[position : wrong.start].decode(), "\ufffd"]
            leads[wrong] = False  # together they become one character
            leads[wrong.start] = True
            position = wrong.stop
    text = "".join(parts)
    return text, np.append(np.cumsum(leads, dtype=np.int64) - 1, len(text))


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's: printable bytes stand for themselves, the others are written as the characters from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTE_OF_CHARACTER = _byte_alphabet()
