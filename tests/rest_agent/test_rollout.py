"""Token in, token out: what was sampled is what is trained on, in every format under every template."""

from __future__ import annotations

import dataclasses
from itertools import groupby
from typing import Any

import pytest
import torch

from rest_agent.batch import Rollout, collate, pad
from rest_agent.chat import Chat
from rest_agent.config import ConfigError, EnvironmentConfig
from rest_agent.conversation import Conversation
from rest_agent.environments import Start, make_env
from rest_agent.regions import Region
from rest_agent.rollout import Arena
from rest_agent.sampling.decode import Sampling
from tooluse_gym import trajectory
from tooluse_gym.formats import FORMATS

FAMILIES = ("qwen", "llama", "thinking", "own")
# A template that opens <think> needs a format that has a place for the thought.
COMBINATIONS = [
    (family, format)
    for family in FAMILIES
    for format in FORMATS
    if family != "thinking" or format in ("toolrl", "hermes")
]
SAMPLING = Sampling(temperature=1.0, max_reply_tokens=120, max_tokens=2400)


def _start(arena: Arena, task: str) -> Start:
    env = arena.env
    return arena._start(env, task_id=task)


def _spans(rollout: Rollout) -> list[tuple[bool, list[int]]]:
    """Runs of tokens that were sampled (True) or heard."""
    pairs = zip(rollout.loss_mask.tolist(), rollout.token_ids.tolist(), strict=True)
    return [(sampled, [index for _, index in group]) for sampled, group in groupby(pairs, lambda pair: pair[0])]


@pytest.fixture(scope="module", params=COMBINATIONS, ids="-".join)
def sampled(request: pytest.FixtureRequest, players: Any, scripted: Any) -> tuple[Any, Arena, Any, list[Rollout]]:
    """Rollouts of a model that mostly follows a demonstration: some rows call tools, some go astray."""
    family, format = request.param
    player = players[family]
    arena = player.arena(format, tools_from="template" if format == "hermes" else "system")
    demonstration = arena.demonstration(seed=3, noise=0.0)
    model = scripted(player.model, demonstration.token_ids, strength=11.0)
    starts = [_start(arena, demonstration.task_id)] * 5 + arena.sample_tasks("train", 1, 2)
    return player, arena, model, arena.rollouts(model, starts, SAMPLING, seed=0)


def test_rows_differ_and_some_call_tools(sampled: Any) -> None:
    rollouts = sampled[-1]
    assert max(rollout.calls for rollout in rollouts) > 0
    assert len({len(rollout) for rollout in rollouts}) > 2
    assert any(len(_spans(rollout)) > 4 for rollout in rollouts)


def test_the_samplers_log_probs_are_the_trainers(sampled: Any) -> None:
    """Left padding, cache, heard tokens and dropped rows on one side; a plain forward pass on the other."""
    _, _, model, rollouts = sampled
    ones = pad([r.loss_mask for r in rollouts]).float()
    batch = collate(rollouts, 0, ones, ones)
    with torch.no_grad():
        logits = model(input_ids=batch.token_ids, use_cache=False).logits
    found = torch.log_softmax(logits[:, :-1], dim=-1).gather(-1, batch.token_ids[:, 1:, None])[..., 0]
    mask = batch.loss_mask[:, 1:]
    torch.testing.assert_close(found[mask], batch.old_log_probs[:, 1:][mask], rtol=1e-4, atol=2e-5)
    assert not batch.loss_mask[:, 0].any()


def test_what_was_not_sampled_is_the_templates_own_text(sampled: Any) -> None:
    player, arena, _, rollouts = sampled
    for rollout in rollouts:
        spans = _spans(rollout)
        record = rollout.trajectory
        assert record is not None
        env = arena.env
        env.reset(options={"task_id": rollout.task_id})
        tools = list(env.tools) if arena.chat.show_tools else None
        opening = player.tokenizer.apply_chat_template(
            list(record.opening), tools=tools, add_generation_prompt=True, tokenize=False
        )
        assert spans[0] == (False, player.tokenizer.encode(opening, add_special_tokens=False))
        for (_, heard), step in zip(spans[2::2], record.steps, strict=False):
            after = arena.chat.continuation(step.observation)
            assert heard in (after, [arena.chat.end_id, *after])
            text = player.text_of.read(heard)[0]
            for message in step.observation:
                assert message["content"].strip() in text or message["role"] == "tool"  # may be quoted as JSON


def test_the_environment_got_the_bytes_that_were_sampled(sampled: Any) -> None:
    player, arena, _, rollouts = sampled
    for rollout in rollouts:
        replies = [ids for was_sampled, ids in _spans(rollout) if was_sampled]
        record = rollout.trajectory
        assert record is not None
        for ids, step in zip(replies, record.steps, strict=False):
            spoken = ids[:-1] if ids[-1] == arena.chat.end_id else ids
            assert step.action == arena.chat.reply_prefix + player.text_of.read(spoken)[0]
        assert len(replies) == len(record.steps) or (rollout.truncated and len(replies) == len(record.steps) + 1)


def test_regions_stand_where_tokens_were_sampled(sampled: Any) -> None:
    player, arena, _, rollouts = sampled
    names: set[str] = set()
    for rollout in rollouts:
        assert torch.equal(rollout.regions != Region.NONE, rollout.loss_mask)
        ends = (rollout.token_ids == arena.chat.end_id) & rollout.loss_mask
        assert torch.equal(rollout.regions == Region.END, ends)
        assert rollout.log_probs[~rollout.loss_mask].abs().sum() == 0
        texts = [
            player.text_of.read([index for _, index in group])[0]
            for region, group in groupby(
                zip(rollout.regions.tolist(), rollout.token_ids.tolist(), strict=True), lambda pair: pair[0]
            )
            if region == Region.NAME
        ]
        names |= {name for text in texts for name in _tool_names(arena) if name in text}
    assert names


def test_every_token_knows_its_turn_and_every_turn_its_reward(sampled: Any) -> None:
    _, arena, _, rollouts = sampled
    for rollout in rollouts:
        assert torch.equal(rollout.turns >= 0, rollout.loss_mask)
        assert sum(rollout.turn_rewards) == pytest.approx(rollout.reward)
        replies = [ids for was_sampled, ids in _spans(rollout) if was_sampled]
        record = rollout.trajectory
        assert record is not None
        env = arena.env
        _, info = env.reset(options={"task_id": rollout.task_id})
        turns, earned = [], [0.0] * len(env.task.turns)
        for step in record.steps:
            turns.append(info["turn"])
            reward, info = env.step(step.action)[1::3]
            earned[turns[-1]] += reward
        turns += [info["turn"]] * (len(replies) - len(record.steps))  # a reply that the length cut was never answered
        expected = [turn for turn, ids in zip(turns, replies, strict=True) for _ in ids]
        assert rollout.turns[rollout.loss_mask].tolist() == expected
        assert rollout.turn_rewards == pytest.approx(tuple(earned[: info["turn"] + 1]))
    assert max(len(rollout.turn_rewards) for rollout in rollouts) == 2


def _tool_names(arena: Arena) -> set[str]:
    env = arena.env
    return set(env.unwrapped._running.judge.agent.tools)  # type: ignore[attr-defined]


def test_the_whole_conversation_is_what_the_template_would_render(sampled: Any) -> None:
    """Where a template rewrites nothing, an episode reads as if it had been rendered at once."""
    player, arena, _, rollouts = sampled
    compared = 0
    for rollout in rollouts:
        record = rollout.trajectory
        assert record is not None
        said = [step.action for step in record.steps]
        if (
            arena.chat.reply_prefix
            or rollout.truncated
            or any("</think>" in text or text != text.strip() for text in said)
        ):
            continue
        env = arena.env
        env.reset(options={"task_id": rollout.task_id})
        whole = player.tokenizer.apply_chat_template(
            list(record.conversation), tools=list(env.tools) if arena.chat.show_tools else None, tokenize=False
        )
        text = player.text_of.read(rollout.token_ids.tolist())[0]
        assert whole.startswith(text)
        compared += 1
    if not arena.chat.reply_prefix and arena.config.format in ("structured", "pythonic"):  # these have no thoughts
        assert compared


@pytest.mark.parametrize("family", FAMILIES)
def test_a_segmentation_that_no_tokenizer_would_choose_survives(family: str, players: Any, scripted: Any) -> None:
    player = players[family]
    arena = player.arena()
    expected = _spelled_out(arena, player)
    model = scripted(player.model, expected.token_ids, strength=60.0)
    sampling = dataclasses.replace(SAMPLING, max_reply_tokens=500)
    (rollout,) = arena.rollouts(model, [_start(arena, expected.task_id)], sampling, seed=0)
    assert torch.equal(rollout.token_ids, expected.token_ids)
    assert torch.equal(rollout.loss_mask, expected.loss_mask)
    assert rollout.valid
    text = player.text_of.read(rollout.token_ids[rollout.loss_mask].tolist())[0]
    canonical = player.tokenizer.encode(text, add_special_tokens=False)
    assert len(canonical) < int(rollout.loss_mask.sum())


def test_a_thought_that_the_template_opens_needs_a_format_with_thoughts(players: Any) -> None:
    with pytest.raises(ConfigError, match=r"environment\.format: pythonic has no place for the thought"):
        players["thinking"].arena("pythonic")
    for format in ("hermes", "toolrl"):
        demonstration = players["thinking"].arena(format).demonstration(seed=3, noise=0.0)
        assert demonstration.valid
        assert demonstration.reward == pytest.approx(1.0)  # every reply obeys its format in full


def _spelled_out(arena: Arena, player: Any) -> Rollout:
    """A demonstration whose replies are spelled with one token per byte."""
    by_byte = {}
    for index in range(len(player.tokenizer)):
        (piece,) = player.text_of.pieces([index])
        if len(piece) == 1:
            by_byte[piece] = index
    env = arena.env
    recorded = arena.demonstration(seed=5, noise=0.0)
    record = recorded.trajectory
    assert record is not None
    env.reset(options={"task_id": recorded.task_id})
    conversation = Conversation(env, arena.transcript())
    for step in record.steps:
        said = step.action.removeprefix(arena.chat.reply_prefix).encode()
        ids = [by_byte[bytes([byte])] for byte in said] + [arena.chat.end_id]
        conversation.spoke(ids, [0.0] * len(ids))
        conversation.answer()
    return conversation.rollout()


@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_episodes_replay_in_a_fresh_environment(
    family: str, players: Any, scripted: Any, tmp_path: Any
) -> None:
    arena = players[family].arena()
    demonstration = arena.demonstration(seed=3, noise=0.0)
    model = scripted(players[family].model, demonstration.token_ids, strength=11.0)
    rollouts = arena.rollouts(model, [_start(arena, demonstration.task_id)] * 3, SAMPLING, seed=1)
    trajectory.save(tmp_path / "episodes.jsonl", [r.trajectory for r in rollouts if r.trajectory])
    for record, rollout in zip(trajectory.load(tmp_path / "episodes.jsonl"), rollouts, strict=True):
        again = trajectory.replay(record)
        assert again.verdict == record.verdict
        assert again.reward == pytest.approx(rollout.reward)


def test_a_reply_that_never_ends_is_cut_and_counted(players: Any) -> None:
    arena = players["qwen"].arena()
    sampling = dataclasses.replace(SAMPLING, max_reply_tokens=7)
    rollouts = arena.rollouts(players["qwen"].model, arena.sample_tasks("train", 0, 3), sampling, seed=0)
    for rollout in rollouts:
        replies = [ids for was_sampled, ids in _spans(rollout) if was_sampled]
        cut = [ids for ids in replies if ids[-1] != arena.chat.end_id]
        assert all(len(ids) <= 7 for ids in replies)
        assert all(len(ids) == 7 for ids in cut)
        assert rollout.truncated == bool(cut)
        for number, ids in enumerate(replies[:-1]):
            heard = _spans(rollout)[2 * number + 2][1]
            assert (heard[0] == arena.chat.end_id) == (ids in cut)  # the end it did not say is put in, unsampled


def test_an_episode_that_grows_too_long_is_cut_within_its_bound(players: Any, scripted: Any) -> None:
    player = players["own"]
    arena = player.arena()
    demonstration = arena.demonstration(seed=3, noise=0.0)
    model = scripted(player.model, demonstration.token_ids, strength=60.0)
    start = _start(arena, demonstration.task_id)
    (whole,) = arena.rollouts(model, [start], SAMPLING, seed=0)
    assert whole.valid
    changes = (whole.loss_mask[1:] != whole.loss_mask[:-1]).nonzero().flatten() + 1
    for limit in sorted({int(at) + 1 for at in changes[:4]} | {len(whole) - 1, len(whole)}):
        (rollout,) = arena.rollouts(model, [start], dataclasses.replace(SAMPLING, max_tokens=limit), seed=0)
        cut = limit < len(whole)
        assert len(rollout) <= limit
        assert rollout.truncated == cut
        assert rollout.valid == (not cut)
        assert rollout.loss_mask[-1]
        assert torch.equal(rollout.token_ids, whole.token_ids[: len(rollout)])
        assert torch.equal(rollout.loss_mask, whole.loss_mask[: len(rollout)])
        assert rollout.reward_terms.keys() == whole.reward_terms.keys()


def test_openings_that_do_not_fit_are_counted_or_refused(players: Any) -> None:
    arena = players["own"].arena()
    starts = arena.sample_tasks("train", 0, 6)
    lengths = sorted(len(Conversation(_restored(arena, start), arena.transcript()).prompt) for start in starts)
    between = (lengths[0] + lengths[-1]) // 2 + 1
    sampling = dataclasses.replace(SAMPLING, max_tokens=between)
    rollouts = arena.rollouts(players["own"].model, starts, sampling, seed=0)
    unplayed = [rollout for rollout in rollouts if not rollout.loss_mask.any()]
    assert len(unplayed) == sum(length >= between for length in lengths)
    assert all(rollout.truncated and len(rollout) == between and rollout.reward == 0 for rollout in unplayed)
    with pytest.raises(ConfigError, match=r"rl\.max_tokens: the openings of all 6 episodes have 10 tokens or more"):
        arena.rollouts(players["own"].model, starts, dataclasses.replace(SAMPLING, max_tokens=10), seed=0)


def test_single_steps_begin_all_over_the_ground_truth_and_end_with_their_reply(players: Any) -> None:
    player = players["own"]
    arena = player.arena("toolrl", tools_from="system", rubric="paper")
    starts = arena.sample_tasks("train", 5, 12, update=7, one_step=True)
    again = arena.sample_tasks("train", 5, 12, update=7, one_step=True)
    whole = arena.sample_tasks("train", 5, 12)
    assert [start.task.id for start in starts] == [start.task.id for start in again] == [s.task.id for s in whole]
    records = []
    for start, same in zip(starts, again, strict=True):
        env = _restored(arena, start)
        said = env.conversation
        records.append(env.trajectory())
        assert said == _restored(arena, same).conversation
    assert len({record.prefix for record in records}) > 2
    assert {record.update for record in records} == {7}
    rollouts = arena.rollouts(player.model, starts, dataclasses.replace(SAMPLING, max_reply_tokens=20), seed=0)
    for rollout, record in zip(rollouts, records, strict=True):
        assert rollout.steps == 1
        assert [sampled for sampled, _ in _spans(rollout)] == [False, True]
        assert rollout.trajectory is not None
        assert rollout.trajectory.prefix == record.prefix
        assert rollout.reward_terms.keys() == {"format", "accuracy"}


def _restored(arena: Arena, start: Start) -> Any:
    env = arena.env
    env.restore(start.snapshot)
    return env


def test_a_reply_may_end_with_any_of_the_end_tokens(players: Any, scripted: Any) -> None:
    """It was sampled, so it stays; the template's own end token follows it, unsampled."""
    player = players["qwen"]
    other = player.tokenizer.pad_token_id
    plain = player.arena().demonstration(3, 0.0)
    first = int(plain.loss_mask.int().argmax())
    end = first + plain.token_ids[first:].tolist().index(player.tokenizer.eos_token_id)
    script = plain.token_ids.clone()
    script[end] = other
    chat = Chat(player.tokenizer, show_tools=True, stops=[other])
    arena = Arena(player.arena().config, chat, player.text_of)
    model = scripted(player.model, script[: end + 1], strength=60.0)
    sampling = dataclasses.replace(SAMPLING, max_reply_tokens=end - first + 1)
    (rollout,) = arena.rollouts(model, [_start(arena, plain.task_id)], sampling, seed=0)
    assert torch.equal(rollout.token_ids[: end + 1], script[: end + 1])
    assert rollout.loss_mask[first : end + 1].all()
    assert rollout.regions[end] == Region.END
    assert rollout.token_ids[end + 1] == chat.end_id
    assert not rollout.loss_mask[end + 1]
    record, expected = rollout.trajectory, plain.trajectory
    assert record is not None
    assert expected is not None
    assert record.steps[0].action == expected.steps[0].action


@pytest.mark.parametrize("temperature", [0.0, 1.0], ids=["greedy", "sampled"])
def test_few_rows_at_a_time_give_the_same_episodes(temperature: float, players: Any) -> None:
    arena = players["llama"].arena()
    starts = [start for start in arena.sample_tasks("train", 0, 3) for _ in range(2)]
    found = []
    for rows in (1, 2, 6):
        sampling = Sampling(temperature, max_reply_tokens=30, max_tokens=2400, rows=rows)
        rollouts = arena.rollouts(players["llama"].model, starts, sampling, seed=3)
        found.append([rollout.token_ids.tolist() for rollout in rollouts])
    assert found[0] == found[1] == found[2]
    assert (found[0][0] == found[0][1]) == (temperature == 0)


def test_tools_that_appear_later_are_told_where_the_template_shows_tools(players: Any) -> None:
    """The template's list of tools stands at the very beginning, which has been said already."""
    from tooluse_gym.formats import Call
    from tooluse_gym.messages import user
    from tooluse_gym.tasks import Task, TaskList, Turn

    arena = players["qwen"].arena()
    env = arena.env
    turns = (Turn((user("look around"),)), Turn((user("now you can"),), ((Call("pwd"),),), ("pwd",)))
    env.tasks = TaskList([Task("reveal", turns, ("GorillaFileSystem",), tools=("ls", "pwd"))])
    env.split = "train"
    env.reset(options={"task_id": "reveal"})
    conversation = Conversation(env, arena.transcript())
    said = arena.chat.reply("I cannot.")
    conversation.spoke(said, [0.0] * len(said))
    answer = conversation.answer()
    assert answer is not None
    text = players["qwen"].text_of.read(answer.heard)[0]
    assert "These tools are now available as well:" in text
    assert '"name": "pwd"' in text
    assert '"name": "ls"' not in text
    assert text.index('"pwd"') < text.index("now you can")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"id": "NoSuchEnv-v0"}, r"environment\.id: .*NoSuchEnv"),
        ({"id": "CartPole-v1", "options": {}}, r"environment\."),
        ({"options": {"datset": "base"}}, r"environment\.options: .*datset"),
        ({"options": {"dataset": "bases"}}, r"environment\.options: unknown dataset 'bases'"),
        ({"format": "xml"}, r"environment\.options: unknown reply format 'xml'"),
    ],
    ids=["unknown id", "other kind", "unknown option", "unknown dataset", "unknown format"],
)
def test_environments_that_cannot_be_made_name_the_key(environment: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_env(EnvironmentConfig(**environment))
