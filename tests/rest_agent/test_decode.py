"""The decode loop against the plainest possible one: one conversation at a time, no cache, no padding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from rest_agent.losses import token_log_probs
from rest_agent.sampling.cache import growing_cache, select_rows, supports
from rest_agent.sampling.decode import Sampling, _sample, decode

END, PAD = 1, 0


@dataclass
class Partner:
    """Says ``heard`` after each reply, then leaves; remembers all."""

    prompt: list[int]
    heard: list[list[int]]
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

    def spoke(self, ids: list[int], log_probs: list[float]) -> list[int] | None:
        self._say(ids, log_probs)
        if not self._rest:
            return None
        heard = self._rest.pop(0)
        self._hear(heard)
        return heard

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
            heard = partner.spoke(reply, log_probs)
            reply, log_probs, over = [], [], heard is None
            ids += heard or []
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
    decode(model, together, sampling, END, PAD, torch.Generator())
    with torch.inference_mode():
        for partner in alone:
            _one_by_one(model, partner, sampling)
    for one, two in zip(together, alone, strict=True):
        assert one.replies == two.replies
        assert one.ids == two.ids
        assert one.was_cut == two.was_cut
        assert one.log_probs == pytest.approx(two.log_probs, abs=2e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampled_tokens_have_the_models_own_probability(model: Any, temperature: float) -> None:
    partners = _partners(1, count=14)
    decode(model, partners, Sampling(temperature, 12, 2000), END, PAD, torch.Generator().manual_seed(0))
    assert len({len(partner.ids) for partner in partners}) > 8
    for partner in partners:
        ids = torch.tensor([partner.ids])
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        expected = token_log_probs(logits, ids[:, 1:], temperature)[0]
        found = torch.tensor(partner.log_probs[1:])
        torch.testing.assert_close(found[found != 0], expected[found != 0], rtol=1e-4, atol=2e-5)


def test_rows_of_one_prompt_are_sampled_independently(model: Any) -> None:
    prompt = list(range(2, 30))
    partners = [Partner(prompt, [[5, 6]]) for _ in range(8)]
    decode(model, partners, Sampling(1.0, 12, 2000), END, PAD, torch.Generator().manual_seed(0))
    again = [Partner(prompt, [[5, 6]]) for _ in range(8)]
    decode(model, again, Sampling(1.0, 12, 2000), END, PAD, torch.Generator().manual_seed(0))
    assert [partner.ids for partner in partners] == [partner.ids for partner in again]
    assert len({tuple(partner.ids) for partner in partners}) == 8


def test_sampling_follows_the_distribution() -> None:
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log().expand(20_000, 4)
    tokens, log_probs = _sample(logits, 1.0, torch.Generator().manual_seed(0))
    share = torch.bincount(torch.tensor(tokens)) / len(tokens)
    torch.testing.assert_close(share, torch.tensor([0.1, 0.5, 0.15, 0.25]), atol=0.015, rtol=0)
    assert log_probs[:50] == pytest.approx([float(logits[0, token]) for token in tokens[:50]])


@pytest.mark.parametrize("impossible", [0, 3], ids=["first", "last"])
def test_impossible_tokens_are_never_sampled(impossible: int) -> None:
    logits = torch.zeros(5_000, 4)
    logits[:, impossible] = -torch.inf
    tokens, _ = _sample(logits, 1.0, torch.Generator().manual_seed(0))
    assert impossible not in tokens


def test_the_cache_grows_without_changing_what_it_holds() -> None:
    cache = growing_cache(1)
    layer: Any = cache.layers[0]
    states = torch.randn(3, 2, 700, 4)
    position = 0
    while position < 700:
        step = 250 if position == 0 else 1
        keys, values = layer.update(states[:, :, position : position + step], -states[:, :, position : position + step])
        position += step
    assert torch.equal(keys, states)
    assert torch.equal(values, -states)
    select_rows(cache, torch.tensor([2, 0]))
    keys, _ = layer.update(states[[2, 0], :, :1], states[[2, 0], :, :1])
    assert torch.equal(keys[:, :, :700], states[[2, 0]])


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
