"""Examples are short, run, and show what they claim; what ``exact_gradient.py`` shows is exactly true."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short(example: Path) -> None:
    assert len(example.read_text().splitlines()) < 60


def run(name: str, folder: Path, *arguments: str, warnings: str = "error") -> str:
    """What an example prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", warnings, str(ROOT / "examples" / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "HOME": str(folder), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["add_an_env", "play_episode"])
def test_example_runs(name: str, tmp_path: Path) -> None:
    assert "valid" in run(name, tmp_path)


@pytest.mark.parametrize("name", ["cleanrl_ppo", "sb3_ppo"])
def test_a_learner_learns(name: str, tmp_path: Path) -> None:
    if name == "sb3_ppo":
        pytest.importorskip("stable_baselines3")
    before, after = map(float, re.findall(r"training: ([\d.]+)", run(name, tmp_path)))
    assert after - before > 0.4  # at least 0.64 with seeds 0, 1 and 2


def test_tree_search_beats_the_policy_it_begins_with(tmp_path: Path) -> None:
    printed = run("tree_search", tmp_path)
    found = re.search(r"gain on the same tasks: (\S+) \((\S+) to (\S+)\)", printed)
    assert found, printed
    assert float(found[2]) > 0.05


@pytest.mark.parametrize("variant", ["tools", "episodes"])
def test_trl_trains_in_an_environment(variant: str, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="TRL is not installed")
    printed = run("trl_grpo", tmp_path, variant, warnings="default::FutureWarning")  # TRL's own, of transformers
    told = re.findall(r"^update (\d): reward (\S+), valid (\S+), gradient (\S+)$", printed, re.MULTILINE)
    updates, rewards, valid, gradients = zip(*told, strict=True)
    assert updates == ("1", "2", "3")
    assert all(0 < float(reward) <= 1 for reward in rewards)
    assert any(float(share) > 0 for share in valid)
    assert all(float(gradient) > 0 for gradient in gradients)


def test_verifiers_evaluates_an_environment(tmp_path: Path) -> None:
    pytest.importorskip("verifiers", reason="verifiers is not installed: it wants older packages than our pins")
    printed = run("verifiers_env", tmp_path, warnings="default")
    rewards = [float(reward) for reward in re.findall(r"reward (\S+),", printed)]
    assert len(rewards) == 8
    assert min(rewards) < max(rewards) == 1


@pytest.fixture(scope="module")
def exact() -> Any:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "examples" / "exact_gradient.py")))


def _truth(exact: Any, logits: Tensor, reward: Tensor) -> Tensor:
    """The gradient of the expected reward, by autograd: no score functions."""
    chance = logits.softmax(dim=1)[exact.PREFIX, exact.REPLIES].prod(dim=1)
    return torch.autograd.grad(chance @ reward, logits)[0]


@pytest.mark.parametrize("habit", [0.0, 2.0, 5.0])
@pytest.mark.parametrize("baseline", [0.0, 0.3])
def test_the_plain_estimator_is_unbiased_whatever_the_baseline(habit: float, baseline: float, exact: Any) -> None:
    logits = exact.policy(habit)
    mean, *_ = exact.moments(logits, exact.WEIGHTS["plain"], exact.REWARD - baseline)
    torch.testing.assert_close(mean, _truth(exact, logits, exact.REWARD), rtol=0, atol=1e-12)


@pytest.mark.parametrize("baseline", [0.0, 0.3])
def test_weights_known_before_the_token_scale_the_gradient_of_each_prefix(baseline: float, exact: Any) -> None:
    logits = exact.policy(0.0)
    truth = _truth(exact, logits, exact.REWARD)
    for name in ("by position", "by prefix"):
        weights = exact.WEIGHTS[name]
        scale = torch.zeros(len(logits), dtype=torch.float64).index_put((exact.PREFIX,), weights.double())
        mean, *_ = exact.moments(logits, weights, exact.REWARD - baseline)
        torch.testing.assert_close(mean, scale[:, None] * truth, rtol=0, atol=1e-12)
        assert (mean - truth).norm() > 0.1 * truth.norm()


def test_weights_that_depend_on_what_is_sampled_make_a_gradient_of_equal_rewards(exact: Any) -> None:
    logits, ones = exact.policy(0.0), torch.ones_like(exact.REWARD)
    assert _truth(exact, logits, ones).norm() < 1e-12
    sizes = {name: exact.moments(logits, weights, ones)[0].norm() for name, weights in exact.WEIGHTS.items()}
    assert sizes.pop("ResT") > 0.1
    assert all(size < 1e-12 for size in sizes.values())


def test_the_bound_holds_for_advantages_of_one_size_and_is_broken_by_rare_success(exact: Any) -> None:
    # |A| constant: E[A^2 |sum|^2] falls apart into E[A^2] and sums over tokens, whatever the signs.
    signs = 1 - 2 * exact.REWARD
    fixed = {name: weights for name, weights in exact.WEIGHTS.items() if name != "ResT"}
    for habit in (0.0, 2.0, 5.0):
        for weights in fixed.values():
            _, variance, bound = exact.moments(exact.policy(habit), weights, signs)
            assert variance < bound
    # A^2 large exactly where unlikely tokens were sampled, whose scores are large too.
    logits = exact.policy(5.0)
    success = logits.detach().softmax(dim=1)[exact.PREFIX, exact.REPLIES].prod(dim=1) @ exact.REWARD
    for weights in exact.WEIGHTS.values():
        _, variance, bound = exact.moments(logits, weights, exact.REWARD - success)
        assert variance > 5 * bound


def test_variance_and_bound_of_a_uniform_policy_by_hand(exact: Any) -> None:
    # |score|^2 = 1 - 1/3 for every token, and 1 - exp(-H) the same: three tokens, |J|_F^2 = 3.
    logits = torch.zeros(13, 3, dtype=torch.float64)
    mean, variance, bound = exact.moments(logits, exact.WEIGHTS["plain"], torch.ones(27, dtype=torch.float64))
    assert mean.norm() < 1e-12
    assert variance == pytest.approx(2)
    assert bound == pytest.approx(6)


def test_the_table_of_exact_gradient_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "exact_gradient.py"), run_name="__main__")
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert [row[0] for row in rows] == ["weights", "plain", "by", "by", "ResT"] * 2
