"""``deepspeed train_agent.py [--config FILE] [--deepspeed_config FILE] [--resume auto|FOLDER] [key.sub=value ...]``.

With ``--resume auto`` a command can be given again and again until it is done: it continues the newest run of its name
and seed from its last sound checkpoint, or begins one.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

from rest_agent.config import Config, ConfigError
from rest_agent.config_text import load, to_tree
from rest_agent.folders import AUTO, CONFIG_NAME, is_untouched, run_of
from tooluse_gym.errors import ConfigurationError, DataNotFoundError, TaskError

_DEEPSPEED = "deepspeed.json"
_ENVIRONMENT_ERRORS = (ConfigurationError, DataNotFoundError, TaskError)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    continued = (
        "continue this run (or from this one of its checkpoints); auto: the newest of the same name and seed, if any"
    )
    parser.add_argument("--resume", metavar="auto|FOLDER", help=continued)
    parser.add_argument("--local_rank", type=int, default=0, help=argparse.SUPPRESS)  # given by the launcher
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="settings, over those of --config")
    return parser.parse_intermixed_args(list(arguments))


def _train(options: argparse.Namespace, command: str) -> int:
    config = _configuration(options)

    # Read when torch starts. Threads that spin while they wait make everything ten times slower beside other programs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # These imports take seconds: mistakes in the configuration were told before them.
    warnings.filterwarnings("ignore", module=r"torch|deepspeed|transformers")
    from transformers.utils.logging import disable_progress_bar

    from rest_agent import checkpoint, engine, report, resume
    from rest_agent.run import Interrupted, Run
    from rest_agent.trainer import train

    disable_progress_bar()  # type: ignore[no-untyped-call]  # of every weights file that is written
    settings = engine.read_deepspeed_config(options.deepspeed_config)
    device = engine.start_process_group()
    with ExitStack() as held:
        try:
            folder, start = resume.claim(config, options.resume, held)
            if start is not None and options.deepspeed_config is None:
                settings = engine.read_deepspeed_config(folder / _DEEPSPEED)
            with _nothing_left_behind(folder):
                run = Run(config, settings, device, folder, start, command)
        except checkpoint.CheckpointError as error:
            engine.say(f"cannot resume: {error}")
            return 2
        try:
            if engine.is_first():
                _keep_settings(folder, config, settings)
            with closing(run):
                train(run)
        except Interrupted as saved:
            engine.say(f"saved {saved}; continue with: deepspeed train_agent.py --resume {folder}")
            return 130
        except engine.Diverged as reason:
            remedy = f"To go on from the last checkpoint: train_agent.py --resume {folder}, or one before it"
            engine.say(f"stopped: {reason}. {remedy} in its folder checkpoints")
            return 1
        except checkpoint.CheckpointError as error:
            print(error, file=sys.stderr)  # on whichever rank it was
            return 1
        except OSError as error:
            if error.errno not in _FULL:
                raise
            place = error.filename or folder
            remedy = f"make room, then continue with --resume {folder}"
            print(f"cannot write {place}: {error.strerror}; {remedy}", file=sys.stderr)
            return 1
        if engine.is_first():
            report.write(folder)
            print(report.summary(folder))
            print(f"The report: {folder / 'report.md'}")
    return 0


def _configuration(options: argparse.Namespace) -> Config:
    """What the command says, but for ``--resume FOLDER``: what that run was begun with, changed by the overrides."""
    if options.resume in (None, AUTO):
        return load(options.config, options.overrides)
    if options.config is not None:
        raise ConfigError("--resume FOLDER continues with the run's own configuration: leave --config out")
    path = run_of(Path(options.resume)) / CONFIG_NAME
    try:
        return load(path, options.overrides)
    except ConfigError as error:
        remedy = "--resume takes a run's folder, one of its checkpoints, or auto and the command that began the run"
        raise ConfigError(f"{error}; {remedy}") from None


@contextmanager
def _nothing_left_behind(folder: Path) -> Iterator[None]:
    """Remove a run's folder if a mistake keeps the run from beginning."""
    from rest_agent import engine

    try:
        yield
    except (ConfigError, *_ENVIRONMENT_ERRORS):
        if engine.is_first() and is_untouched(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _keep_settings(folder: Path, config: Config, settings: dict[str, Any]) -> None:
    from rest_agent.checkpoint import write_text

    write_text(folder / CONFIG_NAME, yaml.safe_dump(to_tree(config), sort_keys=False))
    write_text(folder / _DEEPSPEED, json.dumps(settings, indent=1))


def _command(arguments: Sequence[str]) -> str:
    """The command line as the user typed it, for the record."""
    launched = "LOCAL_RANK" in os.environ
    own = [argument for argument in arguments if not argument.startswith("--local_rank")]
    return shlex.join(["deepspeed" if launched else "python", "train_agent.py", *own])
