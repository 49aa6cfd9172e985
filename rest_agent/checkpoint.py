"""Checkpoints: written whole or not at all, checked before they are trusted.

A checkpoint folder holds the model and tokenizer as Hugging Face files (``AutoModelForCausalLM.from_pretrained`` reads
them), DeepSpeed's shards for resuming, ``state.json`` (how far the run is, and on how many ranks), and
``manifest.json`` (every file with its size, and a checksum unless it is too large for one; written last).
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist

from rest_agent.engine import state_dict

_MANIFEST = "manifest.json"
_STATE = "state.json"
_SHARDS = "deepspeed"
_SUMMED = 1 << 28  # bytes; reading larger files again would take longer than writing them seldom is worth


class CheckpointError(RuntimeError):
    """A checkpoint is missing or damaged, or of another kind of run. The message names the file and what to do."""


def save(folder: Path, engine: Any, tokenizer: Any, state: Mapping[str, Any], keep: int) -> Path:
    """Write the checkpoint ``folder/step-N``, N from ``state["step"]``; of those up to N the newest ``keep`` stay.

    A collective: all ranks call it.
    """
    final = folder / f"step-{state['step']:06d}"
    unfinished, replaced = (folder / f".{final.name}.{what}" for what in ("unfinished", "replaced"))
    first = dist.get_rank() == 0
    if first:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
    dist.barrier()
    engine.save_checkpoint(str(unfinished), tag=_SHARDS)
    weights = state_dict(engine)
    if first:
        engine.module.save_pretrained(unfinished, state_dict=weights)
        tokenizer.save_pretrained(unfinished)
        record = {"run": state, "ranks": dist.get_world_size(), "zero_stage": engine.zero_optimization_stage()}
        (unfinished / _STATE).write_text(json.dumps(record, indent=1), encoding="utf-8")
        files = {str(f.relative_to(unfinished)): _seal(f) for f in sorted(unfinished.rglob("*")) if f.is_file()}
        (unfinished / _MANIFEST).write_text(json.dumps(files, indent=1), encoding="utf-8")
        if final.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            final.rename(replaced)
        unfinished.rename(final)
        shutil.rmtree(replaced, ignore_errors=True)
        for old in [path for path in _all(folder) if path.name <= final.name][:-keep]:
            shutil.rmtree(old)
    dist.barrier()
    return final


def latest(folder: Path) -> Path:
    """The newest checkpoint of a run, after a check of its files.

    Raises:
        CheckpointError: there is none, or the newest is damaged; the message then offers the one before.
    """
    found = _all(folder)
    if not found:
        raise CheckpointError(f"no checkpoint in {folder}; start the run without --resume")
    problem = _damage(found[-1])
    if problem is None:
        return found[-1]
    sound = next((path for path in reversed(found[:-1]) if _damage(path) is None), None)
    remedy = f"the previous one is sound: --resume {sound}" if sound else "no earlier checkpoint is sound"
    raise CheckpointError(f"checkpoint {found[-1]} is damaged ({problem}); {remedy}")


def check(path: Path) -> Path:
    """``path`` itself if it is a sound checkpoint.

    Raises:
        CheckpointError: it is not.
    """
    problem = _damage(path)
    if problem is not None:
        raise CheckpointError(f"checkpoint {path} cannot be used: {problem}")
    return path


def restore(path: Path, engine: Any) -> dict[str, Any]:
    """Load weights and optimizer into ``engine``; the state that :func:`save` was given.

    Raises:
        CheckpointError: it was saved by another number of ranks or at another ZeRO stage, or DeepSpeed cannot load it.
    """
    record = json.loads((path / _STATE).read_text(encoding="utf-8"))
    for key, here in (("ranks", dist.get_world_size()), ("zero_stage", engine.zero_optimization_stage())):
        if record[key] != here:
            raise CheckpointError(
                f"checkpoint {path} was saved with {key} = {record[key]}, and this is {here}: continue it as it was "
                "begun (deepspeed --num_gpus, --deepspeed_config), or start a new run with model.path set to it"
            )
    try:
        loaded, _ = engine.load_checkpoint(str(path), tag=_SHARDS)
    except (RuntimeError, AssertionError, OSError, KeyError) as error:
        raise CheckpointError(f"checkpoint {path}: DeepSpeed cannot load {path / _SHARDS}: {error}") from error
    if loaded is None:
        raise CheckpointError(f"checkpoint {path}: DeepSpeed found no shards in {path / _SHARDS}")
    state: dict[str, Any] = record["run"]
    return state


def _seal(file: Path) -> list[int | None]:
    """Size and CRC-32 of a file; no checksum of a very large one."""
    size = file.stat().st_size
    return [size, zlib.crc32(file.read_bytes()) if size <= _SUMMED else None]


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _damage(path: Path) -> str | None:
    try:
        files = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        expected = {name: (int(size), checksum) for name, (size, checksum) in files.items()}
    except FileNotFoundError:
        return f"{_MANIFEST} is missing"
    except (ValueError, TypeError, AttributeError):
        return f"{_MANIFEST} is not a manifest"
    for name in (_STATE, *expected):
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if name not in expected:
            return f"{_MANIFEST} does not list {name}"
        size, checksum = expected[name]
        found, found_checksum = _seal(file)
        if found != size:
            return f"{name} has {found} bytes instead of {size}"
        if checksum != found_checksum:
            return f"{name} has changed since it was written"
    return None
