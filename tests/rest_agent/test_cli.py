"""The command: mistakes are told with a remedy, and an interrupted run can be continued."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rest_agent import cli
from rest_agent.config import Config, ConfigError, RLConfig, SFTStage
from rest_agent.metrics import read_log
from rest_agent.results import read_results
from rest_agent.run import _check_ranks
from tooluse_gym import trajectory

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DATA = Path(os.environ.get("TOOLUSE_TEST_DATA", ROOT / "../shared/data")).resolve() / "bfcl"
Start = Callable[..., subprocess.Popen[str]]
OPTIONS = {"max_steps_per_turn": 2, "starter": {"turns": 1, "tools_shown": 1, "requests": ["post"]}}
TINY: dict[str, Any] = {
    "environment": {"options": OPTIONS},
    "sft": [{"updates": 60, "batch": 4, "learning_rate": 1e-2}],
    "rl": {"updates": 1, "tasks": 2, "group": 2, "max_reply_tokens": 10, "max_tokens": 2000, "learning_rate": 1e-3},
    "evaluation": {"tasks": 2, "sampled": False},
    "run": {"save_every": 100, "tensorboard": False, "progress": False},
}


def _config(folder: Path, model: Path) -> Path:
    folder.mkdir(exist_ok=True)
    tree = {**TINY, "model": {"path": str(model)}}
    tree["run"] = {**TINY["run"], "folder": str(folder / "runs")}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def _wait_for_updates(process: subprocess.Popen[str], runs: Path, count: int) -> Path:
    """The run's folder, once that many updates are in its log."""
    for _ in range(3000):
        logs = list(runs.glob("*/metrics.jsonl"))
        if logs and logs[0].read_bytes().count(b"\n") >= count:
            return logs[0].parent
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    raise AssertionError("the run does not begin")


def _checkpoints(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step-*"))


def _times(run: Path) -> dict[Path, int]:
    files = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.stat().st_mtime_ns for path in files}


def _losses(run: Path) -> list[float]:
    return [record.values["loss"] for record in read_log(run) if record.stage == "sft0"]


@pytest.fixture(scope="module")
def uninterrupted(folders: dict[str, Path], process_group: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of TINY on one rank, in this process."""
    folder = tmp_path_factory.mktemp("whole")
    assert cli.main(["--config", str(_config(folder, folders["own"]))]) == 0
    return next((folder / "runs").iterdir())


def test_sigterm_saves_and_the_resumed_run_is_the_same(
    start: Start, folders: dict[str, Path], uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start("train_agent.py", "--config", str(_config(tmp_path, folders["own"])))
    run = _wait_for_updates(process, tmp_path / "runs", 3)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    done = len(_losses(run))
    assert done < 60
    assert f"continue with: deepspeed train_agent.py --resume {run}" in printed
    assert (run / "checkpoints" / f"step-{done:06d}" / "manifest.json").exists()

    assert cli.main(["--resume", str(run)]) == 0
    found, expected = read_log(run), read_log(uninterrupted)
    assert [(one.stage, one.update) for one in found] == [(one.stage, one.update) for one in expected]
    for one, other in zip(found, expected, strict=True):
        timeless = {name: value for name, value in other.values.items() if not name.startswith("seconds")}
        assert {name: one.values[name] for name in timeless} == pytest.approx(timeless, rel=1e-6, abs=1e-7)
    assert read_results(run).stages == read_results(uninterrupted).stages
    assert list(read_results(run).stages) == ["start", "sft", "rl"]


@pytest.mark.slow
def test_two_ranks_make_the_updates_of_one(
    launch: Start, folders: dict[str, Path], uninterrupted: Path, tmp_path: Path
) -> None:
    process = launch("train_agent.py", "--config", str(_config(tmp_path, folders["own"])))
    printed, _ = process.communicate(timeout=180)
    assert process.returncode == 0, printed
    (run,) = (tmp_path / "runs").iterdir()
    assert _losses(run) == pytest.approx(_losses(uninterrupted), rel=2e-3)
    assert _losses(run)[:10] == pytest.approx(_losses(uninterrupted)[:10], rel=1e-5)
    ours, theirs = read_results(run), read_results(uninterrupted)
    assert ours.stages["start"] == theirs.stages["start"]  # the same tasks, in the same order, shared out
    assert ours.command is not None
    assert ours.command.startswith("deepspeed train_agent.py --config ")


@pytest.mark.slow
def test_ctrl_c_under_the_launcher_saves_on_two_ranks_at_stage_3(
    launch: Start, folders: dict[str, Path], uninterrupted: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "zero3.json"
    settings.write_text(json.dumps({"zero_optimization": {"stage": 3}}))
    config = _config(tmp_path, folders["own"])
    process = launch("train_agent.py", "--config", config, "--deepspeed_config", settings)
    run = _wait_for_updates(process, tmp_path / "runs", 3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    printed, _ = process.communicate(timeout=90)
    done = len(_losses(run))
    assert done < 60
    assert f"continue with: deepspeed train_agent.py --resume {run}" in printed
    assert [path.name for path in _checkpoints(run)] == [f"step-{done:06d}"]

    process = launch("train_agent.py", "--resume", str(run))
    printed, _ = process.communicate(timeout=180)
    assert process.returncode == 0, printed
    assert _losses(run) == pytest.approx(_losses(uninterrupted), rel=2e-3)
    assert list(read_results(run).stages) == ["start", "sft", "rl"]


@pytest.mark.slow
def test_adapters_of_two_ranks_at_stage_3_go_on_on_one(
    launch: Start, folders: dict[str, Path], process_group: Any, tmp_path: Path
) -> None:
    settings = tmp_path / "zero3.json"
    settings.write_text(json.dumps({"zero_optimization": {"stage": 3}}))
    runs: list[Path] = []
    for ranks in (1, 2):
        config = _config(tmp_path / str(ranks), folders["own"])
        files = ["--config", str(config), "--deepspeed_config", str(settings)]
        command = [*files, "model.lora={rank: 4}", "sft.0.updates=3", "rl.updates=2"]
        if ranks == 1:
            assert cli.main(command) == 0
        else:
            process = launch("train_agent.py", *command)
            printed, _ = process.communicate(timeout=180)
            assert process.returncode == 0, printed
        runs += (tmp_path / str(ranks) / "runs").iterdir()
    one, two = runs
    assert _losses(two) == pytest.approx(_losses(one), rel=1e-5)
    assert cli.main(["--resume", str(two), "rl.updates=3"]) == 0
    updates = [record.update for record in read_log(two) if record.stage == "rl"]
    assert updates == [0, 1, 2]
    assert [path.name for path in _checkpoints(two)] == ["step-000005", "step-000006"]


def test_a_damaged_checkpoint_is_told_and_the_one_before_can_be_resumed(
    uninterrupted: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    first, last = _checkpoints(run)
    shard = next((last / "deepspeed").glob("*optim*"))
    shard.write_bytes(shard.read_bytes()[:-100])
    before = _times(run)
    assert cli.main(["--resume", str(run)]) == 2
    printed = capsys.readouterr().err
    assert shard.name in printed
    assert f"--resume {first}" in printed
    assert _times(run) == before
    assert cli.main(["--resume", str(first)]) == 0
    assert _checkpoints(run) == [first, last]
    assert _losses(run) == _losses(uninterrupted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rl.updats=1"], "unknown key rl.updats; did you mean rl.updates?"),
        (["--config", "nowhere.yaml"], "cannot read the configuration nowhere.yaml"),
        (["--deepspeed_config", "nowhere.json"], "--deepspeed_config nowhere.json"),
        (["--resume", "nowhere"], "cannot read the configuration nowhere/config.yaml"),
        (["--resume", "nowhere", "--config", "x.yaml"], "leave --config out"),
        (["model.path=/no/where"], "model.path: cannot load a causal language model from '/no/where'"),
        (["environment.id=Nothing-v0"], "environment.id: "),
        (["environment.options={datset: base}"], "environment.options: "),
        (["rl.tasks=0"], "rl.tasks must be at least 1"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_mistakes_are_told_and_leave_nothing_behind(
    arguments: list[str], message: str, process_group: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*arguments, f"run.folder={tmp_path / 'runs'}"]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/*"))


def test_more_ranks_than_tasks_are_refused(process_group: Any) -> None:
    with pytest.raises(ConfigError, match=r"rl\.tasks: 2 cannot be shared out among 3 ranks"):
        _check_ranks(Config(rl=RLConfig(tasks=2)), 3)
    with pytest.raises(ConfigError, match=r"sft\.0\.batch: 1 cannot be shared out among 2 ranks"):
        _check_ranks(Config(sft=(SFTStage(batch=1),)), 2)


@pytest.mark.parametrize("family", ["qwen", "llama"])
def test_the_example_trains_models_of_other_makers(
    family: str, folders: dict[str, Path], process_group: Any, tmp_path: Path
) -> None:
    few = ["rl.updates=1", "rl.tasks=1", "rl.group=2", "rl.max_reply_tokens=10", "rl.max_tokens=4000"]
    few += ["evaluation.tasks=1", "environment.options.starter.tools_shown=2", f"run.folder={tmp_path}"]
    example = ["--config", str(EXAMPLES / "qwen3_4b.yaml"), "--deepspeed_config", str(EXAMPLES / "zero3.json")]
    assert cli.main([*example, f"model.path={folders[family]}", *few]) == 0
    (run,) = tmp_path.iterdir()
    assert list(read_results(run).stages) == ["start", "rl"]
    assert json.loads((run / "deepspeed.json").read_text())["zero_optimization"]["stage"] == 3


needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="BFCL's files are not here")


@needs_data
def test_the_example_evaluates_on_official_tasks(
    folders: dict[str, Path],
    process_group: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TOOLUSE_BFCL_DATA", str(DATA))
    few = ["rl.max_reply_tokens=5", "evaluation.tasks=2", "environment.options.dataset=miss_func"]
    example = ["--config", str(EXAMPLES / "evaluate_bfcl.yaml"), f"run.folder={tmp_path}"]
    assert cli.main([*example, f"model.path={folders['own']}", *few]) == 0
    assert "0/2" in capsys.readouterr().out
    (run,) = tmp_path.iterdir()
    results = read_results(run)
    assert results.stages["start"]["greedy"].n == 2
    assert results.notes == []
    assert not (run / "checkpoints").exists()
    for record in trajectory.load(run / "evaluations" / "start-greedy.jsonl"):
        assert record.task.startswith("multi_turn_miss_func_")
        assert trajectory.replay(record).verdict == record.verdict


@needs_data
def test_training_on_official_tasks_needs_leave_and_is_noted(
    folders: dict[str, Path], process_group: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(_config(tmp_path, folders["own"]))
    options = f"dataset: base, data_dir: {DATA}, max_steps_per_turn: 2"
    few = ["sft=[]", "rl.tasks=1", "rl.max_tokens=8000", "environment.train_split=test", "evaluation.tasks=1"]
    assert cli.main(["--config", config, *few, f"environment.options={{{options}}}"]) == 2
    assert "allow_test_data=True" in capsys.readouterr().err
    assert not list((tmp_path / "runs").iterdir())
    assert cli.main(["--config", config, *few, f"environment.options={{{options}, allow_test_data: true}}"]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    (note,) = read_results(run).notes
    assert note.startswith("trained on the benchmark's test data (base)")
