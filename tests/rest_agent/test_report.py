"""The report of a small made-up run: every number that a colleague would ask for is in it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rest_agent import report
from rest_agent.config import Config
from rest_agent.config_text import to_tree
from rest_agent.curves import draw, draw_diagnostics, entropy_changes
from rest_agent.metrics import RunLog
from rest_agent.provenance import git_state, provenance
from rest_agent.results import Results, Score, change, read_results
from tooluse_gym import trajectory
from tooluse_gym.messages import tool_result, user
from tooluse_gym.scoring import Verdict
from tooluse_gym.trajectory import Step, Trajectory


def _score(outcomes: str, reward: float, **more: Any) -> dict[str, Any]:
    """``outcomes``: + for a solved task, - for a failed one."""
    solved = [outcome == "+" for outcome in outcomes]
    return {"n": len(solved), "valid": sum(solved), "reward": reward, "outcomes": solved, **more}


RESULTS = {
    "parameters": 652032,
    "vocabulary": 1024,
    "updates": {"sft0": 120, "rl": 60},
    "seconds": {"evaluation": 9.5, "sft0": 61.0, "rl": 3725.0},
    "provenance": {"git": "abc123 with local changes", "versions": {"torch": "9.9"}, "machine": "a | machine"},
    "stages": {
        "start": {"greedy": _score("-" * 40, 0.0)},
        "sft": {
            "greedy": _score("+" * 20 + "-" * 20, 0.5, by_kind={"copy a file": [12, 20], "move a file": [8, 20]}),
            "sampled": _score("+" * 10 + "-" * 30, 0.25),
        },
        "rl": {
            "greedy": _score("+" * 19 + "-" * 1 + "+" * 11 + "-" * 9, 0.75, by_kind={"copy a file": [11, 20]}),
            "sampled": {"n": 40, "valid": 30, "reward": 0.75},
        },
    },
    "notes": ["trained on the test file"],
}

MEASURED = {
    "entropy/think": 0.25,
    "entropy/tag": 0.125,
    "entropy_after/think": 0.2,
    "entropy_after/tag": 0.15,
    "gradient/variance": 1e-4,
    "gradient/variance_plain": 2e-4,
    "gradient/noise": 0.5,
    "gradient/noise_plain": 0.75,
    "control/change_mean": 0.01,
    "control/change_max": 2.0,
    "control/ratio_max": 7.4,
    "rows_without_weight": 0.0625,
}


def _episode(task: str, verdict: Verdict | None) -> Trajectory:
    steps = (Step("```\nls()\n```", (tool_result("ls", "notes.txt"),), 0.25), Step("One file.", (), 0.5))
    return Trajectory("Env-v0", {}, task, 0, (user("What is in here?"),), steps, verdict)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder, ``runs/small`` below where we stand."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/small")
    (folder / "evaluations").mkdir(parents=True)
    (folder / "checkpoints" / "step-000020").mkdir(parents=True)
    (folder / "checkpoints" / "step-000180").mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(to_tree(Config())))
    (folder / "results.json").write_text(json.dumps(RESULTS))
    with RunLog(folder, tensorboard=False) as log:
        for update in range(5):
            log.write("sft0", update, {"loss": 2.0 - 0.1 * update})
            log.write("rl", update, {"reward": 0.1 * update, "success": 0.1, "tokens": 99, "tokens_policy": 50})
            log.write(
                "rl", update, {"entropy/think": 0.3, "weight/think": 1.0, "seconds_sampling": 600, "x": float("nan")}
            )
        for update in (0, 4):
            log.write("rl", update, {**MEASURED, "gradient/cosine": 0.9 - 0.1 * update, "seconds_diagnostics": 1.5})
        log.write("validation", 4, {"success": 0.5, "n": 32})
    failed = _episode("task-7", Verdict(False, "instance_state_mismatch", 1, {"Files": ["root"]}))
    solved = _episode("task-9", Verdict(True))
    trajectory.save(folder / "evaluations" / "rl-greedy.jsonl", [failed, failed, solved, solved])
    return folder


def test_the_report_says_what_a_colleague_would_ask(folder: Path) -> None:
    text = report.write(folder).read_text(encoding="utf-8")
    for expected in (
        "# run, seed 0",
        "trained on the test file",
        "| after the cold start | greedy | 20/40 | 50.0 % | 35.2 to 64.8 | 0.500 | +50.0 (+31.8 to +63.4) |",
        "| after RL | greedy | 30/40 | 75.0 % | 59.8 to 85.8 | 0.750 | +25.0 (+8.6 to +39.0) |",
        "| after RL | sampled | 30/40 | 75.0 % | 59.8 to 85.8 | 0.750 | +50.0 points |",
        "greedy, after RL against after the cold start: +25.0 points (95 % interval +8.6 to +39.0); "
        "11 tasks gained, 1 lost (McNemar p = 0.0063): a gain.",
        "| copy a file | 12/20 | 11/20 |",
        "| move a file | 8/20 |  |",
        "Fell, by chance or not: copy a file (sft 12/20, rl 11/20).",
        "652,032 parameters",
        "| RL | `rest`, 100 updates of 16 tasks x 8 rollouts, rate 1e-06, ResT's token weights (`structure`) |",
        "abc123 with local changes",
        "torch 9.9",
        "a \\| machine",
        "| sft0 | 120 | 1 min 1 s |",
        "| rl | 60 | 1 h 2 min |",
        "| rl: of this, sampling | 5 | 50 min 0 s |",
        "| rl: of this, diagnostics | 2 | 3.0 s |",
        "| evaluation |  | 9.5 s |",
        "Measured at 2 updates, over all sampled tokens",
        "| cosine of weighted and plain gradient | 0.9 | 0.5 | 0.7 | 0.9 |",
        "| variance / squared length of the gradient, weighted | 0.5 | 0.5 | 0.5 | 0.5 |",
        "| change of a tag token's log-probability in an update: largest size | 2 | 2 | 2 | 2 |",
        "| share of rows without a weight of their own | 0.0625 | 0.0625 | 0.0625 | 0.0625 |",
        "| entropy, think (nats) | 0.25 | 0.25 | 0.25 | 0.25 |",
        "](diagnostics.png)",
        "### Solved after RL, greedy",
        "Task `task-9`, reward 0.750. Every turn is right.",
        "### Failed after RL, greedy",
        "Task `task-7`, reward 0.750. Turn 1: instance_state_mismatch; state differs in Files.",
        "deepspeed train_agent.py --config runs/small/config.yaml",
        "deepspeed train_agent.py --resume runs/small",
        'AutoModelForCausalLM.from_pretrained("runs/small/checkpoints/step-000180")',
        f"micro_batch_tokens: {Config().optimizer.micro_batch_tokens}",
    ):
        assert expected in text
    assert str(Path.cwd()) not in text


def test_a_fence_is_longer_than_any_inside(folder: Path) -> None:
    text = report.write(folder).read_text(encoding="utf-8")
    assert "````text\n[user]\nWhat is in here?\n" in text
    assert "```\nls()\n```" in text


def test_curves_are_drawn(folder: Path) -> None:
    report.write(folder)
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "diagnostics.png").read_bytes().startswith(b"\x89PNG")
    assert "](curves.png)" in (folder / "report.md").read_text()


def test_entropy_changes_are_after_less_before() -> None:
    assert entropy_changes(MEASURED) == pytest.approx({"think": -0.05, "tag": 0.025})


def test_a_run_without_measurements_has_no_figure_of_them(folder: Path) -> None:
    (folder / "metrics.jsonl").unlink()
    with RunLog(folder, tensorboard=False) as log:
        log.write("rl", 0, {"reward": 0.5, "rows_without_weight": 0.0})
    text = report.write(folder).read_text(encoding="utf-8")
    assert "What the token weights did" not in text
    assert not (folder / "diagnostics.png").exists()


def test_a_run_without_rl_log_samples_or_checkpoint_still_has_a_report(folder: Path) -> None:
    (folder / "metrics.jsonl").unlink()
    (folder / "evaluations" / "rl-greedy.jsonl").unlink()
    for checkpoint in (folder / "checkpoints").iterdir():
        checkpoint.rmdir()
    (folder / "results.json").write_text(json.dumps({"stages": {"start": {"greedy": _score("--", 0.0)}}}))
    text = report.write(folder).read_text(encoding="utf-8")
    assert "| before training | greedy | 0/2 |" in text
    assert "None was saved." in text
    assert "## Episodes" not in text


def test_nothing_to_draw_writes_no_file(tmp_path: Path) -> None:
    assert not draw([], Results(stages={}), tmp_path / "curves.png")
    assert not draw_diagnostics([], tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_the_summary_is_the_same_table_for_a_terminal(folder: Path) -> None:
    lines = report.summary(folder).splitlines()
    assert " ".join(lines[0].split()).startswith("stage decoding solved rate 95 % interval reward change")
    row = next(line for line in lines if "after RL" in line and "greedy" in line)
    assert row.split("  ")[-1].strip() == "+25.0 (+8.6 to +39.0)"
    assert sum("against" in line for line in lines) == 2
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("lost", "gained", "words"),
    [(0, 12, "a gain"), (12, 0, "a loss"), (3, 4, "cannot be told from no change")],
)
def test_a_change_is_called_by_its_interval(lost: int, gained: int, words: str) -> None:
    before = _score("+" * lost + "-" * gained + "+" * 5, 0.0)
    after = _score("-" * lost + "+" * gained + "+" * 5, 0.0)
    results = Results(stages={"sft": {"greedy": Score(**before)}, "rl": {"greedy": Score(**after)}})
    assert report.summary_table(results).endswith(f": {words}.")


def test_results_are_read_and_unknown_keys_passed_over(folder: Path) -> None:
    (folder / "results.json").write_text(json.dumps({**RESULTS, "later": 1}))
    results = read_results(folder)
    assert results.modes == ("greedy", "sampled")
    assert list(results.of_mode("sampled")) == ["sft", "rl"]
    assert results.stages["sft"]["greedy"].by_kind == {"copy a file": (12, 20), "move a file": (8, 20)}
    assert change(results.stages["sft"]["sampled"], results.stages["rl"]["sampled"]) is None


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"stages": {"rl": {"greedy": {"n": 2, "valid": 1}}}}'],
    ids=["empty", "list", "no stages", "no reward"],
)
def test_malformed_results_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match=r"results\.json: not a run's results"):
        read_results(tmp_path)


@pytest.mark.parametrize("wrong", [{"valid": 3}, {"outcomes": [True]}, {"outcomes": [True, True]}])
def test_scores_that_contradict_themselves_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="of 2"):
        Score(**{"n": 2, "valid": 1, "reward": 0.0, **wrong})


def test_provenance_names_versions_and_no_place() -> None:
    origin = provenance()
    assert origin["versions"]["torch"]
    assert origin["versions"]["python"].startswith("3.")
    assert str(Path.home()) not in json.dumps(origin)


def test_git_state(tmp_path: Path) -> None:
    assert git_state(tmp_path) == "not run from a git checkout"

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "a.py").write_text("1\n")
    assert git_state(tmp_path) == "not run from a git checkout"
    git("add", "a.py")
    git("commit", "-qm", "one")
    clean = git_state(tmp_path)
    assert len(clean) == 40
    (tmp_path / "a.py").write_text("2\n")
    assert git_state(tmp_path) == f"{clean} with local changes"
