"""Segments: where a template rewrites history, the model sees what the template shows, and learns each token once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rest_agent.batch import Batch, Rollout, collate, pad
from rest_agent.chat import Chat
from rest_agent.config import EnvironmentConfig, RolloutConfig
from rest_agent.rollout import Arena
from rest_agent.sampling.decode import Sampling
from rest_agent.segments import agreement, join, split


class Letters:
    """Ids spell these texts."""

    texts = (b"", b"a", b"b", b"ab", b"ba", b"aab", b"\xc3", b"\xa9")

    def pieces(self, ids: Iterable[int]) -> list[bytes]:
        return [self.texts[index] for index in ids]

    def spell(self, ids: list[int]) -> bytes:
        return b"".join(self.pieces(ids))


IDS = st.lists(st.integers(0, len(Letters.texts) - 1), max_size=12)


@given(old=IDS, new=IDS)
def test_what_stands_and_what_follows_spell_the_new_history(old: list[int], new: list[int]) -> None:
    text_of: Any = Letters()
    stand, others = agreement(old, new, text_of)
    assert text_of.spell(old[:stand]) == text_of.spell(new[:others])
    spelled = [[text_of.spell(ids[:count]) for count in range(len(ids) + 1)] for ids in (old, new)]
    assert len(text_of.spell(old[:stand])) == max(len(text) for text in spelled[0] if text in spelled[1])


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([1, 2, 1, 2], [3, 3], (4, 2)),
        ([3, 1], [1, 2, 1], (2, 3)),
        ([1, 1, 2], [1, 3, 3], (3, 2)),
        ([5, 1], [1, 1], (0, 0)),
        ([1, 0, 2], [1, 1], (2, 1)),
        ([], [1], (0, 0)),
    ],
    ids=["other tokens, same text", "the other way round", "goes on", "no common cut", "a token without text", "empty"],
)
def test_sampled_tokens_stand_as_far_as_the_text_agrees(old: list[int], new: list[int], expected: Any) -> None:
    text_of: Any = Letters()
    assert agreement(old, new, text_of) == expected


def _arena(player: Any, history: Any, format: str = "toolrl") -> Arena:
    environment = EnvironmentConfig(
        format=format, tools_from="system", options={"starter": {"turns": 3, "tools_shown": 2}}
    )
    return Arena(environment, Chat(player.tokenizer, False), player.text_of, RolloutConfig(history=history))


def _segments(rollout: Rollout) -> list[tuple[list[int], list[bool]]]:
    bounds = [*rollout.segment_starts, len(rollout)]
    return [
        (rollout.token_ids[first:last].tolist(), rollout.loss_mask[first:last].tolist())
        for first, last in pairwise(bounds)
    ]


@pytest.mark.parametrize(("family", "count"), [("qwen", 3), ("thinking", None), ("own", 1)])
def test_each_reply_answers_the_history_as_the_template_tells_it(family: str, count: int | None, players: Any) -> None:
    """Qwen's template drops the thoughts of earlier turns, ``thinking`` those of all replies, ours none."""
    player = players[family]
    arena = _arena(player, "template")
    told, kept = arena.demonstration(11, 0.0), _arena(player, "sampled").demonstration(11, 0.0)
    assert told.valid
    assert told.token_ids[told.loss_mask].tolist() == kept.token_ids[kept.loss_mask].tolist()
    assert told.turns[told.loss_mask].tolist() == kept.turns[kept.loss_mask].tolist()
    assert kept.segment_starts == (0,)
    record = told.trajectory
    assert record is not None
    segments = _segments(told)
    assert len(segments) == (len(record.steps) if count is None else count)
    conversation, replies = list(record.opening), iter(record.steps)
    for ids, sampled in segments:
        for position in range(1, len(ids)):
            if sampled[position] and not sampled[position - 1]:
                rendered = player.tokenizer.apply_chat_template(
                    conversation, add_generation_prompt=True, tokenize=False
                )
                assert player.text_of.read(ids[:position])[0].lstrip() == rendered
                step = next(replies)
                conversation += [{"role": "assistant", "content": step.action}, *step.observation]
    assert next(replies, None) is None


def test_only_what_the_template_changes_is_tokenised_again(players: Any) -> None:
    """A reply in a segmentation that no tokenizer would choose stays as it was sampled, in the next segment too."""
    player = players["qwen"]
    arena = _arena(player, "template")
    transcript = arena.transcript()
    opening = player.tokenizer.encode("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n")
    transcript.hear(opening)
    vocabulary = range(len(player.tokenizer))
    by_byte = dict(zip(player.text_of.pieces(vocabulary), vocabulary, strict=True))
    said = [by_byte[bytes([byte])] for byte in b"it is done   "] + [arena.chat.end_id]
    transcript.say(said, [-1.0] * len(said), 0, arena.env.parse)
    rest = "<|im_end|>\n<|im_start|>user\nok<|im_end|>\n<|im_start|>assistant\n"
    text = player.text_of.read(opening)[0] + "it is done"
    keep, heard = transcript.retell(player.tokenizer.encode(text + rest))
    assert keep == len(opening) + len("it is done")
    assert player.text_of.read(heard)[0] == rest
    assert transcript.starts == [0, len(opening) + len(said)]
    assert transcript.ids[transcript.starts[1] :] == [*opening, *said[: len("it is done")], *heard]
    assert not any(transcript.sampled[transcript.starts[1] :])


@pytest.mark.parametrize("family", ["qwen", "thinking"])
@pytest.mark.parametrize("rows", [2, 100])
def test_the_samplers_log_probs_are_the_trainers_segment_by_segment(
    family: str, rows: int, players: Any, scripted: Any
) -> None:
    player = players[family]
    arena = _arena(player, "template")
    demonstration = arena.demonstration(3, 0.0)
    model = scripted(player.model, demonstration.token_ids[: demonstration.segment_starts[1]], strength=11.0)
    env = arena.env
    starts = [arena._start(env, task_id=demonstration.task_id)] * 5
    rollouts = arena.rollouts(model, starts, Sampling(1.0, 60, 2400, rows), seed=0)
    assert max(len(rollout.segment_starts) for rollout in rollouts) > 1
    ones = pad([rollout.loss_mask for rollout in rollouts]).float()
    batch = split(collate(rollouts, 0, ones, ones))
    assert len(batch) == sum(len(rollout.segment_starts) for rollout in rollouts)
    assert batch.loss_mask.any(dim=1).all()
    with torch.no_grad():
        logits = model(input_ids=batch.token_ids, use_cache=False).logits
    found = torch.log_softmax(logits[:, :-1], dim=-1).gather(-1, batch.token_ids[:, 1:, None])[..., 0]
    mask = batch.loss_mask[:, 1:]
    torch.testing.assert_close(found[mask], batch.old_log_probs[:, 1:][mask], rtol=1e-4, atol=2e-5)
    assert int(mask.sum()) == sum(int(rollout.loss_mask.sum()) for rollout in rollouts)


def _batch(lengths: list[list[int]]) -> Batch:
    """Rows whose segments have these lengths; tokens are numbered through."""
    rollouts = []
    for row, segments in enumerate(lengths):
        count = sum(segments)
        ids = torch.arange(count) + 100 * row
        starts = tuple(sum(segments[:number]) for number in range(len(segments)))
        rollouts.append(
            Rollout(
                ids,
                ids % 2 == 1,
                -ids.float(),
                ids.to(torch.int8),
                ids.to(torch.int8),
                starts,
                reward=0.0,
                task_id="",
            )
        )
    width = max(map(sum, lengths))
    weights = torch.arange(len(lengths) * width).reshape(len(lengths), width).float()
    return collate(rollouts, 0, -weights, weights)


def test_rows_are_split_at_segments_and_joined_again() -> None:
    batch = _batch([[2, 3], [4], [1, 1, 2]])
    parts = split(batch)
    assert parts.token_ids.tolist() == [
        [0, 1, 0, 0],
        [2, 3, 4, 0],
        [100, 101, 102, 103],
        [200, 0, 0, 0],
        [201, 0, 0, 0],
        [202, 203, 0, 0],
    ]
    assert parts.lengths.tolist() == [2, 3, 4, 1, 1, 2]
    assert parts.segments is None
    assert parts.weights.sum() == (batch.weights * batch.attention_mask).sum()
    assert torch.equal(join(parts.old_log_probs, batch), batch.old_log_probs)
    assert torch.equal(
        join(split(batch.rows(torch.tensor([2, 0]))).token_ids, batch.rows(torch.tensor([2, 0]))),
        batch.token_ids[[2, 0]],
    )


def test_rows_of_one_segment_are_left_alone() -> None:
    batch = _batch([[2], [4]])
    assert split(batch) is batch
    assert join(batch.weights, batch) is batch.weights
