"""A run: a folder in which every entry of a benchmark is played once, whatever interrupts it.

``run.json`` says what is played, ``episodes.jsonl`` what was. Whoever starts the same run again plays what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tooluse_gym.evaluation.benchmark import Benchmark, Category, Tally, find_benchmark
from tooluse_gym.evaluation.episodes import Episode, EpisodeFile, ResultError, episode, read_episodes
from tooluse_gym.evaluation.players import Player
from tooluse_gym.evaluation.setting import Entry
from tooluse_gym.outcome import Played
from tooluse_gym.tasks import TaskSource

RUN_NAME, EPISODES_NAME = "run.json", "episodes.jsonl"


@dataclass(frozen=True)
class Plan:
    """What is played. Two runs with equal plans can be compared entry by entry."""

    model: str
    benchmark: str
    mode: str
    categories: tuple[str, ...]
    samples: int = 1
    limit: int | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of all environments, over the categories' own."""

    @property
    def chosen(self) -> list[Category]:
        return find_benchmark(self.benchmark).choose(self.categories)


@dataclass(frozen=True)
class Share:
    """The entries of a category that a run has, and those of them that are still to be played."""

    category: Category
    tasks: TaskSource
    entries: Sequence[Entry]
    left: Sequence[Entry]


def begin(folder: Path, plan: Plan) -> Iterator[Share]:
    """What a run has to play: all of it in a new folder, what is missing in one that was begun.

    Raises:
        ResultError: the folder holds another run; the message names what differs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RUN_NAME
    if path.exists():
        _demand_same(path, read_plan(folder), plan)
    elif (folder / EPISODES_NAME).exists():
        raise ResultError(f"{folder / EPISODES_NAME} has no {RUN_NAME} beside it: name an empty folder with --out")
    else:
        whole = path.with_suffix(".part")
        whole.write_text(json.dumps(asdict(plan), indent=1) + "\n", encoding="utf-8")
        whole.replace(path)
    done = {one.entry for one in read_episodes(folder / EPISODES_NAME)}
    for category in plan.chosen:
        env = category.setting(plan.mode, **plan.options).make()
        entries = category.entries(env, plan.samples, plan.limit)
        yield Share(category, env.tasks, entries, [entry for entry in entries if entry not in done])


def play(folder: Path, plan: Plan, player: Player, share: Share, told: Callable[[Episode], None]) -> None:
    """Play what is left of a category; every episode is on the disk before ``told`` hears of it."""
    category = share.category
    setting = category.setting(plan.mode, **plan.options)
    tasks = share.tasks
    handed_on = category.chain.handed_on
    left: dict[Entry, Any] = {}
    if handed_on is not None:
        played = (one for one in read_episodes(folder / EPISODES_NAME) if one.category == category.name)
        left = {one.entry: one.report[handed_on] for one in played}
    with EpisodeFile(folder / EPISODES_NAME) as file:

        def finished(entry: Entry, played: Played) -> None:
            one = episode(entry, played, category, tasks[entry.task])
            file.write(one)
            if handed_on is not None:
                left[entry] = one.report[handed_on]
            told(one)

        def previous(entry: Entry) -> Entry | None:
            before = category.chain.before(tasks[entry.task])
            return entry._replace(task=before[-1]) if before else None

        def given(entry: Entry) -> Mapping[str, Any]:
            last = previous(entry)
            return {} if last is None or handed_on is None else {handed_on: left[last]}

        waiting = dict.fromkeys(share.left)
        while waiting:
            ready = [entry for entry in waiting if previous(entry) not in waiting]
            player.play(setting, ready, finished, given)
            for entry in ready:
                del waiting[entry]


def read_plan(folder: Path) -> Plan:
    """What the run in a folder plays.

    Raises:
        ResultError: there is none, or the file does not have its form.
    """
    path = folder / RUN_NAME
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return Plan(**{**record, "categories": tuple(record["categories"])})
    except FileNotFoundError as error:
        raise ResultError(f"{folder} holds no run: it has no {RUN_NAME}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ResultError(f"{path}: not a run ({error})") from error


def read_run(folder: Path) -> tuple[Plan, list[Episode]]:
    """What a run plays, and what it has played so far.

    Raises:
        ResultError: a file does not have its form, or an episode is of a category that the run does not have.
    """
    plan = read_plan(folder)
    names = {category.name for category in plan.chosen}
    episodes = list(read_episodes(folder / EPISODES_NAME))
    for one in episodes:
        if one.category not in names:
            raise ResultError(
                f"{folder / EPISODES_NAME}: task {one.task} is of category {one.category!r}, which is not the run's"
            )
    return plan, episodes


def tallies(episodes: Sequence[Episode], benchmark: Benchmark) -> dict[str, Tally]:
    """Right and total of every category that was played, in the benchmark's order; samples of a task share a weight."""
    samples: dict[tuple[str, str], int] = {}
    for one in episodes:
        samples[one.category, one.task] = samples.get((one.category, one.task), 0) + 1
    found: dict[str, Tally] = {}
    for name in benchmark.categories:
        mine = [(one, samples[name, one.task]) for one in episodes if one.category == name and one.total]
        if mine:
            found[name] = Tally(sum(one.right / k for one, k in mine), sum(one.total / k for one, k in mine))
    return found


def _demand_same(path: Path, begun: Plan, asked: Plan) -> None:
    old, new = (json.loads(json.dumps(asdict(plan))) for plan in (begun, asked))
    for name, value in old.items():
        if new[name] != value:
            raise ResultError(
                f"{path}: this run has {name}={value!r}, not {new[name]!r}; name another folder with --out"
            )
