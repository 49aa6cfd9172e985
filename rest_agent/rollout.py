"""Rollouts: episodes as token ids. The ids that are sampled are the ids that are trained on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from statistics import fmean
from typing import Any

import numpy as np

from rest_agent.batch import Rollout
from rest_agent.chat import Chat
from rest_agent.config import ConfigError, EnvironmentConfig, RolloutConfig
from rest_agent.conversation import Conversation, EnvironmentFailed
from rest_agent.engine import threads_for_decoding
from rest_agent.environments import Environments, Start
from rest_agent.regions import TokenText
from rest_agent.sampling.decode import Answer, Sampling, decode
from rest_agent.sampling.replies import ReplyEngine, converse
from rest_agent.segments import Transcript
from rest_agent.workers import Workers
from tooluse_gym.formats import get_format

_LOG = logging.getLogger(__name__)


class Episode:
    """A conversation that survives its environment: if that fails, it begins again in a new one, once.

    Played over or lost, it holds nothing but its rollout; the environment goes back to the arena.
    """

    def __init__(self, arena: Arena, start: Start, finished: Callable[[Rollout], None] | None = None):
        self._arena = arena
        self._start = start
        self._finished = finished
        self._tries = 1
        self._conversation: Conversation | None = arena.begin(start)
        self.prompt = self._conversation.prompt
        self.rollout: Rollout | None = None

    def spoke(self, ids: list[int], log_probs: list[float]) -> None:
        self._running.spoke(ids, log_probs)

    def answer(self) -> Answer | None:
        try:
            answer = self._running.answer()
        except EnvironmentFailed as error:
            return self._failed(error)
        if answer is not None and answer.over:
            self._finish()
        return answer

    def cut(self, ids: list[int], log_probs: list[float]) -> None:
        self._running.cut(ids, log_probs)
        self._finish()

    def leave_out(self, max_tokens: int) -> None:
        """Do not play: the opening is too long."""
        self._running.leave_out(max_tokens)
        self._finish()

    @property
    def _running(self) -> Conversation:
        assert self._conversation is not None, "the episode is over"
        return self._conversation

    def _finish(self) -> None:
        self.rollout = self._running.rollout()
        self._arena.give_back(self._running.env)
        self._conversation = None
        if self._finished is not None:
            self._finished(self.rollout)

    def _failed(self, error: EnvironmentFailed) -> Answer:
        # The environment is not used again: nobody knows its state, and a thread may still be at work in it.
        task = self._start.task.id
        if self._tries < 2:
            self._tries += 1
            _LOG.warning("the environment failed in an episode of task %s, which begins again: %s", task, error)
            self._conversation = self._arena.begin(self._start, fresh=True)
            return Answer(again=True)
        _LOG.warning("the environment failed again, and a rollout of task %s is lost: %s", task, error)
        env, transcript = self._running.env, self._arena.transcript()
        transcript.hear(self.prompt)
        self.rollout = transcript.rollout(reward=0.0, reward_terms=env.rubric.zeros(), task_id=task, lost=True)
        self._conversation = None
        return Answer(over=True)


class Arena(Environments):
    """Where a model plays: environments, and how what is said in them becomes token ids."""

    def __init__(self, config: EnvironmentConfig, chat: Chat, text_of: TokenText, rollout: RolloutConfig | None = None):
        super().__init__(config)
        self.chat = chat
        self.text_of = text_of
        self._rollout = RolloutConfig() if rollout is None else rollout
        self._workers = Workers(self._rollout.workers, self._rollout.step_seconds)
        if chat.reply_prefix and get_format(config.format).parse(f"{chat.reply_prefix}\n</think>\nhi").think is None:
            raise ConfigError(
                f"environment.format: {config.format} has no place for the thought that the model's chat template "
                "opens; use hermes or toolrl, or switch thinking off in model.template_variables"
            )

    def rollouts(
        self,
        model: Any,
        starts: Iterable[Start],
        sampling: Sampling,
        seed: int,
        finished: Callable[[int, Rollout], None] | None = None,
    ) -> list[Rollout]:
        """One rollout of ``model`` from each starting point, in their order. Equal seeds give equal rollouts.

        Args:
            model: a Hugging Face model, or an engine that replies.
            starts: asked for one by one, as there is room for them.
            finished: told of each rollout as it ends, by its place in the order.

        Raises:
            ConfigError: every opening is too long.
            EnvironmentFailed: no episode could be played to its end.
        """
        episodes: list[Episode] = []
        speakers = self._speakers(starts, sampling.max_tokens, episodes, finished)
        if isinstance(model, ReplyEngine):
            converse(model, speakers, sampling, self.chat.end_ids, seed)
        else:
            with threads_for_decoding(model):
                decode(model, speakers, sampling, self.chat.end_ids, self.chat.tokenizer.pad_token_id, seed)
        played = [episode.rollout for episode in episodes if episode.rollout is not None]
        if played and all(rollout.lost for rollout in played):
            raise EnvironmentFailed(f"all {len(played)} episodes were lost: the log tells the failures")
        if played and not any(rollout.loss_mask.any() for rollout in played):
            raise ConfigError(
                f"rl.max_tokens: the openings of all {len(played)} episodes have {sampling.max_tokens} tokens or more; "
                "raise it above theirs (a long list of tools makes long openings)"
            )
        return played

    def _speakers(
        self,
        starts: Iterable[Start],
        max_tokens: int,
        episodes: list[Episode],
        finished: Callable[[int, Rollout], None] | None,
    ) -> Iterator[Episode]:
        """The episodes to be played, begun when they are asked for; all of them end up in ``episodes``."""
        for number, start in enumerate(starts):
            episode = Episode(self, start, None if finished is None else partial(finished, number))
            episodes.append(episode)
            if len(episode.prompt) < max_tokens:
                yield episode
            else:
                episode.leave_out(max_tokens)

    def begin(self, start: Start, fresh: bool = False) -> Conversation:
        """The first moment of an episode; in a ``fresh`` environment if wanted."""
        env, history = self.take(start, fresh), self._rollout.history
        return Conversation(env, self.transcript(), self._workers, history, start.steps)

    def demonstration(self, seed: int, noise: float) -> Rollout:
        """A demonstration of a training task as a rollout: the demonstrator's tokens are those to be learned."""
        env = self.env
        env.reset(seed=seed, options={"split": self.config.train_split})
        conversation = Conversation(env, self.transcript(), history=self._rollout.history)
        return conversation.imitate(env.tasks.demonstrate(env.task, np.random.default_rng([seed, 1]), noise))

    def transcript(self) -> Transcript:
        """An empty one."""
        return Transcript(self.chat, self.text_of)


def reward_truncated(rollouts: Sequence[Rollout], reward: float | None) -> list[Rollout]:
    """``rollouts`` in which truncated ones earned ``reward`` and nothing else; None: as the environment gave.

    Every rollout gets a reward term ``truncated``, so that all of them have the same.
    """
    if reward is None:
        return list(rollouts)
    judged = []
    for rollout in rollouts:
        terms, turns = dict(rollout.reward_terms), rollout.turn_rewards
        if rollout.truncated:
            terms, turns = dict.fromkeys(terms, 0.0), (*(0.0 for _ in turns[1:]), reward)
        terms["truncated"] = reward if rollout.truncated else 0.0
        total = reward if rollout.truncated else rollout.reward
        judged.append(replace(rollout, reward=total, reward_terms=terms, turn_rewards=turns))
    return judged


def fill_in_lost(rollouts: Sequence[Rollout], group: int) -> list[Rollout]:
    """``rollouts``, in groups side by side, in which a lost one earned the mean of the others of its group.

    So it leaves the group's mean as it is. It adds nothing to the sum of squares either, but one to the number of
    rollouts: advantages that are divided by the standard deviation come out sqrt((G - 1) / (G - 1 - lost)) times as
    large as without it.
    """
    filled = list(rollouts)
    for first in range(0, len(filled), group):
        known = [rollout for rollout in filled[first : first + group] if not rollout.lost]
        for row in range(first, min(first + group, len(filled))):
            if filled[row].lost and known:
                filled[row] = replace(
                    filled[row],
                    reward=_mean([rollout.reward for rollout in known]),
                    reward_terms={
                        name: _mean([rollout.reward_terms.get(name, 0.0) for rollout in known])
                        for name in known[0].reward_terms
                    },
                    turn_rewards=tuple(
                        _mean(earned) for earned in zip_longest(*(r.turn_rewards for r in known), fillvalue=0.0)
                    ),
                )
    return filled


def _mean(values: Sequence[float]) -> float:
    return values[0] if len(set(values)) == 1 else fmean(values)
