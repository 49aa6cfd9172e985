"""Demonstrations: right without noise; with noise, wrong as often and in the ways the profile says."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import gymnasium
import numpy as np
import pytest

import tooluse_gym.envs.bfcl  # noqa: F401 (registers the environment)
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.envs.bfcl.starter import Lexicon, NoiseProfile, StarterTasks
from tooluse_gym.envs.bfcl.starter.demonstrations import CLOSING
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.tasks import Task, Utterance

Acts = list[Utterance]


def turns_of(said: list[Utterance]) -> list[Acts]:
    """The acts of every turn, without the closings."""
    turns: list[Acts] = [[]]
    for utterance in said:
        if utterance.calls:
            turns[-1].append(utterance)
        else:
            assert utterance == CLOSING
            turns.append([])
    assert not turns.pop()
    return turns


def demonstrations(tasks: StarterTasks, noise: float, count: int) -> list[tuple[Task, list[Acts]]]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        task = tasks[f"starter/train/{number}{tasks.options}"]
        made.append((task, turns_of(list(tasks.demonstrate(task, rng, noise)))))
    return made


def sort_of_error(acts: Acts, gold: tuple[Utterance, ...] | list[Utterance]) -> str:
    calls, right = [act.calls[0] for act in acts], [act.calls[0] for act in gold]
    if calls == right:
        return "none"
    if not calls:
        return "silence"
    if calls == right[: len(calls)]:
        return "drop"
    wrong, meant = calls[-1], right[len(calls) - 1]
    assert calls[:-1] == right[: len(calls) - 1]
    return "argument" if wrong.name == meant.name else "tool"


def test_clean_demonstration() -> None:
    tasks = StarterTasks()
    for task, turns in demonstrations(tasks, 0.0, 100):
        assert len(turns) == len(task.turns)
        for acts, turn, plans in zip(turns, task.turns, task.metadata["plans"], strict=True):
            assert tuple(act.calls for act in acts) == turn.steps
            assert [act.think for act in acts] == plans
            for act in acts:
                for value in act.calls[0].arguments.values():
                    assert value == "w" or str(value) in (act.think or "")


def test_noise_rates() -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    tasks = StarterTasks()
    for task, turns in demonstrations(tasks, 0.25, 900):
        gold = turns_of(list(tasks.demonstrate(task, np.random.default_rng(0), 0.0)))
        for kind, acts, right in zip(task.metadata["requests"], turns, gold, strict=True):
            counts[kind][sort_of_error(acts, right)] += 1
    for kind, drop in {"note": 0.6, "stash": 0.6, "signin": 0.6, "enter": 0.3, "scale": 0.3, "introduce": 0.3}.items():
        total = counts[kind].total()
        assert counts[kind]["drop"] / total == pytest.approx(drop, abs=0.1)
        assert counts[kind]["none"] / total == pytest.approx((1 - drop) * 0.75, abs=0.1)
    single: Counter[str] = sum(
        (counts[kind] for kind in ("create", "show", "rename", "follow", "post", "comment", "add")), Counter()
    )
    assert single["drop"] == 0
    for sort in ("silence", "argument", "tool"):
        assert single[sort] / single.total() == pytest.approx(0.25 / 3, abs=0.03)


def test_wrong_calls_are_still_calls() -> None:
    tasks = StarterTasks()
    for task, turns in demonstrations(tasks, 0.5, 300):
        tools = World(task.toolsets, task.initial_state).tools
        for act in (act for acts in turns for act in acts):
            assert act.calls[0].name in task.visible(0, tuple(tools))
            assert tools[act.calls[0].name].check(act.calls[0].arguments) is None


def test_wrong_argument_is_in_the_plan_too() -> None:
    tasks = StarterTasks(noise_profile=NoiseProfile(drop=0, drops={}, slips={"argument": 1}))
    for task, turns in demonstrations(tasks, 1.0, 200):
        for acts, turn in zip(turns, task.turns, strict=True):
            wrong, meant = acts[-1].calls[0], turn.calls[len(acts) - 1]
            assert wrong.name == meant.name
            assert wrong != meant
            for value in wrong.arguments.values():
                assert value == "w" or str(value) in (acts[-1].think or "")


def test_profile_decides() -> None:
    tasks = StarterTasks(noise_profile=NoiseProfile(drop=0, drops={"note": 1}, slips={"silence": 1}))
    for task, turns in demonstrations(tasks, 1.0, 60):
        for kind, acts in zip(task.metadata["requests"], turns, strict=True):
            assert len(acts) == (kind == "note")


def test_demonstrations_follow_the_generator() -> None:
    tasks = StarterTasks()
    task = tasks["starter/train/0"]
    once, again = ([tasks.demonstrate(task, np.random.default_rng(seed), 0.5) for seed in range(20)] for _ in range(2))
    assert once == again


@pytest.mark.parametrize("noise", [-0.1, 1.1, float("nan")])
def test_noise_out_of_range(noise: float) -> None:
    tasks = StarterTasks()
    with pytest.raises(ConfigurationError, match="noise"):
        tasks.demonstrate(tasks["starter/train/0"], np.random.default_rng(0), noise)


@pytest.mark.parametrize("wrong", [{"slips": {"typo": 1.0}}, {"slips": {}}, {"drop": -1.0}], ids=str)
def test_wrong_profile(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        NoiseProfile(**wrong)  # type: ignore[arg-type]


# In the environment

ODD_WORDS = Lexicon("odd", tuple(f"näme {letter} 🙂'" for letter in "abcdefghijklmnopqrstuvwxyz"))


def environment(**options: Any) -> ToolUseEnv:
    env = gymnasium.make("BFCLMultiTurn-v0", dataset="starter", **options).unwrapped
    assert isinstance(env, ToolUseEnv)
    return env


@pytest.mark.parametrize("starter", [{}, {"turns": 1}, {"turns": 3}, {"lexicon": ODD_WORDS}], ids=str)
@pytest.mark.parametrize("format", ["toolrl", "hermes"])
def test_clean_demonstrations_win(starter: dict[str, object], format: str) -> None:
    env = environment(starter=starter, format=format)
    for seed in range(15):
        trajectory = env.demonstrate(seed=seed, options={"split": env.tasks.splits[seed % 3]})
        assert trajectory.verdict is not None
        assert trajectory.verdict.valid
        assert sum(step.reward for step in trajectory.steps) == pytest.approx(1.0)


def test_noisy_demonstrations_end_and_often_fail() -> None:
    env = environment(format="toolrl")
    verdicts = [env.demonstrate(seed=seed, noise=0.25).verdict for seed in range(120)]
    assert all(verdict is not None for verdict in verdicts)
    assert 0.25 < sum(verdict is not None and verdict.valid for verdict in verdicts) / 120 < 0.55
