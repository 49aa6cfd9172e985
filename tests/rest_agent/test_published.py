"""The published code's weights, errors included: every recorded case, at every recorded step."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoTokenizer

from rest_agent.published import normalised, published_weights, rollout_weights, spans, token_range

DATA = Path(os.environ.get("TOOLUSE_TEST_DATA", Path(__file__).parents[2] / "../shared/data")) / "rest"


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Any]:
    if not DATA.exists():
        pytest.skip("no reference data; set TOOLUSE_TEST_DATA")
    return {name: AutoTokenizer.from_pretrained(DATA / name) for name in ("tokenizer", "tokenizer_plain")}


def _records(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(DATA / name, "rt") as file:
        yield from map(json.loads, file)


def _same(found: Tensor, expected: list[float]) -> bool:
    return torch.allclose(found, torch.tensor(expected), atol=1e-6, rtol=1e-6)


def _overlap_weights(text: str, offsets: list[tuple[int, int]], step: int) -> Tensor:
    """The published spans on the tokens that they overlap."""
    starts, ends = np.array(offsets).T
    weights = torch.zeros(len(offsets))
    for start, end, weight in spans(text, step):
        inside = torch.from_numpy((starts < end) & (ends > start))
        weights[inside] = weights[inside].clamp(min=weight)
    return normalised(weights)


@pytest.mark.parametrize(("name", "count"), [("weights.jsonl.gz", 402), ("quirks.jsonl.gz", 95)])
def test_every_recorded_reply_gets_the_recorded_weights_or_error(
    name: str, count: int, tokenizers: dict[str, Any]
) -> None:
    """Malformed texts, ids that the tokenizer would not have chosen, and widths that are too small among them."""
    compared = 0
    for record in _records(name):
        text, width = record["text"], len(record["ids"])
        for step, expected in record["ref"].items():
            if step == "error":
                with pytest.raises(RuntimeError) as caught:
                    published_weights(text, tokenizers[record["tokenizer"]], width, 0)
                assert f"RuntimeError: {caught.value}" == expected
            else:
                found = published_weights(text, tokenizers[record["tokenizer"]], width, int(step))
                assert _same(found, expected), (record["text"], step)
        compared += 1
    assert compared == count


@pytest.mark.parametrize(("name", "count"), [("weights.jsonl.gz", 402), ("quirks.jsonl.gz", 91)])
def test_the_same_spans_on_the_tokens_they_overlap_are_the_corrected_column(
    name: str, count: int, tokenizers: dict[str, Any]
) -> None:
    compared = 0
    for record in _records(name):
        for step, expected in record.get("overlap", {}).items():
            found = _overlap_weights(record["text"], record["offsets"], int(step))
            assert _same(found, expected), (record["text"], step)
        compared += "overlap" in record
    assert compared == count


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((0, 4), (0, 1)),  # two tokens: the last one is lost
        ((0, 3), (0, 1)),  # one token
        ((1, 6), (1, 2)),  # the first begins before the span, the last is lost
        ((3, 3), (1, 2)),  # nothing: the token behind it
        ((7, 8), (3, 3)),  # behind the beginning of the last token
    ],
)
def test_characters_to_tokens(span: tuple[int, int], expected: tuple[int, int]) -> None:
    assert token_range([(0, 3), (3, 6), (6, 8)], *span) == expected


def test_a_rollout_of_one_reply_is_the_published_case(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["tokenizer"]
    for record in list(_records("weights.jsonl.gz"))[:40]:
        if record["tokenizer"] == "tokenizer":
            heard = [5, 6, 7]
            ids = torch.tensor([*heard, *record["ids"], *heard])
            mask = torch.tensor([False] * 3 + [True] * len(record["ids"]) + [False] * 3)
            expected = [0.0] * 3 + record["ref"]["100"] + [0.0] * 3
            assert _same(rollout_weights(ids, mask, tokenizer, 100), expected)


def test_several_replies_are_normalised_together(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["tokenizer"]
    replies = ["<think> a b </think>", "no tags", "<response> a </response>"]
    ids, mask = [], []
    for reply in replies:
        spoken = tokenizer(reply)["input_ids"]
        ids += [*spoken, 5]
        mask += [True] * len(spoken) + [False]
    weights = rollout_weights(torch.tensor(ids), torch.tensor(mask), tokenizer, 1)
    assert (weights[~torch.tensor(mask)] == 0).all()
    assert weights[weights > 0].mean().item() == pytest.approx(1)
    tags = weights[0].item()
    assert weights.max().item() == pytest.approx(tags)
    assert weights[1].item() == pytest.approx(0.602 * tags)
    assert not rollout_weights(torch.tensor(ids), torch.zeros(len(ids), dtype=torch.bool), tokenizer, 1).any()


@given(st.text(alphabet='<>/thinkresponse_ol{}"\\name:aguts ', max_size=80), st.integers(0, 500))
def test_spans_of_any_text_lie_in_it(text: str, step: int) -> None:
    text = f'<think>{text}</think><tool_call>{{"name": "a", "arguments": {text}</tool_call>'
    for start, end, weight in spans(text, step):
        assert 0 <= start <= end <= len(text)
        assert 0.6 <= weight <= 1.2
