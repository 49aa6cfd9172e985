"""DeepSpeed at arm's length: one engine, one update, the weights for sampling. The same code for every ZeRO stage."""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import deepspeed
import torch
import torch.distributed as dist
from torch import Tensor

from rest_agent.config import Config, ConfigError

_SMALL = 20_000_000  # parameters

Item = TypeVar("Item")
Forward = Callable[[Any, Item], Tensor]
"""(model, one micro-batch) -> the loss, summed over the micro-batch and divided by the update's denominator."""


def start_process_group() -> torch.device:
    """Join the launcher's process group (or be a group of one) and return this rank's device."""
    if "RANK" not in os.environ:  # started without the launcher
        os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    local_rank, local_ranks = int(os.environ["LOCAL_RANK"]), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
        device, backend = torch.device("cuda", local_rank), "nccl"
    else:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // local_ranks))
        # Its shared-memory reduction wants a C++ compiler and brings no measurable speed.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        device, backend = torch.device("cpu"), "gloo"
    if os.environ["MASTER_PORT"] == "0":
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    deepspeed.init_distributed(dist_backend=backend, verbose=False)
    return device


def read_deepspeed_config(path: str | Path | None) -> dict[str, Any]:
    """The user's DeepSpeed JSON; without one, ZeRO stage 1.

    Raises:
        ConfigError: the file cannot be read or is not JSON.
    """
    if path is None:
        return {"zero_optimization": {"stage": 1}}
    try:
        settings = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--deepspeed_config {path}: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"--deepspeed_config {path}: expected a JSON object")
    return settings


def make_engine(model: Any, config: Config, settings: Mapping[str, Any]) -> Any:
    """A DeepSpeed engine. Batch sizes are ours (an update is as many micro-batches as its tokens need)."""
    merged = {
        "gradient_clipping": config.optimizer.max_grad_norm,
        config.model.dtype.replace("bfloat16", "bf16").replace("float16", "fp16"): {"enabled": True},
        **settings,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
    }
    merged.pop("float32", None)
    merged.pop("train_batch_size", None)
    optimizer = None
    if "optimizer" not in merged:  # DeepSpeed's own Adam wants a compiler on CPU
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=0.0, betas=config.optimizer.betas, weight_decay=config.optimizer.weight_decay
        )
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=merged)
    return engine


def update(engine: Any, micro_batches: Sequence[Item], forward: Forward[Item], learning_rate: float) -> float:
    """One optimizer step over all micro-batches; the gradient norm before clipping (nan where DeepSpeed keeps none).

    Every rank must bring the same number of micro-batches. DeepSpeed averages gradients over ranks.
    """
    for group in engine.optimizer.param_groups:
        group["lr"] = learning_rate
    engine.train()
    for number, item in enumerate(micro_batches):
        engine.set_gradient_accumulation_boundary(number == len(micro_batches) - 1)
        engine.backward(forward(engine, item))
        engine.step()
    norm = engine.get_global_grad_norm()
    return float("nan") if norm is None else float(norm)


class Sampler:
    """The weights that replies are sampled with: plain modules, without DeepSpeed's hooks.

    Up to ZeRO stage 2 the engine's own module is whole and free of hooks. Under stage 3 its parameters are gathered
    once per update into a replica: ragged episodes would never agree on its collectives.
    """

    def __init__(self, engine: Any):
        self._engine = engine
        self._replica = None
        if engine.zero_optimization_stage() == 3:
            config = copy.deepcopy(engine.module.config)
            self._replica = type(engine.module)(config).to(engine.device, engine.module.dtype).requires_grad_(False)

    def refresh(self) -> Any:
        """The model with the engine's current weights, in evaluation mode."""
        if self._replica is None:
            return self._engine.module.eval()
        with torch.no_grad():
            for own, sharded in zip(self._replica.parameters(), self._engine.module.parameters(), strict=True):
                with deepspeed.zero.GatheredParameters([sharded]):
                    own.copy_(sharded)
        return self._replica.eval()


@contextmanager
def threads_for_decoding(model: Any) -> Iterator[None]:
    """One thread on CPU for small models: a token's matrices are too small to share, and waiting costs more."""
    before = torch.get_num_threads()
    if model.device.type == "cpu" and model.num_parameters() < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def state_dict(engine: Any) -> dict[str, Tensor]:
    """Every weight, whole, on CPU. A collective: all ranks must call it."""
    sharded = engine.zero_optimization_stage() == 3
    weights = {}
    for name, value in engine.module.named_parameters():
        with deepspeed.zero.GatheredParameters([value], enabled=sharded):
            weights[name] = value.detach().to("cpu", copy=True)
    return weights


def gather(value: Item) -> list[Item]:
    """``value`` of every rank, in order of rank."""
    if dist.get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def broadcast(value: Item) -> Item:
    """The first rank's ``value``, on every rank."""
    box: list[Any] = [value]
    dist.broadcast_object_list(box)
    return box[0]  # type: ignore[no-any-return]


def is_first() -> bool:
    """Whether this is the rank that writes and prints."""
    return dist.get_rank() == 0


def say(*text: Any) -> None:
    """Print on the first rank."""
    if is_first():
        print(*text, file=sys.stderr, flush=True)
