"""Print what token weights cost: from the sampled ids, against tokenising the text once, and once for every span.

    python benchmarks/token_weights.py FOLDER

FOLDER holds ``tokenizer/`` and ``weights.jsonl.gz``, recorded replies whose thoughts are the text. A reply is a thought
of some length and one call. Per reply, in batches of 32:

* ``ours``: text and offsets of the ids, the parser's segments, regions; then the weights of the batch. ``parsed``: the
  same without the parser, as the environment has parsed the reply anyway.
* ``tokenised``: the reply's text, tokenised once and nothing else.
* ``per span``: the published code's way, which tokenises the text anew for every span. ``padded``: the same on rows
  padded to 2,048 tokens, which are part of its text.

All in one thread, processor time, repeats interleaved; medians, and medians of the repeats' ratios.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from rest_agent.batch import pad
from rest_agent.config import WeightsConfig
from rest_agent.published import normalised, published_weights, spans, token_range
from rest_agent.regions import Region, TokenText, token_regions
from rest_agent.weights import token_weights
from tooluse_gym.formats import get_format

LENGTHS = (128, 512, 2048)
WIDTH = 2048
ROWS = 32
REPEATS = 9
STEP = 100
CALL = '\n<tool_call>\n{"name": "get_news", "parameters": {"topic": "weather", "page": 1}}\n</tool_call>'
END, PADDING = "<|im_end|>", "<|endoftext|>"


def replies(folder: Path, tokenizer: Any, length: int) -> list[str]:
    """ROWS texts of about ``length`` tokens, each with a thought of its own."""
    with gzip.open(folder / "weights.jsonl.gz", "rt") as file:
        texts = [json.loads(line)["text"] for line in file]
    words = " ".join(text.partition("<think>")[2].partition("</think>")[0].strip() for text in texts).split(" ")

    def reply(row: int, count: int) -> str:
        first = row * len(words) // ROWS
        return f"<think> {' '.join((words[first:] + words)[:count])} </think>{CALL}{END}"

    def tokens(row: int, count: int) -> int:
        return len(tokenizer(reply(row, count)).input_ids)

    fitting = [bisect_right(range(length), length, key=partial(tokens, row)) - 1 for row in range(ROWS)]
    return [reply(row, count) for row, count in enumerate(fitting)]


def per_span(text: str, tokenizer: Any, width: int) -> torch.Tensor:
    """As ``published_weights``, with a tokenisation for every span."""
    weights = torch.zeros(width)
    for start, end, weight in spans(text, STEP):
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        first, stop = token_range(offsets, start, end)
        weights[first:stop] = torch.maximum(weights[first:stop], torch.full((stop - first,), weight))
    return normalised(weights)


def seconds(work: Callable[[], object]) -> float:
    work()  # what was timed before has filled the caches
    start = time.process_time()
    work()
    return time.process_time() - start


def contestants(texts: list[str], tokenizer: Any) -> dict[str, Callable[[], Any]]:
    """What is timed, on one batch."""
    reader, form, schedule = TokenText(tokenizer), get_format("toolrl"), WeightsConfig("code")
    backend = tokenizer.backend_tokenizer
    ids = [backend.encode(text, add_special_tokens=False).ids for text in texts]
    parsed = [form.parse(text.removesuffix(END)).segments for text in texts]
    padded = [text + PADDING * (WIDTH - len(row)) for text, row in zip(texts, ids, strict=True)]

    def ours(known: bool) -> torch.Tensor:
        rows = []
        for row, segments in zip(ids, parsed, strict=True):
            text, intervals = reader.read(row[:-1])
            found = token_regions(segments if known else form.parse(text).segments, intervals)
            rows.append(torch.from_numpy(np.append(found, np.int8(Region.END))))
        return token_weights(pad(rows), 0.0, schedule, update=STEP)

    return {
        "ours": lambda: ours(known=False),
        "parsed": lambda: ours(known=True),
        "tokenised": lambda: [backend.encode(text, add_special_tokens=False).ids for text in texts],
        "per span": lambda: [per_span(t, tokenizer, len(row)) for t, row in zip(texts, ids, strict=True)],
        "padded": lambda: [per_span(text, tokenizer, WIDTH) for text in padded],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder / "tokenizer")
    columns = ("ours", "parsed", "tokenised", "per span", "padded")
    header = ("tokens", *(f"{name}, ms" for name in columns), *(f"{name} / ours" for name in columns[2:]))
    for row in (header, ("---",) * len(header)):
        print(f"| {' | '.join(row)} |")
    for length in LENGTHS:
        texts = replies(folder, tokenizer, length)
        works = contestants(texts, tokenizer)
        for text, weights in zip(texts, works["per span"](), strict=True):
            assert torch.equal(weights, published_weights(text, tokenizer, len(weights), STEP))
        runs = [{name: seconds(work) for name, work in works.items()} for _ in range(REPEATS)]
        cost = {name: statistics.median(run[name] for run in runs) * 1000 / ROWS for name in columns}
        ratios = [statistics.median(run[name] / run["ours"] for run in runs) for name in columns[2:]]
        cells = [f"{length:,}", *(f"{cost[name]:.3f}" for name in columns), *(f"{ratio:.1f}" for ratio in ratios)]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
