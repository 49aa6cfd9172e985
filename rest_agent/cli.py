"""``deepspeed train_agent.py [--config FILE] [--deepspeed_config FILE] [--resume [FOLDER]] [key.sub=value ...]``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import yaml

from rest_agent.config import Config, ConfigError, from_tree, load, to_tree

_CONFIG = "config.yaml"
_CHECKPOINTS = "checkpoints"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status. A user's mistake ends it with a message that says what to do."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    try:
        return _train(options)
    except ConfigError as error:
        print(f"configuration error: {error}", file=sys.stderr)
        return 2


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train_agent.py", description="Train a tool-using language model with ResT.")
    parser.add_argument("--config", help="YAML file; without one, the quickstart")
    parser.add_argument("--deepspeed_config", help="DeepSpeed's own JSON file; without one, ZeRO stage 1")
    parser.add_argument("--resume", metavar="FOLDER", help="continue this run (or from this one of its checkpoints)")
    parser.add_argument("--local_rank", type=int, default=0, help=argparse.SUPPRESS)  # given by the launcher
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="settings, over those of --config")
    return parser.parse_intermixed_args(list(arguments))


def _train(options: argparse.Namespace) -> int:
    resume = None if options.resume is None else Path(options.resume)
    if resume is None:
        config = load(options.config, options.overrides)
    else:
        folder = resume.parent.parent if resume.parent.name == _CHECKPOINTS else resume
        config = load(folder / _CONFIG, options.overrides)

    # These imports take seconds: mistakes in the configuration were told before them.
    warnings.filterwarnings("ignore", module=r"torch|deepspeed|transformers")
    from rest_agent import checkpoint, engine, report
    from rest_agent.trainer import Interrupted, Run

    device = engine.start_process_group()
    if resume is None:
        start = None
        folder = engine.broadcast(_new_folder(config) if engine.is_first() else Path())
    else:
        start = checkpoint.latest(folder / _CHECKPOINTS) if resume == folder else checkpoint.check(resume)
    run = Run(config, engine.read_deepspeed_config(options.deepspeed_config), device, folder, start)
    try:
        run.train()
    except Interrupted as saved:
        engine.say(f"saved {saved}; continue with: deepspeed train_agent.py --resume {folder}")
        return 130
    finally:
        run.close()
    if engine.is_first():
        report.write(folder)
        print(report.summary(folder))
    return 0


def _new_folder(config: Config) -> Path:
    """``runs/name-seedN``, with a number behind it if that exists, holding the resolved configuration."""
    base = Path(config.run.folder) / f"{config.run.name}-seed{config.run.seed}"
    folder, number = base, 1
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}.{number}")
    folder.mkdir(parents=True)
    (folder / _CONFIG).write_text(yaml.safe_dump(to_tree(config), sort_keys=False), encoding="utf-8")
    return folder
