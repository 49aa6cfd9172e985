"""What ``import tooluse_gym`` does, in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tooluse_gym

ROOT = Path(tooluse_gym.__file__).parent.parent


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_import_is_silent_and_light() -> None:
    """It loads Gymnasium and the environments' ``__init__``; nothing that simulates, validates or learns."""
    loaded = run("import sys, tooluse_gym; print(*sorted(sys.modules))").split()
    heavy = {"torch", "transformers", "deepspeed", "jsonschema", "typer", "rich", "mpmath", "yaml"}
    assert heavy.isdisjoint(loaded)
    ours = [name for name in loaded if name.startswith("tooluse_gym")]
    assert all(name.count(".") <= 2 for name in ours), ours
    assert {name.split(".")[1] for name in ours if "." in name} == {"envs", "lazy"}


def test_import_alone_prints_nothing() -> None:
    assert run("import tooluse_gym") == ""


def test_importing_everything_loads_no_torch() -> None:
    code = "import sys; from tooluse_gym import *; import tooluse_gym.cli; print('torch' in sys.modules)"
    assert run(code) == "False\n"


def test_make_names_the_module() -> None:
    code = "import gymnasium as gym; print(gym.make('tooluse_gym:BFCLMultiTurn-v0').spec.id)"
    assert run(code) == "BFCLMultiTurn-v0\n"


def test_same_seed_same_bytes_in_any_process() -> None:
    code = (
        "import tooluse_gym, gymnasium\n"
        "env = gymnasium.make('BFCLMultiTurn-v0').unwrapped\n"
        "for seed in range(3): print(env.demonstrate(seed=seed).to_json(), env.reset(seed=seed))"
    )
    assert run(code, PYTHONHASHSEED="1") == run(code, PYTHONHASHSEED="2")


def test_public_names_are_there() -> None:
    for name in tooluse_gym.__all__:
        assert getattr(tooluse_gym, name) is not None
    assert set(tooluse_gym.__all__) <= set(dir(tooluse_gym))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        tooluse_gym.nothing  # noqa: B018


def test_info_is_json() -> None:
    code = "import tooluse_gym, gymnasium, json; print(json.dumps(gymnasium.make('BFCLMultiTurn-v0').reset(seed=0)))"
    assert json.loads(run(code))
