"""The source: sound tasks, the same everywhere, in disjoint splits."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import tooluse_gym
from tooluse_gym.envs.bfcl import starter
from tooluse_gym.envs.bfcl.starter import STARTER_REQUESTS, Lexicon, StarterTasks
from tooluse_gym.envs.bfcl.starter.tasks import pair_split
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call
from tooluse_gym.scoring import WorldJudge
from tooluse_gym.tasks import Task, task_from_json, task_to_json

ODD_WORDS = Lexicon(
    "odd_words",
    (
        *(
            "two words",
            "naïve plan",
            "日本",
            "Привет мир",
            "it's",
            "{file}",
            "{0}",
            "🙂 smile",
            "a,b",
            "7",
            "42",
            "x=1",
        ),
        *(
            "- dash",
            "#tag",
            "@you",
            "None",
            "true",
            "[list]",
            "a&b",
            "Größe",
            "ñandú",
            "(so)",
            "end.",
            "A",
            "a",
            "zwölf",
        ),
        *("ελπίδα", "ok!", "semi;colon", "tab_le"),
    ),
)


def make_world(task: Task) -> World:
    return World(task.toolsets, task.initial_state)


def first_failure(task: Task, left_out: tuple[int, int] | None = None) -> tuple[int, str] | None:
    """Turn and error type where the ground truth, without the call at ``left_out``, first fails; None if it passes."""
    judge = WorldJudge(task, make_world(task), make_world(task), strict=True)
    failures = []
    for number, turn in enumerate(task.turns):
        kept = [call for place, call in enumerate(turn.calls) if (number, place) != left_out]
        error = judge.end_turn([[judge.agent.call(call).text] for call in kept]).error_type
        if error is not None:
            failures.append((number, error))
    assert judge.verdict().valid is (not failures)
    return failures[0] if failures else None


def assert_sound(task: Task) -> None:
    assert first_failure(task) is None, task.id
    for number, turn in enumerate(task.turns):
        assert turn.calls
        for place in range(len(turn.calls)):
            assert first_failure(task, (number, place)) is not None, (task.id, number, place)
    visible = task.visible(0, tuple(make_world(task).tools))
    world = make_world(task)
    for call in (call for turn in task.turns for call in turn.calls):
        assert call.name in visible
        result = world.call(call)
        assert result.failure is None
        assert "error" not in result.text
        assert ": false" not in result.text


def numbers_in(task: Task) -> list[int]:
    world = make_world(task)
    texts = [turn.messages[0]["content"] for turn in task.turns]
    texts += [world.call(call).text for turn in task.turns for call in turn.calls]
    return [int(found) for text in texts for found in re.findall(r"\d+", text)]


@pytest.mark.parametrize("split", StarterTasks.splits)
def test_ground_truth_is_right_and_every_call_is_needed(split: str) -> None:
    tasks, rng = StarterTasks(), np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        task = tasks.sample(rng, split)
        assert task.split == split
        assert_sound(task)
        assert len(task.turns) == 2
        assert 1 <= len(task.toolsets) <= 2
        assert task.tools is not None
        assert len(task.tools) == 5
        assert max(numbers_in(task), default=0) <= 99
        seen.update(task.metadata["requests"])
    assert seen == {request.name for request in STARTER_REQUESTS}


def test_doing_nothing_fails_every_turn() -> None:
    tasks, rng = StarterTasks(turns=3), np.random.default_rng(1)
    for _ in range(50):
        task = tasks.sample(rng, "train")
        judge = WorldJudge(task, make_world(task), make_world(task))
        assert [judge.end_turn([]).error_type for _ in task.turns] == ["empty_turn_model_response"] * 3


@pytest.mark.parametrize("turns", [1, 2, 3, 5])
def test_number_of_turns(turns: int) -> None:
    tasks, rng = StarterTasks(turns), np.random.default_rng(2)
    for _ in range(40):
        task = tasks.sample(rng, "train")
        assert len(task.turns) == turns
        assert_sound(task)


def test_any_lexicon() -> None:
    tasks, rng = StarterTasks(lexicon=ODD_WORDS), np.random.default_rng(3)
    for _ in range(150):
        task = tasks.sample(rng, "test")
        assert_sound(task)
        assert task.id.endswith("?lexicon=odd_words")
        quoted = [name for turn in task.turns for name in re.findall('"([^"]*)"', turn.messages[0]["content"])]
        assert set(quoted) <= set(ODD_WORDS.words)


def test_chosen_requests_and_tools_shown() -> None:
    tasks = StarterTasks(requests=["scale", "add"], tools_shown=3)
    task = tasks.sample(np.random.default_rng(4), "train")
    assert set(task.metadata["requests"]) <= {"scale", "add"}
    assert len(task.tools or ()) == 3
    assert task.id.endswith("?tools=3&requests=scale,add")


def test_chains_use_the_result() -> None:
    tasks, rng = StarterTasks(turns=1, requests=["scale", "introduce"]), np.random.default_rng(5)
    for _ in range(40):
        task = tasks.sample(rng, "train")
        first, second = task.turns[0].calls
        result = json.loads(make_world(task).call(first).text)
        key, argument = {"wc": ("count", "a"), "cat": ("file_content", "username_to_follow")}[first.name]
        assert second.arguments[argument] == result[key]
        assert str(result[key]) in task.metadata["plans"][0][1]
        assert f'"{result[key]}"' not in task.turns[0].messages[0]["content"]


# Ids


def test_an_id_says_everything() -> None:
    made = StarterTasks(3, requests=["create", "post"]).sample(np.random.default_rng(6), "validation")
    assert StarterTasks()[made.id] == made
    assert StarterTasks()[made.id] is not made


def test_sampling_follows_the_generator() -> None:
    draws = [[StarterTasks().sample(np.random.default_rng(seed), "train").id for seed in range(5)] for _ in range(2)]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 5


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_same_task_in_another_process(hash_seed: str) -> None:
    ids = [f"starter/{split}/{number}" for split in StarterTasks.splits for number in range(8)]
    program = (
        "import hashlib, json, sys\n"
        "from tooluse_gym.envs.bfcl.starter import StarterTasks\n"
        "from tooluse_gym.tasks import task_to_json\n"
        "made = [task_to_json(StarterTasks()[name]) for name in sys.argv[1:]]\n"
        "print(hashlib.sha256(json.dumps(made).encode()).hexdigest())"
    )
    home = str(Path(tooluse_gym.__file__).parents[1])
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": home}
    run = subprocess.run([sys.executable, "-c", program, *ids], env=environ, capture_output=True, text=True, check=True)
    here = json.dumps([task_to_json(StarterTasks()[name]) for name in ids])
    assert run.stdout.strip() == hashlib.sha256(here.encode()).hexdigest()


@pytest.mark.parametrize(
    "task_id",
    [
        "starter/train",
        "starter/train/",
        "starter/train/x",
        "starter/train/-1",
        "starter/train/01",
        "starter/dev/1",
        "other/train/1",
        "starter/train/1?",
        "starter/train/1?turns=2",
        "starter/train/1?turns=0",
        "starter/train/1?size=3",
        "starter/train/1?turns=3&turns=3",
        "starter/train/1?requests=create,fly",
        "starter/train/1?lexicon=other",
        "starter/train/" + "9" * 5_000,
    ],
)
def test_unknown_ids(task_id: str) -> None:
    with pytest.raises(KeyError):
        StarterTasks()[task_id]


def test_tasks_survive_json() -> None:
    tasks = StarterTasks()
    task = tasks["starter/train/3"]
    again = task_from_json(json.loads(json.dumps(task_to_json(task))), "here")
    clean = [tasks.demonstrate(version, np.random.default_rng(0), 0.0) for version in (task, again)]
    assert again == task
    assert clean[0] == clean[1]


def test_remembering_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tooluse_gym.envs.bfcl.starter.tasks._REMEMBERED", 3)
    tasks = StarterTasks()
    made = [tasks[f"starter/train/{number}"] for number in range(5)]
    assert len(tasks._made) == 3
    assert tasks["starter/train/4"] is made[4]
    assert tasks["starter/train/0"] == made[0]


# Splits


def test_splits_are_disjoint() -> None:
    tasks = StarterTasks()
    sentences: dict[str, set[str]] = {}
    worlds: dict[str, set[str]] = {}
    pairs: dict[str, set[tuple[str, ...]]] = {}
    for split in tasks.splits:
        rng = np.random.default_rng(7)  # equal numbers, so that only the split tells the worlds apart
        made = [tasks.sample(rng, split) for _ in range(400)]
        texts = [turn.messages[0]["content"] for task in made for turn in task.turns]
        sentences[split] = {re.sub(r"\d+", "#", re.sub('"[^"]*"', '"_"', text)) for text in texts}
        worlds[split] = {json.dumps(task.initial_state) for task in made if task.initial_state}
        pairs[split] = {tuple(sorted(task.metadata["requests"])) for task in made}
    for one, other in combinations(tasks.splits, 2):
        assert not sentences[one] & sentences[other]
        assert not worlds[one] & worlds[other]
    assert pairs["validation"] - pairs["train"] - pairs["test"]
    assert pairs["test"] - pairs["train"] - pairs["validation"]
    for split, met in pairs.items():
        assert {pair_split(*pair) for pair in met} == ({None} if split == "train" else {None, split})
    names = [request.name for request in STARTER_REQUESTS]
    homes = Counter(pair_split(*pair) for pair in combinations(names, 2))
    assert (homes["validation"], homes["test"], homes.total()) == (8, 9, 120)  # as README.md says
    assert {name for pair in pairs["train"] for name in pair} == {request.name for request in STARTER_REQUESTS}


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"turns": 0}, "turns"),
        ({"tools_shown": 0}, "tools_shown"),
        ({"requests": []}, "at least one|one or more"),
        ({"requests": ["create", "create"]}, "different"),
        ({"requests": ["fly"]}, "unknown request 'fly'"),
    ],
    ids=lambda value: str(value),
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        StarterTasks(**arguments)  # type: ignore[arg-type]


def test_requests_that_do_not_go_together() -> None:
    with pytest.raises(ConfigurationError, match="do not go together"):
        StarterTasks(requests=["signin"]).sample(np.random.default_rng(0), "train")


def test_unknown_split() -> None:
    with pytest.raises(ConfigurationError, match="'dev'"):
        StarterTasks().sample(np.random.default_rng(0), "dev")


def test_calls_hold_plain_values() -> None:
    task = StarterTasks(turns=1, requests=["add"])["starter/train/0?turns=1&requests=add"]
    (call,) = task.turns[0].calls
    assert isinstance(call, Call)
    assert {type(value) for value in call.arguments.values()} == {int}


def test_arguments_as_a_yaml_file_has_them() -> None:
    words = {"name": ODD_WORDS.name, "words": list(ODD_WORDS.words)}
    tasks = StarterTasks(lexicon=words, noise_profile={"drop": 1.0})
    assert tasks.lexicon == ODD_WORDS
    assert tasks.noise_profile.drop == 1.0


def test_the_docstring_shows_a_task() -> None:
    shown = " ".join((starter.__doc__ or "").split())
    task = StarterTasks()["starter/train/9"]
    for turn, plans in zip(task.turns, task.metadata["plans"], strict=True):
        acts = [f"{plan} {call.text}" for plan, call in zip(plans, turn.calls, strict=True)]
        assert " ".join((turn.messages[0]["content"], *acts)) in shown
