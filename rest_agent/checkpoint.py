"""Checkpoints: written whole or not at all, checked before they are trusted.

A checkpoint folder holds the model and tokenizer as Hugging Face files (``AutoModelForCausalLM.from_pretrained`` reads
them; with LoRA it is an adapter in peft's format, which names its base), DeepSpeed's shards for resuming (what is not
trained is not in them), the random generators of every rank, ``state.json`` (how far the run is, and on how many
ranks), and ``manifest.json`` (every file with its size, and a checksum unless it is too large for one; written last).
All of it is written aside, forced to the disk, and then renamed. Ranks on several machines need one file system.

Beside the checkpoints, ``head`` names the one that the run stands at. Whoever goes back to an earlier checkpoint moves
it; later ones then belong to another past, and are passed over until they are written anew.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist

from rest_agent import lora, randomness
from rest_agent.engine import broadcast, is_first, say, state_dict, trained_weights

_MANIFEST = "manifest.json"
_STATE = "state.json"
_SHARDS = "deepspeed"
_UNIVERSAL = "universal"
_CRITIC = "critic"
_HEAD = "head"
_SUMMED = 1 << 28  # bytes; reading larger files again would take longer than writing them seldom is worth


class CheckpointError(RuntimeError):
    """A checkpoint is missing or damaged, or cannot be written. The message names the file and what to do."""


def save(
    folder: Path,
    engine: Any,
    tokenizer: Any,
    state: Mapping[str, Any],
    keep: int,
    best: int | None = None,
    critic: Any = None,
) -> Path:
    """Write the checkpoint ``folder/step-N``, N from ``state["step"]``; of those up to N the newest ``keep`` stay.

    So does that of step ``best``. ``critic`` is PPO's second engine. A collective: all ranks call it.

    Raises:
        CheckpointError: it cannot be written, for want of space as a rule; those before it are as they were.
    """
    final = folder / _name(state["step"])
    unfinished = _unfinished(final)
    try:
        if is_first():
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        dist.barrier()
        with lora.without_frozen(engine.module):
            engine.save_checkpoint(str(unfinished), tag=_SHARDS, exclude_frozen_parameters=True)
        if critic is not None:
            critic.save_checkpoint(str(unfinished / _CRITIC), tag=_SHARDS)
        _random_file(unfinished, dist.get_rank()).write_text(json.dumps(randomness.state()), encoding="utf-8")
        adapted = bool(lora.layers(engine.module))
        weights = trained_weights(engine) if adapted else state_dict(engine)
        dist.barrier()
        if is_first():
            if adapted:
                lora.save(engine.module, weights, unfinished)
            else:
                engine.module.save_pretrained(unfinished, state_dict=weights)
            tokenizer.save_pretrained(unfinished)
            record = {"run": state, "ranks": dist.get_world_size(), "zero_stage": engine.zero_optimization_stage()}
            (unfinished / _STATE).write_text(json.dumps(record, indent=1), encoding="utf-8")
            files = {str(f.relative_to(unfinished)): _seal(f) for f in sorted(unfinished.rglob("*")) if f.is_file()}
            (unfinished / _MANIFEST).write_text(json.dumps(files, indent=1), encoding="utf-8")
            _publish(unfinished, final, keep, best)
    except Exception as error:  # every library has its own when the disk is full: the tokenizers' is a plain Exception
        shutil.rmtree(unfinished, ignore_errors=True)
        free = shutil.disk_usage(folder.parent).free >> 20
        raise CheckpointError(
            f"cannot write {final} ({type(error).__name__}: {error}); {free} MiB are free there. Checkpoints before it "
            f"are as they were: make room, then continue with --resume {folder.parent}"
        ) from error
    dist.barrier()
    return final


def newest(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest sound checkpoint of a run (None: there is none), and what is wrong with those after it."""
    problems: list[str] = []
    for path in reversed(_all(folder)):
        problem = _damage(path)
        if problem is None:
            return path, problems
        problems.append(f"checkpoint {path} is damaged ({problem})")
    return None, problems


def latest(folder: Path) -> Path:
    """The newest checkpoint of a run, after a check of its files.

    Raises:
        CheckpointError: there is none, or the newest is damaged; the message then offers the one before.
    """
    sound, problems = newest(folder)
    if problems:
        remedy = f"the previous one is sound: --resume {sound}" if sound else "no earlier checkpoint is sound"
        raise CheckpointError(f"{problems[0]}; {remedy}")
    if sound is None:
        raise CheckpointError(f"no checkpoint in {folder}; start the run without --resume")
    return sound


def check(path: Path) -> Path:
    """``path`` itself if it is a sound checkpoint.

    Raises:
        CheckpointError: it is not.
    """
    problem = _damage(path)
    if problem is not None:
        raise CheckpointError(f"checkpoint {path} cannot be used: {problem}")
    return path


def recover(folder: Path) -> None:
    """Tidy up in ``folder`` after a run that was killed while it wrote there. No other run may be writing there."""
    _unfinished(folder / _HEAD).unlink(missing_ok=True)
    for path in folder.glob(".step-*"):
        final = folder / path.stem[1:]
        if path.suffix == ".replaced" and not final.exists():  # killed between the two renames
            path.rename(final)
        else:
            shutil.rmtree(path, ignore_errors=True)


def stand_at(path: Path) -> None:
    """Make ``path`` the newest checkpoint of its run; what comes after it is passed over from now on.

    Raises:
        CheckpointError: there is no room to write that down.
    """
    head = path.parent / _HEAD
    try:
        write_text(head, path.name)
    except OSError as error:
        remedy = f"make room, then continue with --resume {head.parent.parent}"
        raise CheckpointError(f"cannot write {head}: {error.strerror}; {remedy}") from error


def load_settings(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The DeepSpeed settings of an engine that :func:`restore` can load ``path`` into.

    Shards of another number of ranks or another ZeRO stage are converted to DeepSpeed's universal form first, in a
    folder ``universal`` beside them; one that is there already is used. A collective: all ranks call it.

    Raises:
        CheckpointError: they cannot be converted.
    """
    record = _record(path)
    here = {"ranks": dist.get_world_size(), "zero_stage": settings.get("zero_optimization", {}).get("stage", 0)}
    if all(record[key] == value for key, value in here.items()):
        return dict(settings)
    if 0 in (record["zero_stage"], here["zero_stage"]):
        raise CheckpointError(
            f"checkpoint {path} was saved with {_words(record)}, and this is {_words(here)}: without ZeRO optimizer "
            "states cannot be converted; continue it as it was begun (deepspeed --num_gpus, --deepspeed_config), or "
            "start a new run with model.path set to it"
        )
    failure = None
    if is_first():
        say(f"checkpoint {path} was saved with {_words(record)}, and this is {_words(here)}: converting it")
        folders = [path, path / _CRITIC] if has_critic(path) else [path]
        failure = next(filter(None, map(_convert, folders)), None)
    failure = broadcast(failure)
    if failure is not None:
        raise CheckpointError(failure)
    return {**settings, "checkpoint": {**settings.get("checkpoint", {}), "load_universal": True}}


def restore(path: Path, engine: Any) -> dict[str, Any]:
    """Load weights and optimizer into ``engine``; the state that :func:`save` was given.

    The random generators go on where they stood, if the run goes on with as many ranks.

    Raises:
        CheckpointError: DeepSpeed cannot load it.
    """
    record = _record(path)
    _load(path, engine)
    if record["ranks"] == dist.get_world_size():
        randomness.restore(json.loads(_random_file(path, dist.get_rank()).read_text(encoding="utf-8")))
    state: dict[str, Any] = record["run"]
    return state


def has_critic(path: Path) -> bool:
    """Whether a critic was saved in it."""
    return (path / _CRITIC).is_dir()


def restore_critic(path: Path, critic: Any) -> None:
    """Load weights and optimizer into the critic's engine.

    Raises:
        CheckpointError: DeepSpeed cannot load it.
    """
    _load(path / _CRITIC, critic)


def write_text(path: Path, text: str) -> None:
    """Replace a file as a whole: whoever is killed here leaves the old one or the new one."""
    aside = _unfinished(path)
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _load(path: Path, engine: Any) -> None:
    tag = _UNIVERSAL if engine.load_universal_checkpoint() else _SHARDS
    try:
        loaded, _ = engine.load_checkpoint(str(path), tag=tag, custom_load_fn=_load_trained)
    except (RuntimeError, AssertionError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path}: DeepSpeed cannot load {path / tag}: {error}") from error
    if loaded is None:
        raise CheckpointError(f"checkpoint {path}: DeepSpeed found no shards in {path / tag}")


def _load_trained(src: Mapping[str, Any], dst: Any) -> None:
    """Load the weights of a checkpoint into a module; those that are not trained are not in it."""
    missing, unexpected = dst.load_state_dict(src, strict=False)
    frozen = {name for name, value in dst.named_parameters(remove_duplicate=False) if not value.requires_grad}
    wrong = sorted({*missing} - frozen | {*unexpected})
    if wrong:
        raise RuntimeError(f"it was saved from another model (or with another model.lora): {', '.join(wrong[:5])}")


def _record(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((path / _STATE).read_text(encoding="utf-8"))
    return record


def _words(world: Mapping[str, Any]) -> str:
    return f"ranks = {world['ranks']}, zero_stage = {world['zero_stage']}"


def _random_file(path: Path, rank: int) -> Path:
    return path / f"random-{rank:05d}.json"


def _name(step: int) -> str:
    return f"step-{step:06d}"


def _aside(final: Path, what: str) -> Path:
    return final.with_name(f".{final.name}.{what}")


def _unfinished(path: Path) -> Path:
    return _aside(path, "unfinished")


def _publish(unfinished: Path, final: Path, keep: int, best: int | None) -> None:
    """Force a checkpoint to the disk, give it its name, then remove those that it makes superfluous.

    Whoever is killed here leaves what :func:`recover` and :func:`newest` know how to read.
    """
    to_disk(unfinished)
    folder = final.parent
    before = [path for path in _all(folder) if path.name < final.name]
    if final.exists():
        final.rename(_aside(final, "replaced"))
    unfinished.rename(final)
    _sync(folder)
    stand_at(final)
    stay = {path.name for path in before[len(before) - keep + 1 :]} | ({_name(best)} if best is not None else set())
    for old in folder.glob("step-*"):
        if old.name < final.name and old.name not in stay:
            old.rename(_aside(old, "removed"))  # half removed, it would look like a damaged one
    recover(folder)


def to_disk(folder: Path) -> None:
    """Return once all that is in ``folder`` would outlive a power cut."""
    for path in (folder, *folder.rglob("*")):
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _convert(path: Path) -> str | None:
    """Make ``path/universal`` if it is not there; what went wrong."""
    unfinished, universal = path / ".universal", path / _UNIVERSAL
    if universal.exists():
        return None
    shutil.rmtree(unfinished, ignore_errors=True)
    folders = ["--input_folder", str(path / _SHARDS), "--output_folder", str(unfinished)]
    # Stages 1 and 2 say nothing of layers that are cut in several ways; ours are not.
    command = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", *folders, "--inject_missing_state"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode == 0:
        unfinished.rename(universal)
        return None
    shutil.rmtree(unfinished, ignore_errors=True)
    last = (finished.stderr.strip() or finished.stdout.strip()).rpartition("\n")[2]
    return f"checkpoint {path}: DeepSpeed cannot convert {path / _SHARDS}: {last}"


def _seal(file: Path) -> list[int | None]:
    """Size and CRC-32 of a file; no checksum of a very large one."""
    size = file.stat().st_size
    return [size, zlib.crc32(file.read_bytes()) if size <= _SUMMED else None]


def _all(folder: Path) -> list[Path]:
    """The checkpoints up to the one that the run stands at, oldest first."""
    found = sorted(folder.glob("step-*"))
    head = folder / _HEAD
    return [path for path in found if path.name <= head.read_text(encoding="utf-8")] if head.exists() else found


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
