"""The decode loop against the plainest possible one: one conversation at a time, no cache, no padding.

Rows that share a pass, wait for a slot or for their environment, go back or begin again must not be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from rest_agent.sampling.cache import SlotCache, supports
from rest_agent.sampling.decode import Answer, Sampling, _passes, _sample, decode
from rest_agent.sampling.replies import Completion, Request, converse

END, PAD = 1, 0


@dataclass
class Partner:
    """Says ``heard`` after each reply, then leaves; remembers all.

    With ``forgets``, so many tokens before each second reply's end are forgotten.
    """

    prompt: list[int]
    heard: list[list[int]]
    forgets: int = 0
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    replies: list[list[int]] = field(default_factory=list)
    was_cut: bool = False

    def __post_init__(self) -> None:
        self._rest = list(self.heard)
        self._hear(self.prompt)

    def _hear(self, ids: list[int]) -> None:
        self.ids += ids
        self.log_probs += [0.0] * len(ids)

    def _say(self, ids: list[int], log_probs: list[float]) -> None:
        self.ids += ids
        self.log_probs += log_probs
        self.replies.append(list(ids))

    def spoke(self, ids: list[int], log_probs: list[float]) -> None:
        self._say(ids, log_probs)

    def answer(self) -> Answer | None:
        if not self._rest:
            return Answer(over=True)
        heard = self._rest.pop(0)
        keep = None
        if self.forgets and len(self.replies) % 2 == 0:
            keep = len(self.ids) - self.forgets
            del self.ids[keep:], self.log_probs[keep:]
            heard = [9, *heard]
        self._hear(heard)
        return Answer(heard, keep)

    def cut(self, ids: list[int], log_probs: list[float]) -> None:
        self.was_cut = True
        if ids:
            self._say(ids, log_probs)


def _partners(seed: int, count: int = 9) -> list[Partner]:
    """Prompts of 1 to 40 tokens, up to four turns, of which some say nothing and some a lot."""
    generator = torch.Generator().manual_seed(seed)

    def some(least: int, most: int) -> list[int]:
        length = int(torch.randint(least, most, (), generator=generator))
        return torch.randint(2, 300, (length,), generator=generator).tolist()

    return [Partner(some(1, 40), [some(0, 30) for _ in range(number % 5)]) for number in range(count)]


def _one_by_one(model: Any, partner: Partner, sampling: Sampling) -> None:
    """Greedy decoding with a full forward pass per token."""
    ids, reply = list(partner.prompt), []
    log_probs: list[float] = []
    while True:
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        reply.append(int(logits.argmax()))
        log_probs.append(float(torch.log_softmax(logits.float(), -1).max()))
        ids.append(reply[-1])
        over = False
        if reply[-1] == END or len(reply) == sampling.max_reply_tokens:
            partner.spoke(reply, log_probs)
            answer = partner.answer()
            assert answer is not None
            reply, log_probs, over = [], [], answer.over
            ids += answer.heard
        if over:
            return
        if len(ids) >= sampling.max_tokens:
            partner.cut(reply, log_probs)
            return


@pytest.fixture(params=["qwen", "llama"])
def model(request: pytest.FixtureRequest, players: Any, scripted: Any) -> Any:
    """Qwen3 (SDPA) and Llama (eager), which like to say the end token at some positions."""
    player = players[request.param]
    likes_to_end = torch.full((400,), END)
    return scripted(player.model, likes_to_end, strength=4.0)


@pytest.mark.parametrize("limits", [(12, 2000), (12, 60), (1, 90), (200, 200)], ids=str)
def test_greedy_decoding_is_that_of_the_plain_loop(model: Any, limits: tuple[int, int]) -> None:
    sampling = Sampling(0.0, *limits)
    together, alone = _partners(0), _partners(0)
    decode(model, together, sampling, [END], PAD, seed=0)
    with torch.inference_mode():
        for partner in alone:
            _one_by_one(model, partner, sampling)
    for one, two in zip(together, alone, strict=True):
        assert one.replies == two.replies
        assert one.ids == two.ids
        assert one.was_cut == two.was_cut
        assert one.log_probs == pytest.approx(two.log_probs, abs=2e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("forgets", [0, 1, 4], ids=["", "forgets one", "forgets more"])
def test_sampled_tokens_have_the_models_own_probability(model: Any, temperature: float, forgets: int) -> None:
    partners = _partners(1, count=14)
    for partner in partners:
        partner.forgets = forgets
    decode(model, partners, Sampling(temperature, 12, 2000, rows=6), [END], PAD, seed=0)
    assert len({len(partner.ids) for partner in partners}) > 8
    for partner in partners:
        ids = torch.tensor([partner.ids])
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        expected = torch.log_softmax(logits / temperature, dim=-1).gather(-1, ids[:, 1:, None])[0, :, 0]
        found = torch.tensor(partner.log_probs[1:])
        torch.testing.assert_close(found[found != 0], expected[found != 0], rtol=1e-4, atol=2e-5)


def test_rows_of_one_prompt_are_sampled_independently(model: Any) -> None:
    prompt = list(range(2, 30))
    partners = [Partner(prompt, [[5, 6]]) for _ in range(8)]
    decode(model, partners, Sampling(1.0, 12, 2000), [END], PAD, seed=0)
    again = [Partner(prompt, [[5, 6]]) for _ in range(8)]
    decode(model, again, Sampling(1.0, 12, 2000), [END], PAD, seed=0)
    assert [partner.ids for partner in partners] == [partner.ids for partner in again]
    assert len({tuple(partner.ids) for partner in partners}) == 8


@pytest.mark.parametrize("temperature", [0.0, 1.0], ids=["greedy", "sampled"])
def test_a_conversation_does_not_depend_on_how_many_run_beside_it(model: Any, temperature: float) -> None:
    found = []
    for rows in (1, 3, 8, 100):
        partners = _partners(2, count=24)
        for partner in partners[::3]:
            partner.forgets = 3
        decode(model, partners, Sampling(temperature, 12, 70, rows, prefill_tokens=64), [END], PAD, seed=5)
        found.append([(partner.replies, partner.was_cut) for partner in partners])
    assert found[0] == found[1] == found[2] == found[3]
    assert any(cut for _, cut in found[0])
    assert len({len(replies) for replies, _ in found[0]}) > 3


def test_slots_are_given_to_conversations_that_wait(model: Any) -> None:
    """Thirty short conversations pass beside a long one, in no more passes than the long one needs alone."""
    passes: list[int] = []
    forward = model.forward

    def count(**inputs: Any) -> Any:
        rows, width = inputs["input_ids"].shape
        passes.extend([rows] * (width == 1))
        return forward(**inputs)

    model.forward = count
    short = [Partner([number + 9] * 5, []) for number in range(30)]
    decode(model, [Partner([7] * 5, [[3] * 200]), *short], Sampling(0.0, 6, 400, rows=4), [END], PAD, seed=0)
    assert all(partner.replies for partner in short)
    assert max(passes) == 4
    together = len(passes)
    decode(model, [Partner([7] * 5, [[3] * 200])], Sampling(0.0, 6, 400, rows=4), [END], PAD, seed=0)
    assert together == len(passes) - together


def test_a_prompt_that_many_share_is_prefilled_once(model: Any) -> None:
    prefilled: list[int] = []
    forward = model.forward

    def count(**inputs: Any) -> Any:
        if inputs["input_ids"].shape[1] > 1:
            prefilled.append(len(inputs["input_ids"]))
        return forward(**inputs)

    model.forward = count
    shared, other = list(range(2, 30)), list(range(40, 50))
    partners = [Partner(shared, [[5] * (9 * number)]) for number in range(9)] + [Partner(other, []) for _ in range(3)]
    decode(model, partners, Sampling(1.0, 12, 2000, rows=4), [END], PAD, seed=0)
    assert sum(prefilled) == 2
    assert len({tuple(partner.ids) for partner in partners}) == 12


def test_prompts_are_prefilled_within_a_budget_of_tokens() -> None:
    prompts = [tuple([1] * length) for length in (5, 9, 2, 3, 20, 4)]
    passes = _passes(prompts, budget=10)
    assert [[len(prompt) for prompt in one] for one in passes] == [[20], [9], [5, 4], [3, 2]]


def test_each_end_token_ends_a_reply(players: Any, scripted: Any) -> None:
    ends = torch.tensor([7, 7, 7, 7, 60, 61, 62, 55, 70, 71, END, 80, 80])
    model = scripted(players["qwen"].model, ends, strength=100.0)
    partner = Partner([7, 7, 7], [[9], [9, 9]])
    decode(model, [partner], Sampling(0.0, 8, 400), {END, 55}, PAD, seed=0)
    assert partner.replies[:2] == [[7, 60, 61, 62, 55], [71, END]]


class Slow(Partner):
    """Does not know its answer before the model has made some more passes."""

    asked = 0

    def answer(self) -> Answer | None:
        self.asked += 1
        return None if self.asked % 7 else super().answer()


def test_other_rows_go_on_while_one_waits_for_its_environment(model: Any) -> None:
    quick = _partners(3, count=6)
    mixed: list[Partner] = [
        Slow(partner.prompt, partner.heard) if number % 2 else partner for number, partner in enumerate(_partners(3, 6))
    ]
    decode(model, quick, Sampling(1.0, 12, 300, rows=4), [END], PAD, seed=1)
    decode(model, mixed, Sampling(1.0, 12, 300, rows=4), [END], PAD, seed=1)
    assert [partner.ids for partner in mixed] == [partner.ids for partner in quick]
    assert any(partner.asked > 7 for partner in mixed if isinstance(partner, Slow))


class Fickle(Partner):
    """Wants to begin again after its second reply, once."""

    tried = False

    def answer(self) -> Answer | None:
        if len(self.replies) == 2 and not self.tried:
            self.tried = True
            self.ids, self.log_probs, self.replies = [], [], []
            self.__post_init__()
            return Answer(again=True)
        return super().answer()


def test_a_conversation_that_begins_again_says_the_same(model: Any) -> None:
    def partners(kind: type[Partner]) -> list[Partner]:
        return [Partner([4, 5], [[6]] * 3), kind([8, 9, 10], [[6, 6]] * 3), kind([11], [[6, 6]] * 3)]

    steady, fickle = partners(Partner), partners(Fickle)
    for those in (steady, fickle):
        decode(model, those, Sampling(1.0, 12, 300), [END], PAD, seed=1)
    assert [partner.ids for partner in fickle] == [partner.ids for partner in steady]
    assert all(one.log_probs == pytest.approx(two.log_probs, abs=2e-5) for one, two in zip(steady, fickle, strict=True))


def test_sampling_follows_the_distribution() -> None:
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log().expand(20_000, 4)
    tokens, log_probs = _sample(logits, 1.0, np.random.default_rng(0).random(20_000).tolist())
    share = torch.bincount(torch.tensor(tokens)) / len(tokens)
    torch.testing.assert_close(share, torch.tensor([0.1, 0.5, 0.15, 0.25]), atol=0.015, rtol=0)
    assert log_probs[:50] == pytest.approx([float(logits[0, token]) for token in tokens[:50]])


@pytest.mark.parametrize("impossible", [0, 3], ids=["first", "last"])
def test_impossible_tokens_are_never_sampled(impossible: int) -> None:
    logits = torch.zeros(5_000, 4)
    logits[:, impossible] = -torch.inf
    tokens, _ = _sample(logits, 1.0, [0.0, 1 - 2**-53, *np.random.default_rng(0).random(4_998).tolist()])
    assert impossible not in tokens


def test_the_cache_grows_without_changing_what_it_holds() -> None:
    cache = SlotCache(1, 3, limit=900, device=torch.device("cpu"))
    layer: Any = cache.layers[0]
    states = torch.randn(3, 2, 700, 4)
    starts = torch.tensor([0, 40, 7])
    for step in range(600):
        cache.aim(starts + step, int(starts.max()) + step + 1)
        here = states[torch.arange(3), :, starts + step][:, :, None]
        keys, values = layer.update(here, -here)
    for slot, start in enumerate(starts.tolist()):
        assert torch.equal(keys[slot, :, start : start + 600], states[slot, :, start : start + 600])
        assert not keys[slot, :, :start].any()  # and no nan, which no mask would hide
    assert torch.equal(values, -keys)
    assert layer.keys.shape[2] == 900
    cache.select([2, 0])
    cache.copy(0, [1], columns=300)
    assert torch.equal(layer.keys[1, :, :300], layer.keys[0, :, :300])
    assert torch.equal(layer.keys[1, :, 300:600], states[0, :, 300:600])
    assert torch.equal(layer.keys[0, :, 7:607], states[2, :, 7:607])


def test_a_slot_attends_up_to_its_own_column() -> None:
    cache = SlotCache(1, 3, limit=8, device=torch.device("cpu"))
    cache.aim(torch.tensor([0, 3, 1]), 4)
    allowed = cache.mask(torch.float32)[:, 0, 0] == 0
    assert allowed.int().tolist() == [[1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0]]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, True),
        ({"layer_types": ["full_attention"] * 2, "sliding_window": None}, True),
        ({"layer_types": ["full_attention", "sliding_attention"]}, False),
        ({"layer_types": ["linear_attention", "full_attention"]}, False),
        ({"sliding_window": 4096}, False),
    ],
    ids=["plain", "full", "sliding", "linear", "window"],
)
def test_which_models_can_be_sampled(config: dict[str, Any], expected: bool) -> None:
    from types import SimpleNamespace

    assert supports(SimpleNamespace(**config)) == expected


# Engines that say whole replies


class WholeReplies:
    """A :class:`ReplyEngine`: full forward passes, the last request first, at most two of them at a time."""

    def __init__(self, model: Any):
        self.model = model
        self.requests: list[Request] = []

    def submit(self, request: Request) -> None:
        assert request.number not in {waiting.number for waiting in self.requests}
        self.requests.append(request)

    def work(self) -> list[Completion]:
        done, self.requests[-2:] = self.requests[-2:], []
        return [self._reply(request) for request in done]

    @torch.inference_mode()
    def _reply(self, request: Request) -> Completion:
        generator = torch.Generator().manual_seed(request.seed)
        ids: list[int] = []
        said: list[float] = []
        while len(ids) < request.max_tokens and (not ids or ids[-1] not in request.end_ids):
            logits = self.model(input_ids=torch.tensor([request.prompt + ids]), use_cache=False).logits[0, -1]
            log_probs = torch.log_softmax(logits / (request.temperature or 1.0), dim=-1)
            drawn = torch.multinomial(log_probs.exp(), 1, generator=generator)
            ids.append(int(drawn if request.temperature else log_probs.argmax()))
            said.append(float(log_probs[ids[-1]]))
        return Completion(request.number, ids, said)


@pytest.mark.parametrize("limits", [(12, 2000), (12, 60), (1, 90), (200, 200)], ids=str)
@pytest.mark.parametrize("kind", [Partner, Slow, Fickle], ids=["", "slow", "begins again"])
def test_replies_of_an_engine_make_the_conversations_of_the_decode_loop(
    model: Any, kind: type[Partner], limits: tuple[int, int]
) -> None:
    mine, theirs = (
        [kind(one.prompt, one.heard, forgets=number % 3) for number, one in enumerate(_partners(0))] for _ in range(2)
    )
    sampling = Sampling(0.0, *limits, rows=4)
    decode(model, mine, sampling, [END], PAD, seed=0)
    converse(WholeReplies(model), theirs, sampling, [END], seed=0)
    for one, two in zip(mine, theirs, strict=True):
        assert (one.replies, one.ids, one.was_cut) == (two.replies, two.ids, two.was_cut)
        assert one.log_probs == pytest.approx(two.log_probs, abs=2e-5)


def test_replies_of_an_engine_are_sampled_under_the_seed(model: Any) -> None:
    found = []
    for seed, rows in ((3, 4), (3, 9), (4, 9)):
        partners = [*_partners(1), Fickle([8, 9, 10], [[6, 6]] * 3)]
        converse(WholeReplies(model), partners, Sampling(1.0, 12, 300, rows), [END], seed)
        found.append([partner.replies for partner in partners])
    assert found[0] == found[1] != found[2]


def test_an_arena_plays_with_an_engine(players: Any, scripted: Any) -> None:
    player = players["own"]
    arena = player.arena()
    demonstration = arena.demonstration(3, 0.0)
    model = scripted(player.model, demonstration.token_ids, strength=60.0)
    starts = [arena._start(arena.env, task_id=demonstration.task_id), *arena.sample_tasks("train", 0, 3)]
    sampling = Sampling(0.0, max_reply_tokens=60, max_tokens=2400)
    mine, theirs = (arena.rollouts(policy, starts, sampling, 0) for policy in (model, WholeReplies(model)))
    assert theirs[0].valid
    for one, two in zip(mine, theirs, strict=True):
        assert one.trajectory == two.trajectory
        for stream in ("token_ids", "loss_mask", "regions", "turns"):
            assert torch.equal(getattr(one, stream), getattr(two, stream))
        torch.testing.assert_close(one.log_probs, two.log_probs, atol=2e-5, rtol=0)
