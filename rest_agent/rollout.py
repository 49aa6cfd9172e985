"""Rollouts: episodes as token ids. The ids that are sampled are the ids that are trained on.

A token's loss mask and region are decided where the token is appended, and never derived again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import torch

from rest_agent.batch import Rollout
from rest_agent.chat import Chat
from rest_agent.config import EnvironmentConfig
from rest_agent.engine import threads_for_decoding
from rest_agent.regions import Region, TokenText, token_regions
from rest_agent.sampling.decode import Sampling, decode
from tooluse_gym.env import Snapshot, ToolUseEnv
from tooluse_gym.formats import get_format
from tooluse_gym.messages import Message


@dataclass
class Transcript:
    """Token ids of one conversation with their loss mask, log-probabilities and regions, in parallel lists."""

    chat: Chat
    text_of: TokenText
    format: Any
    ids: list[int] = field(default_factory=list)
    sampled: list[bool] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    regions: list[int] = field(default_factory=list)

    def hear(self, ids: Sequence[int]) -> None:
        """Append tokens that the policy did not choose."""
        self.ids += ids
        self.sampled += [False] * len(ids)
        self.log_probs += [0.0] * len(ids)
        self.regions += [int(Region.NONE)] * len(ids)

    def say(self, ids: Sequence[int], log_probs: Sequence[float]) -> str:
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
        return prefix + text

    def rollout(self, **outcome: Any) -> Rollout:
        """The record so far, with what the environment said of it."""
        return Rollout(
            token_ids=torch.tensor(self.ids, dtype=torch.int64),
            loss_mask=torch.tensor(self.sampled, dtype=torch.bool),
            log_probs=torch.tensor(self.log_probs, dtype=torch.float32),
            regions=torch.tensor(self.regions, dtype=torch.int8),
            **outcome,
        )


class Conversation:
    """An episode, as the decode loop's speaker."""

    def __init__(self, env: ToolUseEnv, transcript: Transcript, tools: Sequence[Mapping[str, Any]]):
        self.env = env
        self.transcript = transcript
        self.prompt = transcript.chat.opening(env.conversation, tools)
        transcript.hear(self.prompt)
        self._truncated = False
        self._reward_terms: dict[str, float] = {}
        self._calls = 0

    def spoke(self, ids: list[int], log_probs: list[float]) -> list[int] | None:
        chat = self.transcript.chat
        text = self.transcript.say(ids, log_probs)
        observation, _, terminated, truncated, info = self.env.step(text)
        for name, value in info["reward_terms"].items():
            self._reward_terms[name] = self._reward_terms.get(name, 0.0) + value
        self._calls += len(info["failures"])
        if terminated or truncated:
            self._truncated = truncated
            return None
        end = [] if ids[-1] == chat.end_id else [chat.end_id]
        heard = end + chat.continuation(observation)
        self.transcript.hear(heard)
        return heard

    def cut(self, ids: list[int], log_probs: list[float]) -> None:
        # What was announced as heard, but no longer fed, was appended when it was announced: nothing is lost.
        self._truncated = True
        if ids:
            self.transcript.say(ids, log_probs)

    def rollout(self) -> Rollout:
        trajectory = self.env.trajectory()
        return self.transcript.rollout(
            reward=sum(self._reward_terms.values()),
            reward_terms=self._reward_terms,
            task_id=trajectory.task,
            valid=trajectory.verdict is not None and trajectory.verdict.valid,
            truncated=self._truncated,
            steps=len(trajectory.steps),
            calls=self._calls,
            trajectory=trajectory,
        )


class Arena:
    """The environments that rollouts are sampled in, made once and used again."""

    def __init__(self, config: EnvironmentConfig, chat: Chat, text_of: TokenText):
        self.config = config
        self.chat = chat
        self.text_of = text_of
        self._format = get_format(config.format)
        self._envs: list[ToolUseEnv] = []

    def rollouts(
        self,
        model: Any,
        tasks: Sequence[Snapshot],
        sampling: Sampling,
        generator: torch.Generator,
    ) -> list[Rollout]:
        """One rollout of ``model`` from each starting point."""
        conversations = []
        for env, start in zip(self._take(len(tasks)), tasks, strict=True):
            env.restore(start)
            conversations.append(Conversation(env, self.transcript(), env.tools))
        with threads_for_decoding(model):
            decode(model, conversations, sampling, self.chat.end_id, self.chat.tokenizer.pad_token_id, generator)
        return [conversation.rollout() for conversation in conversations]

    def sample_tasks(self, split: str, seed: int, count: int) -> list[Snapshot]:
        """The beginnings of ``count`` episodes; the same for the same seed."""
        env = self._take(1)[0]
        env.reset(seed=seed)
        starts = []
        for _ in range(count):
            env.reset(options={"split": split})
            starts.append(env.snapshot())
        return starts

    def demonstration(self, seed: int, noise: float) -> Rollout:
        """A demonstration of a training task as a rollout: the demonstrator's tokens are those to be learned."""
        env = self._take(1)[0]
        trajectory = env.demonstrate(seed=seed, noise=noise, options={"split": self.config.train_split})
        return self.encode(trajectory.opening, [(step.action, step.observation) for step in trajectory.steps], env.tools)

    def encode(
        self,
        opening: Sequence[Message],
        steps: Sequence[tuple[str, Sequence[Message]]],
        tools: Sequence[Mapping[str, Any]],
    ) -> Rollout:
        """A conversation that nobody sampled, as a rollout."""
        transcript = self.transcript()
        transcript.hear(self.chat.opening(opening, tools))
        for number, (action, observation) in enumerate(steps):
            ids = self.chat.reply(action)
            transcript.say(ids, [0.0] * len(ids))
            if number + 1 < len(steps):
                transcript.hear(self.chat.continuation(observation))
        return transcript.rollout(reward=0.0, task_id="")

    def transcript(self) -> Transcript:
        return Transcript(self.chat, self.text_of, self._format)

    def _take(self, count: int) -> list[ToolUseEnv]:
        while len(self._envs) < count:
            self._envs.append(make_env(self.config))
        return self._envs[:count]


def make_env(config: EnvironmentConfig, **options: Any) -> ToolUseEnv:
    """The configured environment, without wrappers."""
    merged = {"format": config.format, "show_tools": config.tools_from == "system", **config.options, **options}
    env = gymnasium.make(config.id, disable_env_checker=True, **merged).unwrapped
    if not isinstance(env, ToolUseEnv):
        raise TypeError(f"environment.id: {config.id} is not a ToolUseEnv")
    return env
