"""Is an accepted answer in what was said? The rules are those of BFCL's agentic checker.

The answer is the last reply that makes no call. It is right if one of the accepted answers occurs in it, between two
word boundaries, once both are in lower case and rid of some punctuation. Upstream does not grade the conversations
beforehand; where a task says what they should leave in memory, that is looked for in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tooluse_gym.envs.bfcl.memory.context import text_of
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Reply, get_format
from tooluse_gym.scoring import TurnGrade, Verdict, overall
from tooluse_gym.tasks import Task
from tooluse_gym.world import World

PREFIX = "agentic:"
_PUNCTUATION = re.compile(r"[,./\-_*^()]")


def found(answers: Iterable[str], text: str) -> bool:
    """Whether one of the ``answers`` occurs in ``text``."""
    said = _standard(text)
    return any(re.search(rf"\b{re.escape(_standard(answer))}\b", said) for answer in answers)


def _standard(text: str) -> str:
    return _PUNCTUATION.sub("", text).lower().replace("'", '"')


def score_answer(task: Task, replies: str | Sequence[Sequence[str]]) -> Verdict:
    """The official verdict on the raw replies ``replies[turn][step]`` to a question, in the pythonic format.

    A plain text instead of a list is an inference error that upstream recorded. Error types carry upstream's prefix
    ``agentic:``.

    Raises:
        ConfigurationError: the task asks for no answer; conversations that come before the questions are not graded.
    """
    if "answers" not in task.metadata:
        raise ConfigurationError(f"task {task.id!r} is no question: nothing in it is graded")
    if isinstance(replies, str) or len(replies) != 1:
        return Verdict(False, f"{PREFIX}inference_error", 0)
    parse = get_format("pythonic").parse
    texts = [reply for reply in replies[0] if not parse(reply).calls]
    error = _error(task, texts[-1] if texts else "")
    return Verdict(True) if error is None else Verdict(False, PREFIX + error, 0)


def _error(task: Task, answer: str) -> str | None:
    if not answer:
        return "no_last_message"
    return None if found(task.metadata["answers"], answer) else "answer_not_found"


class MemoryJudge:
    """Grades a question by its answer, and a conversation by what it leaves in memory, if the task says what.

    Args:
        task: what is graded.
        agent: the agent's world.
        whole_reply: look for the answer in all of the reply, as upstream does; else in what it says to the user.
    """

    def __init__(self, task: Task, agent: World, whole_reply: bool):
        self._task = task
        self.agent = agent
        self._whole_reply = whole_reply
        self._turn = 0
        self._failure: Verdict | None = None

    @property
    def shared(self) -> Sequence[object]:
        return (self._task,)

    def end_turn(self, steps: Sequence[Sequence[str]], replies: Sequence[Reply] = ()) -> TurnGrade:
        if "answers" in self._task.metadata:
            error = _error(self._task, self._answer(replies))
            share = float(error is None)
        else:
            share = self._kept()
            error = None if share == 1 else "not_remembered"
        if error is not None and self._failure is None:
            self._failure = Verdict(False, error, self._turn)
        self._turn += 1
        return TurnGrade(error, error is None, share)

    def _answer(self, replies: Sequence[Reply]) -> str:
        if not replies or any(call.error is None for call in replies[-1].calls):
            return ""  # stopped while it was still calling
        return replies[-1].text if self._whole_reply else replies[-1].response or ""

    def _kept(self) -> float:
        """The share of the turn's facts that are in memory when it ends."""
        if "keep" not in self._task.metadata:
            return 1.0
        keep = self._task.metadata["keep"][self._turn]
        text = text_of(self.agent, self._task.metadata["backend"])
        return sum(found([fact], text) for fact in keep) / len(keep)

    def verdict(self) -> Verdict:
        return overall(self._failure, self._turn, self._task)
