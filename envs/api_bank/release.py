"""API-Bank's data: where it is, how it is got, and whether it is that of the release.

Everything is read as data. What upstream's repository holds as files is got with git (:func:`fetch`); two files are
dumps of what upstream keeps in its code, ``lv3_databases.json`` and ``api_descriptions.json``, and no public home has
them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from tooluse_gym.errors import DataNotFoundError, TaskError
from tooluse_gym.sources import cache_folder

from . import database, descriptions, level3_database
from .database import DIALOGUES, GET, digest, read_text

FOLDER_VARIABLE = "TOOLUSE_API_BANK_DATA"

LEVELS = {1: "level-1-given-desc", 2: "level-2-toolsearcher"}
"""Levels whose dialogues are files of a folder, by the folder."""

CHAINS = "test-data/level-3.json"


def call_file(level: int) -> str:
    """ToolRL's edition of a level: one call for a given beginning of a dialogue."""
    return f"processed/level-{level}-api_processed.json"


FILES = {
    **{f"{database.FOLDER}/{name}.json": known for name, known in database.DIGESTS.items()},
    level3_database.FILE: level3_database.DIGEST,
    descriptions.FILE: "e0d7dc699045c4e0",
    CHAINS: "29542493a3029153",
    call_file(1): "51ebc8209ba467ce",
    call_file(2): "75c8097b3127d1f7",
    call_file(3): "57228427976f0572",
}
"""Files of the release and the :func:`~.database.digest` of their text."""

DIALOGUES_DIGESTS = {1: "c1e71fe905bd81ff", 2: "90bf630ac9f11fb9"}
"""The :func:`dialogues_digest` of the folders of levels 1 and 2."""


class Home(NamedTuple):
    """Files of a public repository at one commit."""

    url: str
    commit: str
    paths: tuple[str, ...]
    """Patterns, as ``git sparse-checkout`` takes them."""


DAMO = "https://github.com/AlibabaResearch/DAMO-ConvAI"
HOMES = (
    Home(DAMO, "483554eae102996f5ec1f4feab4e78ef29c2a394", ("api-bank/init_database", "api-bank/lv1-lv2-samples")),
    Home(DAMO, "5d5a2d40b2e6b6998a06961cc43ad0a8c069b153", ("api-bank/test-data",)),
    Home(
        "https://github.com/qiancheng0/ToolRL",
        "8cee13ec0ca72f0461da372a93a6fd8140dbb840",
        tuple(f"**/{Path(call_file(level)).name}" for level in (1, 2, 3)),
    ),
)


def where(data_dir: str | Path | None = None) -> Path:
    """The data folder: ``data_dir``, else ``$TOOLUSE_API_BANK_DATA``, else what :func:`fetch` got.

    Raises:
        DataNotFoundError: there is none, or it is no folder of API-Bank's.
    """
    named = data_dir or os.environ.get(FOLDER_VARIABLE)
    root = Path(named) if named else _fetched(None)
    for folder in (root, root / "api-bank"):
        if (folder / database.FOLDER).is_dir():
            return folder
    if named:
        said = "data_dir" if data_dir else FOLDER_VARIABLE
        wrong = f"has no folder {database.FOLDER}" if root.is_dir() else "is not a folder"
        raise DataNotFoundError(f"{said} {str(root)!r} {wrong}: name the folder api-bank of API-Bank's repository")
    raise DataNotFoundError(f"API-Bank's data is not here: run '{GET}', or set {FOLDER_VARIABLE} to its folder")


def wrong_files(folder: Path) -> list[str]:
    """What is missing in a data folder or not that of the release, a line each."""
    wrong = []
    for name, known in FILES.items():
        path = _standing(folder / name)
        if not path.is_file():
            wrong.append(f"{path}: missing")
        elif _digest(path) != known:
            wrong.append(f"{path}: not that of {database.RELEASE}")
    for level, known in DIALOGUES_DIGESTS.items():
        path = folder / DIALOGUES / LEVELS[level]
        if not path.is_dir():
            wrong.append(f"{path}: missing")
        elif dialogues_digest(path) != known:
            wrong.append(f"{path}: not the dialogues of {database.RELEASE}")
    return wrong


def _digest(path: Path) -> str | None:
    try:
        return digest(read_text(path))
    except TaskError:  # no text at all
        return None


def _standing(path: Path) -> Path:
    """The file, or the subset of it that may stand for it."""
    subset = path.with_suffix(f".subset{path.suffix}")
    return subset if subset.is_file() and not path.is_file() else path


def dialogues_digest(folder: Path) -> str:
    """What tells a folder of dialogues from others: names and texts of its files."""
    sha = hashlib.sha256()
    for path in sorted(folder.glob("*.jsonl")):
        sha.update(f"{path.name}\n{read_text(path).strip()}\n".encode())
    return sha.hexdigest()[:16]


def fetch(cache: str | Path | None = None) -> Path:
    """Get the files that have a public home with git, each repository at its commit, and return the data folder.

    Does nothing if they are there.

    Raises:
        DataNotFoundError: git is not here or could not get them, or nothing can be written there.
    """
    target = _fetched(cache)
    if not target.is_dir():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".api-bank-") as scratch:
                made = Path(scratch) / "made"
                for number, home in enumerate(HOMES):
                    _collect(_clone(home, Path(scratch) / str(number)), made)
                made.replace(target)  # whole, or not at all
        except OSError as error:
            raise DataNotFoundError(f"cannot put API-Bank's data into {target}: {error}") from error
    return where(target)


def _fetched(cache: str | Path | None) -> Path:
    return (Path(cache) if cache else cache_folder()) / f"api-bank-{HOMES[0].commit[:8]}"


def _clone(home: Home, folder: Path) -> Path:
    commands = (
        ("git", "init", "--quiet", str(folder)),
        ("git", "-C", str(folder), "sparse-checkout", "set", "--no-cone", *home.paths),
        ("git", "-C", str(folder), "fetch", "--quiet", "--depth", "1", "--filter=blob:none", home.url, home.commit),
        ("git", "-C", str(folder), "checkout", "--quiet", "FETCH_HEAD"),
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DataNotFoundError(f"git could not get {home.url} at {home.commit}: {done.stderr.strip()[-500:]}")
    return folder


def _collect(clone: Path, made: Path) -> None:
    """Move what was got into our layout: upstream's folder ``api-bank``, and ToolRL's files in ``processed``."""
    for path in (clone / "api-bank").glob("*"):
        shutil.copytree(path, made / path.name, dirs_exist_ok=True)
    for path in clone.glob("**/level-*-api_processed.json"):
        (made / "processed").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, made / "processed" / path.name)
