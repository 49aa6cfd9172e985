"""Tokens per second of decoding: our lean forward, our loop around Hugging Face's forward, and transformers' generate.

    python benchmarks/decode.py [--model FOLDER] [--rows 1 8 32 96] [--tokens 128] [--repeats 5] [--threads 1]

Without FOLDER, the quickstart's model, untrained. All sides get the same prompts, sample at temperature 1 and
make the same number of new tokens, since none may end. They take turns, so that a machine that others use slows all
alike; medians, and ratios to ``generate``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from rest_agent import policy
from rest_agent.config_text import load
from rest_agent.sampling.cache import SlotCache
from rest_agent.sampling.decode import _sample
from rest_agent.sampling.forward import LeanForward, OwnForward

PROMPT = 40  # tokens, about as many as the quickstart's openings have
LEAN, OWN, GENERATE, STATIC = "lean", "own forward", "generate", "generate, static cache"


def ours(forward: OwnForward, prompts: torch.Tensor, tokens: int) -> None:
    """``tokens`` steps as the decode loop makes them, without the bookkeeping of conversations."""
    rows, width = prompts.shape
    cache = SlotCache(forward._model.config.num_hidden_layers, rows, width + tokens, prompts.device)
    cache.store(forward.prefill(prompts[:, :-1].tolist()), range(rows), range(rows))
    noise = torch.rand(tokens, rows, dtype=torch.float64).tolist()
    ids = prompts[:, -1]
    for number, column in enumerate(range(width - 1, width + tokens - 1)):
        cache.aim(torch.full((rows,), column, device=prompts.device), column + 1)
        chosen, _ = _sample(forward.step(ids, cache), 1.0, noise[number])
        ids = torch.tensor(chosen, device=prompts.device)


def generate(model: Any, prompts: torch.Tensor, tokens: int, **options: Any) -> None:
    made = model.generate(
        input_ids=prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        pad_token_id=0,
        **options,
    )
    assert made.shape[1] == prompts.shape[1] + tokens


def sides(model: Any, prompts: torch.Tensor, tokens: int) -> dict[str, Callable[[], None]]:
    columns = prompts.shape[1] + tokens
    return {
        LEAN: lambda: ours(LeanForward(model, columns), prompts, tokens),
        OWN: lambda: ours(OwnForward(model), prompts, tokens),
        GENERATE: lambda: generate(model, prompts, tokens),
        STATIC: lambda: generate(model, prompts, tokens, cache_implementation="static", disable_compile=True),
    }


def measure(runs: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Median seconds of each side, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repeat:  # the first turn warms up
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a Hugging Face folder")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 32, 96])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = [f"model.path={options.model}"] if options.model else []
    model, _ = policy.make(load(None, settings), None)
    model = model.to(device).eval()
    print("| rows | " + " | ".join(f"{name}, tokens/s" for name in (LEAN, OWN, GENERATE, STATIC)) + " |")
    print("| --- |" + " --- |" * 4)
    with torch.inference_mode():
        for rows in options.rows:
            prompts = torch.randint(2, model.config.vocab_size, (rows, PROMPT), device=device)
            medians = measure(sides(model, prompts, options.tokens), options.repeats)
            cells = [
                f"{rows * options.tokens / spent:,.0f} ({medians[GENERATE] / spent:.2f}x)" for spent in medians.values()
            ]
            print(f"| {rows} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
