"""``deepspeed train_agent.py [--config FILE] [--deepspeed_config FILE] [--resume [FOLDER]] [key.sub=value ...]``."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rest_agent.config import Config, ConfigError, load, to_tree
from tooluse_gym.errors import ConfigurationError, DataNotFoundError, TaskError

_CONFIG = "config.yaml"
_DEEPSPEED = "deepspeed.json"
_ENVIRONMENT_ERRORS = (ConfigurationError, DataNotFoundError, TaskError)
_CHECKPOINTS = "checkpoints"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status. A user's mistake ends it with a message that says what to do."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _train(_parse(given), _command(given))
    except ConfigError as error:
        print(f"configuration error: {error}", file=sys.stderr)
    except _ENVIRONMENT_ERRORS as error:
        print(f"configuration error: environment.options: {error}", file=sys.stderr)
    return 2


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train_agent.py", description="Train a tool-using language model with ResT.")
    parser.add_argument("--config", help="YAML file; without one, the quickstart")
    parser.add_argument("--deepspeed_config", help="DeepSpeed's own JSON file; without one, ZeRO stage 1")
    parser.add_argument("--resume", metavar="FOLDER", help="continue this run (or from this one of its checkpoints)")
    parser.add_argument("--local_rank", type=int, default=0, help=argparse.SUPPRESS)  # given by the launcher
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="settings, over those of --config")
    return parser.parse_intermixed_args(list(arguments))


def _train(options: argparse.Namespace, command: str) -> int:
    resume = None if options.resume is None else Path(options.resume)
    if resume is None:
        config = load(options.config, options.overrides)
    else:
        if options.config is not None:
            raise ConfigError("--resume continues with the run's own configuration: leave --config out")
        folder = resume.parent.parent if resume.parent.name == _CHECKPOINTS else resume
        config = load(folder / _CONFIG, options.overrides)

    # Read when torch starts. Threads that spin while they wait make everything ten times slower beside other programs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # These imports take seconds: mistakes in the configuration were told before them.
    warnings.filterwarnings("ignore", module=r"torch|deepspeed|transformers")
    from transformers.utils.logging import disable_progress_bar

    from rest_agent import checkpoint, engine, report
    from rest_agent.trainer import Interrupted, Run

    disable_progress_bar()  # type: ignore[no-untyped-call]  # of every weights file that is written
    kept = None if resume is None else folder / _DEEPSPEED
    settings = engine.read_deepspeed_config(options.deepspeed_config or kept)
    device = engine.start_process_group()
    try:
        if resume is None:
            start = None
            folder = engine.broadcast(_new_folder(config) if engine.is_first() else Path())
        else:
            start = checkpoint.latest(folder / _CHECKPOINTS) if resume == folder else checkpoint.check(resume)
        run = Run(config, settings, device, folder, start, command)
    except checkpoint.CheckpointError as error:
        engine.say(f"cannot resume: {error}")
        return 2
    except (ConfigError, *_ENVIRONMENT_ERRORS):
        if resume is None and engine.is_first():
            shutil.rmtree(folder, ignore_errors=True)  # nothing but the configuration is in it
        raise
    if engine.is_first():
        _keep_settings(folder, config, settings)
    try:
        run.train()
    except Interrupted as saved:
        engine.say(f"saved {saved}; continue with: deepspeed train_agent.py --resume {folder}")
        return 130
    except engine.Diverged as reason:
        engine.say(f"stopped: {reason}. To go on from the last checkpoint: deepspeed train_agent.py --resume {folder}")
        return 1
    finally:
        run.close()
    if engine.is_first():
        report.write(folder)
        print(report.summary(folder))
        print(f"The report: {folder / 'report.md'}")
    return 0


def _new_folder(config: Config) -> Path:
    """``runs/name-seedN``, with a number behind it if that exists."""
    base = Path(config.run.folder) / f"{config.run.name}-seed{config.run.seed}"
    folder, number = base, 1
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}.{number}")
    folder.mkdir(parents=True)
    return folder


def _keep_settings(folder: Path, config: Config, settings: dict[str, Any]) -> None:
    (folder / _CONFIG).write_text(yaml.safe_dump(to_tree(config), sort_keys=False), encoding="utf-8")
    (folder / _DEEPSPEED).write_text(json.dumps(settings, indent=1), encoding="utf-8")


def _command(arguments: Sequence[str]) -> str:
    """The command line as the user typed it, for the record."""
    launched = "LOCAL_RANK" in os.environ
    own = [argument for argument in arguments if not argument.startswith("--local_rank")]
    return shlex.join(["deepspeed" if launched else "python", "train_agent.py", *own])
