"""The file of played episodes: one line each, written as it ends, never rewritten."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tooluse_gym import trajectory
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ToolUseError
from tooluse_gym.evaluation.benchmark import Category, Tally
from tooluse_gym.evaluation.setting import Entry, Setting
from tooluse_gym.json_lines import drop_torn_line
from tooluse_gym.outcome import Outcome, Played
from tooluse_gym.tasks import Task
from tooluse_gym.trajectory import Trajectory


class ResultError(ToolUseError):
    """A file of results does not have its form, or belongs to something else. The message names file and line."""


@dataclass(frozen=True)
class Episode:
    """A played entry, and what it counts.

    ``right`` of ``total`` is its part of the category's accuracy, ``measures`` likewise of what else is counted;
    ``turn_steps`` are the assistant messages of each turn that was played; ``needless`` are the calls beyond the ground
    truth's, turn by turn; ``truncated``: a reply or the conversation grew too long, or a turn had too many steps;
    ``report`` is what the environment has to say beyond the verdict.
    """

    category: str
    task: str
    sample: int
    base: str
    right: float
    total: float
    measures: Mapping[str, Tally]
    error_type: str | None
    reward: float
    reward_terms: dict[str, float]
    turn_steps: tuple[int, ...]
    calls: int
    needless: int
    truncated: bool
    report: Mapping[str, Any]
    trajectory: Trajectory

    @property
    def entry(self) -> Entry:
        return Entry(self.category, self.task, self.sample)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))


def episode(entry: Entry, played: Played, category: Category, task: Task) -> Episode:
    """What is kept of a played entry."""
    assert played.trajectory is not None
    verdict = played.trajectory.verdict
    right, total = category.score(played)
    return Episode(
        category=entry.category,
        task=entry.task,
        sample=entry.sample,
        base=category.base(entry.task),
        right=right,
        total=total,
        measures={name: measure(played) for name, measure in category.measures.items()},
        error_type="unfinished" if verdict is None else verdict.error_type,
        reward=played.reward,
        reward_terms=played.reward_terms,
        turn_steps=played.turn_steps,
        calls=played.calls,
        needless=needless_calls(played.turn_calls, task),
        truncated=played.truncated,
        report=played.report,
        trajectory=played.trajectory,
    )


def needless_calls(turn_calls: tuple[int, ...], task: Task) -> int:
    """Calls beyond the ground truth's number, in each turn that was played."""
    return sum(max(0, made - len(turn.calls)) for made, turn in zip(turn_calls, task.turns, strict=False))


def rescored(episodes: Iterable[Episode], categories: Mapping[str, Category]) -> Iterator[Episode]:
    """The episodes as their recorded replies are judged now.

    Raises:
        TrajectoryError: an environment answers them otherwise than it did.
    """
    made: dict[str, ToolUseEnv] = {}  # a benchmark's files are read once
    for one in episodes:
        record, category = one.trajectory, categories[one.category]
        setting = Setting(record.env or category.env_id, record.options)
        key = f"{setting.env_id} {json.dumps(setting.options)}"
        if key not in made:
            made[key] = setting.make()
        env = made[key]
        trajectory.begin(env, record)
        outcome = Outcome(env)
        outcome.truncated = one.truncated
        for _, reward, terminated, truncated, info in trajectory.follow(env, record):
            outcome.add(reward, terminated or truncated, truncated, info)
        yield episode(one.entry, Played(**outcome.fields(env)), category, env.task)


class EpisodeFile:
    """Appends episodes to a JSON Lines file; each is on the disk when :meth:`write` returns.

    A last line that a killed process left unfinished is dropped: its entry is played again.

    Raises:
        ResultError: another process is writing to the file.
    """

    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ResultError(f"{path}: another process plays this run; wait for it, or name another folder") from None
        drop_torn_line(path)

    def write(self, one: Episode) -> None:
        self._file.write(one.to_json() + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> EpisodeFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read_episodes(path: Path) -> Iterator[Episode]:
    """The episodes of a file, in the order they ended. An unfinished last line is passed over.

    Raises:
        ResultError: another line is no episode, or an entry occurs twice; the message names file and line.
    """
    if not path.exists():
        return
    seen: dict[Entry, int] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                return
            found = _episode(line, f"{path}:{number}")
            if found.entry in seen:
                raise ResultError(
                    f"{path}:{number}: {found.category} {found.task} (sample {found.sample}) stands in line "
                    f"{seen[found.entry]} already; delete one of the two"
                )
            seen[found.entry] = number
            yield found


def _episode(line: str, place: str) -> Episode:
    try:
        record: dict[str, Any] = json.loads(line)
        trajectory = Trajectory.from_record(record.pop("trajectory"), place)
        measures = {name: Tally(*tally) for name, tally in record.pop("measures").items()}
        turn_steps = tuple(record.pop("turn_steps"))
        return Episode(**record, measures=measures, turn_steps=turn_steps, trajectory=trajectory)
    except (ValueError, TypeError, KeyError, AttributeError, ToolUseError) as error:
        raise ResultError(
            f"{place}: not an episode ({error}); delete the line, and its entry is played again"
        ) from error
