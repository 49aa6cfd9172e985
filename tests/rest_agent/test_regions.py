"""From sampled ids to regions: exact characters for any segmentation, and the overlap rule."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rest_agent.regions import Region, TokenText, token_regions
from tooluse_gym.formats.reply import Kind, Segment

DATA = Path(os.environ.get("TOOLUSE_TEST_DATA", Path(__file__).parents[2] / "../shared/data")) / "rest"


def _wrap(tokenizer: Tokenizer, **special: str) -> Any:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)  # type: ignore[no-untyped-call]


def _byte_level() -> Any:
    """One token for each byte, a few pieces across bytes, and added tags."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate([*alphabet, "Ġthe", "ðŁ", "Ļ\x82"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrapped = _wrap(tokenizer, eos_token="<|end|>")
    wrapped.add_tokens(["<think>", "<é Ġ>"])
    return wrapped


def _sentencepiece() -> Any:
    """Metaspace and byte fallback, as in Llama 2: what is not a piece is spelled in bytes."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "n", "▁n", "é", "▁the", "t", '"', "<", ">"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    merges = [("▁", "n")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    wrapped = _wrap(tokenizer, eos_token="</s>")
    wrapped.add_tokens(["<think>"])
    return wrapped


@pytest.fixture(scope="module")
def bytewise() -> Any:
    return _byte_level()


@pytest.fixture(scope="module")
def reader(bytewise: Any) -> TokenText:
    return TokenText(bytewise)


def _ids_of_bytes(tokenizer: Any, data: bytes) -> list[int]:
    """Each byte as a token of its own, whatever the tokenizer would do."""
    if tokenizer.convert_tokens_to_ids("<0x0A>") is not None:
        return [tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in data]
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    by_byte: dict[int, str] = {}
    for character in map(chr, range(0x250)):
        encoded = character.encode()
        pieces = "".join(piece for piece, _ in spell.pre_tokenize_str(character))
        by_byte |= dict(zip(encoded, pieces, strict=True))
    by_byte |= {byte: chr(byte) for byte in range(0xA1, 0x100) if byte != 0xAD and byte not in by_byte}
    # The bytes that UTF-8 never has, C0, C1 and F5 to FF, stand for themselves in the alphabet.
    return [tokenizer.convert_tokens_to_ids(by_byte[byte]) for byte in data]


@pytest.mark.parametrize("make", [_byte_level, _sentencepiece], ids=["byte level", "SentencePiece"])
def test_ascii_and_special_tokens(make: Any) -> None:
    tokenizer = make()
    ids = [*_ids_of_bytes(tokenizer, b'a "'), tokenizer.convert_tokens_to_ids("<think>"), tokenizer.eos_token_id]
    text, intervals = TokenText(tokenizer).read(ids)
    end = tokenizer.eos_token
    assert text == f'a "<think>{end}'
    assert intervals.tolist() == [[0, 1], [1, 2], [2, 3], [3, 10], [10, 10 + len(end)]]


@pytest.mark.parametrize("make", [_byte_level, _sentencepiece], ids=["byte level", "SentencePiece"])
def test_every_piece_of_a_split_character_reports_the_character(make: Any) -> None:
    tokenizer = make()
    text, intervals = TokenText(tokenizer).read(_ids_of_bytes(tokenizer, "é🙂!".encode()))
    assert text == "é🙂!"
    assert intervals.tolist() == [[0, 1]] * 2 + [[1, 2]] * 4 + [[2, 3]]


def test_a_piece_may_end_inside_a_character_and_another_begin_there() -> None:
    tokenizer = _sentencepiece()
    the, n = tokenizer.convert_tokens_to_ids(["▁the", "▁n"])
    ids = [the, *_ids_of_bytes(tokenizer, "🙂".encode()), n, tokenizer.convert_tokens_to_ids("é")]
    text, intervals = TokenText(tokenizer).read(ids)
    assert text == " the🙂 né"
    assert intervals.tolist() == [[0, 4], *[[4, 5]] * 4, [5, 7], [7, 8]]


@pytest.mark.parametrize("make", [_byte_level, _sentencepiece], ids=["byte level", "SentencePiece"])
def test_what_the_tokenizer_encodes_is_read_back(make: Any) -> None:
    tokenizer = make()
    ids = tokenizer.encode('né "🙂"\n', add_special_tokens=False)
    text, intervals = TokenText(tokenizer).read(ids)
    assert text == (' né "🙂"\n' if make is _sentencepiece else 'né "🙂"\n')  # the blank is SentencePiece's own
    assert set().union(*(range(*interval) for interval in intervals.tolist())) == set(range(len(text)))


def test_added_tokens_are_their_plain_text(bytewise: Any, reader: TokenText) -> None:
    text, intervals = reader.read([bytewise.convert_tokens_to_ids("<é Ġ>")])
    assert (text, intervals.tolist()) == ("<é Ġ>", [[0, 5]])


def test_ids_beyond_the_vocabulary_have_no_text(bytewise: Any, reader: TokenText) -> None:
    a, accent = _ids_of_bytes(bytewise, b"a")[0], _ids_of_bytes(bytewise, "é".encode())
    nothing = len(bytewise) + 5
    assert reader.read([nothing, a, nothing])[1].tolist() == [[0, 0], [0, 1], [1, 1]]
    text, intervals = reader.read([a, nothing, *accent, nothing])
    assert text == "aé"
    assert intervals.tolist() == [[0, 1], [1, 1], [1, 2], [1, 2], [2, 2]]


def test_no_ids(reader: TokenText) -> None:
    text, intervals = reader.read([])
    assert text == ""
    assert intervals.shape == (0, 2)
    assert token_regions([], intervals).shape == (0,)


@given(st.binary(max_size=40))
def test_any_bytes_are_decoded_as_python_does(data: bytes) -> None:
    reader, tokenizer = _shared()
    text, intervals = reader.read(_ids_of_bytes(tokenizer, data))
    assert text == data.decode("utf-8", errors="replace")
    covered = [position for start, end in intervals.tolist() for position in range(start, end)]
    assert covered == sorted(covered)
    assert set(covered) == set(range(len(text)))
    assert ((intervals[:, 1] - intervals[:, 0]) == 1).all()


@given(st.text(max_size=30), st.lists(st.integers(0, 120), max_size=8))
def test_offsets_of_any_segmentation_of_any_text(text: str, cuts: list[int]) -> None:
    """Bytes grouped at random: every group overlaps exactly the characters that its bytes belong to."""
    data = text.encode("utf-8", errors="replace")
    text = data.decode()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    owner = [number for number, character in enumerate(text) for _ in character.encode()]
    reader, tokenizer = _shared()
    ids = _ids_of_bytes(tokenizer, data)
    found = reader.read(ids)[1].tolist()
    for start, end in pairwise(edges):
        group = found[start:end]
        assert (group[0][0], group[-1][1]) == (owner[start], owner[end - 1] + 1)


_SHARED: list[tuple[TokenText, Any]] = []


def _shared() -> tuple[TokenText, Any]:
    """Made once: Hypothesis forbids function-scoped fixtures."""
    if not _SHARED:
        tokenizer = _sentencepiece()
        _SHARED.append((TokenText(tokenizer), tokenizer))
    return _SHARED[0]


def test_a_tokenizer_whose_pieces_are_unknown_is_refused_by_name() -> None:
    tokenizer = Tokenizer(models.WordPiece(vocab={"[UNK]": 0, "a": 1, "##b": 2}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    with pytest.raises(TypeError, match=r"PreTrainedTokenizerFast|TokenizersBackend") as caught:
        TokenText(_wrap(tokenizer))
    assert "WordPiece" in str(caught.value)


# The overlap rule


def _regions(segments: list[tuple[Kind, int, int]], intervals: list[tuple[int, int]]) -> list[str]:
    spans = [Segment(*segment) for segment in segments]
    found = token_regions(spans, np.array(intervals, dtype=np.int64).reshape(-1, 2))
    assert found.dtype == np.int8
    return [Region(region).name for region in found]


def test_a_token_belongs_to_a_segment_iff_they_overlap() -> None:
    segments = [(Kind.THINK, 0, 4), (Kind.RESPONSE, 4, 8)]
    assert _regions(segments, [(0, 4), (3, 4), (4, 5), (7, 8)]) == ["THINK", "THINK", "RESPONSE", "RESPONSE"]


@pytest.mark.parametrize(
    ("higher", "lower"),
    [
        (Kind.NAME, Kind.TAG),
        (Kind.TAG, Kind.ARGUMENTS),
        (Kind.ARGUMENTS, Kind.THINK),
        (Kind.THINK, Kind.RESPONSE),
        (Kind.RESPONSE, Kind.SCAFFOLD),
        (Kind.SCAFFOLD, Kind.STRAY),
    ],
    ids=lambda kind: kind.value,
)
def test_where_several_overlap_the_first_in_rank_decides(higher: Kind, lower: Kind) -> None:
    for order in ([higher, lower], [lower, higher]):
        segments = [(order[0], 0, 3), (order[1], 3, 6)]
        assert _regions(segments, [(2, 4), (0, 6)]) == [higher.name] * 2


def test_a_token_may_span_a_whole_segment() -> None:
    segments = [(Kind.SCAFFOLD, 0, 2), (Kind.NAME, 2, 3), (Kind.SCAFFOLD, 3, 9)]
    assert _regions(segments, [(0, 9), (3, 9)]) == ["NAME", "SCAFFOLD"]


def test_tokens_without_a_segment_or_without_text_are_stray() -> None:
    assert _regions([(Kind.THINK, 0, 4)], [(0, 2), (2, 2), (2, 4), (4, 9)]) == ["THINK", "STRAY", "THINK", "STRAY"]
    assert _regions([], [(0, 1)]) == ["STRAY"]


def test_every_kind_has_a_region() -> None:
    for kind in Kind:
        assert _regions([(kind, 0, 1)], [(0, 1)]) == [kind.name]


# The reference's texts


def _records(name: str) -> Iterator[dict[str, Any]]:
    if not (DATA / name).exists():
        pytest.skip(f"no reference data at {name}; set TOOLUSE_TEST_DATA")
    with gzip.open(DATA / name, "rt") as file:
        yield from map(json.loads, file)


@pytest.mark.parametrize(("name", "count"), [("weights.jsonl.gz", 402), ("quirks.jsonl.gz", 91)])
def test_text_and_offsets_of_the_recorded_ids(name: str, count: int) -> None:
    """Among them ids that the tokenizer would not have chosen (``drift``), and characters split over tokens."""
    readers: dict[str, TokenText] = {}
    compared = 0
    for record in _records(name):
        if "offsets" not in record:  # ids cut off at a width
            continue
        folder = record["tokenizer"]
        if folder not in readers:
            readers[folder] = TokenText(AutoTokenizer.from_pretrained(DATA / folder))
        text, intervals = readers[folder].read(record["ids"])
        assert text == record["text"]
        assert intervals.tolist() == record["offsets"]
        compared += 1
    assert compared == count
