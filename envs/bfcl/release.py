"""The pinned release of BFCL: which of its files are read, where they are, how they are got and told from others.

They are read as data: no upstream code is imported or run. They come from PyPI (:func:`fetch`), or from any folder in
one of two layouts: an unpacked wheel, or flat, with the files listed in ``README.md``. Verdicts are official for these
very files only, so a file of another release is an error.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import jsonschema

from tooluse_gym.errors import DataNotFoundError, TaskError
from tooluse_gym.sources import cache_folder
from tooluse_gym.tasks import check, read_json_lines

RELEASE = "2026.3.23"
WHEEL_SHA256 = "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
FOLDER_VARIABLE = "TOOLUSE_BFCL_DATA"
GET = "tooluse-gym data get bfcl"

PROMPTS = "constants/default_prompts.py"
LONG_CONTEXT = "eval_checker/multi_turn_eval/func_source_code/long_context.py"
FIXTURES = "simulator_fixtures.json"
"""In a flat folder, what is read of the source of long-context texts."""

FILES = {
    "data/BFCL_v4_multi_turn_base.json": "badafccb2c92463f",
    "data/BFCL_v4_multi_turn_miss_func.json": "df569be9e7d00c28",
    "data/BFCL_v4_multi_turn_miss_param.json": "012a935c26902b9a",
    "data/BFCL_v4_multi_turn_long_context.json": "96115a849e25b01a",
    "data/possible_answer/BFCL_v4_multi_turn_base.json": "73cd2cd0ba3e57aa",
    "data/possible_answer/BFCL_v4_multi_turn_miss_func.json": "b5925585feefc319",
    "data/possible_answer/BFCL_v4_multi_turn_miss_param.json": "1b2953a119d89df6",
    "data/possible_answer/BFCL_v4_multi_turn_long_context.json": "a47068b545999fa5",
    "data/BFCL_v4_simple_python.json": "82dd63ba502eb252",
    "data/BFCL_v4_simple_java.json": "13d2303a125b0875",
    "data/BFCL_v4_simple_javascript.json": "329e67fedf79a624",
    "data/BFCL_v4_multiple.json": "aef168155ebd74b7",
    "data/BFCL_v4_parallel.json": "19f51a82eff42e5d",
    "data/BFCL_v4_parallel_multiple.json": "8863ea8433239f55",
    "data/BFCL_v4_irrelevance.json": "2b6ed4c2e992cdcf",
    "data/BFCL_v4_live_simple.json": "1af2ac87dca47556",
    "data/BFCL_v4_live_multiple.json": "fd8ccfad4d911420",
    "data/BFCL_v4_live_parallel.json": "6c26e9fdc3350cf5",
    "data/BFCL_v4_live_parallel_multiple.json": "21d4b9319c1faac4",
    "data/BFCL_v4_live_irrelevance.json": "7c9069681bc09ec1",
    "data/BFCL_v4_live_relevance.json": "926bde56aa65a182",
    "data/BFCL_v4_format_sensitivity.json": "1e7ebd0ec441198d",
    "data/possible_answer/BFCL_v4_simple_python.json": "90cd5bc653690ee8",
    "data/possible_answer/BFCL_v4_simple_java.json": "78f25616084044fa",
    "data/possible_answer/BFCL_v4_simple_javascript.json": "e2f9f2e51d88e0c8",
    "data/possible_answer/BFCL_v4_multiple.json": "244e00ce9395df94",
    "data/possible_answer/BFCL_v4_parallel.json": "8a6aa19c1adddc6a",
    "data/possible_answer/BFCL_v4_parallel_multiple.json": "5ebf24f458c1f163",
    "data/possible_answer/BFCL_v4_live_simple.json": "b269a804ccc6f243",
    "data/possible_answer/BFCL_v4_live_multiple.json": "97e90d59c5bd76c5",
    "data/possible_answer/BFCL_v4_live_parallel.json": "8a9f189ff0e832eb",
    "data/possible_answer/BFCL_v4_live_parallel_multiple.json": "f5b5f360556c5feb",
    "data/multi_turn_func_doc/gorilla_file_system.json": "7dcdd0965f6cf1f9",
    "data/multi_turn_func_doc/math_api.json": "0b96902eed3253b2",
    "data/multi_turn_func_doc/message_api.json": "6da8b52b5b0a1b94",
    "data/multi_turn_func_doc/posting_api.json": "66b3535fde93d2fe",
    "data/multi_turn_func_doc/ticket_api.json": "8422d425a4b67e1c",
    "data/multi_turn_func_doc/trading_bot.json": "a259acf61d60afd2",
    "data/multi_turn_func_doc/travel_booking.json": "3501d146c7ad8587",
    "data/multi_turn_func_doc/vehicle_control.json": "48243bfd79d84097",
    "data/BFCL_v4_memory.json": "e23b8cf59d038c59",
    "data/possible_answer/BFCL_v4_memory.json": "edb63730991916b6",
    "data/memory_prereq_conversation/memory_student.json": "e2d6c32e9e2671c6",
    "data/memory_prereq_conversation/memory_customer.json": "806ac91e558e3d93",
    "data/memory_prereq_conversation/memory_finance.json": "3cef1f235667f479",
    "data/memory_prereq_conversation/memory_healthcare.json": "56e7bd7b2e7c01ef",
    "data/memory_prereq_conversation/memory_notetaker.json": "07f3239ef2e9e142",
    "data/multi_turn_func_doc/memory_kv.json": "eeae02bc10a259df",
    "data/multi_turn_func_doc/memory_rec_sum.json": "a2d53c5e8eeca215",
    PROMPTS: "a884a3aa7d55e086",
    LONG_CONTEXT: "5c9a5710115609c7",
}
"""What is unpacked, by path inside the package, and the :func:`digest` of its text. Only what is asked for is read."""


def where(data_dir: str | Path | None = None) -> Path:
    """The data folder: ``data_dir``, else ``$TOOLUSE_BFCL_DATA``, else what :func:`fetch` unpacked.

    Raises:
        DataNotFoundError: there is none, or it holds none of the benchmark's files.
    """
    named = data_dir or os.environ.get(FOLDER_VARIABLE)
    root = Path(named) if named else _unpacked(None)
    for folder in (root, root / "bfcl_eval" / "data", root / "data"):
        if any(folder.glob("BFCL_v4_*.json")):
            return folder
    if named:
        said = "data_dir" if data_dir else FOLDER_VARIABLE
        raise DataNotFoundError(
            f"{said} {str(root)!r} {_what_is_wrong(root)}; leave it unset and run '{GET}', or name BFCL's data folder"
        )
    raise DataNotFoundError(f"BFCL's data is not here: run '{GET}', or set {FOLDER_VARIABLE} to its folder")


def _what_is_wrong(root: Path) -> str:
    if not root.is_dir():
        return "is not a folder"
    others = sorted(path.name for path in root.glob("BFCL_*.json"))
    return "has no file BFCL_v4_*.json" + (f", but {others[0]}" if others else "")


# Getting them


def fetch(cache: str | Path | None = None) -> Path:
    """Download the pinned release with pip, check it, unpack its data under ``cache`` and return the data folder.

    Does nothing if all of it is there; a damaged or missing file is put right.

    Raises:
        DataNotFoundError: pip could not download it, the file is not the pinned one, or nothing can be written there.
    """
    target = _unpacked(cache)
    package = target / "bfcl_eval"
    if not all(_is_intact(package / name, known) for name, known in FILES.items()):
        try:
            target.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".bfcl-") as scratch:
                with zipfile.ZipFile(_download(Path(scratch))) as archive:
                    archive.extractall(scratch, [f"bfcl_eval/{name}" for name in FILES])
                for name in FILES:  # one by one, whole: other processes may be reading, or doing the same
                    (package / name).parent.mkdir(parents=True, exist_ok=True)
                    (Path(scratch) / "bfcl_eval" / name).replace(package / name)
        except OSError as error:
            raise DataNotFoundError(f"cannot unpack BFCL's data into {target}: {error}") from error
    return where(target)


def _unpacked(cache: str | Path | None) -> Path:
    return (Path(cache) if cache else cache_folder()) / f"bfcl-eval-{RELEASE}"


def _is_intact(path: Path, known: str) -> bool:
    try:
        return digest(read_text(path)) == known
    except (DataNotFoundError, TaskError):
        return False


def _download(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    command = [*pip, "--only-binary", ":all:", "--dest", str(folder), f"bfcl-eval=={RELEASE}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise DataNotFoundError(f"pip could not download bfcl-eval=={RELEASE}: {done.stderr.strip()[-500:]}")
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise DataNotFoundError(
            f"{wheels[0].name} has SHA-256 {found}, expected {WHEEL_SHA256}: not the pinned release"
        )
    return wheels[0]


# Reading them


def wrong_files(folder: Path) -> list[str]:
    """What is wrong with the files of the data folder ``folder``, and with the sources that belong to it: a line each.

    Texts that ``simulator_fixtures.json`` holds are not asked for in the source they come from.
    """
    wrong = []
    for name, known in FILES.items():
        if name == LONG_CONTEXT and (folder / FIXTURES).is_file():
            continue
        try:
            path = folder / name.removeprefix("data/") if name.startswith("data/") else source(folder, name)
        except DataNotFoundError:
            path = folder.parent / name
        if not path.is_file():
            wrong.append(f"{path}: missing")
        elif not _is_intact(path, known):
            wrong.append(f"{path}: not that of release {RELEASE}")
    return wrong


def source(folder: Path, name: str) -> Path:
    """A source file of the release: beside the data folder ``folder`` if that is an unpacked wheel's, else as fetched.

    Raises:
        DataNotFoundError: it is in neither place.
    """
    places = (folder.parent / name, _unpacked(None) / "bfcl_eval" / name)
    for path in places:
        if path.is_file():
            return path
    raise DataNotFoundError(f"neither {places[0]} nor {places[1]} is there: run '{GET}'")


def read_text(path: Path) -> str:
    """The text of a file, with plain line breaks.

    Raises:
        DataNotFoundError: there is no such file.
        TaskError: it is not UTF-8; the message names the line.
    """
    if not path.is_file():
        raise DataNotFoundError(f"{path} is missing: run '{GET}' for a complete copy of BFCL's data")
    content = path.read_bytes()
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TaskError(f"{path}:{line}: not UTF-8 ({error.reason}); '{GET}' gets an intact copy") from error


def read_records(path: Path, validator: jsonschema.Draft202012Validator | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """``("file:line", record)`` of every line of a JSON Lines file; without a validator, records may be anything.

    Raises:
        DataNotFoundError: there is no such file.
        TaskError: a line is not JSON, or a record is wrong; the message names file, line and field.
    """
    read_text(path)
    for place, record in read_json_lines(path):
        if validator is not None:
            check(validator, record, place)
        yield place, record


def read_entries(path: Path, validator: jsonschema.Draft202012Validator | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """As :func:`read_records`, of a file of questions: no ``id`` may occur twice."""
    seen: set[str] = set()
    for place, record in read_records(path, validator):
        if record["id"] in seen:
            raise TaskError(f"{place}: field id: {record['id']!r} occurs twice")
        seen.add(record["id"])
        yield place, record


def read_answered(
    path: Path,
    question_form: jsonschema.Draft202012Validator | None,
    answer_form: jsonschema.Draft202012Validator | None,
) -> Iterator[tuple[str, dict[str, Any], str, dict[str, Any]]]:
    """Every entry of a file of questions with its answer, and the places of both."""
    answer_path = answers_of(path)
    questions, answers = list(read_entries(path, question_form)), list(read_records(answer_path, answer_form))
    if len(questions) != len(answers):
        raise TaskError(
            f"{path}: {len(questions)} entries, but possible_answer/{path.name} has {len(answers)}; "
            f"'{GET}' gets a complete copy"
        )
    for (place, question), (answer_place, answer) in zip(questions, answers, strict=True):
        if answer["id"] != question["id"]:
            raise TaskError(f"{answer_place}: field id: {answer['id']!r}, but the question there is {question['id']!r}")
        yield place, question, answer_place, answer


def answers_of(path: Path) -> Path:
    """The file of answers that belongs to a file of questions."""
    return path.parent / "possible_answer" / path.name


def read_object(path: Path, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> dict[str, Any]:
    """The object of a JSON file.

    Raises:
        DataNotFoundError: there is no such file.
        TaskError: it is not JSON, or no object.
    """
    try:
        record = json.loads(read_text(path), object_hook=object_hook)
    except json.JSONDecodeError as error:
        raise TaskError(f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(record, dict):
        raise TaskError(f"{path}: there must be an object")
    return record


def literals(path: Path, names: Collection[str]) -> dict[str, Any]:
    """Constants that a source file assigns at its top level, read from its syntax tree.

    Raises:
        TaskError: it is no Python, or a name is absent or not a literal.
    """
    try:
        body = ast.parse(read_text(path)).body
    except SyntaxError as error:
        raise TaskError(f"{path}:{error.lineno}: not Python ({error.msg}); '{GET}' gets an intact copy") from error
    assigned = {
        target.id: node.value
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    demand(names, assigned, path)
    try:
        return {name: ast.literal_eval(assigned[name]) for name in names}
    except ValueError as error:
        raise TaskError(f"{path}: a constant is not a literal ({error})") from error


def demand(names: Collection[str], found: Collection[str], path: Path) -> None:
    """Raise TaskError unless all ``names`` were found in the file."""
    if missing := [name for name in names if name not in found]:
        raise TaskError(f"{path} lacks {', '.join(missing)}; '{GET}' gets a complete copy")


def digest(text: str) -> str:
    """What tells a text from others: whatever surrounds it, its SHA-256 in short."""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]


def demand_release(path: Path, known: str, text: str | None = None) -> None:
    """Raise DataNotFoundError unless the file, or what was read from it, has the ``known`` digest."""
    if digest(read_text(path) if text is None else text) != known:
        versions = [info.name for parent in path.parents[:5] for info in parent.glob("bfcl_eval-*.dist-info")]
        raise DataNotFoundError(
            f"{path} is not that of BFCL release {RELEASE}"
            + (f" (beside it is {versions[0]})" if versions else "")
            + f": verdicts would not be comparable. '{GET}' gets the right one"
        )
