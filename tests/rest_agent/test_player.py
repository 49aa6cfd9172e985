"""A model of this machine plays benchmarks, and a real server with the same model says the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.utils.import_utils import is_serve_available

from rest_agent import policy
from rest_agent.chat import Chat
from rest_agent.config import ConfigError, EnvironmentConfig, ModelConfig
from rest_agent.environments import make_env
from rest_agent.player import LocalPlayer
from rest_agent.regions import TokenText
from rest_agent.rollout import Arena
from rest_agent.sampling.decode import Sampling
from rest_agent.sft import demonstration_batch, sft_loss
from tooluse_gym.evaluation.players import Player, ServedPlayer
from tooluse_gym.evaluation.server import Server, ServerError
from tooluse_gym.evaluation.setting import Entry, Setting
from tooluse_gym.outcome import Played

SMALL = {"starter": {"turns": 2, "tools_shown": 2}}
SETTING = Setting("BFCLMultiTurn-v0", SMALL, "template")
TASKS = 16
SAMPLING = Sampling(0.0, max_reply_tokens=80, max_tokens=4000)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Entry]]:
    """A new model that has learned some tasks by heart: its folder, and the tasks."""
    env = make_env(EnvironmentConfig(options=SMALL))
    texts: list[str] = []
    for seed in range(TASKS):
        env.demonstrate(seed=seed)
        texts += [*(message["content"] for message in env.conversation), *map(json.dumps, env.tools)]
    tokenizer = policy.train_tokenizer(texts, 500)
    torch.manual_seed(0)
    model = policy.new_model(ModelConfig(hidden_size=64, layers=2, intermediate_size=128), tokenizer)
    arena = Arena(EnvironmentConfig(options=SMALL), Chat(tokenizer, show_tools=True), TokenText(tokenizer))
    demonstrations = [arena.demonstration(seed, 0.0) for seed in range(TASKS)]
    batch = demonstration_batch(demonstrations, tokenizer.pad_token_id, "sft", 1.0, None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
    for _ in range(55):
        sft_loss(model, batch, float(batch.weights.sum())).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("learned")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, [Entry("c", one.task_id) for one in demonstrations]


@pytest.fixture(scope="module")
def transformers_serve(
    learned: Any, free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of ``transformers serve`` with that model."""
    port = free_port()
    run = "from transformers.cli.transformers import main; main()"
    options = ["serve", str(learned[0]), "--port", str(port), "--host", "127.0.0.1", "--device", "cpu"]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as file:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        server = subprocess.Popen([sys.executable, "-c", run, *options], env=environment, stdout=file, stderr=file)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, log.read_text()
                time.sleep(0.5)
        else:
            pytest.fail(f"the server does not start: {log.read_text()}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(timeout=30)


def _play(player: Player, entries: list[Entry], setting: Setting = SETTING) -> dict[Entry, Played]:
    played: dict[Entry, Played] = {}
    player.play(setting, entries, played.__setitem__)
    return played


@pytest.mark.skipif(not is_serve_available(), reason="transformers[serving] is not installed")
def test_a_served_model_says_what_the_model_itself_says(learned: Any, transformers_serve: str) -> None:
    """Greedy, over whole episodes: the same texts, results, rewards and verdicts."""
    folder, entries = learned
    expected = _play(LocalPlayer(str(folder), SAMPLING), entries)
    found = _play(ServedPlayer(Server(transformers_serve, str(folder)), 0.0, 80), entries)
    assert found.keys() == expected.keys() == set(entries)
    for entry, one in found.items():
        two = expected[entry]
        assert one.trajectory is not None
        assert two.trajectory is not None
        assert one.trajectory.steps == two.trajectory.steps
        assert (one.reward, one.truncated, one.turn_rewards) == (two.reward, two.truncated, two.turn_rewards)
    assert sum(one.valid for one in found.values()) >= TASKS // 2
    assert sum(one.calls for one in found.values()) >= TASKS


@pytest.mark.skipif(not is_serve_available(), reason="transformers[serving] is not installed")
def test_a_real_server_refuses_what_it_does_not_know(learned: Any, transformers_serve: str) -> None:
    with pytest.raises(ServerError, match="answers 4"):
        Server(transformers_serve, "another-model").complete(messages=[])


def test_episodes_are_told_of_one_by_one(learned: Any) -> None:
    """With room for two, the first is known before the last begins."""
    folder, entries = learned
    told: list[Entry] = []
    sampling = Sampling(0.0, max_reply_tokens=80, max_tokens=4000, rows=2)
    player = LocalPlayer(str(folder), sampling)

    def asked() -> Iterator[Entry]:
        for number, entry in enumerate(entries[:6]):
            assert len(told) >= number - 2
            yield entry

    player.play(SETTING, _Asked(entries[:6], asked()), lambda entry, one: told.append(entry))
    assert set(told) == set(entries[:6])


class _Asked(list[Entry]):
    """Entries whose iteration is watched."""

    def __init__(self, entries: list[Entry], asked: Iterator[Entry]):
        super().__init__(entries)
        self._asked = asked

    def __iter__(self) -> Iterator[Entry]:
        return self._asked


def test_what_cannot_be_loaded_is_told() -> None:
    with pytest.raises(ConfigError, match="cannot load a causal language model from '/no/where'"):
        LocalPlayer("/no/where", SAMPLING)
