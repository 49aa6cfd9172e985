"""Requests and their sentences; the lexicon; adding a kind of one's own."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

from tooluse_gym.envs.bfcl.starter import STARTER_REQUESTS, WORDS, Act, Lexicon, Request, StarterTasks, slots
from tooluse_gym.envs.bfcl.starter.phrasing import PREFIXES, SPLITS, SUFFIXES, templates
from tooluse_gym.errors import ConfigurationError


def test_sentences_of_splits_differ_and_share_their_fragments() -> None:
    by_split = {
        split: [sentence for request in STARTER_REQUESTS for sentence in request.sentences[split]] for split in SPLITS
    }
    for one, other in combinations(SPLITS, 2):
        assert not set(by_split[one]) & set(by_split[other])
    assert all(len(set(sentences)) == len(sentences) for sentences in by_split.values())
    for request in STARTER_REQUESTS:
        trained = request.sentences["train"]
        assert 2 * len(trained) > sum(len(sentences) for sentences in request.sentences.values())
        for core in request.cores:
            assert any(core in sentence for sentence in trained)
        assert all(any(sentence.startswith(prefix) for sentence in trained) for prefix in PREFIXES)
        assert all(any(sentence.endswith(suffix) for sentence in trained) for suffix in SUFFIXES)


def test_appended_cores_move_nothing() -> None:
    before, after = templates(("a", "b")), templates(("a", "b", "c"))
    assert all(set(before[split]) < set(after[split]) for split in SPLITS)


@pytest.mark.parametrize("cores", [(), ("a", "a")], ids=str)
def test_cores_that_do_not_work(cores: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError):
        templates(cores)


def test_names_do_not_occur_in_sentences_and_plans() -> None:
    texts = [sentence for request in STARTER_REQUESTS for split in SPLITS for sentence in request.sentences[split]]
    texts += [act.plan for request in STARTER_REQUESTS for act in request.acts]
    assert not {word for text in texts for word in re.findall(r"\w+", text)} & set(WORDS.words)


def test_every_name_is_quoted() -> None:
    numbers = {"a", "b", "tweet", "factor", "count"}
    for request in STARTER_REQUESTS:
        for text in (*request.cores, *(act.plan for act in request.acts)):
            for found in re.finditer(r'("?)\{(\w+)\}("?)', text):
                assert found[1] == found[3] == ("" if found[2] in numbers else '"'), text


def test_half_a_dozen_requests_need_two_calls() -> None:
    assert sum(len(request.acts) == 2 for request in STARTER_REQUESTS) == 6
    assert sum(bool(act.reads) for request in STARTER_REQUESTS for act in request.acts[:-1]) == 2


def test_a_request_of_ones_own() -> None:
    farewell = Request(
        "farewell",
        ("TwitterAPI",),
        ('stop following "{person}"', 'unfollow "{person}"', 'leave "{person}"'),
        {"person": lambda scene, filled: scene.random.choice(scene.account.following_list)},
        (Act("unfollow_user", {"username_to_unfollow": "{person}"}, 'unfollow "{person}"'),),
        signed_in=True,
    )
    tasks = StarterTasks(requests=[farewell, "create"])
    kinds = set()
    for seed in range(30):
        task = tasks.sample(np.random.default_rng(seed), "train")
        kinds.update(task.metadata["requests"])
        for kind, turn in zip(task.metadata["requests"], task.turns, strict=True):
            if kind == "farewell":
                assert turn.calls[0].name == "unfollow_user"
        assert tasks[task.id] is task
        with pytest.raises(KeyError):
            StarterTasks()[task.id]
    assert kinds == {"farewell", "create"}


def test_a_request_may_not_take_anothers_name() -> None:
    mine = Request("create", ("MathAPI",), ("add {a} and {a}",), {"a": slots.number(1, 2)}, ())
    with pytest.raises(ConfigurationError, match="another request named 'create'"):
        StarterTasks(requests=[mine])


def test_a_task_with_a_needless_call_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tooluse_gym.envs.bfcl.starter.tasks._MOST_DRAWS", 20)
    acts = (Act("pwd", {}, "look"), Act("add", {"a": "{a}", "b": 1}, "add {a} and 1"))
    look = Request("look", ("GorillaFileSystem", "MathAPI"), ("add {a} and one",), {"a": slots.number(1, 9)}, acts)
    assert (
        StarterTasks(turns=1, requests=[look]).sample(np.random.default_rng(0), "train").turns[0].calls[0].name == "pwd"
    )
    with pytest.raises(ConfigurationError):  # the second turn's result of pwd was seen in the first
        StarterTasks(turns=2, requests=[look]).sample(np.random.default_rng(0), "train")


@pytest.mark.parametrize("name", ["two words", "a,b", ""])
def test_names_that_cannot_stand_in_ids(name: str) -> None:
    with pytest.raises(ConfigurationError, match="identifier"):
        Request(name, (), ("do it",), {}, ())
    with pytest.raises(ConfigurationError, match="identifier"):
        Lexicon(name, WORDS.words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (WORDS.words[:5], "needs 24"),
        ((*WORDS.words, "acorn"), "twice"),
        *(((*WORDS.words, word), "name of a file") for word in ("a/b", 'a"b', "", " a", ".a", "a\nb", "a:b")),
    ],
    ids=repr,
)
def test_wrong_lexicon(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Lexicon("mine", words)


@pytest.mark.parametrize("toolsets", [(), ("ToyAPI",)], ids=str)
def test_unknown_simulators(toolsets: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="needs simulators out of GorillaFileSystem"):
        Request("mine", toolsets, ("do it",), {}, ())
