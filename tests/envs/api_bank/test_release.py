from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tooluse_gym.envs.api_bank import release
from tooluse_gym.envs.api_bank.data import SOURCE
from tooluse_gym.errors import DataNotFoundError


def test_the_folder_is_the_named_one_or_the_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(release.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataNotFoundError, match="API-Bank's data is not here: run 'tooluse-gym data get api_bank'"):
        release.where()
    (tmp_path / "api-bank/init_database").mkdir(parents=True)
    assert release.where(tmp_path) == tmp_path / "api-bank"
    monkeypatch.setenv(release.FOLDER_VARIABLE, str(tmp_path / "api-bank"))
    assert release.where() == tmp_path / "api-bank"
    monkeypatch.setenv(release.FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(DataNotFoundError, match=r"TOOLUSE_API_BANK_DATA .*nowhere' is not a folder"):
        release.where()
    with pytest.raises(DataNotFoundError, match=r"data_dir .* has no folder init_database"):
        release.where(tmp_path / "api-bank/init_database")


def test_the_release_is_known_by_its_files(api_bank_data: Path, tmp_path: Path) -> None:
    assert SOURCE.verify(api_bank_data) == []
    copy = tmp_path / "copy"
    shutil.copytree(api_bank_data, copy, copy_function=shutil.copyfile)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o700)
    (copy / "init_database/Alarm.json").unlink()
    (copy / "init_database/Agenda.json").write_text("{}", encoding="utf-8")
    (copy / "lv1-lv2-samples/level-2-toolsearcher/AddAlarm-level-3-1.jsonl").unlink()
    wrong = [line.replace(str(copy), "") for line in SOURCE.verify(copy)]
    assert len(wrong) == 3
    assert wrong[0].startswith("/init_database/Agenda.json: not that of")
    assert wrong[1].startswith("/init_database/Alarm.json: missing")
    assert wrong[2].startswith("/lv1-lv2-samples/level-2-toolsearcher: not the dialogues of")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_files_are_got_with_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    homes = []
    for name, files in (
        ("damo", ("api-bank/init_database/Account.json", "api-bank/lv1-lv2-samples/x/y.jsonl", "other/big.bin")),
        ("toolrl", ("benchmarks/api/level-1-api_processed.json", "train.py")),
    ):
        repository = tmp_path / name
        for file in files:
            (repository / file).parent.mkdir(parents=True, exist_ok=True)
            (repository / file).write_text(f"{file}\n", encoding="utf-8")
        git(tmp_path, "init", "--quiet", name)
        git(repository, "add", ".")
        git(repository, "commit", "--quiet", "-m", "files")
        patterns = ("api-bank/init_database", "api-bank/lv1-lv2-samples", "**/level-1-api_processed.json")
        homes.append(release.Home(f"file://{repository}", git(repository, "rev-parse", "HEAD"), patterns))
    monkeypatch.setattr(release, "HOMES", homes)
    folder = release.fetch(tmp_path / "cache")
    assert release.fetch(tmp_path / "cache") == folder
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "init_database/Account.json",
        "lv1-lv2-samples/x/y.jsonl",
        "processed/level-1-api_processed.json",
    ]


def test_a_repository_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "HOMES", (release.Home(f"file://{tmp_path}/none", "0" * 40, ("x",)),))
    with pytest.raises(DataNotFoundError, match=r"git could not get file:.*/none at 0000"):
        release.fetch(tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
