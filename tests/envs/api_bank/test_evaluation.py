from __future__ import annotations

from pathlib import Path

import pytest

from tooluse_gym.envs.api_bank.evaluation import figures
from tooluse_gym.envs.api_bank.release import FOLDER_VARIABLE
from tooluse_gym.evaluation.benchmark import Tally, find_benchmark
from tooluse_gym.evaluation.players import AgentPlayer, ground_truth
from tooluse_gym.evaluation.run import Plan, begin, play, read_run
from tooluse_gym.evaluation.summary import summarize


def test_the_accuracy_counts_calls_not_levels() -> None:
    tallies = {"call-1": Tally(399, 399), "call-2": Tally(0, 67), "call-3": Tally(0, 131), "level-3": Tally(25, 50)}
    assert figures(tallies).values == {"calls": pytest.approx(399 / 597), "dialogues": 0.5}


def test_every_item_is_an_entry(api_bank_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(api_bank_data))
    categories = find_benchmark("api-bank").choose(["call-2", "level"])
    assert [len(category.entries(category.setting("prompting").make())) for category in categories] == [67, 213, 50, 50]
    env = categories[0].setting("prompting").make()
    env.reset(options={"task_id": next(iter(categories[0].entries(env))).task})
    assert env.conversation[0]["content"].startswith("You are a helpful multi-turn dialogue assistant")


@pytest.mark.parametrize("mode", ["prompting", "fc"])
def test_both_scorings_are_reported(
    mode: str, api_bank_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(api_bank_data))
    plan = Plan("gold", "api-bank", mode, ("call-2", "level-2"), limit=12)
    for share in begin(tmp_path, plan):
        play(tmp_path, plan, AgentPlayer("gold", ground_truth), share, lambda one: None)
    single, dialogues = summarize(*read_run(tmp_path)).categories
    assert (single.right, single.total, single.measures["corrected"].value) == (12, 12, 1.0)
    assert dialogues.tasks == 12 < dialogues.total == dialogues.right
    rates = {name: rate.value for name, rate in dialogues.measures.items()}
    assert rates["whole dialogues"] == 1.0 > rates["calls, reference"] > 0.8
    assert rates["answers, ROUGE-L"] > 0.9
