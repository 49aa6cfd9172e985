"""Print the peak memory and the time of one forward and backward pass: the head in chunks against all logits at once.

    python benchmarks/logits_memory.py [--rows 4] [--width 2048] [--vocabulary 150000] [--hidden 64] [--dtype float32]

The model is small but for its vocabulary. The plain way takes all logits from the model and gives them to
``torch.nn.functional.cross_entropy``; that is log-probabilities alone, while ours computes entropies besides. Ours is
measured with every token trained, and with every third one, as in episodes that are mostly listened to; the plain way
costs the same for both. Each measurement is a process of its own, in turns; the memory is what its resident set grew by
at most (Linux counts it in KiB), on CPU. The plain way needs three times the logits: 14.7 GB at the defaults.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from rest_agent.logits import score_tokens

WAYS = {"all logits": ("plain", 1), "in chunks": ("ours", 1), "in chunks, every third token": ("ours", 3)}


def measure(options: argparse.Namespace) -> dict[str, float]:
    """GB and seconds of one pass, in this process."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=options.vocabulary,
            hidden_size=options.hidden,
            intermediate_size=options.hidden,
            num_hidden_layers=1,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=options.hidden // 4,
            max_position_embeddings=options.width,
            tie_word_embeddings=True,
        )
    ).to(getattr(torch, options.dtype))
    ids = torch.randint(options.vocabulary, (options.rows, options.width))
    mask = (torch.arange(options.width) % options.every == 0).expand_as(ids)
    way = plain if options.way == "plain" else ours
    for value in model.parameters():  # gradients are there in both ways
        value.grad = torch.zeros_like(value)
    way(model, ids[:, :8], mask[:, :8]).backward()  # what torch allocates once
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    way(model, ids, mask).backward()
    seconds = time.perf_counter() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"gb": grown * 1024 / 1e9, "seconds": seconds}


def plain(model: Qwen3ForCausalLM, ids: Tensor, mask: Tensor) -> Tensor:
    logits = model(input_ids=ids, use_cache=False).logits.float()
    targets = torch.where(mask, ids, -100).roll(-1, dims=1)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")


def ours(model: Qwen3ForCausalLM, ids: Tensor, mask: Tensor) -> Tensor:
    log_probs, _ = score_tokens(model, ids, mask)
    return -log_probs.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--vocabulary", type=int, default=150_000)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", choices=("plain", "ours"), help=argparse.SUPPRESS)  # measure this one and print it
    parser.add_argument("--every", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way is not None:
        print(json.dumps(measure(options)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for _ in range(options.repeats):
        for name, (way, every) in WAYS.items():
            own = ["--way", way, "--every", str(every)]
            done = subprocess.run([sys.executable, *sys.argv, *own], check=True, capture_output=True, text=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    shape = f"{options.rows} x {options.width} tokens, vocabulary {options.vocabulary:,}"
    print(f"{shape}, hidden size {options.hidden}, {options.dtype}, medians of {options.repeats}\n")
    print("| head | peak GB | of all logits | seconds | of all logits |\n| --- | --- | --- | --- | --- |")
    whole = found["all logits"]
    for name, runs in found.items():
        peak, seconds = (statistics.median(run[key] for run in runs) for key in ("gb", "seconds"))
        pairs = list(zip(runs, whole, strict=True))
        less, faster = (statistics.median(run[key] / one[key] for run, one in pairs) for key in ("gb", "seconds"))
        print(f"| {name} | {peak:.2f} | {less:.3f} | {seconds:.1f} | {faster:.2f} |")


if __name__ == "__main__":
    main()
