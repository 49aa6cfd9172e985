"""examples/toolrl_sft.yaml trains: demonstrations in the words of the data, then the published reward."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rest_agent import cli
from rest_agent.chat import Chat
from rest_agent.config_text import load
from rest_agent.metrics import read_log
from rest_agent.results import read_results
from rest_agent.rollout import Arena

EXAMPLE = Path(__file__).parents[2] / "examples" / "toolrl_sft.yaml"
SYSTEM = """**Available Tools**
You can use the following tools:
1. Name: lamp
Description: Switch a lamp.
Parameters: {"on": {"description": "Shines?", "type": "bool", "default": ""}}

**Output Format**
Think first."""
CALL = '<think> The lamp it is. </think>\n<tool_call>\n{"name": "lamp", "parameters": {"on": true}}\n</tool_call>'
ANSWER = "<think> No tool is needed. </think>\n<response> Hello! </response>"
ROWS = (("<user> light </user>", CALL), ("<user> hello </user>", ANSWER))
TINY = (
    *("model.dtype=float32", "model.gradient_checkpointing=false"),
    "sft=[{updates: 3, batch: 2, learning_rate: 1.0e-2, warmup: 0, options: {dataset: sft}}]",
    *("rl.updates=1", "rl.tasks=2", "rl.group=2", "rl.minibatches=1", "rl.max_reply_tokens=24", "rl.max_tokens=600"),
    *("evaluation.tasks=2", "run.tensorboard=false", "run.progress=false", "run.save_every=99"),
)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in upstream's layout, with two rows per file."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder = tmp_path / "data"
    for name in ("rlla_4k", "rlla_4k_raw"):
        (folder / name).mkdir(parents=True)
    sft = [{"instruction": SYSTEM, "input": said, "output": answer} for said, answer in ROWS]
    (folder / "rlla_4k_raw" / "rlla_sft.json").write_text(json.dumps(sft))
    rows = [
        {
            "prompt": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": said}],
            "reward_model": {"style": "rule", "ground_truth": answer},
        }
        for said, answer in ROWS
    ]
    for name in ("train", "test"):
        parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "rlla_4k" / f"{name}.parquet")
    monkeypatch.setenv("TOOLUSE_TOOLRL_DATA", str(folder))
    return folder


def test_the_example_trains(data: Path, folders: dict[str, Path], tmp_path: Path, process_group: Any) -> None:
    paths = (f"model.path={folders['own']}", f"run.folder={tmp_path / 'runs'}")
    assert cli.main(["--config", str(EXAMPLE), *TINY, *paths]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert read_results(run).updates == {"sft0": 3, "rl": 1}
    assert read_results(run).notes == []
    (learned,) = (record.values for record in read_log(run) if record.stage == "rl")
    # A model that cannot speak: the least for the form, and where calls are due the least for them, at step 1 of ResT's
    # schedule.
    form, calls = -2 + 2 / 150, -2 - 1 / 150
    assert any(learned["reward"] == pytest.approx(form + share * calls) for share in (0, 0.5, 1))


def test_the_cold_start_learns_the_words_of_the_data(data: Path, players: Any) -> None:
    tokenizer = players["own"].tokenizer
    config = replace(load(EXAMPLE).environment, options={"dataset": "sft"})
    arena = Arena(config, Chat(tokenizer, show_tools=False), players["own"].text_of)
    learned = set()
    for seed in range(6):
        rollout = arena.demonstration(seed, noise=0.0)
        ids = [token for token, own in zip(rollout.token_ids, rollout.loss_mask, strict=True) if own]
        learned.add(tokenizer.decode(ids[:-1]))
    assert learned == {CALL, ANSWER}


def test_the_example_has_the_settings_of_the_published_script() -> None:
    config = load(EXAMPLE)
    assert config.rl.tasks * config.rl.group == 2048
    assert config.rl.tasks // config.rl.minibatches == 64
    assert (config.rl.learning_rate, config.rl.kl.coefficient, config.rl.loss.entropy) == (1e-6, 0.0, 0.0)
    assert (config.rl.loss.clip_low, config.rl.loss.clip_high, config.rl.loss.dual_clip) == (0.2, 0.2, 3.0)
