"""The pinned release: where its files are found, how they are got, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tooluse_gym.envs.bfcl import data, release
from tooluse_gym.envs.bfcl.docs import DOC_FILES, load_docs
from tooluse_gym.envs.bfcl.prompting import load_prompting
from tooluse_gym.envs.bfcl.release import FILES, FIXTURES, LONG_CONTEXT, PROMPTS
from tooluse_gym.errors import DataNotFoundError, TaskError, ToolUseError

QUESTIONS = "BFCL_v4_multi_turn_base.json"
GET = "'tooluse-gym data get bfcl'"


# Where the files are


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; nothing was fetched, and the variable is not set."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(release.FOLDER_VARIABLE, raising=False)
    return tmp_path


def test_where_prefers_argument_then_variable_then_cache(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataNotFoundError, match=f"run {GET}"):
        release.where()
    cached = nowhere / "cache/tooluse-gym/bfcl-eval-2026.3.23/bfcl_eval/data"
    for folder in (cached, nowhere):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / QUESTIONS).touch()
    assert release.where() == cached
    monkeypatch.setenv(release.FOLDER_VARIABLE, str(nowhere))
    assert release.where() == nowhere
    for folder in (cached, cached.parent, cached.parents[1]):
        assert release.where(folder) == cached


@pytest.mark.parametrize(
    ("holds", "message"),
    [
        (None, "is not a folder"),
        ("notes.txt", r"has no file BFCL_v4_\*.json; leave it unset and run " + GET),
        ("BFCL_v3_multi_turn_base.json", r"has no file BFCL_v4_\*.json, but BFCL_v3_multi_turn_base.json; "),
    ],
    ids=["absent", "another folder", "an older release"],
)
@pytest.mark.parametrize("named", ["data_dir", release.FOLDER_VARIABLE])
def test_wrong_folder_is_named(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, named: str, holds: str | None, message: str
) -> None:
    folder = nowhere / "folder"
    if holds:
        folder.mkdir()
        (folder / holds).touch()
    monkeypatch.setenv(release.FOLDER_VARIABLE, str(folder))
    with pytest.raises(DataNotFoundError, match=f"^{named} '.*folder' {message}"):
        release.where(folder if named == "data_dir" else None)


def test_sources_of_a_flat_folder_are_those_fetched(nowhere: Path) -> None:
    flat, package = nowhere / "flat", nowhere / "cache/tooluse-gym/bfcl-eval-2026.3.23/bfcl_eval"
    with pytest.raises(DataNotFoundError, match=rf"neither {nowhere / PROMPTS} nor {package / PROMPTS} is there: run"):
        release.source(flat, PROMPTS)
    for root in (package, nowhere):
        (root / PROMPTS).parent.mkdir(parents=True)
        (root / PROMPTS).touch()
        assert release.source(flat, PROMPTS) == root / PROMPTS


# Getting them


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """Stands in for the download: a package in which every file holds its own name."""

    def download(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "release.whl", "w") as archive:
            for name in (*FILES, "data/BFCL_v4_web_search.json", "eval.py", "constants/model_config.py"):
                archive.writestr(f"bfcl_eval/{name}", name)
        return folder / "release.whl"

    for name in FILES:
        monkeypatch.setitem(FILES, name, release.digest(name))
    monkeypatch.setattr(release, "_download", download)
    return download


@pytest.mark.usefixtures("wheel")
def test_fetch_unpacks_what_is_needed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = release.fetch(tmp_path / "cache")
    package = tmp_path / "cache/bfcl-eval-2026.3.23/bfcl_eval"
    assert found == package / "data"
    assert {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()} == set(FILES)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["bfcl-eval-2026.3.23"]
    monkeypatch.setattr(release, "_download", None)
    assert release.fetch(tmp_path / "cache") == found


@pytest.mark.usefixtures("wheel")
@pytest.mark.parametrize("content", [None, b"", b"\xff"], ids=["missing", "cut", "not UTF-8"])
def test_fetch_puts_damage_right(tmp_path: Path, content: bytes | None) -> None:
    damaged = release.fetch(tmp_path).parent / PROMPTS
    if content is None:
        damaged.unlink()
    else:
        damaged.write_bytes(content)
    release.fetch(tmp_path)
    assert damaged.read_text() == PROMPTS


@pytest.mark.usefixtures("wheel")
def test_verify_names_files(tmp_path: Path) -> None:
    folder = release.fetch(tmp_path)
    assert data.verify(folder) == []
    (folder / QUESTIONS).unlink()
    (folder.parent / PROMPTS).write_text("other")
    assert data.verify(folder) == [
        f"{folder / QUESTIONS}: missing",
        f"{folder.parent / PROMPTS}: not that of release 2026.3.23",
    ]
    (folder.parent / LONG_CONTEXT).unlink()
    (folder / FIXTURES).write_text("{}")
    assert data.verify(folder)[-1].startswith(f"{folder / FIXTURES}: field long_context: there must be")


@pytest.mark.usefixtures("wheel")
def test_fetch_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(DataNotFoundError, match=r"cannot unpack BFCL's data into .*cache.bfcl-eval-2026.3.23: "):
        release.fetch(tmp_path / "cache")


@pytest.mark.parametrize(("status", "message"), [(1, "pip could not download .*: no"), (0, "has SHA-256 .*, expected")])
def test_fetch_refuses_what_is_not_the_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, message: str
) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        (folder / "bfcl_eval.whl").write_bytes(b"other")
        return subprocess.CompletedProcess(command, status, "", "no")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(DataNotFoundError, match=message):
        release.fetch(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# Refusing others

Change = Callable[[str], "str | bytes | None"]


def without(name: str) -> Change:
    """The fixtures without a constant."""

    def change(text: str) -> str:
        record = json.loads(text)
        del record["long_context"][name]
        return json.dumps(record)

    return change


def other_number(text: str) -> str:
    record = json.loads(text)
    record["long_context"]["MA_5_EXTENSION"][7] += 1
    return json.dumps(record)


DOCS = "multi_turn_func_doc/math_api.json"
ANSWERS = f"possible_answer/{QUESTIONS}"
WRONG: dict[str, tuple[str, Change, type[ToolUseError], str]] = {
    "questions: cut line": (QUESTIONS, lambda text: text[:-9], TaskError, r"base.json:200: not JSON \("),
    "questions: lines lost": (
        QUESTIONS,
        lambda text: text[: text.rindex("\n", 0, -9)],
        TaskError,
        rf"199 entries, but possible_answer/.* has 200; {GET} gets",
    ),
    "questions: not UTF-8": (
        QUESTIONS,
        lambda text: text.rstrip().encode() + b"\n\xff",
        TaskError,
        r"base.json:201: not UTF-8",
    ),
    "questions: other words": (
        QUESTIONS,
        lambda text: text.replace("the", "a", 1),
        DataNotFoundError,
        rf"base.json is not that of BFCL release 2026.3.23: .* {GET}",
    ),
    "questions: unknown class": (
        QUESTIONS,
        lambda text: text.replace('["TwitterAPI"', '["Toaster"', 1),
        TaskError,
        r"base.json:\d+: field involved_classes.0: 'Toaster' is not one of",
    ),
    "questions: id twice": (
        QUESTIONS,
        lambda text: text.replace('"multi_turn_base_1"', '"multi_turn_base_0"'),
        TaskError,
        "base.json:2: field id: 'multi_turn_base_0' occurs twice",
    ),
    "answers: missing": (ANSWERS, lambda _: None, DataNotFoundError, rf"{ANSWERS} is missing: run {GET}"),
    "answers: other call": (
        ANSWERS,
        lambda text: text.replace("final_report", "report", 1),
        DataNotFoundError,
        rf"{ANSWERS} is not that of",
    ),
    "docs: missing": (DOCS, lambda _: None, DataNotFoundError, rf"{DOCS} is missing: run {GET}"),
    "docs: cut line": (DOCS, lambda text: text[:-9], TaskError, r"math_api.json:17: not JSON \("),
    "docs: lines lost": (
        DOCS,
        lambda text: text[: text.index("\n")],
        TaskError,
        "math_api.json lacks the functions logarithm, ",
    ),
    "docs: twice": (
        DOCS,
        lambda text: f"{text.rstrip()}\n{text}",
        TaskError,
        "math_api.json:18: field name: .* occurs twice",
    ),
    "docs: other function": (
        DOCS,
        lambda text: text.replace('"name": "add"', '"name": "fry"'),
        TaskError,
        r"math_api.json:\d+: field name: MathAPI has no function 'fry'",
    ),
    "docs: unknown type": (
        DOCS,
        lambda text: text.replace('"type": "float"', '"type": "quaternion"', 1),
        TaskError,
        r"math_api.json:1: field parameters\.properties\..*\.type: 'quaternion'",
    ),
    "docs: other words": (
        DOCS,
        lambda text: text.replace("the", "a", 1),
        DataNotFoundError,
        "math_api.json is not that",
    ),
    "fixtures: cut": (FIXTURES, lambda text: text[:-9], TaskError, r"fixtures.json:\d+: not JSON \("),
    "fixtures: a list": (FIXTURES, lambda _: "[]", TaskError, "fixtures.json: there must be an object"),
    "fixtures: constant lost": (
        FIXTURES,
        without("MA_5_EXTENSION"),
        TaskError,
        rf"fixtures.json lacks long_context.MA_5_EXTENSION; {GET}",
    ),
    "fixtures: other number": (FIXTURES, other_number, DataNotFoundError, "fixtures.json is not that of"),
}


def load_all(folder: Path) -> None:
    data.load_tasks("base", folder)
    load_docs(folder, tuple(DOC_FILES))
    data.load_payload(folder)


@pytest.mark.parametrize(("name", "change", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_files_are_named(
    bfcl_data: Path, tmp_path: Path, name: str, change: Change, error: type[ToolUseError], message: str
) -> None:
    for part in (QUESTIONS, ANSWERS, *(f"multi_turn_func_doc/{file}.json" for file in DOC_FILES.values()), FIXTURES):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        if not (bfcl_data / part).is_file():
            pytest.skip(f"no {part} in {bfcl_data}")
        (tmp_path / part).write_bytes((bfcl_data / part).read_bytes())
    edit(tmp_path / name, change)
    with pytest.raises(error, match=message):
        load_all(tmp_path)


def edit(path: Path, change: Change) -> None:
    text = path.read_text(encoding="utf-8")
    changed = change(text)
    assert changed != text
    path.unlink()
    if changed is not None:
        path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())


WRONG_SOURCES: dict[str, tuple[str, Change, type[ToolUseError], str]] = {
    "prompts: cut": (PROMPTS, lambda text: text[: text.index("{") + 1], TaskError, r"prompts.py:\d+: not Python \("),
    "prompts: constants lost": (
        PROMPTS,
        lambda _: "MAXIMUM_STEP_LIMIT = 20\n",
        TaskError,
        f"prompts.py lacks _PLAINTEXT_SYSTEM_PROMPT_TEMPLATE, .*; {GET}",
    ),
    "prompts: computed": (
        PROMPTS,
        lambda text: f"{text}\nPARAM_TYPE_MAPPING = dict()\n",
        TaskError,
        "prompts.py: a constant is not a literal",
    ),
    "prompts: other words": (PROMPTS, lambda text: text.replace("the", "a", 1), DataNotFoundError, "prompts.py is not"),
    "prompts: not UTF-8": (PROMPTS, lambda text: text.encode() + b"\xff", TaskError, r"prompts.py:\d+: not UTF-8"),
    "constants: cut": (LONG_CONTEXT, lambda text: text[:-9], TaskError, r"long_context.py:\d+: not Python \("),
    "constants: lost": (
        LONG_CONTEXT,
        lambda text: text.replace("MA_5_EXTENSION", "MA_6_EXTENSION"),
        TaskError,
        "long_context.py lacks MA_5_EXTENSION; ",
    ),
    "constants: other": (
        LONG_CONTEXT,
        lambda text: f"{text}\nFILES_TAIL_USED = []\n",
        DataNotFoundError,
        r"long_context.py is not that of BFCL release 2026.3.23 \(beside it is bfcl_eval-2027.1.1.dist-info\): ",
    ),
}


@pytest.mark.parametrize(("name", "change", "error", "message"), WRONG_SOURCES.values(), ids=WRONG_SOURCES)
def test_wrong_sources_are_named(
    bfcl_release: Path, tmp_path: Path, name: str, change: Change, error: type[ToolUseError], message: str
) -> None:
    package = shutil.copytree(bfcl_release.parent, tmp_path / "bfcl_eval")
    (tmp_path / "bfcl_eval-2027.1.1.dist-info").mkdir()
    edit(package / name, change)
    load: Callable[[Path], object] = load_prompting if name == PROMPTS else data.load_payload
    with pytest.raises(error, match=message):
        load(package / "data")


def test_line_breaks_of_other_systems_do_not_matter(bfcl_data: Path, tmp_path: Path) -> None:
    for part in (QUESTIONS, ANSWERS):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (tmp_path / part).write_bytes((bfcl_data / part).read_bytes().replace(b"\n", b"\r\n"))
    assert data.load_tasks("base", tmp_path) == data.load_tasks("base", bfcl_data)
