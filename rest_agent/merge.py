"""``python -m rest_agent.merge CHECKPOINT FOLDER``: an adapter and its base as one model, in Hugging Face files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from safetensors import safe_open

from rest_agent import lora, policy
from rest_agent.config import ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rest_agent.merge", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="of a run with LoRA, or any folder with a LoRA adapter of peft's")
    parser.add_argument("folder", type=Path, help="where to write the model and its tokenizer; must not exist")
    options = parser.parse_args(arguments)
    try:
        if not lora.is_adapter(options.checkpoint):
            raise ConfigError(f"{options.checkpoint}: there is no {lora.CONFIG_NAME}")
        model, tokenizer = policy.load(options.checkpoint, _dtype(options.checkpoint))
        options.folder.mkdir(parents=True)
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    model.save_pretrained(options.folder)
    tokenizer.save_pretrained(options.folder)
    return 0


def _dtype(checkpoint: Path) -> str:
    """What the adapter was trained in."""
    with safe_open(checkpoint / lora.WEIGHTS_NAME, framework="pt") as file:
        return str(file.get_tensor(next(iter(file.keys()))).dtype).removeprefix("torch.")


if __name__ == "__main__":
    sys.exit(main())
