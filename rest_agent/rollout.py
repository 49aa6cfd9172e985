"""Rollouts: episodes as token ids. The ids that are sampled are the ids that are trained on.

A token's loss mask and region are decided where the token is appended, and never derived again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
import torch

from rest_agent.batch import Rollout
from rest_agent.chat import Chat
from rest_agent.config import ConfigError, EnvironmentConfig
from rest_agent.engine import threads_for_decoding
from rest_agent.regions import Region, TokenText, token_regions
from rest_agent.sampling.decode import Sampling, decode
from tooluse_gym.env import Snapshot, ToolUseEnv
from tooluse_gym.errors import ToolUseError
from tooluse_gym.formats import get_format
from tooluse_gym.tasks import Task, TaskList


@dataclass
class Transcript:
    """Token ids of one conversation with loss mask, log-probability, region and turn of each, in parallel lists."""

    chat: Chat
    text_of: TokenText
    format: Any
    ids: list[int] = field(default_factory=list)
    sampled: list[bool] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    regions: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)

    def hear(self, ids: Sequence[int]) -> None:
        """Append tokens that the policy did not choose."""
        self.ids += ids
        self.sampled += [False] * len(ids)
        self.log_probs += [0.0] * len(ids)
        self.regions += [int(Region.NONE)] * len(ids)
        self.turns += [-1] * len(ids)

    def say(self, ids: Sequence[int], log_probs: Sequence[float], turn: int) -> str:
        """Append a reply of the policy, token by token as it was sampled; its text, without the end token."""
        ended = bool(ids) and ids[-1] == self.chat.end_id
        spoken = ids[:-1] if ended else ids
        text, intervals = self.text_of.read(spoken)
        prefix = self.chat.reply_prefix
        segments = self.format.parse(prefix + text).segments
        regions = token_regions(segments, intervals + len(prefix))
        self.ids += ids
        self.sampled += [True] * len(ids)
        self.log_probs += log_probs
        self.regions += [*regions.tolist(), *([int(Region.END)] if ended else [])]
        self.turns += [turn] * len(ids)
        return prefix + text

    def forget_unanswered(self) -> None:
        """Drop what was heard after the policy's last token: nobody will answer it."""
        self.keep(len(self.sampled) - self.sampled[::-1].index(True) if True in self.sampled else len(self.ids))

    def keep(self, count: int) -> None:
        """Drop all but the first ``count`` tokens."""
        for stream in (self.ids, self.sampled, self.log_probs, self.regions, self.turns):
            del stream[count:]

    def rollout(self, **outcome: Any) -> Rollout:
        """The record so far, with what the environment said of it."""
        return Rollout(
            token_ids=torch.tensor(self.ids, dtype=torch.int64),
            loss_mask=torch.tensor(self.sampled, dtype=torch.bool),
            log_probs=torch.tensor(self.log_probs, dtype=torch.float32),
            regions=torch.tensor(self.regions, dtype=torch.int8),
            turns=torch.tensor(self.turns, dtype=torch.int8),
            **outcome,
        )


class Conversation:
    """An episode, as the decode loop's speaker."""

    def __init__(self, env: ToolUseEnv, transcript: Transcript):
        self.env = env
        self.transcript = transcript
        self.prompt = transcript.chat.opening(env.conversation, env.tools)
        transcript.hear(self.prompt)
        self._shown = env.tools
        self._truncated = False
        self._reward_terms = env.rubric.zeros()
        self._turn_rewards = [0.0]
        self._calls = 0

    def spoke(self, ids: list[int], log_probs: list[float]) -> list[int] | None:
        chat = self.transcript.chat
        text = self.transcript.say(ids, log_probs, self._turn)
        ended = ids[-1] == chat.end_id
        observation, reward, terminated, truncated, info = self.env.step(text)
        self._turn_rewards[-1] += reward
        for name, value in info["reward_terms"].items():
            self._reward_terms[name] += value
        self._calls += len(info["failures"])
        self._truncated |= truncated or not ended
        if terminated or truncated:
            return None
        if info["step"] == 0:  # nothing was said in it yet: a new turn
            self._turn_rewards.append(0.0)
        shown = info.get("tools", self._shown)
        new = [tool for tool in shown if tool not in self._shown]
        self._shown = shown
        heard = [*([] if ended else [chat.end_id]), *chat.continuation(observation, new)]
        self.transcript.hear(heard)
        return heard

    def cut(self, ids: list[int], log_probs: list[float]) -> None:
        self._truncated = True
        if ids:
            self.transcript.say(ids, log_probs, self._turn)
        self.transcript.forget_unanswered()

    def leave_out(self, max_tokens: int) -> None:
        """Do not play: the opening is too long."""
        self._truncated = True
        self.transcript.keep(max_tokens)

    @property
    def _turn(self) -> int:
        """The running turn, counted from the one that the episode began in."""
        return len(self._turn_rewards) - 1

    def rollout(self) -> Rollout:
        trajectory = self.env.trajectory()
        return self.transcript.rollout(
            reward=sum(self._reward_terms.values()),
            reward_terms=self._reward_terms,
            turn_rewards=tuple(self._turn_rewards),
            task_id=trajectory.task,
            valid=trajectory.verdict is not None and trajectory.verdict.valid,
            truncated=self._truncated,
            steps=len(trajectory.steps),
            calls=self._calls,
            trajectory=trajectory,
        )


@dataclass(frozen=True)
class Start:
    """Where a rollout begins: the first moment of an episode."""

    snapshot: Snapshot
    task: Task


class Arena:
    """The environments that rollouts are sampled in, made once and used again."""

    def __init__(self, config: EnvironmentConfig, chat: Chat, text_of: TokenText):
        self.config = config
        self.chat = chat
        self.text_of = text_of
        self._format = get_format(config.format)
        if chat.reply_prefix and self._format.parse(f"{chat.reply_prefix}\n</think>\nhi").think is None:
            raise ConfigError(
                f"environment.format: {config.format} has no place for the thought that the model's chat template "
                "opens; use hermes or toolrl, or switch thinking off in model.template_variables"
            )
        self._envs: list[ToolUseEnv] = []

    def rollouts(
        self,
        model: Any,
        starts: Sequence[Start],
        sampling: Sampling,
        generator: torch.Generator,
    ) -> list[Rollout]:
        """One rollout of ``model`` from each starting point.

        Raises:
            ConfigError: every opening is too long.
        """
        played: list[Rollout] = []
        for first in range(0, len(starts), sampling.rows):
            played += self._play(model, starts[first : first + sampling.rows], sampling, generator)
        if played and not any(rollout.loss_mask.any() for rollout in played):
            raise ConfigError(
                f"rl.max_tokens: the openings of all {len(played)} episodes have {sampling.max_tokens} tokens or more; "
                "raise it above theirs (a long list of tools makes long openings)"
            )
        return played

    def _play(
        self, model: Any, starts: Sequence[Start], sampling: Sampling, generator: torch.Generator
    ) -> list[Rollout]:
        conversations = []
        for env, start in zip(self._take(len(starts)), starts, strict=True):
            env.restore(start.snapshot)
            conversations.append(Conversation(env, self.transcript()))
        speakers = [one for one in conversations if len(one.prompt) < sampling.max_tokens]
        for one in conversations:
            if len(one.prompt) >= sampling.max_tokens:
                one.leave_out(sampling.max_tokens)
        if speakers:
            with threads_for_decoding(model):
                decode(model, speakers, sampling, self.chat.end_id, self.chat.tokenizer.pad_token_id, generator)
        return [conversation.rollout() for conversation in conversations]

    def sample_tasks(self, split: str, seed: int, count: int) -> list[Start]:
        """The beginnings of ``count`` episodes; the same for the same seed."""
        env = self._take(1)[0]
        env.reset(seed=seed)
        return [self._start(env, split=split) for _ in range(count)]

    def held_out_tasks(self, split: str, seed: int, count: int) -> list[Start]:
        """The beginnings of ``count`` episodes to be measured on: the first of a list of tasks, else drawn.

        A list may have fewer. Its tasks are named one by one, as benchmarks forbid to sample from their test data.
        """
        env = self._take(1)[0]
        if not isinstance(env.tasks, TaskList):
            return self.sample_tasks(split, seed, count)
        chosen = [task.id for task in env.tasks if task.split == split]
        if not chosen:
            raise ConfigError(
                f"environment.eval_split: no tasks in {split!r}; choose one of {', '.join(env.tasks.splits)}"
            )
        return [self._start(env, task_id=task_id) for task_id in chosen[:count]]

    def _start(self, env: ToolUseEnv, **options: Any) -> Start:
        env.reset(options=options)
        return Start(env.snapshot(), env.task)

    def demonstration(self, seed: int, noise: float) -> Rollout:
        """A demonstration of a training task as a rollout: the demonstrator's tokens are those to be learned."""
        env = self._take(1)[0]
        env.reset(seed=seed, options={"split": self.config.train_split})
        conversation = Conversation(env, self.transcript())
        for said in env.tasks.demonstrate(env.task, np.random.default_rng([seed, 1]), noise):
            ids = self.chat.reply(env.write(said))
            if conversation.spoke(ids, [0.0] * len(ids)) is None:
                break
        conversation.transcript.forget_unanswered()
        return conversation.rollout()

    def transcript(self) -> Transcript:
        return Transcript(self.chat, self.text_of, self._format)

    def _take(self, count: int) -> list[ToolUseEnv]:
        while len(self._envs) < count:
            self._envs.append(make_env(self.config))
        return self._envs[:count]


def make_env(config: EnvironmentConfig, **options: Any) -> ToolUseEnv:
    """The configured environment, without wrappers.

    Raises:
        ConfigError: there is no such environment, or it does not take these options.
    """
    merged = {"format": config.format, "show_tools": config.tools_from == "system", **config.options, **options}
    try:
        env = gymnasium.make(config.id, disable_env_checker=True, **merged).unwrapped
    except gymnasium.error.Error as error:
        raise ConfigError(f"environment.id: {error}") from error
    except (ToolUseError, TypeError) as error:
        raise ConfigError(f"environment.options: {error}") from error
    if not isinstance(env, ToolUseEnv):
        raise ConfigError(f"environment.id: {config.id} is not a tool-use environment, but {type(env).__name__}")
    return env
