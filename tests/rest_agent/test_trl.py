"""TRL's trainer with our episodes and weights: the tokens that were sampled are trained, each with its weight."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed")

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from rest_agent.config import ConfigError, EnvironmentConfig, Ramp, WeightsConfig
from rest_agent.conversation import Conversation
from rest_agent.regions import Region
from rest_agent.trl import Episodes, ResTTrainer, episode_reward
from rest_agent.weights import token_weights

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")  # TRL's own default

SMALL = {"starter": {"turns": 2, "tools_shown": 2}}
CONFIG = EnvironmentConfig(options=SMALL)
WEIGHTS = WeightsConfig(response=Ramp(0.5, 0.5), think=Ramp(0.5, 0.5), end=Ramp(3.0, 3.0), fallback="zero")


class Script:
    """The part of a trainer that samples, for replies that are known beforehand: those to each prompt, in order."""

    def __init__(self, tokenizer: Any, replies: Sequence[Sequence[list[int]]], limit: int = 10_000):
        self.eos_token_ids = [tokenizer.eos_token_id]
        self.max_completion_length = limit
        self.heard: list[list[list[int]]] = [[] for _ in replies]
        self._replies = replies
        self._scored = True

    def _generate_single_turn(self, heard: list[list[int]], *_: Any, **__: Any) -> Any:
        said, rows = [], iter(range(len(self._replies)))
        for prompt in heard:  # conversations that are over are left out, the others keep their order
            row = next(
                row for row in rows if not self.heard[row] or prompt[: len(self.heard[row][-1])] == self.heard[row][-1]
            )
            said.append(self._replies[row][len(self.heard[row])])
            self.heard[row].append(list(prompt))
        return said, [[-0.5] * len(ids) for ids in said]


def _demonstrations(player: Any, seeds: Sequence[int]) -> list[Conversation]:
    """What our own rollouts make of demonstrations."""
    arena, played = player.arena(), []
    for seed in seeds:
        env = arena.take(arena.sample_tasks("train", seed, 1)[0], fresh=True)
        conversation = Conversation(env, arena.transcript())
        conversation.imitate(env.tasks.demonstrate(env.task, np.random.default_rng(seed), 0.0))
        played.append(conversation)
    return played


def _replies(conversation: Conversation) -> list[list[int]]:
    ids, sampled = conversation.transcript.ids, conversation.transcript.sampled
    starts = [place for place in range(1, len(ids)) if sampled[place] and not sampled[place - 1]]
    return [
        [token for token, one in zip(ids[start:], _while(sampled[start:]), strict=False) if one] for start in starts
    ]


def _while(values: Sequence[bool]) -> list[bool]:
    return list(values[: values.index(False)]) if False in values else list(values)


@pytest.mark.parametrize("family", ["own", "qwen"])
def test_an_episode_is_the_tokens_of_our_own_rollouts(family: str, players: dict[str, Any]) -> None:
    player = players[family]
    gold = _demonstrations(player, [1, 2, 3])
    play = Episodes(CONFIG, player.tokenizer)
    rows = play.rows(task_ids=[one.env.task.id for one in gold])
    told = play([row["prompt"] for row in rows], Script(player.tokenizer, [_replies(one) for one in gold]))
    assert told["reward"] == pytest.approx([1.0] * 3)
    assert told["valid"] == [True] * 3
    for row, one in enumerate(gold):
        transcript, first = one.transcript, len(one.prompt)
        assert told["prompt_ids"][row] == one.prompt
        assert told["completion_ids"][row] == transcript.ids[first:]
        assert told["env_mask"][row] == [int(mine) for mine in transcript.sampled[first:]]
        assert told["logprobs"][row] == [-0.5 * mine for mine in told["env_mask"][row]]
        assert sum(told["reward_terms"][row].values()) == pytest.approx(1)


@pytest.mark.parametrize("left_out", [1, 2, 40])
def test_an_episode_that_is_too_long_ends_with_a_token_of_the_policy(left_out: int, players: dict[str, Any]) -> None:
    player = players["own"]
    (gold,) = _demonstrations(player, [1])
    whole = len(gold.transcript.ids) - len(gold.prompt)
    play = Episodes(CONFIG, player.tokenizer)
    rows = play.rows(task_ids=[gold.env.task.id])
    told = play([rows[0]["prompt"]], Script(player.tokenizer, [_replies(gold)], whole - left_out))
    assert told["completion_ids"][0] == gold.transcript.ids[len(gold.prompt) :][: len(told["completion_ids"][0])]
    assert 0 < len(told["completion_ids"][0]) <= whole - left_out
    assert told["env_mask"][0][-1] == 1
    assert told["reward"][0] < 1
    assert not told["valid"][0]


def test_terms_and_verdicts_become_metrics() -> None:
    logged: list[tuple[str, float]] = []
    terms = [{"turn": 0.5, "format": 0.1}, {"turn": 0.0, "format": 0.1}]
    rewards = episode_reward(
        [0.6, 0.1], terms, [True, False], lambda name, value: logged.append((name, value)), task_id=0
    )
    assert rewards == [0.6, 0.1]
    assert ("reward_terms/turn", 0.5) in logged
    assert [value for name, value in logged if name == "valid"] == [1.0, 0.0]


def _trainer(kind: Any, folder: Path, tmp_path: Path, **options: Any) -> Any:
    """A trainer that makes one update on the replies of a random model, the longer of which earn more."""
    from rest_agent import policy

    torch.manual_seed(0)
    model, tokenizer = policy.load(folder, "float32")
    play = Episodes(CONFIG, tokenizer)
    settings = GRPOConfig(
        output_dir=str(tmp_path),
        max_steps=1,
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=120,
        generation_kwargs={"max_new_tokens": 12},
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=1,
        seed=3,
    )

    def lengthy(completion_ids: list[list[int]], **columns: Any) -> list[float]:
        return [float(len(set(ids))) for ids in completion_ids]

    trainer = kind(
        model,
        args=settings,
        train_dataset=Dataset.from_list(play.rows(count=1)),
        processing_class=tokenizer,
        rollout_func=play,
        reward_funcs=[lengthy, episode_reward],
        **options,
    )
    trainer.train()
    return trainer


def test_what_trl_samples_is_what_it_trains(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled: list[list[list[int]]] = []
    generate: Any = GRPOTrainer._generate_single_turn

    def listen(*arguments: Any, **options: Any) -> Any:
        replies, log_probs = generate(*arguments, **options)
        sampled.append(replies)
        return replies, log_probs

    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", listen)
    trainer = _trainer(GRPOTrainer, folders["own"], tmp_path)
    (batch,) = trainer._buffered_inputs
    assert len(sampled) >= 2  # the user spoke again
    said = sorted(list(chain(*replies)) for replies in zip(*sampled, strict=True))
    mask = (batch["completion_mask"] * batch["tool_mask"]).bool()
    assert sorted(row[own].tolist() for row, own in zip(batch["completion_ids"], mask, strict=True)) == said


def test_uniform_weights_are_trls_own_grpo(folders: dict[str, Path], tmp_path: Path) -> None:
    plain = _trainer(GRPOTrainer, folders["own"], tmp_path)
    ours = _trainer(ResTTrainer, folders["own"], tmp_path, weights=WeightsConfig(preset="uniform"))
    one, other = (trainer.state.log_history[0] for trainer in (plain, ours))
    assert one["reward_std"] > 0
    assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-5)
    assert other["loss"] == pytest.approx(one["loss"], abs=1e-6)
    assert one["valid"] == other["valid"] == 0
    assert other["rest/unweighted_rows"] == 0


def test_a_tokens_advantage_is_its_completions_times_its_weight(folders: dict[str, Path], tmp_path: Path) -> None:
    plain = _trainer(GRPOTrainer, folders["own"], tmp_path)
    ours = _trainer(ResTTrainer, folders["own"], tmp_path, weights=WEIGHTS)
    (batch,), (same,) = ours._buffered_inputs, plain._buffered_inputs
    torch.testing.assert_close(batch["completion_ids"], same["completion_ids"], rtol=0, atol=0)
    regions = ours.regions(batch["completion_ids"], batch["completion_mask"] * batch["tool_mask"])
    assert {Region.NONE, Region.RESPONSE} <= set(regions.flatten().tolist())
    expected = same["advantages"][:, None] * token_weights(regions, 0.0, WEIGHTS)
    torch.testing.assert_close(batch["advantages"], expected)
    assert ours.state.log_history[0]["grad_norm"] != plain.state.log_history[0]["grad_norm"]


def test_regions_are_those_of_our_own_rollouts(
    folders: dict[str, Path], players: dict[str, Any], tmp_path: Path
) -> None:
    trainer = _trainer(ResTTrainer, folders["own"], tmp_path)
    transcripts = [one.transcript for one in _demonstrations(players["own"], [4, 5])]
    longest = max(len(one.ids) for one in transcripts)
    ids, mask, regions = torch.zeros(3, 2, longest, dtype=torch.int64)
    for row, one in enumerate(transcripts):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
        mask[row, : len(one.ids)] = torch.tensor(one.sampled)
        regions[row, : len(one.ids)] = torch.tensor(one.regions)
    assert torch.equal(trainer.regions(ids, mask), regions)
    assert {Region.NAME, Region.ARGUMENTS, Region.END} <= set(regions.flatten().tolist())


@pytest.mark.parametrize("preset", ["paper", "reference"])
def test_weights_that_need_more_than_trl_tells_are_refused(preset: Any) -> None:
    with pytest.raises(ConfigError, match=f"weights.preset: {preset}"):
        ResTTrainer(SimpleNamespace(), weights=WeightsConfig(preset=preset))
