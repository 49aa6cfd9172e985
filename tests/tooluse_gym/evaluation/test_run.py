"""A run plays every entry once, whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.errors import ConfigurationError, TrajectoryError
from tooluse_gym.evaluation import report
from tooluse_gym.evaluation.benchmark import find_benchmark
from tooluse_gym.evaluation.episodes import Episode, EpisodeFile, ResultError, read_episodes, rescored
from tooluse_gym.evaluation.players import AgentPlayer, ServedPlayer, ground_truth
from tooluse_gym.evaluation.run import EPISODES_NAME, RUN_NAME, Plan, begin, play, read_run
from tooluse_gym.evaluation.server import Server
from tooluse_gym.evaluation.summary import compare, summarize
from tooluse_gym.messages import user

ID = "BFCLMultiTurn-v0"
PLAN = Plan("gold", "builtin", "prompting", (ID,), samples=2, limit=3, options={"starter": {"turns": 1}})


def _play(folder: Path, plan: Plan = PLAN, make: Any = ground_truth) -> list[Episode]:
    played: list[Episode] = []
    for share in begin(folder, plan):
        play(folder, plan, AgentPlayer("gold", make), share, played.append)
    return played


def _silent(env: Any) -> Any:
    return lambda observation, info: "No."


def test_what_is_there_is_not_played_again(tmp_path: Path) -> None:
    played = _play(tmp_path)
    assert [(one.sample, one.right, one.total, one.needless) for one in played] == [(0, 1, 1, 0), (1, 1, 1, 0)] * 3
    assert _play(tmp_path) == []
    assert list(read_episodes(tmp_path / EPISODES_NAME)) == played
    assert read_run(tmp_path) == (PLAN, played)


def test_an_unfinished_line_is_played_again(tmp_path: Path) -> None:
    played = _play(tmp_path)
    path = tmp_path / EPISODES_NAME
    path.write_bytes(path.read_bytes()[:-40])
    assert list(read_episodes(path)) == played[:-1]
    assert [one.entry for one in _play(tmp_path)] == [played[-1].entry]
    assert list(read_episodes(path)) == played


def test_two_processes_do_not_play_the_same_run(tmp_path: Path) -> None:
    with EpisodeFile(tmp_path / EPISODES_NAME), pytest.raises(ResultError, match="another process plays this run"):
        EpisodeFile(tmp_path / EPISODES_NAME)
    with EpisodeFile(tmp_path / EPISODES_NAME):
        pass


def _line(path: Path, number: int) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(path.read_text().splitlines()[number])
    return line


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"episodes\.jsonl:7: not an episode .*; delete the line"),
        ("[]", r"episodes\.jsonl:7: not an episode"),
        ('{"category": "c"}', r"episodes\.jsonl:7: not an episode"),
        ("same", r"episodes\.jsonl:7: .* \(sample 0\) stands in line 1 already"),
        ("other", "is of category 'multi_turn_base', which is not the run's"),
    ],
    ids=["not JSON", "a list", "fields lack", "twice", "another category"],
)
def test_broken_results_are_named_and_left_as_they_are(line: str, message: str, tmp_path: Path) -> None:
    _play(tmp_path)
    path = tmp_path / EPISODES_NAME
    first = _line(path, 0)
    record = {"same": first, "other": {**first, "category": "multi_turn_base"}}.get(line)
    with path.open("a") as file:
        file.write((json.dumps(record) if record else line) + "\n")
    before = path.read_bytes()
    with pytest.raises(ResultError, match=message):
        read_run(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "another"}, "this run has model='gold', not 'another'"),
        ({"samples": 4}, "this run has samples=2, not 4"),
        ({"options": {}}, "this run has options="),
    ],
    ids=["model", "samples", "options"],
)
def test_a_folder_holds_one_run(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    _play(tmp_path)
    with pytest.raises(ResultError, match=message):
        _play(tmp_path, Plan(**{**PLAN.__dict__, **changes}))


def test_episodes_without_a_run_are_not_taken_over(tmp_path: Path) -> None:
    _play(tmp_path)
    (tmp_path / RUN_NAME).unlink()
    with pytest.raises(ResultError, match="holds no run"):
        read_run(tmp_path)
    with pytest.raises(ResultError, match="name an empty folder"):
        _play(tmp_path)


@pytest.mark.parametrize("text", ["", '{"model": "m"', "[]", "{}", '{"model": "m", "categories": 5}'])
def test_a_broken_plan_is_named(text: str, tmp_path: Path) -> None:
    _play(tmp_path)
    (tmp_path / RUN_NAME).write_text(text)
    with pytest.raises(ResultError, match=r"run\.json: not a run"):
        read_run(tmp_path)
    with pytest.raises(ResultError, match=r"run\.json: not a run"):
        _play(tmp_path)


def test_replies_of_any_size_are_kept(tmp_path: Path, serve: Any, says: Any) -> None:
    """Nothing at all, and ten million characters."""
    replies = iter([None, "", "x" * 10_000_000] * 10)
    player = ServedPlayer(Server(serve(lambda request: says(next(replies))), "gold"), at_once=1)
    (share,) = begin(tmp_path, PLAN)
    play(tmp_path, PLAN, player, share, lambda one: None)
    plan, episodes = read_run(tmp_path)
    lengths = [len(step.action) for one in episodes for step in one.trajectory.steps]
    assert lengths == [0, 0, 10_000_000] * 2
    (found,) = summarize(plan, episodes).categories
    assert (found.right, found.errors) == (0, {"empty_turn_model_response": 6})


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan("m", "nope", "prompting", ()), "there is no benchmark 'nope'; there are .*builtin"),
        (Plan("m", "builtin", "prompting", ("nope",)), "builtin has no category 'nope'; it has .*BFCLMultiTurn-v0"),
        (Plan("m", "builtin", "nope", (ID,)), "BFCLMultiTurn-v0 is not offered in mode 'nope', but in prompting, fc"),
    ],
    ids=["benchmark", "category", "mode"],
)
def test_what_does_not_exist_is_told(plan: Plan, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        _play(tmp_path, plan)


def test_recorded_replies_are_judged_again(tmp_path: Path) -> None:
    played = _play(tmp_path)
    categories = {category.name: category for category in PLAN.chosen}
    assert list(rescored(played, categories)) == played
    first = played[0].trajectory
    other = replace(first.steps[0], observation=(user("something else"),))
    tampered = replace(played[0], trajectory=replace(first, steps=(other, *first.steps[1:])))
    with pytest.raises(TrajectoryError, match="observation after step 0 is not the recorded one"):
        list(rescored([tampered], categories))


def test_a_killed_run_asks_nothing_twice_that_it_has_written(tmp_path: Path, serve: Any, says: Any) -> None:
    """A real process, killed while it plays: the second one plays the rest, and only that."""
    asked: list[str] = []

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        asked.append(request["messages"][1]["content"])
        time.sleep(0.02)
        answered: tuple[int, Any] = says("No.")
        return answered

    command = [sys.executable, "-c", "from tooluse_gym.cli import app; app()", "evaluate", "--model", serve(answer)]
    command += ["--name", "m", "--benchmark", "builtin", "--categories", ID, "--limit", "30", "--at-once", "2"]
    command += ["--out", str(tmp_path), "--option", 'starter={"turns": 1}']
    path, root = tmp_path / EPISODES_NAME, Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not path.exists() or path.read_bytes().count(b"\n") < 8:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    written = list(read_episodes(path))
    assert 8 <= len(written) < 30
    asked.clear()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 of 30" in done.stdout
    assert len(list(read_episodes(path))) == 30
    assert len(asked) == 30 - len(written)


def _made(task: str, base: str, right: float, sample: int = 0, needless: int = 0, category: str = ID) -> Episode:
    error = None if right else "empty_turn_model_response"
    found: dict[str, Any] = {
        "category": category,
        "task": task,
        "base": base,
        "sample": sample,
        "right": right,
        "error_type": error,
    }
    return replace(_ANY, **found, reward=right, calls=1 + needless, needless=needless)


@pytest.fixture(autouse=True, scope="module")
def _any(tmp_path_factory: pytest.TempPathFactory) -> None:
    global _ANY
    _ANY = _play(tmp_path_factory.mktemp("any"))[0]


_ANY: Episode


def test_a_summary_by_hand() -> None:
    """Four tasks, twice each, of two bases."""
    rights = {"a": (1, 1), "b": (1, 0), "c": (0, 0), "d": (0, 1)}
    episodes = [
        _made(task, base, right, sample, needless=2 * sample)
        for (task, pair), base in zip(rights.items(), "xxyy", strict=True)
        for sample, right in enumerate(pair)
    ]
    summary = summarize(PLAN, episodes)
    (found,) = summary.categories
    assert (found.tasks, found.samples, found.right, found.total) == (4, 2, 2.0, 4.0)
    assert found.rate.value == 0.5
    assert found.pass_at == {1: 0.5, 2: 0.75}
    assert found.needless_calls == 1.0
    assert found.errors == {"empty_turn_model_response": 4}
    # Two bases of rates 3/4 and 1/4: the draws are 1/4, 1/2 and 3/4.
    assert (found.rate.low, found.rate.high) == (0.25, 0.75)
    assert summary.figures["mean"] == found.rate


def test_nothing_wrong_is_not_certainty() -> None:
    (found,) = summarize(PLAN, [_made(str(number), str(number), 1.0) for number in range(10)]).categories
    assert (found.rate.low, found.rate.high) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_nothing_played_is_no_summary() -> None:
    with pytest.raises(ResultError, match="nothing was played of builtin by gold"):
        summarize(PLAN, [])


def test_runs_are_compared_on_what_both_have_played() -> None:
    before = [_made(str(number), str(number), number % 2) for number in range(20)]
    after = [_made(str(number), str(number), 1.0) for number in range(4, 30)]
    (found,) = compare(find_benchmark("builtin"), before, after)
    assert (found.entries, found.first, found.second) == (16, 0.5, 1.0)
    assert found.difference.value == 0.5
    assert 0.2 < found.difference.low < 0.5 < found.difference.high < 0.8
    assert found.outcomes is not None
    assert (found.outcomes.gained, found.outcomes.lost) == (8, 0)
    with pytest.raises(ResultError, match="no entry in common"):
        compare(find_benchmark("builtin"), before[:2], after)


def test_reports_say_the_same(tmp_path: Path) -> None:
    summary = summarize(PLAN, [_made("a|b", "x", 1.0), _made("<c>", "y", 0.0)])
    report.write(tmp_path, summary)
    tree = json.loads((tmp_path / report.SUMMARY_NAME).read_text())
    assert tree["categories"][0]["rate"]["value"] == 0.5
    markdown, page = ((tmp_path / name).read_text() for name in (report.MARKDOWN_NAME, report.HTML_NAME))
    for text in (markdown, page):
        for said in ("gold on builtin", "50.00 %", "empty_turn_model_response", ID):
            assert said in text
    parts = [report.Part("A < B", "", ("a|b",), [("<c>",)])]
    assert "&lt;c&gt;" in report.page("t", parts)
    assert "a\\|b" in report.markdown("t", parts)
