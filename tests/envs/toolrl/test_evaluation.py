from __future__ import annotations

from pathlib import Path

import pytest

from tooluse_gym.evaluation.players import AgentPlayer, ground_truth
from tooluse_gym.evaluation.run import Plan, begin, play, read_run
from tooluse_gym.evaluation.summary import summarize


@pytest.mark.parametrize("mode", ["prompting", "fc"])
def test_the_answers_of_the_test_rows_are_right(mode: str, data: Path, tmp_path: Path) -> None:
    plan = Plan("gold", "toolrl", mode, (), options={"data_dir": str(data)})
    for share in begin(tmp_path, plan):
        play(tmp_path, plan, AgentPlayer("gold", ground_truth), share, lambda one: None)
    (found,) = summarize(*read_run(tmp_path)).categories
    assert (found.name, found.right, found.total, found.needless_calls) == ("test", 80, 80, 0)
