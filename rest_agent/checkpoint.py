"""Checkpoints: written whole or not at all, checked before they are trusted.

A checkpoint folder holds the model and tokenizer as Hugging Face files (``AutoModelForCausalLM.from_pretrained`` reads
them), DeepSpeed's shards for resuming, ``state.json`` (how far the run is), and ``manifest.json`` (every file and its
size, written last).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist

from rest_agent.engine import state_dict

_MANIFEST = "manifest.json"
_SHARDS = "deepspeed"


class CheckpointError(RuntimeError):
    """A checkpoint is missing, incomplete or damaged. The message names the file, and the previous one if it is sound."""


def save(folder: Path, engine: Any, tokenizer: Any, state: Mapping[str, Any], keep: int) -> Path:
    """Write the checkpoint ``folder/step-N`` and drop all but the newest ``keep``. A collective: all ranks call it."""
    final = folder / f"step-{state['step']:06d}"
    unfinished = folder / f".{final.name}.unfinished"
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
        (unfinished / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
        sizes = {str(f.relative_to(unfinished)): f.stat().st_size for f in sorted(unfinished.rglob("*")) if f.is_file()}
        (unfinished / _MANIFEST).write_text(json.dumps(sizes, indent=1), encoding="utf-8")
        shutil.rmtree(final, ignore_errors=True)
        unfinished.rename(final)
        for old in _all(folder)[:-keep]:
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
    """Load weights and optimizer into ``engine``; the state that :func:`save` was given."""
    loaded, _ = engine.load_checkpoint(str(path), tag=_SHARDS)
    if loaded is None:
        raise CheckpointError(f"checkpoint {path}: DeepSpeed found no shards in {path / _SHARDS}")
    state: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
    return state


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _damage(path: Path) -> str | None:
    try:
        sizes = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"{_MANIFEST} is missing"
    except ValueError:
        return f"{_MANIFEST} is not JSON"
    for name, size in sizes.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} bytes instead of {size}"
    return None
