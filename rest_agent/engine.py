"""DeepSpeed at arm's length: one engine, one update, the weights for sampling. The same code for every ZeRO stage."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import deepspeed
import torch
import torch.distributed as dist
from deepspeed.runtime.config import DeepSpeedConfigError
from torch import Tensor

from rest_agent import lora
from rest_agent.config import Config, ConfigError, OptimizerConfig
from rest_agent.watchdog import beat

_SMALL = 20_000_000  # parameters
_GATHERED = 50_000_000  # parameters that are whole at once under ZeRO stage 3
_BUCKET = 500_000_000  # gradients that ZeRO reduces at once: DeepSpeed's own default

Item = TypeVar("Item")
Forward = Callable[[Any, Item], Tensor]
"""(model, one micro-batch) -> the loss, summed over the micro-batch and divided by the update's denominator."""


def start_process_group() -> torch.device:
    """Join the launcher's process group (or be a group of one) and return this rank's device."""
    if "RANK" not in os.environ:  # started without the launcher
        os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")
    local_rank = int(os.environ["LOCAL_RANK"])
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
        device, backend = torch.device("cuda", local_rank), "nccl"
    else:
        choose_threads()
        # Its shared-memory reduction wants a C++ compiler and brings no measurable speed.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        device, backend = torch.device("cpu"), "gloo"
    if os.environ["WORLD_SIZE"] == "1" and not dist.is_initialized():  # needs no port, which another run may hold
        store = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=0, world_size=1)
    deepspeed.init_distributed(dist_backend=backend, verbose=False)
    return device


def read_deepspeed_config(path: str | Path | None) -> dict[str, Any]:
    """The user's DeepSpeed JSON; without one, ZeRO stage 1. Values of ``"auto"`` are left to us.

    Raises:
        ConfigError: the file cannot be read, is not JSON, or sets what is not DeepSpeed's to set here.
    """
    if path is None:
        return {"zero_optimization": {"stage": 1}}
    try:
        settings = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--deepspeed_config {path}: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"--deepspeed_config {path}: expected a JSON object")
    if "scheduler" in settings:
        raise ConfigError(
            f"--deepspeed_config {path}: remove scheduler; rl.learning_rate, rl.warmup and sft set the learning rate"
        )
    return _without_auto(settings)


def _without_auto(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_auto(value) if isinstance(value, dict) else value
        for key, value in settings.items()
        if value != "auto"
    }


def choose_threads() -> None:
    """This rank's share of the cores, on CPU; ``OMP_NUM_THREADS`` has the last word."""
    if "OMP_NUM_THREADS" not in os.environ:
        # DeepSpeed's launcher says LOCAL_SIZE, torch's LOCAL_WORLD_SIZE.
        local_ranks = int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("LOCAL_SIZE", "1"))
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // local_ranks))


@contextmanager
def threads_for_decoding(model: Any) -> Iterator[None]:
    """One thread on CPU for a small model: a token's matrices are too small to share, and waiting costs more."""
    before = torch.get_num_threads()
    if model.device.type == "cpu" and model.num_parameters() < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_engine(model: Any, config: Config, settings: Mapping[str, Any]) -> tuple[Any, Sampler]:
    """A DeepSpeed engine, and the model to sample with.

    Batch sizes are ours: an update is as many micro-batches as its tokens need. An ``optimizer`` of the DeepSpeed
    settings is used as it is there, but for its learning rate; without one it is AdamW with ``config.optimizer``.
    ``model.dtype`` decides the precision.

    Raises:
        ConfigError: the DeepSpeed settings ask for another precision, or DeepSpeed refuses them.
    """
    merged = {
        "gradient_clipping": config.optimizer.max_grad_norm,
        **settings,
        **_precision(config.model.dtype, settings),
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
    }
    merged.pop("train_batch_size", None)
    stage = merged.get("zero_optimization", {}).get("stage", 0)
    if stage not in (0, 1, 2, 3):
        raise ConfigError(f"--deepspeed_config: zero_optimization.stage must be 0, 1, 2 or 3, got {stage!r}")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if stage:  # a bucket for gradients that is larger than all of them would be memory for nothing
        largest = min(_BUCKET, sum(parameter.numel() for parameter in trained))
        merged["zero_optimization"] = {"reduce_bucket_size": largest, **merged["zero_optimization"]}
    optimizer = None if "optimizer" in merged else _optimizer(trained, config.optimizer, merged)
    replica = lora.plain(model).requires_grad_(False) if stage == 3 or lora.layers(model) else None
    try:
        engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, model_parameters=trained, config=merged)
    except (AssertionError, DeepSpeedConfigError, ValueError) as error:
        raise ConfigError(f"--deepspeed_config: {error}") from error
    return engine, Sampler(engine, replica)


def _precision(dtype: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    sections = {}
    for name, its_dtype in (("bf16", "bfloat16"), ("fp16", "float16")):
        section = settings.get(name, {})
        wanted = dtype == its_dtype
        if section.get("enabled", wanted) != wanted:
            raise ConfigError(
                f"--deepspeed_config: {name}.enabled is {str(section['enabled']).lower()}, but model.dtype is {dtype}; "
                f"leave {name}.enabled out, model.dtype decides"
            )
        if wanted:
            sections[name] = {**section, "enabled": True}
    return sections


def _optimizer(trained: list[Tensor], config: OptimizerConfig, settings: Mapping[str, Any]) -> torch.optim.Optimizer:
    options: dict[str, Any] = {"lr": 0.0, "betas": config.betas, "weight_decay": config.weight_decay}
    if settings.get("zero_optimization", {}).get("offload_optimizer", {}).get("device", "none") != "none":
        from deepspeed.ops.adam import DeepSpeedCPUAdam  # compiled at first use; without offloading nobody needs it

        offloaded: torch.optim.Optimizer = DeepSpeedCPUAdam(trained, **options)
        return offloaded
    return torch.optim.AdamW(trained, **options)


@dataclass(frozen=True)
class Step:
    """What became of an optimizer step; the same on all ranks."""

    norm: float
    """Of the gradient, before clipping; nan where the step was skipped."""
    not_finite: Literal["loss", "gradient"] | None = None
    """Why it was skipped. Weights and the optimizer's moments are then as they were."""


def update(engine: Any, micro_batches: Sequence[Item], forward: Forward[Item], learning_rate: float) -> Step:
    """One optimizer step over all micro-batches, or none if the loss or the gradient of any rank is not finite.

    Every rank must bring the same number of micro-batches. DeepSpeed averages gradients over ranks.
    """
    for group in engine.optimizer.param_groups:
        group["lr"] = learning_rate
    engine.train()
    finite = torch.ones((), dtype=torch.bool, device=engine.device)
    for number, item in enumerate(micro_batches):
        beat()
        engine.set_gradient_accumulation_boundary(number == len(micro_batches) - 1)
        loss = forward(engine, item)
        finite &= loss.isfinite()
        # An infinite loss can have finite gradients. Its product with nan has none, and neither has any rank's average.
        engine.backward(loss * torch.where(loss.isfinite(), 1.0, float("nan")))
        if engine.is_gradient_accumulation_boundary() and not hasattr(engine.optimizer, "overflow"):
            return _plain_step(engine, finite)
        engine.step()
    if engine.optimizer.overflow:
        return _skipped(finite)
    return Step(float(engine.get_global_grad_norm()))


def _plain_step(engine: Any, finite: Tensor) -> Step:
    """The step of a plain torch optimizer (ZeRO stage 0 in float32), for which DeepSpeed checks nothing."""
    gradients = [value.grad for value in engine.module.parameters() if value.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients))
    if math.isfinite(norm):
        engine.step()
        return Step(norm)
    engine.optimizer.zero_grad(set_to_none=True)
    return _skipped(finite)


def _skipped(finite: Tensor) -> Step:
    return Step(float("nan"), "gradient" if all(gather(bool(finite))) else "loss")


class Diverged(RuntimeError):  # noqa: N818 (it says what happened)
    """Step after step had a loss or a gradient that is not finite."""


class Skips:
    """Counts skipped steps, and ends a run that skips one after the other. Each engine's steps are a row of their own.

    A gradient that overflows in float16 is no sign of trouble: DeepSpeed lowers the scale of the loss and tries again,
    and gives up by itself once it cannot.
    """

    def __init__(self, config: Config, state: Mapping[str, Any] | None = None):
        """``state``: what :meth:`state` was when the run was saved."""
        self._most = config.optimizer.max_skipped
        self._dtype = config.model.dtype
        self._rows = {whose: _Row(**row) for whose, row in (state or {}).items()}
        self._new = 0

    def count(self, step: Step, learning_rate: float, whose: str = "policy") -> None:
        """Take note of a step.

        Raises:
            Diverged: it is the last of ``optimizer.max_skipped`` in a row. Nothing is saved: the last checkpoint is
                from before, and one written now might replace the last good one.
        """
        row = self._rows.setdefault(whose, _Row())
        if step.not_finite is None:
            row.norms, row.skipped = [*row.norms[-4:], step.norm], 0
            return
        self._new += 1
        row.skipped += not (self._dtype == "float16" and step.not_finite == "gradient")
        if row.skipped >= self._most:
            norms = ", ".join(f"{norm:.3g}" for norm in row.norms) or "none"
            raise Diverged(
                f"the last {row.skipped} optimizer steps of the {whose} were skipped because their loss or gradient is "
                f"not finite (the last: the {step.not_finite}); learning rate {learning_rate:.3g}, {self._dtype}, "
                f"gradient norms of the last steps made: {norms}. If these grow, lower the learning rate or "
                "optimizer.max_grad_norm; if there are none, look at the model's weights and at the rewards"
            )

    @property
    def going_on(self) -> bool:
        """Whether the last step of an engine was skipped."""
        return any(row.skipped for row in self._rows.values())

    def metrics(self) -> dict[str, float]:
        """``updates_skipped``: how many since it was last asked."""
        new, self._new = self._new, 0
        return {"updates_skipped": float(new)}

    def state(self) -> dict[str, Any]:
        """For JSON. Every update asks for :meth:`metrics`: between updates there is nothing more to it."""
        return {whose: asdict(row) for whose, row in self._rows.items()}


@dataclass
class _Row:
    """The last steps of one engine."""

    norms: list[float] = field(default_factory=list)
    """Of the gradients of the last five steps that were made."""
    skipped: int = 0
    """Steps since."""


class Sampler:
    """The weights that replies are sampled with: plain modules, without DeepSpeed's hooks.

    Up to ZeRO stage 2 the engine's own module is whole and free of hooks. Under stage 3 its parameters are gathered
    once per update into a replica: ragged episodes would never agree on its collectives. With LoRA it is a replica too,
    which has the adapters in its weights.
    """

    def __init__(self, engine: Any, replica: Any = None):
        self._engine = engine
        self._replica = replica

    def refresh(self) -> Any:
        """The model with the engine's current weights, in evaluation mode."""
        module = self._engine.module
        if self._replica is None:
            return module.eval()
        with torch.no_grad():
            replica = dict(self._replica.named_parameters())
            trained = (one for one in lora.weights(module) if any(part.requires_grad for part in one.parts))
            for weight in _whole(self._engine, trained):  # what is frozen, it has from the beginning
                replica[weight.name].copy_(weight.value())
            for own, buffer in zip(self._replica.buffers(), module.buffers(), strict=True):
                own.copy_(buffer)
        return self._replica.eval()


def state_dict(engine: Any) -> dict[str, Tensor]:
    """Every weight once (tied ones under their first name) and every saved buffer, whole, on CPU.

    Adapters are added to the weights that they belong to. A collective: all ranks must call it.
    """
    every = _whole(engine, lora.weights(engine.module))
    weights = {weight.name: weight.value().detach().to("cpu", copy=True) for weight in every}
    saved = engine.module.state_dict().keys()
    buffers = {name: value.cpu() for name, value in engine.module.named_buffers() if name in saved}
    return weights | buffers


def trained_weights(engine: Any) -> dict[str, Tensor]:
    """The weights that are trained, by their names in the engine's module, whole, on CPU. A collective."""
    named = engine.module.named_parameters()
    trained = _whole(engine, (lora.Weight(name, (value,)) for name, value in named if value.requires_grad))
    return {weight.name: weight.value().detach().to("cpu", copy=True) for weight in trained}


def _whole(engine: Any, weights: Iterable[lora.Weight]) -> Iterator[lora.Weight]:
    """Each of ``weights``, not sharded until the next is asked for, whatever the ZeRO stage. A collective."""
    sharded = engine.zero_optimization_stage() == 3
    for group in _groups(weights):
        parts = [part for weight in group for part in weight.parts]
        with deepspeed.zero.GatheredParameters(parts, enabled=sharded):
            yield from group


def _groups(weights: Iterable[lora.Weight]) -> Iterator[list[lora.Weight]]:
    """Weights that are gathered at once: one by one, waiting for the other ranks costs more than the gathering."""
    group: list[lora.Weight] = []
    elements = 0
    for weight in weights:
        group.append(weight)
        elements += sum(getattr(part, "ds_numel", part.numel()) for part in weight.parts)
        if elements >= _GATHERED:
            yield group
            group, elements = [], 0
    if group:
        yield group


def gather(value: Item) -> list[Item]:
    """``value`` of every rank, in order of rank."""
    if dist.get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def level(items: list[Item], spare: Item) -> list[Item]:
    """``items``, and ``spare`` as often as it takes for all ranks to have as many, and at least one."""
    most = max(1, *gather(len(items)))
    return items + [spare] * (most - len(items))


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
