"""Trajectories: the record of an episode. Saved as JSON Lines, replayed in the environment, scored again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gymnasium

from tooluse_gym.errors import TrajectoryError
from tooluse_gym.messages import Message, assistant
from tooluse_gym.scoring import Verdict


@dataclass(frozen=True)
class Step:
    """One assistant message and what it brought: ``observation`` holds the messages that followed it."""

    action: str
    observation: tuple[Message, ...]
    reward: float
    reward_terms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Trajectory:
    """An episode of ``gymnasium.make(env, **options)`` on ``task``, started after ``prefix`` ground-truth steps.

    ``opening`` is the first observation; ``verdict`` is None while the episode was not over. ``update`` is what a
    rubric that changes over training went by, ``given`` what the benchmark's own options of ``reset`` were.
    """

    env: str | None
    options: dict[str, Any]
    task: str
    prefix: int
    opening: tuple[Message, ...]
    steps: tuple[Step, ...]
    verdict: Verdict | None = None
    update: int = 1
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def reward(self) -> float:
        """The sum of the steps' rewards."""
        return math.fsum(step.reward for step in self.steps)

    @property
    def conversation(self) -> tuple[Message, ...]:
        """Every message in order."""
        said = [message for step in self.steps for message in (assistant(step.action), *step.observation)]
        return (*self.opening, *said)

    def to_json(self) -> str:
        """One line of JSON.

        Raises:
            TrajectoryError: the environment was made with an option that JSON cannot hold, such as a rubric object.
        """
        try:
            return json.dumps(asdict(self))
        except TypeError as error:
            raise TrajectoryError(f"an option of {self.env} cannot be saved ({error}); use presets by name") from error

    @classmethod
    def from_json(cls, line: str, place: str = "trajectory") -> Trajectory:
        """Read what :meth:`to_json` wrote.

        Raises:
            TrajectoryError: the line is not JSON or lacks a field; the message begins with ``place``.
        """
        try:
            record = json.loads(line)
        except ValueError as error:
            raise TrajectoryError(f"{place}: not a trajectory ({type(error).__name__}: {error})") from error
        return cls.from_record(record, place)

    @classmethod
    def from_record(cls, record: Any, place: str = "trajectory") -> Trajectory:
        """As :meth:`from_json`, of JSON that was parsed already; changes nothing in it."""
        try:
            record = dict(record)
            steps = tuple(Step(**{**step, "observation": tuple(step["observation"])}) for step in record.pop("steps"))
            verdict = record.pop("verdict")
            opening = tuple(record.pop("opening"))
            return cls(**record, opening=opening, steps=steps, verdict=None if verdict is None else Verdict(**verdict))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TrajectoryError(f"{place}: not a trajectory ({type(error).__name__}: {error})") from error


def save(path: str | Path, trajectories: Iterable[Trajectory]) -> None:
    """Append ``trajectories`` to a JSON Lines file."""
    with open(path, "a", encoding="utf-8") as file:
        for trajectory in trajectories:
            file.write(trajectory.to_json() + "\n")


def load(path: str | Path) -> Iterator[Trajectory]:
    """Read a JSON Lines file, skipping empty lines; a bad line raises TrajectoryError with file and line."""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield Trajectory.from_json(line, f"{path}:{number}")


def replay(trajectory: Trajectory, *, verify: bool = True, **options: Any) -> Trajectory:
    """Play the recorded replies again and return the new record.

    ``options`` override those the environment was made with: ``rubric="official"`` scores an episode again under
    another reward.

    Raises:
        TrajectoryError: with ``verify``, an observation differs from the recorded one.
    """
    if trajectory.env is None:
        raise TrajectoryError("the trajectory names no environment: it was recorded without gymnasium.make")
    env = gymnasium.make(trajectory.env, **{**trajectory.options, **options})
    try:
        begin(env, trajectory, verify=verify)
        for _ in follow(env, trajectory, verify=verify):
            pass
        record: Trajectory = env.unwrapped.trajectory()  # type: ignore[attr-defined]
    finally:
        env.close()
    return record


def begin(env: gymnasium.Env[Any, str], trajectory: Trajectory, *, verify: bool = True) -> None:
    """Reset ``env`` to where the record begins. Raises as :func:`replay` does."""
    start = {"task_id": trajectory.task, "prefix": trajectory.prefix, "update": trajectory.update}
    observation, _ = env.reset(options={**start, **trajectory.given})
    _compare(verify, trajectory, "opening", observation, trajectory.opening)


def follow(env: gymnasium.Env[Any, str], trajectory: Trajectory, *, verify: bool = True) -> Iterator[tuple[Any, ...]]:
    """Play the recorded replies in ``env``, which has begun; what each step returns. Raises as :func:`replay` does."""
    for number, step in enumerate(trajectory.steps):
        returned = env.step(step.action)
        _compare(verify, trajectory, f"observation after step {number}", returned[0], step.observation)
        yield returned


def _compare(verify: bool, trajectory: Trajectory, what: str, found: object, recorded: object) -> None:
    if verify and found != recorded:
        raise TrajectoryError(f"task {trajectory.task}: the {what} is not the recorded one")
