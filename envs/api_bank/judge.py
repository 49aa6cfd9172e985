"""Judges of episodes: dialogues by the calls that were made, single calls by what was said.

Both count the gold calls that were made rightly, in both modes of scoring; which mode decides is the environment's
option.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tooluse_gym.formats import Call, Reply
from tooluse_gym.scoring import ReplyJudge, TurnGrade, Verdict, overall
from tooluse_gym.tasks import Task
from tooluse_gym.world import World

from .apis.base import Mode
from .calls import official_text
from .dialogues import ApiCall
from .level import Level
from .rouge import response_score
from .scorer import MODES, read_call
from .soft_match import parse_reply, soft_match
from .world import ApiWorld, Made

MOST_COMPARED = 64
"""Calls of the agent that are compared with one gold call, the latest first."""

Right = dict[Mode, int]


class DialogueJudge:
    """Judges a dialogue turn by turn.

    A gold call was made rightly if, by the end of its turn, the agent made a call that agrees with it; each of the
    agent's calls serves for one gold call. ``reference`` takes every call by itself, as the official evaluator does: in
    its own syntax, to fresh APIs. ``corrected`` looks at what the call came to in the episode. Other calls do not
    matter.
    """

    def __init__(self, task: Task, agent: ApiWorld, level: Level, scoring: Mode):
        self._task = task
        self.agent: World = agent
        self._world = agent
        self._level = level
        self._scoring = scoring
        self._said: list[Call] = []
        self._made = 0  # calls of the world that were taken over into _unused
        self._unused: list[Made] = []
        self._turn = 0
        self._failure: Verdict | None = None
        self.right: Right = dict.fromkeys(MODES, 0)
        self.gold_calls = 0
        self.answers: list[float] = []
        """ROUGE-L of every answer so far whose turn has one in the recording."""

    @property
    def shared(self) -> Sequence[object]:
        return (self._task,)

    def end_turn(self, steps: Sequence[Sequence[str]], replies: Sequence[Reply] = ()) -> TurnGrade:
        self._said += [call for reply in replies for call in reply.calls if call.error is None]
        self._unused += self._world.made[self._made :]
        self._made = len(self._world.made)
        gold = recorded_calls(self._task, self._turn)
        right: Right = {
            "reference": sum(self._take_said(call) for call in gold),
            "corrected": sum(self._take_made(call) for call in gold),
        }
        for mode in MODES:
            self.right[mode] += right[mode]
        self.gold_calls += len(gold)
        if (expected := self._task.turns[self._turn].response) is not None and replies:
            self.answers.append(response_score(replies[-1].response or "", expected))
        missing = len(gold) - right[self._scoring]
        error = None if not missing else "missing_call" if not any(steps) else "wrong_call"
        if error is not None and self._failure is None:
            self._failure = Verdict(False, error, self._turn)
        self._turn += 1
        return TurnGrade(error, not missing, right[self._scoring] / len(gold) if gold else 1.0)

    def _take_said(self, gold: ApiCall) -> bool:
        for call in _latest(self._said, gold.name):
            read = read_call(official_text(call.name, call.arguments), "reference")
            manager = self._level.manager("reference")
            if read is not None and self._level.judge(manager, read, gold, "reference").correct:
                _remove(self._said, call)
                return True
        return False

    def _take_made(self, gold: ApiCall) -> bool:
        for made in _latest(self._unused, gold.name):
            if self._level.agrees(gold.name, made.result, gold.result, "corrected"):
                _remove(self._unused, made)
                return True
        return False

    def verdict(self) -> Verdict:
        return overall(self._failure, self._turn, self._task)

    def report(self) -> dict[str, Any]:
        """What ``info`` tells at the end of an episode; calls of turns that were not reached count as not made."""
        total = self.gold_calls + sum(len(_recorded(self._task)[turn]) for turn in self._unreached())
        answers = sum(self._task.turns[turn].response is not None for turn in self._unreached()) + len(self.answers)
        return {
            "gold_calls": total,
            "accuracy": {mode: self.right[mode] / total if total else 1.0 for mode in MODES},
            "rouge_l": sum(self.answers) / answers if answers else 0.0,
            "searches": [list(match) for match in self._world.searches],
        }

    def _unreached(self) -> range:
        return range(self._turn, len(self._task.turns))


def _latest(calls: Sequence[Any], name: str) -> list[Any]:
    return [call for call in reversed(calls) if call.name == name][:MOST_COMPARED]


def _remove(calls: list[Any], found: object) -> None:
    calls[:] = [call for call in calls if call is not found]


def _recorded(task: Task) -> Sequence[Sequence[Mapping[str, Any]]]:
    recorded: Sequence[Sequence[Mapping[str, Any]]] = task.metadata["recorded"]
    return recorded


def recorded_calls(task: Task, turn: int) -> list[ApiCall]:
    """The gold calls of a turn, as they were recorded."""
    place = f"task {task.id!r}"
    return [ApiCall(call["name"], call["params"], call["result"], place) for call in _recorded(task)[turn]]


class CallJudge(ReplyJudge):
    """Judges a single call for a given beginning of a dialogue.

    ``reference`` is the soft match of ToolRL and ResT on the text of the reply, if it is in their format, and on its
    calls otherwise. ``corrected`` wants the name as well, and takes values that read the same as text for equal.
    """

    def __init__(self, task: Task, agent: World, scoring: Mode, official_format: bool):
        super().__init__(task, agent, self._judge)
        self._scoring = scoring
        self._official_format = official_format
        self.right: Right = dict.fromkeys(MODES, 0)

    def _judge(self, turn: int, reply: Reply) -> Verdict:
        (gold,) = self._task.turns[turn].calls
        calls = _plain_calls(reply)
        said = parse_reply(reply.text).calls if self._official_format else calls
        self.right = {
            "reference": int(soft_match(said, gold.name, gold.arguments)),
            "corrected": int(any(call["name"] == gold.name and _reads_as(call, gold) for call in calls)),
        }
        if self.right[self._scoring]:
            return Verdict(True)
        return Verdict(False, "wrong_call" if calls else "missing_call")

    @property
    def shared(self) -> Sequence[object]:
        return (self._task,)

    def report(self) -> dict[str, Any]:
        """What ``info`` tells at the end of an episode."""
        return {"gold_calls": 1, "accuracy": {mode: float(self.right[mode]) for mode in MODES}}


def _plain_calls(reply: Reply) -> list[dict[str, Any]]:
    return [{"name": call.name, "parameters": call.arguments} for call in reply.calls if call.error is None]


def _reads_as(call: Mapping[str, Any], gold: Call) -> bool:
    said: Mapping[str, Any] = call["parameters"]
    return said.keys() == gold.arguments.keys() and all(
        _text(value) == _text(gold.arguments[key]) for key, value in said.items()
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    try:
        return str(value)
    except (ValueError, RecursionError):  # an integer that is too long to print; nesting
        return ""
