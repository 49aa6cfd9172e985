import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.api_bank.database import CHANGING, DIGESTS, FOLDER, RECORDED, load_database, starter_database
from tooluse_gym.errors import DataNotFoundError, TaskError

DATA = Path(os.environ.get("TOOLUSE_TEST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "api_bank"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"API-Bank's data is not in {DATA}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the release's databases that a test may damage."""
    shutil.copytree(DATA / FOLDER, tmp_path / FOLDER, copy_function=shutil.copyfile)
    (tmp_path / FOLDER).chmod(0o755)
    return tmp_path


def edit(folder: Path, table: str, change: Callable[[Any], Any]) -> None:
    path = folder / FOLDER / f"{table}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    change(rows)
    path.write_text(json.dumps(rows), encoding="utf-8")


def test_our_own_database_has_every_table() -> None:
    tables = starter_database()
    assert {*tables.episode_tables(), *tables.library} == {*DIGESTS, *RECORDED}


def test_episodes_share_no_row() -> None:
    first, second = starter_database().episode_tables(), starter_database().episode_tables()
    first["Account"]["MiaBrandt"]["password"] = "changed"
    assert second["Account"]["MiaBrandt"]["password"] != "changed"
    assert tuple(first) == CHANGING


@needs_data
def test_the_release_loads_with_what_the_network_answered() -> None:
    library = load_database(DATA).library
    assert [len(library[name]) for name in RECORDED] == [5, 4]


@needs_data
@pytest.mark.parametrize(
    ("table", "change", "place"),
    [
        ("Account", lambda rows: rows["foo"].pop("email"), "Account.json: field foo: 'email'"),
        ("Alarm", lambda rows: rows["1"].update(time=7), "Alarm.json: field 1.time"),
        ("Agenda", lambda rows: rows.update(x=rows.pop("1")), "Agenda.json: the record: 'x'"),
        ("Stock", lambda rows: rows["AAPL"].update({"2022-01-01": "high"}), "Stock.json: field AAPL.2022-01-01"),
        ("Meeting", lambda rows: rows["2"].update(username="Nobody"), "row '2' of Meeting: there is no user 'Nobody'"),
        ("Bank", lambda rows: rows.update(Nobody={"balance": 1}), "row 'Nobody' of Bank: there is no user 'Nobody'"),
        (
            "Account",
            lambda rows: rows["foo"].update(token=rows["admin"]["token"]),
            "Account.json: users 'foo' and 'admin' have the same token",
        ),
    ],
    ids=["missing field", "wrong type", "bad key", "no number", "unknown owner", "unknown account", "shared token"],
)
def test_a_wrong_row_is_named(folder: Path, table: str, change: Callable[[Any], Any], place: str) -> None:
    edit(folder, table, change)
    with pytest.raises(TaskError) as caught:
        load_database(folder, official=False)
    assert place in str(caught.value)


@needs_data
def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / FOLDER / "Wiki.json").unlink()
    with pytest.raises(DataNotFoundError, match=r"Wiki\.json is missing"):
        load_database(folder)


@needs_data
def test_a_truncated_file_is_named_with_the_line(folder: Path) -> None:
    path = folder / FOLDER / "Hotel.json"
    path.write_text(path.read_text(encoding="utf-8")[:300], encoding="utf-8")
    with pytest.raises(TaskError, match=r"Hotel\.json:\d+: not JSON"):
        load_database(folder)


@needs_data
def test_bytes_that_are_no_text_are_named(folder: Path) -> None:
    (folder / FOLDER / "Hotel.json").write_bytes(b'{"1": "\xff"}')
    with pytest.raises(TaskError, match=r"Hotel\.json: not UTF-8 at byte 7"):
        load_database(folder)


@needs_data
def test_another_release_is_refused_unless_asked_for(folder: Path) -> None:
    edit(folder, "Scenes", lambda rows: rows.pop("relaxing time"))
    with pytest.raises(DataNotFoundError, match=r"Scenes\.json is not that of DAMO-ConvAI 483554ea"):
        load_database(folder)
    assert "relaxing time" not in load_database(folder, official=False).episode_tables()["Scenes"]


@needs_data
def test_dialogues_belong_to_the_release(folder: Path) -> None:
    with pytest.raises(DataNotFoundError, match="lv1-lv2-samples lacks dialogues"):
        load_database(folder)
    assert load_database(folder, official=False).library["Translate"] == []


@needs_data
def test_a_wrong_recorded_answer_is_named(folder: Path) -> None:
    (folder / "lv1-lv2-samples/x").mkdir(parents=True)
    line = {"role": "API", "api_name": "Translate", "result": {"input": {"src": 1}, "output": "Hola"}}
    (folder / "lv1-lv2-samples/x/one.jsonl").write_text(f"{json.dumps(line)}\n", encoding="utf-8")
    with pytest.raises(TaskError, match=r"one\.jsonl:1: field 0\.input\.src"):
        load_database(folder, official=False)


@needs_data
def test_the_whole_table_is_taken_before_its_subset(folder: Path) -> None:
    shutil.copytree(DATA / "lv1-lv2-samples", folder / "lv1-lv2-samples")
    whole = [{"url": "https://pictures.example.org/a.png", "caption": "a"}]
    (folder / FOLDER / "ImageCaptioning.json").write_text(json.dumps(whole), encoding="utf-8")
    assert load_database(folder).library["ImageCaptioning"] == whole
