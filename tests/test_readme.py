"""The README is true: its snippets run, its commands exist, its paths and its numbers are there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from tooluse_gym.formats import FORMATS
from tooluse_gym.rewards import DENSE, RUBRICS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DATA = Path(os.environ.get("TOOLUSE_TEST_DATA", ROOT / "../shared/data")) / "bfcl"


def blocks(language: str) -> list[str]:
    """Fenced blocks, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands(program: str) -> list[list[str]]:
    """Arguments of each line of a console block that runs ``program``, without its comment."""
    lines = [shlex.split(line, comments=True) for block in blocks("console") for line in block.splitlines()]
    return [arguments for name, *arguments in filter(None, lines) if name == program]


def test_the_table_of_algorithms_is_the_file() -> None:
    known = yaml.safe_load((ROOT / "rest_agent" / "algorithms.yaml").read_text())
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| `(\{.*\})` \| .*\|$", README, re.MULTILINE)
    assert {name: yaml.safe_load(settings) for name, settings in rows} == known


def run(arguments: list[str], folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TOOLUSE_BFCL_DATA": str(DATA)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"


def test_gym_snippets_run_one_after_the_other(tmp_path: Path) -> None:
    snippets = [text for text in blocks("python") if "torch" not in text]
    if not (DATA / "possible_answer").is_dir():
        snippets = [text for text in snippets if 'dataset="base"' not in text]
    assert len(snippets) >= 3
    run(["-W", "error", "-c", "\n".join(snippets)], tmp_path)


def test_trainer_snippets_run(tmp_path: Path) -> None:
    if find_spec("torch") is None:
        pytest.skip("torch is not installed")
    run(["-c", "\n".join(text for text in blocks("python") if "torch" in text)], tmp_path)


def test_gym_commands_run_one_after_the_other(tmp_path: Path) -> None:
    program = ["-c", "from tooluse_gym.cli import app; app()"]
    found = [arguments for arguments in commands("tooluse-gym") if arguments[0] != "data"]  # data: a download
    found = [arguments for arguments in found if not {"FOLDER", "runs/mine"} & set(arguments)]
    found = [arguments for arguments in found if not any(argument.startswith("http") for argument in arguments)]
    assert len(found) >= 3
    for arguments in found:
        run([*program, *arguments], tmp_path)


def test_training_commands_have_valid_settings() -> None:
    if find_spec("yaml") is None:
        pytest.skip("the trainer is not installed")
    from rest_agent.cli import _parse
    from rest_agent.config_text import load

    found = commands("deepspeed")
    assert len(found) >= 3
    for arguments in found:
        options = _parse(arguments[arguments.index("train_agent.py") + 1 :])
        load(options.config and ROOT / options.config, options.overrides)
        assert options.deepspeed_config is None or (ROOT / options.deepspeed_config).is_file()


def test_configuration_files_have_valid_settings(tmp_path: Path) -> None:
    if find_spec("yaml") is None:
        pytest.skip("the trainer is not installed")
    from rest_agent.config_text import load

    file = tmp_path / "my.yaml"
    for text in blocks("yaml"):
        file.write_text(text, encoding="utf-8")
        load(file)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^ {4}make ([a-z]+)", README, re.MULTILINE)) <= targets


def test_layout_names_what_exists() -> None:
    (tree,) = (block for block in blocks("text") if block.startswith("tooluse_gym/"))
    parent = ROOT
    missing = []
    for line in tree.splitlines():
        paths = re.split(r" {2,}", line.strip())[0].split()
        if not line.startswith(" "):
            parent = ROOT / paths[0]
        folder = parent if line.startswith(" ") else ROOT
        missing += [path for path in paths if not (folder / path).exists()]
    assert missing == []


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", README)
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []


def test_tables_name_every_format_and_preset() -> None:
    for name in (*FORMATS, *RUBRICS):
        assert f"| `{name}`" in README
    row = next(line for line in README.splitlines() if line.startswith("| `dense`"))
    assert [f"{weight:g}".replace("-", "−") in row for weight, _ in DENSE.terms.values()] == [True] * len(DENSE.terms)


def test_weights_are_the_default() -> None:
    if find_spec("torch") is None:
        pytest.skip("torch is not installed")
    from rest_agent.config import Ramp
    from rest_agent.weights import PRESETS

    cells = [cell.strip() for line in README.splitlines() if line.startswith("| `") for cell in line.split("|")]
    ramps = {name: value for name, value in vars(PRESETS["structure"]).items() if isinstance(value, Ramp)}
    assert len(ramps) == 8
    for name, ramp in ramps.items():
        told = cells[next(i for i, cell in enumerate(cells) if cell.startswith(f"`{name}`")) + 1]
        first, _, last = told.partition(" to ")
        assert (float(first), float(last or first)) == (ramp.start, ramp.end), name
