"""A question is asked with the memory that the agent's own conversations have left, whatever interrupts the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tooluse_gym.agents import Agent
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.evaluation.benchmark import find_benchmark
from tooluse_gym.evaluation.episodes import Episode, rescored
from tooluse_gym.evaluation.players import AgentPlayer
from tooluse_gym.evaluation.run import EPISODES_NAME, Plan, begin, play, read_run
from tooluse_gym.evaluation.summary import compare, summarize


def notes(env: ToolUseEnv) -> Agent:
    """Keeps the number of every conversation."""
    number = env.task.id.split("_")[-1].partition("-")[0]

    def agent(observation: Any, info: dict[str, Any]) -> str:
        first = (info["turn"], info["step"]) == (0, 0) and "prereq" in env.task.id
        return f"[archival_memory_add(key='talk_{number}', value='seen')]" if first else "Noted."

    return agent


def run(folder: Path, plan: Plan) -> list[Episode]:
    played: list[Episode] = []
    for share in begin(folder, plan):
        play(folder, plan, AgentPlayer("notes", notes), share, played.append)
    return played


def test_memory_is_handed_on(memory_release: Path, tmp_path: Path) -> None:
    options = {"data_dir": str(memory_release)}
    plan = Plan("notes", "bfcl-v4", "prompting", ("memory_kv",), samples=2, limit=1, options=options)
    played = run(tmp_path, plan)
    talks = [one for one in played if "prereq" in one.task]
    questions = [one for one in played if "prereq" not in one.task]
    assert len(questions) == 2
    assert len(talks) % 2 == 0
    assert {one.total for one in talks} == {0.0}
    for question in questions:
        kept = question.trajectory.given["memory"]["archival_memory"]
        assert len(kept) == len(talks) // 2 > 3
        assert (question.base, question.total) == ("customer", 1.0)
    (category,) = plan.chosen
    assert list(rescored(played, {category.name: category})) == played
    (compared,) = compare(find_benchmark("bfcl-v4"), played, played)
    assert (compared.entries, compared.difference.value) == (2, 0.0)
    (found,) = summarize(*read_run(tmp_path)).categories
    assert (found.tasks, found.samples, found.total) == (1, 2, 1.0)

    path = tmp_path / EPISODES_NAME
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:5]) + lines[5][:100])
    again = run(tmp_path, plan)
    assert [one.entry for one in again] == [one.entry for one in played[5:]]
    assert [one.trajectory for one in again] == [one.trajectory for one in played[5:]]
