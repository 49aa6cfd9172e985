"""Checkpoints: what is damaged is told, what is sound is kept."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from rest_agent import checkpoint, engine, policy
from rest_agent.checkpoint import CheckpointError
from rest_agent.config import Config


@pytest.fixture(scope="module")
def running(folders: dict[str, Path], process_group: Any) -> tuple[Any, Any]:
    model, tokenizer = policy.load(folders["own"], "float32")
    started, _ = engine.make_engine(model, Config(), {"zero_optimization": {"stage": 1}})
    return started, tokenizer


def _save(running: tuple[Any, Any], folder: Path, state: dict[str, Any], keep: int) -> None:
    started, tokenizer = running
    checkpoint.save(folder, started, tokenizer, state, keep)


@pytest.fixture(scope="module")
def saved(running: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of steps 20 and 40."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    for step in (10, 20, 40):
        _save(running, folder, {"step": step}, keep=2)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "head")


def test_the_newest_are_kept_and_nothing_unfinished_is_left(folder: Path) -> None:
    assert _names(folder) == ["step-000020", "step-000040"]
    assert checkpoint.latest(folder) == folder / "step-000040"
    assert checkpoint.check(folder / "step-000020") == folder / "step-000020"


def test_a_step_can_be_saved_again(running: Any, folder: Path) -> None:
    _save(running, folder, {"step": 40, "again": True}, keep=2)
    assert _names(folder) == ["step-000020", "step-000040"]
    assert json.loads((checkpoint.latest(folder) / "state.json").read_text())["run"]["again"]


def test_going_on_from_an_earlier_checkpoint_leaves_later_ones_alone(running: Any, folder: Path) -> None:
    _save(running, folder, {"step": 30}, keep=1)
    assert _names(folder) == ["step-000030", "step-000040"]


def test_what_a_crash_left_behind_is_written_anew(running: Any, folder: Path) -> None:
    unfinished = folder / ".step-000060.unfinished"
    unfinished.mkdir()
    (unfinished / "model.safetensors").write_bytes(b"half")
    assert checkpoint.latest(folder).name == "step-000040"
    _save(running, folder, {"step": 60}, keep=3)
    assert checkpoint.latest(folder).name == "step-000060"
    assert _names(folder) == ["step-000020", "step-000040", "step-000060"]


def test_who_goes_back_passes_over_what_comes_later_until_it_is_written_anew(running: Any, folder: Path) -> None:
    checkpoint.stand_at(folder / "step-000020")
    assert checkpoint.latest(folder).name == "step-000020"
    _save(running, folder, {"step": 30}, keep=3)
    assert checkpoint.latest(folder).name == "step-000030"
    _save(running, folder, {"step": 40, "anew": True}, keep=3)
    assert json.loads((checkpoint.latest(folder) / "state.json").read_text())["run"]["anew"]
    assert _names(folder) == ["step-000020", "step-000030", "step-000040"]


class Killed(BaseException):
    """Nothing that the code under test catches."""


_WATCHED = {"_publish", "recover", "write_text", "stand_at"}


@contextmanager
def _killed_at_line(number: int) -> Iterator[None]:
    """Stop what publishes a checkpoint before the line that it would come to as the ``number``-th."""
    lines = iter(range(1_000_000))

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_name not in _WATCHED or frame.f_code.co_filename != checkpoint.__file__:
            return None
        if event == "line" and next(lines) == number:
            raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files that nobody closes any more
@pytest.mark.parametrize("step", [40, 60], ids=["in place of one", "after the others"])
def test_killed_at_any_line_there_is_a_sound_checkpoint_as_new_as_before(
    step: int, saved: Path, tmp_path: Path
) -> None:
    """Publishing alone: whoever is killed before has only begun a hidden folder."""
    found = set()
    for number in range(1000):
        folder = tmp_path / str(number)
        shutil.copytree(saved, folder)
        unfinished = folder / f".step-{step:06d}.unfinished"
        shutil.copytree(saved / "step-000040", unfinished)
        (unfinished / "extra").touch()
        try:
            with _killed_at_line(number):
                checkpoint._publish(unfinished, folder / f"step-{step:06d}", keep=1, best=None)
        except Killed:
            pass
        else:
            break
        checkpoint.recover(folder)
        newest, problems = checkpoint.newest(folder)
        assert newest is not None
        assert newest.name in ("step-000040", f"step-{step:06d}")
        assert problems == []
        assert not list(folder.glob(".*"))
        found.add((newest / "extra").exists())
        shutil.rmtree(folder)
    assert number > 20
    assert found == {False, True}
    assert _names(folder) == [f"step-{step:06d}"]


@contextmanager
def _room(size: int) -> Iterator[None]:
    """No file can grow larger than ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 5_000, 30_000, 100_000])
def test_without_room_those_before_stay_as_they_are(size: int, running: Any, folder: Path) -> None:
    """Whichever file is the first that does not fit."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with _room(size), pytest.raises(CheckpointError, match=r"cannot write .*step-000060 .*make room, then continue"):
        _save(running, folder, {"step": 60}, keep=1)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    _save(running, folder, {"step": 60}, keep=1)
    assert _names(folder) == ["step-000060"]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _delete(path: Path) -> None:
    path.unlink()


def _write(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(text)

    return write


def _forget_state(path: Path) -> None:
    files = json.loads(path.read_text())
    del files["state.json"]
    path.write_text(json.dumps(files))


SHARD = "deepspeed/mp_rank_00_model_states.pt"


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("model.safetensors", _cut, r"model\.safetensors has \d+ bytes instead of \d+"),
        ("model.safetensors", _flip, r"model\.safetensors has changed since it was written"),
        ("model.safetensors", _delete, r"model\.safetensors is missing"),
        (SHARD, _flip, r"model_states\.pt has changed"),
        ("state.json", _delete, r"state\.json is missing"),
        ("manifest.json", _delete, r"manifest\.json is missing"),
        ("manifest.json", _cut, r"manifest\.json is not a manifest"),
        ("manifest.json", _write("[1, 2]"), r"manifest\.json is not a manifest"),
        ("manifest.json", _write('{"state.json": 3}'), r"manifest\.json is not a manifest"),
        ("manifest.json", _write("{}"), r"manifest\.json does not list state\.json"),
        ("manifest.json", _forget_state, r"manifest\.json does not list state\.json"),
    ],
)
def test_damage_is_named_and_the_checkpoint_before_offered(
    folder: Path, name: str, damage: Callable[[Path], None], message: str
) -> None:
    newest, previous = folder / "step-000040", folder / "step-000020"
    damage(newest / name)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.latest(folder)
    assert str(newest) in str(caught.value)
    assert f"--resume {previous}" in str(caught.value)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.check(newest)
    assert checkpoint.check(previous) == previous
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == files


def test_no_sound_checkpoint_at_all(folder: Path, tmp_path: Path) -> None:
    for name in _names(folder):
        _cut(folder / name / "state.json")
    with pytest.raises(CheckpointError, match=r"state\.json has .* no earlier checkpoint is sound"):
        checkpoint.latest(folder)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*start the run without --resume"):
        checkpoint.latest(tmp_path / "nothing")


@pytest.mark.parametrize(("key", "value"), [("ranks", 2), ("zero_stage", 1)])
def test_optimizer_states_without_zero_stay_with_their_world(
    process_group: Any, folder: Path, key: str, value: int
) -> None:
    state = folder / "step-000040" / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "ranks": 1, "zero_stage": 0, key: value}))
    with pytest.raises(CheckpointError, match=f"saved with .*{key} = {value}.*: without ZeRO .*continue it as it was"):
        checkpoint.load_settings(folder / "step-000040", {"zero_optimization": {"stage": 0}})
