from __future__ import annotations

from pathlib import Path

import pytest

from tooluse_gym.envs.api_bank.evaluation import figures
from tooluse_gym.envs.api_bank.release import FOLDER_VARIABLE
from tooluse_gym.evaluation.benchmark import Tally, find_benchmark


def test_the_accuracy_counts_calls_not_levels() -> None:
    tallies = {"call-1": Tally(399, 399), "call-2": Tally(0, 67), "call-3": Tally(0, 131), "level-3": Tally(25, 50)}
    assert figures(tallies).values == {"calls": pytest.approx(399 / 597), "dialogues": 0.5}


def test_every_item_is_an_entry(api_bank_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(api_bank_data))
    categories = find_benchmark("api_bank").choose(["call-2", "level"])
    assert [len(category.entries(category.setting("prompting").make())) for category in categories] == [67, 213, 50, 50]
    env = categories[0].setting("prompting").make()
    env.reset(options={"task_id": next(iter(categories[0].entries(env))).task})
    assert env.conversation[0]["content"].startswith("You are a helpful multi-turn dialogue assistant")
