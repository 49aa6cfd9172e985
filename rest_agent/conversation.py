"""An episode as token ids: what the policy says and hears in an environment. It imports no DeepSpeed.

A token's loss mask and region are decided where the token is appended, and never derived again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from rest_agent.batch import Rollout
from rest_agent.sampling.decode import Answer
from rest_agent.segments import Transcript
from rest_agent.workers import Job, Workers
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.outcome import Outcome
from tooluse_gym.tasks import Utterance


class EnvironmentFailed(Exception):  # noqa: N818 (it says what happened)
    """An environment raised an exception in a step, or took too long for it."""


class Conversation:
    """An episode, as the decode loop's speaker.

    Args:
        env: at the beginning of an episode.
        transcript: an empty one.
        workers: who steps the environment; by default, whoever calls ``spoke``.
        history: ``sampled`` or ``template``, as in the configuration of rollouts.
        steps: replies after which it is over; None: when the episode is.
    """

    def __init__(
        self,
        env: ToolUseEnv,
        transcript: Transcript,
        workers: Workers | None = None,
        history: Literal["sampled", "template"] = "sampled",
        steps: int | None = None,
    ):
        self.env = env
        self.transcript = transcript
        self.prompt = transcript.chat.opening(env.conversation, env.tools)
        transcript.hear(self.prompt)
        self._workers = Workers(0) if workers is None else workers
        self._history = history
        self._steps_left = steps
        self._job: Job | None = None
        self._shown = env.tools
        self._end: int | None = None
        self._outcome = Outcome(env)

    def spoke(self, ids: list[int], log_probs: list[float]) -> None:
        chat = self.transcript.chat
        text = self.transcript.say(ids, log_probs, self._outcome.turn, self.env.parse)
        self._end = ids[-1] if ids[-1] in chat.end_ids else None
        self._job = self._workers.submit(lambda: self.env.step(text))

    def answer(self) -> Answer | None:
        """What follows the reply; None: the environment is still at work.

        Raises:
            EnvironmentFailed: in this step.
        """
        assert self._job is not None, "answer() before spoke()"
        try:
            if not self._workers.ready(self._job):
                return None
            observation, reward, terminated, truncated, info = self._job.result()
        except Exception as error:
            raise EnvironmentFailed(f"{type(error).__name__}: {error}") from error
        over = terminated or truncated
        if self._steps_left is not None:
            self._steps_left -= 1
            over |= self._steps_left == 0
        self._outcome.add(reward, over, truncated or self._end is None, info)
        if over:
            return Answer(over=True)
        shown = info.get("tools", self._shown)
        new = [tool for tool in shown if tool not in self._shown]
        self._shown = shown
        chat = self.transcript.chat
        if self._history == "template":
            keep, heard = self.transcript.retell(chat.opening(self.env.conversation, shown))
            return Answer(heard, keep)
        heard = [*([] if self._end == chat.end_id else [chat.end_id]), *chat.continuation(observation, new)]
        self.transcript.hear(heard)
        return Answer(heard)

    def imitate(self, said: Iterable[Utterance]) -> Rollout:
        """Play what a demonstrator says, as long as the episode lasts: his tokens are those to be learned."""
        for utterance in said:
            ids = self.transcript.chat.reply(self.env.write(utterance))
            self.spoke(ids, [0.0] * len(ids))
            answer = self.answer()
            if answer is None or answer.over:
                break
        self.transcript.forget_unanswered()
        return self.rollout()

    def cut(self, ids: list[int], log_probs: list[float]) -> None:
        self._outcome.truncated = True
        if ids:
            self.transcript.say(ids, log_probs, self._outcome.turn, self.env.parse)
        self.transcript.forget_unanswered()

    def leave_out(self, max_tokens: int) -> None:
        """Do not play: the opening is too long."""
        self._outcome.truncated = True
        self.transcript.keep(max_tokens)

    def rollout(self) -> Rollout:
        return self.transcript.rollout(**self._outcome.fields(self.env))
