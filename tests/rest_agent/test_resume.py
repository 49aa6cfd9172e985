"""Where a run starts, and that one which goes on ends as one that never stopped, to the last bit."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from benchmarks.kill import differences, outcome
from rest_agent import checkpoint, cli, randomness
from rest_agent.metrics import read_log
from rest_agent.results import read_results

ROOT = Path(__file__).parents[2]
ONE_TURN = {"max_steps_per_turn": 2, "starter": {"turns": 1, "tools_shown": 1, "requests": ["post"]}}
TINY: dict[str, Any] = {
    "environment": {"options": ONE_TURN},
    "sft": [{"updates": 2, "batch": 4, "learning_rate": 1e-3}],
    "rl": {
        "updates": 2,
        "tasks": 2,
        "group": 2,
        "max_reply_tokens": 30,
        "max_tokens": 2000,
        "learning_rate": 1e-3,
        "warmup": 0,
        "loss": {"entropy": 0.01},
    },
    "evaluation": {"tasks": 1, "every": 1, "sampled": False},
    "run": {"save_every": 1, "keep": 99, "progress": False},
}

Begin = Callable[..., Path]


@pytest.fixture(scope="module")
def dropping(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that draws from the global random generators: attention weights are dropped."""
    folder = tmp_path_factory.mktemp("dropping") / "model"
    shutil.copytree(folders["own"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.1}))
    return folder


@pytest.fixture
def begin(process_group: Any, tmp_path: Path) -> Begin:
    """Runs the command in this process, from the beginning to the end; the run's folder."""

    def run(model: Path, *arguments: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({**TINY, "model": {"path": str(model)}}))
        assert cli.main(["--config", str(path), *arguments, f"run.folder={tmp_path / 'runs'}"]) == 0
        (found,) = (tmp_path / "runs").iterdir()
        return found

    return run


def _back_to(step: int, run: Path, copy: Path) -> Path:
    """A copy of a run that was killed right after it had saved ``step``."""
    shutil.copytree(run, copy)
    for path in (copy / "checkpoints").glob("step-*"):
        if path.name > f"step-{step:06d}":
            shutil.rmtree(path)
    (copy / "checkpoints" / "head").write_text(f"step-{step:06d}")
    return copy


@pytest.mark.parametrize(
    ("stage", "step", "settings"),
    [
        (3, 3, ["rl.algorithm=ppo", "rl.kl.coefficient=0.1", "rl.kl.place=reward"]),
        (1, 2, ["rl.algorithm=grpo", "rl.weights.preset=paper"]),
        (2, 1, ["rl.supervised.coefficient=0.1", "rl.refill=1", "rollout.importance_cap=2"]),
        (1, 3, ["rl.algorithm=grpo", "model.lora={rank: 4, dropout: 0.1}"]),
    ],
    ids=["in RL", "after the cold start", "in the cold start", "adapters"],
)
def test_a_resumed_run_ends_as_the_one_that_never_stopped(
    stage: int, step: int, settings: list[str], begin: Begin, dropping: Path, tmp_path: Path
) -> None:
    deepspeed = tmp_path / "deepspeed.json"
    deepspeed.write_text(json.dumps({"zero_optimization": {"stage": stage}}))
    run = begin(dropping, "--deepspeed_config", str(deepspeed), *settings)
    resumed = _back_to(step, run, tmp_path / "resumed")
    torch.rand(step)  # another process has drawn other numbers
    assert cli.main(["--resume", str(resumed)]) == 0
    assert differences(outcome(run), outcome(resumed)) == []
    assert read_results(resumed).command == read_results(run).command
    assert (resumed / "report.md").exists()


def test_a_run_without_a_critic_cannot_go_on_with_one(
    begin: Begin, dropping: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begin(dropping, "sft=[]", "rl.updates=1", "rl.algorithm=grpo")
    before = (run / "config.yaml").read_bytes()
    (run / "first_policy").rename(run / "elsewhere")
    for missing in (run / "first_policy", "a critic in "):
        assert cli.main(["--resume", str(run), "rl.algorithm=ppo", "rl.updates=2"]) == 2
        assert f"the run has not kept {missing}" in capsys.readouterr().err
        assert (run / "config.yaml").read_bytes() == before
        if not (run / "first_policy").exists():
            (run / "elsewhere").rename(run / "first_policy")


def _copy(short: Path, folder: Path) -> Path:
    shutil.copytree(short, folder / "runs" / "run-seed0")
    return folder / "runs" / "run-seed0"


@pytest.fixture(scope="module")
def short(dropping: Path, process_group: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two supervised updates, with a checkpoint of each."""
    folder = tmp_path_factory.mktemp("short")
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**TINY, "model": {"path": str(dropping)}, "rl": {"updates": 0}}))
    assert cli.main(["--config", str(path), f"run.folder={folder / 'runs'}", "run.tensorboard=false"]) == 0
    return folder / "runs" / "run-seed0"


def _auto(run: Path, *arguments: str) -> int:
    """The command that began the run, in the folder that its copy is in."""
    config = run.parent.parent / "config.yaml"
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree["run"]["folder"] = str(run.parent)
    config.write_text(yaml.safe_dump(tree))
    return cli.main(["--config", str(config), "--resume", "auto", *arguments])


def test_auto_goes_on_from_the_newest_sound_checkpoint(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _copy(short, tmp_path)
    first, last = sorted((run / "checkpoints").glob("step-*"))
    weights = last / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert _auto(run, "sft.0.warmup=7") == 0
    printed = capsys.readouterr().err
    assert f"checkpoint {last} is damaged (model.safetensors has" in printed
    assert f"--resume auto: continuing {first}" in printed
    assert "--resume auto: sft was" in printed
    assert list(run.parent.iterdir()) == [run]
    assert checkpoint.latest(run / "checkpoints") == last  # it was written anew


def test_auto_begins_anew_where_nothing_is_sound(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _copy(short, tmp_path)
    for path in run.glob("checkpoints/step-*/state.json"):
        path.unlink()
    damaged = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    assert _auto(run) == 0
    assert f"no sound checkpoint is left in {run}; beginning anew" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in damaged} == damaged
    assert differences(outcome(short), outcome(run.with_name("run-seed0.2"))) == []


def test_auto_goes_on_where_the_runs_configuration_cannot_be_read(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _copy(short, tmp_path)
    good = (run / "config.yaml").read_text()
    (tmp_path / "good.yaml").write_text(good)
    for content in (b"\xff\xfe", b"run: [", b"- 1", b"rl: {updates: many}"):
        (run / "config.yaml").write_bytes(content)
        assert cli.main(["--resume", str(run)]) == 2
        assert "--resume takes a run's folder, one of its checkpoints" in capsys.readouterr().err
        assert (run / "config.yaml").read_bytes() == content
    arguments = ["--config", str(tmp_path / "good.yaml"), "--resume", "auto", f"run.folder={run.parent}"]
    assert cli.main(arguments) == 0
    assert "going on with the configuration of this command" in capsys.readouterr().err
    assert differences(outcome(short), outcome(run)) == []


def test_a_run_whose_deepspeed_settings_cannot_be_read_is_refused(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _copy(short, tmp_path)
    (run / "deepspeed.json").write_text('{"zero_opt')
    assert cli.main(["--resume", str(run)]) == 2
    assert f"--deepspeed_config {run / 'deepspeed.json'}" in capsys.readouterr().err


def test_a_run_that_another_process_writes_is_left_alone(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _copy(short, tmp_path)
    hold = "import sys, time; from pathlib import Path; from rest_agent.folders import alone_in\n"
    hold += "with alone_in(Path(sys.argv[1])): print('held', flush=True); time.sleep(100)"
    other = subprocess.Popen([sys.executable, "-c", hold, str(run)], stdout=subprocess.PIPE, cwd=ROOT)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    try:
        assert cli.main(["--resume", str(run)]) == 2
        assert f"{run} is being written by process {other.pid} on " in capsys.readouterr().err
        assert _auto(run) == 2
        assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    finally:
        other.kill()  # whoever dies lets go of it
        other.communicate()
    assert cli.main(["--resume", str(run)]) == 0


@pytest.mark.parametrize(
    ("size", "expected"), [(0, 2), (3_000, 1), (30_000, 1)], ids=["at once", "in the log", "in a checkpoint"]
)
def test_a_full_disk_ends_the_run_and_loses_nothing(
    size: int, expected: int, short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _copy(short, tmp_path)
    kept = {path: path.read_bytes() for path in run.glob("checkpoints/step-*/**/*") if path.is_file()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        status = cli.main(["--resume", str(run), "sft.0.updates=40", "run.save_every=10"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert status == expected
    printed = capsys.readouterr().err
    assert "cannot write " in printed
    assert f"make room, then continue with --resume {run}" in printed
    assert {path: path.read_bytes() for path in kept} == kept
    assert cli.main(["--resume", str(run), "sft.0.updates=3"]) == 0
    assert checkpoint.latest(run / "checkpoints").name == "step-000003"


def test_a_run_that_diverges_ends_with_a_diagnosis_and_keeps_what_was_sound(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The third update's step makes weights that no loss can be computed with."""
    run = _copy(short, tmp_path)
    sound = run / "checkpoints" / "step-000002"
    changes = ["sft.0.updates=9", "sft.0.learning_rate=1e30", "optimizer.max_skipped=3", "run.keep=2"]
    for arguments in (changes, []):  # the checkpoint before the steps that were skipped, and once more
        assert cli.main(["--resume", str(run), *arguments]) == 1
        printed = capsys.readouterr().err
        assert "stopped: the last 3 optimizer steps of the policy were skipped" in printed
        assert f"train_agent.py --resume {run}" in printed
        assert [one.values["updates_skipped"] for one in read_log(run)] == [0, 0, 0, 1, 1]
        assert checkpoint.latest(run / "checkpoints").name == "step-000003"
    assert cli.main(["--resume", str(sound), "sft.0.learning_rate=1e-3"]) == 0
    assert read_log(run)[-1].update == 8


def test_a_block_leaves_the_random_generators_untouched() -> None:
    before = randomness.state()
    with randomness.untouched():
        randomness.seed(3, 1)
        assert randomness.state() != before
    assert randomness.state() == before
