"""The environment: an agent talks to simulated APIs over several turns.

A *turn* is one user request and everything until the agent hands back with a reply that makes no call. A *step* is one
assistant message, one ``env.step(text)``; in a single-step task it is a whole turn. Subclasses say which tool sets
there are, or how a task's world is built and judged; the rest is the same for all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from tooluse_gym import messages
from tooluse_gym.errors import ConfigurationError, TaskError
from tooluse_gym.formats import Call, Format, Reply, get_format
from tooluse_gym.messages import Message
from tooluse_gym.reuse import Prepared, Recent, ShownTools
from tooluse_gym.rewards import Rubric, StepOutcome, get_rubric
from tooluse_gym.scoring import Judge, Verdict, WorldJudge, play_ground_truth
from tooluse_gym.spaces import MessagesSpace, UnicodeText
from tooluse_gym.tasks import Task, TaskSource, Utterance
from tooluse_gym.tools import Tool, ToolSet
from tooluse_gym.trajectory import Step, Trajectory
from tooluse_gym.world import ToolResult, World

Observation = tuple[Message, ...]
Validation = Literal["strict", "official"]


_TASKS_REMEMBERED = 1_024  # what a group of rollouts, or another pass over a benchmark, comes back to
_REPLIES_REMEMBERED = 4_096
_LONGEST_REMEMBERED = 2_000  # characters of such a reply
_OPTIONS = ("task_id", "split", "prefix", "update")  # of reset
MAX_CALLS = 256
"""Calls of one reply that are carried out; those behind them are not. The longest ground-truth turn makes 34."""


@dataclass
class Episode:
    """Everything that changes while an episode runs; a deep copy of it is a snapshot."""

    task: Task
    judge: Judge
    prefix: int
    update: int
    shown: ShownTools
    turn: int = 0
    replies: tuple[Reply, ...] = ()  # of the current turn
    results: tuple[tuple[ToolResult, ...], ...] = ()  # of those steps of the current turn that made calls
    conversation: Observation = ()
    opening: Observation = ()
    steps: tuple[Step, ...] = ()
    tools_version: int = 1
    ended: bool = False
    truncated: bool = False
    verdict: Verdict | None = None
    given: Mapping[str, Any] = field(default_factory=dict)  # the benchmark's own options of reset

    def __deepcopy__(self, memo: dict[int, Any]) -> Episode:
        # Only the worlds inside the judge change in place; all else is immutable and shared.
        shared = {id(value): value for value in self.judge.shared}
        return replace(self, judge=copy.deepcopy(self.judge, memo | shared))


@dataclass(frozen=True)
class Snapshot:
    """An opaque copy of an episode, made by ``snapshot()``; may be restored any number of times."""

    _episode: Episode = field(repr=False)


class ToolUseEnv(gymnasium.Env[Observation, str]):
    """Base of all environments.

    * **Observation**: the tuple of chat messages that are new since the agent last spoke.
    * **Action**: the assistant's text in the reply format.
    * **Reward**: the rubric's; its parts are in ``info["reward_terms"]``.
    * **Terminated** when the last turn is handed back, **truncated** when a turn exceeds its step limit.
    * **info**: ``task_id``, ``turn``, ``step`` (index of the next step inside the turn), ``tools_version`` and, from
      ``reset`` and whenever that changes, ``tools`` (those visible from now on, OpenAI form; at any time the property
      of that name tells them), ``reward_terms``, ``failures`` (per call of the step, why it was not executed or None)
      and, once the episode is over, ``verdict`` (``valid``, ``error_type``, ``differing``, and for a failure its
      ``turn``).

    ``reset`` options: ``task_id``; or ``split`` to sample from; ``prefix``: start after that many ground-truth steps;
    ``update``: the number of the trainer's update, from 1, for rubrics that change with it.

    An environment is a subclass with ``toolsets``, the classes that tasks name; where building a world takes more than
    ``cls(**initial_state)``, it defines ``make_world`` instead; where the official scorer does not compare worlds, it
    defines ``make_judge``; where ``reset`` takes options of its own, it names them in ``own_options`` and says in
    ``vary`` what becomes of the task. They must be JSON data, and are part of the episode's record.

    Args:
        tasks: where tasks come from.
        format: reply format, by name or as an object.
        validation: ``strict`` checks every call against its schema and hides what the task hides; ``official``
            executes whatever the official program would have executed, and ends a turn on text it cannot decode.
        rubric: reward preset by name, or with its switches (:func:`~tooluse_gym.rewards.get_rubric`), or a
            :class:`~tooluse_gym.rewards.Rubric`.
        max_steps_per_turn: executed steps allowed in a turn; one more ends the episode (20 upstream).
        split: default split to sample from; None means the source's first.
        show_tools: begin with a system message that shows the tools and the reply format, and announce tools that
            appear later in the user's message. Switch it off where a chat template shows the tools.
        render_mode: None or ``ansi`` (``render()`` returns the conversation as text).
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 (Gymnasium's own form)
    toolsets: ClassVar[tuple[type[ToolSet], ...]] = ()
    own_options: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        tasks: TaskSource,
        *,
        format: str | Format = "hermes",
        validation: Validation = "strict",
        rubric: str | Mapping[str, Any] | Rubric = "dense",
        max_steps_per_turn: int = 20,
        split: str | None = None,
        show_tools: bool = True,
        render_mode: str | None = None,
    ):
        if validation not in ("strict", "official"):
            raise ConfigurationError(f"unknown validation {validation!r}; choose strict or official")
        if max_steps_per_turn < 1:
            raise ConfigurationError(f"max_steps_per_turn must be at least 1, got {max_steps_per_turn}")
        if render_mode not in (None, "ansi"):
            raise ConfigurationError(f"unknown render_mode {render_mode!r}; choose ansi or None")
        self.tasks = tasks
        self.format = get_format(format)
        self.validation = validation
        self.rubric = get_rubric(rubric)
        self.max_steps_per_turn = max_steps_per_turn
        self.split = tasks.splits[0] if split is None else self._known_split(split)
        self.show_tools = show_tools
        self.render_mode = render_mode
        self.observation_space = MessagesSpace()
        self.action_space = UnicodeText()
        self._episode: Episode | None = None
        self._prepared: Recent[Prepared] = Recent(_TASKS_REMEMBERED)
        self._shown_tools: Recent[ShownTools] = Recent(_TASKS_REMEMBERED)
        self._parse_again = lru_cache(_REPLIES_REMEMBERED)(self.format.parse)

    # What a benchmark says of itself

    def make_world(self, task: Task) -> World:
        """A fresh world of a task. What happens in it depends on the calls alone, and reaches no other world."""
        classes = {toolset.__name__: toolset for toolset in self.toolsets}
        for name in task.toolsets:
            if name not in classes:
                known = ", ".join(classes) or "none"
                raise TaskError(f"task {task.id!r} needs the tool set {name!r}; {type(self).__name__} has {known}")
        state = copy.deepcopy(dict(task.initial_state))  # tool sets may keep and change what they are given
        return World({name: classes[name](**state.get(name, {})) for name in task.toolsets})

    def vary(self, task: Task, given: Mapping[str, Any]) -> Task:
        """The task as those of ``own_options`` change it that ``reset`` was given (at least one)."""
        raise NotImplementedError

    def make_judge(self, task: Task) -> Judge:
        """The judge of a new episode, with the agent's world; the ground truth of a task is played once."""
        prepared = self._prepare(task)
        if prepared.truth is None:
            prepared.truth = play_ground_truth(task, self.make_world(task))
        return WorldJudge(task, self.make_world(task), prepared.truth, strict=self.validation == "strict")

    def shown_tools(self, task: Task, turn: int, world: World) -> tuple[Tool, ...]:
        """The tools the agent sees during ``turn``, in order. Depends on task, turn and ``world.found`` alone."""
        tools = world.tools
        names = task.visible(turn, tuple(tools))
        return tuple(tools[name] for name in dict.fromkeys((*names, *world.found)))

    def execute(self, world: World, call: Call, visible: Sequence[str]) -> ToolResult:
        """Carry out one call of the agent."""
        return world.call(call, visible)

    def report(self) -> dict[str, Any]:
        """What there is to say of the running episode beyond the verdict, as JSON data."""
        return {}

    # Gymnasium's interface

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        options = dict(options or {})
        own = {name: options.pop(name, None) for name in self.own_options}
        task, prefix, update = self._choose(options)
        given = {name: copy.deepcopy(value) for name, value in own.items() if value is not None}
        if given:
            task = self.vary(task, given)
        judge = self.make_judge(task)
        self._episode = episode = Episode(task, judge, prefix, update, self._shown(task, 0, judge.agent), given=given)
        self._open_turn()
        if prefix:
            for said in self.tasks.demonstrate(task, np.random.default_rng(0), noise=0.0)[:prefix]:
                self._advance(self.parse(self.write(said)))
            if episode.ended:
                raise ConfigurationError(
                    f"the ground truth of task {task.id!r} exceeds max_steps_per_turn={self.max_steps_per_turn} "
                    f"within its first {prefix} steps"
                )
        episode.opening = episode.conversation
        return _copies(episode.opening), {**self._info(self.rubric.zeros()), "tools": self.tools}

    def step(self, action: str) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        episode = self._running
        if episode.ended:
            raise ResetNeeded("the episode is over: call reset() before step()")
        if not isinstance(action, str):
            raise TypeError(f"an action is the assistant's text, got {type(action).__name__}")
        spoken, tools_version = len(episode.conversation) + 1, episode.tools_version
        outcome, results = self._advance(self.parse(action))
        observation = episode.conversation[spoken:]
        reward, terms = self.rubric(outcome)
        episode.steps += (Step(action, observation, reward, terms),)
        info = self._info(terms, results)
        if episode.tools_version != tools_version:
            info["tools"] = self.tools
        truncated = episode.ended and episode.truncated
        return _copies(observation), reward, episode.ended and not truncated, truncated, info

    def render(self) -> str | None:
        if self.render_mode is None:
            return None
        return messages.render(self._running.conversation)

    # Beyond Gymnasium

    @property
    def task(self) -> Task:
        """The running episode's task."""
        return self._running.task

    @property
    def tools(self) -> tuple[dict[str, Any], ...]:
        """The tools visible now, in OpenAI form."""
        return self._running.shown.openai()

    @property
    def visible_tools(self) -> tuple[Tool, ...]:
        """The same tools as objects."""
        return self._running.shown.tools

    @property
    def conversation(self) -> Observation:
        """Every message of the episode so far, the agent's included."""
        return _copies(self._running.conversation)

    def snapshot(self) -> Snapshot:
        """An exact copy of the episode. The random generator, which only ``reset`` draws from, is not part of it."""
        return Snapshot(copy.deepcopy(self._running))

    def restore(self, snapshot: Snapshot) -> None:
        """Continue from ``snapshot``, which stays as it is."""
        self._episode = copy.deepcopy(snapshot._episode)

    def parse(self, text: str) -> Reply:
        """What ``step`` reads in an action: calls, and what each character is. Any text can be parsed."""
        return (self._parse_again if len(text) <= _LONGEST_REMEMBERED else self.format.parse)(text)

    def write(self, said: Utterance) -> str:
        """An action that says this, in the environment's reply format."""
        return self.format.write(said.calls, said.think, said.response)

    def demonstrate(self, *, seed: int, noise: float = 0.0, options: dict[str, Any] | None = None) -> Trajectory:
        """Play a demonstration of a sampled (or, by ``options``, chosen) task; ``noise`` is how often it errs.

        Where an erring demonstration stops short, the record is of an unfinished episode.
        """
        self.reset(seed=seed, options=options)
        prefix = self._running.prefix
        if noise and prefix:
            raise ConfigurationError("a noisy demonstration takes other steps than the ground truth; use prefix=0")
        rng = np.random.default_rng([seed, 1])
        for said in self.tasks.demonstrate(self.task, rng, noise)[prefix:]:
            if self._running.ended:
                break
            self.step(self.write(said))
        return self.trajectory()

    def trajectory(self) -> Trajectory:
        """The episode so far, ready to be saved, replayed and re-scored."""
        episode = self._running
        return Trajectory(
            env=None if self.spec is None else self.spec.id,
            options={} if self.spec is None else dict(self.spec.kwargs),
            task=episode.task.id,
            prefix=episode.prefix,
            opening=episode.opening,
            steps=episode.steps,
            verdict=episode.verdict,
            update=episode.update,
            given=dict(episode.given),
        )

    # How an episode goes on

    def _advance(self, reply: Reply) -> tuple[StepOutcome, tuple[ToolResult, ...]]:
        """Play one assistant message; the outcome, and the results of its calls."""
        episode = self._running
        episode.conversation += (messages.assistant(reply.text),)
        episode.replies += (reply,)
        undecodable = self.validation == "official" and any(call.error is not None for call in reply.calls)
        calls = () if undecodable else reply.calls[:MAX_CALLS]
        results = tuple([self.execute(episode.judge.agent, call, episode.shown.names) for call in calls])
        if calls:
            episode.results += (results,)
            episode.conversation += self.format.results(calls, [result.text for result in results])
            self._show(self._shown(episode.task, episode.turn, episode.judge.agent))
        episode.truncated = len(episode.results) > self.max_steps_per_turn
        last_turn = episode.turn == len(episode.task.turns) - 1
        grade = None
        if not calls or episode.task.single_step or (episode.truncated and last_turn):
            texts = [[result.text for result in step] for step in episode.results]
            grade = episode.judge.end_turn(texts, episode.replies)
        episode.ended = episode.truncated or (grade is not None and last_turn)
        if episode.ended:
            episode.verdict = episode.judge.verdict()
        outcome = StepOutcome(
            task=episode.task,
            turn=episode.turn,
            replies=episode.replies,
            results=episode.results,
            grade=grade,
            verdict=episode.verdict,
            update=episode.update,
        )
        if grade is not None and not episode.ended:
            episode.turn += 1
            episode.replies, episode.results = (), ()
            self._open_turn()
        return outcome, results

    def _open_turn(self) -> None:
        """Say the turn's opening messages, which with ``show_tools`` also tell of tools that became visible."""
        episode = self._running
        before, shown = episode.shown, self._shown(episode.task, episode.turn, episode.judge.agent)
        self._show(shown)
        openings = self._prepare(episode.task).openings
        if episode.turn not in openings:
            openings[episode.turn] = self._opening(episode.task.turns[episode.turn].messages, before, shown)
        episode.conversation += openings[episode.turn]

    def _show(self, shown: ShownTools) -> None:
        """From now on the agent sees these tools."""
        episode = self._running
        if shown.tools != episode.shown.tools:
            episode.shown, episode.tools_version = shown, episode.tools_version + 1

    def _opening(self, said: Observation, before: ShownTools, shown: ShownTools) -> Observation:
        if self.show_tools and self._running.turn == 0:
            return _preceded(messages.system(shown.system_prompt), said)
        if self.show_tools and shown.names != before.names:
            return self._announced([tool for tool in shown.tools if tool.name not in before.names], said)
        return said

    def _announced(self, tools: Sequence[Tool], said: Observation) -> Observation:
        if said and said[0]["role"] == "user":
            return ({**said[0], "content": self.format.announce(tools, said[0]["content"])}, *said[1:])
        return (messages.user(self.format.announce(tools, "")), *said)

    def _prepare(self, task: Task) -> Prepared:
        return self._prepared.get(id(task), lambda: Prepared(task))  # which keeps the task, and so its identity

    def _shown(self, task: Task, turn: int, world: World) -> ShownTools:
        shown = self._prepare(task).shown
        if world.found or turn not in shown:
            tools = self.shown_tools(task, turn, world)
            made = self._shown_tools.get(tuple(map(id, tools)), lambda: ShownTools(tools, self.format))
            if world.found:  # what agents find differs from one to the next
                return made
            shown[turn] = made
        return shown[turn]

    def _info(self, terms: dict[str, float], results: Sequence[ToolResult] = ()) -> dict[str, Any]:
        episode = self._running
        info: dict[str, Any] = {
            "task_id": episode.task.id,
            "turn": episode.turn,
            "step": len(episode.replies),
            "tools_version": episode.tools_version,
            "reward_terms": dict(terms),
            "failures": tuple(result.failure for result in results),
        }
        if episode.verdict is not None:
            info["verdict"] = episode.verdict.record()
        return info

    @property
    def _running(self) -> Episode:
        if self._episode is None:
            raise ResetNeeded("no episode was begun: call reset() first")
        return self._episode

    def _choose(self, options: dict[str, Any]) -> tuple[Task, int, int]:
        """Task, prefix and update that ``reset`` was asked for."""
        task_id, split, prefix, update = (options.pop(key, None) for key in _OPTIONS)
        if options:
            known = ", ".join((*_OPTIONS, *self.own_options))
            raise ConfigurationError(f"unknown reset option {next(iter(options))!r}; known: {known}")
        if task_id is None:
            task = self.tasks.sample(self.np_random, self.split if split is None else self._known_split(split))
        else:
            try:
                task = self.tasks[task_id]
            except KeyError:
                raise ConfigurationError(f"no task has the id {task_id!r}") from None
        prefix = 0 if prefix is None else prefix
        if not isinstance(prefix, (int, np.integer)) or not 0 <= prefix < task.gold_steps:
            raise ConfigurationError(f"prefix must be 0 to {task.gold_steps - 1} in task {task.id!r}, got {prefix!r}")
        update = 1 if update is None else update
        if not isinstance(update, (int, np.integer)) or update < 1:
            raise ConfigurationError(f"update must be a whole number from 1, got {update!r}")
        return task, int(prefix), int(update)

    def _known_split(self, split: str) -> str:
        if split not in self.tasks.splits:
            raise ConfigurationError(f"unknown split {split!r}; choose one of {', '.join(self.tasks.splits)}")
        return split


def inside(env: gymnasium.Env[Any, Any], who: str) -> ToolUseEnv:
    """The environment inside its wrappers; TypeError, which says ``who`` needs it, if it is another one."""
    inner = env.unwrapped
    if not isinstance(inner, ToolUseEnv):
        raise TypeError(f"{who} needs a ToolUseEnv, got {type(inner).__name__}")
    return inner


def _copies(said: Iterable[Message]) -> Observation:
    # What the caller does to an observation must not reach the record.
    return tuple(dict(message) for message in said)


def _preceded(message: Message, said: Observation) -> Observation:
    """``message``, then ``said``; merged where the roles are the same, as chat templates want them to alternate."""
    if not said or said[0]["role"] != message["role"]:
        return (message, *said)
    return ({**said[0], "content": f"{message['content']}\n\n{said[0]['content']}"}, *said[1:])
