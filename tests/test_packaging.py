"""What is installed: the wheel holds every folder, and a source copy without the symbolic link says so."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("tooluse_gym", "envs", "rest_agent")
DATA = {".json", ".jsonl", ".yaml", ".jinja", ".typed"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source, so that building leaves nothing behind."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path) -> list[str]:
    """The names in the built wheel."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--quiet", "--wheel-dir"]
    done = subprocess.run([*command, "built", "."], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = (source / "built").glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        return archive.namelist()


def test_the_wheel_holds_every_module_and_data_file(source: Path, wheel: list[str]) -> None:
    homes = {"tooluse_gym": "tooluse_gym", "tooluse_gym/envs": "envs", "rest_agent": "rest_agent"}
    expected = {
        f"{home}/{path.relative_to(source / folder).as_posix()}"
        for home, folder in homes.items()
        for path in (source / folder).rglob("*")
        if path.is_file() and (path.suffix in DATA | {".py"}) and "__pycache__" not in path.parts
    }
    named = (
        "tooluse_gym/py.typed",
        "tooluse_gym/envs/bfcl/__init__.py",
        "rest_agent/py.typed",
        "rest_agent/templates/compact.jinja",
    )
    assert set(named) - expected == set()
    assert expected - set(wheel) == set()


def test_the_wheel_holds_the_licence(wheel: list[str]) -> None:
    assert [name for name in wheel if name.endswith(".dist-info/licenses/LICENSE")]


def test_the_wheel_holds_nothing_else(wheel: list[str]) -> None:
    assert {name.split("/")[0].partition("-")[0] for name in wheel} == {"tooluse_gym", "rest_agent"}


@pytest.mark.parametrize("left", ["a text file", "nothing", "an empty folder"])
def test_a_lost_link_is_one_clear_sentence(source: Path, tmp_path: Path, left: str) -> None:
    package = tmp_path / "tooluse_gym"
    shutil.copytree(source / "tooluse_gym", package, symlinks=True)
    (package / "envs").unlink()
    if left == "a text file":
        (package / "envs").write_text("../envs")  # what Git makes of a link where it may not link
    elif left == "an empty folder":
        (package / "envs").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "import tooluse_gym"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert last == (
        f"ImportError: {package / 'envs'} is not a folder of environments: this copy of the source lost its symbolic "
        "link tooluse_gym/envs -> ../envs (as archives and Git with core.symlinks=false do), so restore the link or "
        "install the package from a wheel"
    )


def test_the_version_has_one_place() -> None:
    version = next(line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("version = "))
    number = version.split('"')[1]
    code = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    assert [str(path) for path in code if f'"{number}"' in path.read_text(encoding="utf-8")] == []
