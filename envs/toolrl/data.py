"""ToolRL's files: where they are, how they are got, and their rows as tasks.

They are read from a folder in upstream's layout (the repository, or its ``dataset``), or flat.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tooluse_gym.envs.toolrl.rows import task_from_row
from tooluse_gym.errors import ConfigurationError, DataNotFoundError, TaskError
from tooluse_gym.sources import DataSource, cache_folder
from tooluse_gym.tasks import Task

HOME = "https://github.com/qiancheng0/ToolRL"
COMMIT = "8cee13ec0ca72f0461da372a93a6fd8140dbb840"
FOLDER_VARIABLE = "TOOLUSE_TOOLRL_DATA"
GET = "tooluse-gym data get toolrl"


class File(NamedTuple):
    """A file of ``dataset``, with the beginning of its blob's name in the repository."""

    path: str
    blob: str

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called in a folder."""
        return (self.path, self.path.replace("/", "_"), self.path.rpartition("/")[2])


FILES = {
    "train": File("rlla_4k/train.parquet", "0ddc730c"),
    "test": File("rlla_4k/test.parquet", "ccdac1cc0112fb54dd68cbc88d9abfe28ce3d749"),
    "rl": File("rlla_4k_raw/rlla_rl.json", "1827b67d"),
    "sft": File("rlla_4k_raw/rlla_sft.json", "7264a450b031b23b6b54dae109bc81b7ff7b929f"),
}
DATASETS = ("train", "sft", "test")


def load_tasks(dataset: str, data_dir: str | Path | None = None) -> list[Task]:
    """The rows of ``train``, ``sft`` or ``test``, in file order, in the split ``train`` or ``test``.

    To the first two come the test rows, if they are there, to be measured on. Without train.parquet, the train rows are
    those of rlla_rl.json that are no test rows.

    Raises:
        ConfigurationError: no dataset has that name.
        DataNotFoundError: a file is absent or was not downloaded.
        TaskError: a file or a row is malformed; the message names file, row and field.
    """
    if dataset not in DATASETS:
        raise ConfigurationError(f"unknown dataset {dataset!r}; choose one of starter, {', '.join(DATASETS)}")
    folder = where(data_dir)
    if dataset == "test":
        return _read(_demanded(folder, "test"), "test")
    test = _read(path, "test") if (path := _find(folder, "test")) else []
    if dataset == "train" and _find(folder, "train") is None and (path := _find(folder, "rl")):
        if not test:
            raise DataNotFoundError(
                f"{path} holds the test rows too, and {FILES['test'].path}, which names them, is absent"
            )
        held_out = {task.turns[0].messages[1]["content"] for task in test}
        train = [task for task in _read(path, "train") if task.turns[0].messages[1]["content"] not in held_out]
    else:
        train = _read(_demanded(folder, dataset), "train")
    return [*train, *test]


def where(data_dir: str | Path | None = None) -> Path:
    """The data folder: ``data_dir``, else ``$TOOLUSE_TOOLRL_DATA``, else what :func:`fetch` got.

    Raises:
        DataNotFoundError: there is none, or it holds none of the files.
    """
    named = data_dir or os.environ.get(FOLDER_VARIABLE)
    root = Path(named) if named else _fetched(None)
    for folder in (root, root / "dataset"):
        if any(_find(folder, name) for name in FILES):
            return folder
    if not named:
        raise DataNotFoundError(f"ToolRL's data is not here: run '{GET}', or set {FOLDER_VARIABLE} to its folder")
    wrong = f"has no file {', '.join(file.path for file in FILES.values())}" if root.is_dir() else "is not a folder"
    raise DataNotFoundError(f"{'data_dir' if data_dir else FOLDER_VARIABLE} {str(root)!r} {wrong}")


def _find(folder: Path, name: str) -> Path | None:
    return next((path for known in FILES[name].names if (path := folder / known).is_file()), None)


def _demanded(folder: Path, name: str) -> Path:
    path = _find(folder, name)
    if path is None:
        raise DataNotFoundError(f"{folder} has no file {' or '.join(FILES[name].names)}: run '{GET}'")
    return path


# Reading


def _read(path: Path, split: str) -> list[Task]:
    state = path.stat()
    return list(_tasks(path, split, state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=8)
def _tasks(path: Path, split: str, *state: int) -> tuple[Task, ...]:
    """The tasks of a file; read once while it stays as it is."""
    rows = _parquet_rows(path) if path.suffix == ".parquet" else _json_rows(path)
    seen: dict[Any, int] = {}
    tasks = []
    for number, row in enumerate(rows):
        place = f"{path}: row {number}"
        index = _index(row, number)
        if (first := seen.setdefault(index, number)) != number:
            raise TaskError(f"{place}: field extra_info.index: {index!r} is that of row {first} too")
        tasks.append(task_from_row(row, place, f"{path.stem.rpartition('_')[2]}/{index}", split))
    if not tasks:
        raise TaskError(f"{path}: no rows")
    return tuple(tasks)


def _index(row: Any, number: int) -> Any:
    extra = row.get("extra_info") if isinstance(row, dict) else None
    index = extra.get("index") if isinstance(extra, dict) else None
    return number if index is None else index


def _json_rows(path: Path) -> list[Any]:
    _demand_content(path)
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise TaskError(f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})") from error
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error
    if not isinstance(rows, list):
        raise TaskError(f"{path}: expected a list of rows, got {type(rows).__name__}")
    return rows


def _parquet_rows(path: Path) -> list[Any]:
    _demand_content(path)
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise DataNotFoundError(f"{path}: reading parquet needs pyarrow: pip install 'tooluse-gym[toolrl]'") from error
    try:
        rows: list[Any] = parquet.read_table(path).to_pylist()
    except (ArrowException, OSError) as error:
        raise TaskError(f"{path}: not a whole parquet file ({error})") from error
    return rows


def _demand_content(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(40)
    if not head or head.startswith(b"version https://git-lfs"):
        what = "a pointer of Git LFS, not the file it stands for" if head else "empty"
        raise DataNotFoundError(f"{path} is {what}: run '{GET}', or copy the file from {HOME}")


# Getting and verifying


def fetch(cache: str | Path | None = None, home: str = HOME, commit: str = COMMIT) -> Path:
    """Download the pinned commit with git, keep its ``dataset`` under ``cache``, and return that folder.

    Does nothing if all files are there.

    Raises:
        DataNotFoundError: git could not download it, or nothing can be written there.
    """
    target = _fetched(cache)
    if not all((target / file.path).is_file() for file in FILES.values()):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".toolrl-") as scratch:
                _git(scratch, "init", "--quiet")
                _git(scratch, "fetch", "--quiet", "--depth", "1", home, commit)
                _git(scratch, "checkout", "--quiet", "FETCH_HEAD", "--", "dataset")
                shutil.copytree(Path(scratch) / "dataset", target, dirs_exist_ok=True)
        except OSError as error:
            raise DataNotFoundError(f"cannot put ToolRL's data into {target}: {error}") from error
    return where(target)


def _git(folder: str, *arguments: str) -> None:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(
        ["git", "-C", folder, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise DataNotFoundError(f"git {arguments[0]} failed: {done.stderr.strip()[-500:]}")


def _fetched(cache: str | Path | None) -> Path:
    return (Path(cache) if cache else cache_folder()) / f"toolrl-{COMMIT[:12]}"


def verify(folder: Path) -> list[str]:
    """What is wrong with the files in ``folder``, a line per file."""
    return [wrong for name, file in FILES.items() if (wrong := _wrong(_find(folder, name), file))]


def _wrong(path: Path | None, file: File) -> str | None:
    if path is None:
        return f"{file.path}: missing"
    try:
        _demand_content(path)
    except DataNotFoundError as error:
        return str(error)
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()  # as git names it
    return None if blob.startswith(file.blob) else f"{path}: not that of commit {COMMIT[:12]}"


SOURCE = DataSource(
    contents="ToolRL's rows (RLLA), for reinforcement learning and for the cold start",
    licence="Apache-2.0, qiancheng0/ToolRL",
    home=f"{HOME} at {COMMIT[:12]}",
    where=where,
    fetch=fetch,
    verify=verify,
)
