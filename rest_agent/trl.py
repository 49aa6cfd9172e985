"""ResT, and episodes of several requests, in TRL's ``GRPOTrainer``. Needs TRL, neither DeepSpeed nor our trainer.

* :class:`Episodes` is a ``rollout_func``: whole conversations, in which the user speaks again, sampled by TRL's own
  generation. The tokens that are trained are those that were sampled, from the first to the last.
* :class:`ResTTrainer` is ``GRPOTrainer`` with ResT's token weights. TRL's loss takes advantages by token, but offers no
  way to hand them over from outside, so that this is a subclass; it overrides one method.

They go together or without each other; for TRL's ``environment_factory`` there is :mod:`tooluse_gym.adapters.trl`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from trl.trainer.grpo_trainer import GRPOTrainer

from rest_agent.batch import Rollout
from rest_agent.chat import Chat
from rest_agent.config import ConfigError, EnvironmentConfig, WeightsConfig
from rest_agent.conversation import Conversation
from rest_agent.environments import Environments, Start
from rest_agent.regions import Region, TokenText, reply_regions
from rest_agent.segments import Transcript
from rest_agent.weights import token_weights, unweighted_rows
from tooluse_gym.adapters import draw
from tooluse_gym.adapters.trl import log_episode
from tooluse_gym.formats import get_format

TASK_ID = "task_id"
"""What the first message of a prompt has besides role and content: the prompt is all that TRL hands on."""


class Episodes:
    """Plays the episodes of an environment: ``GRPOTrainer(rollout_func=Episodes(…))``.

    An episode is cut where it exceeds the trainer's ``max_completion_length``, tool results and requests included;
    ``generation_kwargs={"max_new_tokens": …}`` bounds a reply. Beside what TRL asks for it returns ``reward``,
    ``reward_terms`` and ``valid`` of each episode, for :func:`episode_reward`.

    Args:
        config: the environment, as our own trainer takes it.
        tokenizer: the trainer's ``processing_class``; its chat template must tell who speaks.
        variables: further variables of the chat template.
    """

    def __init__(self, config: EnvironmentConfig, tokenizer: Any, variables: Mapping[str, Any] | None = None):
        self._environments = Environments(config)
        self._starts: dict[str, Start] = {}
        self._chat = partial(Chat, tokenizer, config.tools_from == "template", config.results_as, variables)
        self._text_of = TokenText(tokenizer)

    def rows(self, *, count: int = 0, seed: int = 0, task_ids: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Rows of a data set: the tasks of ``task_ids``, and ``count`` that are drawn from the training split."""
        env, rows = self._environments.env, []
        for task_id in (*task_ids, *draw(env, count, seed, self._environments.config.train_split)):
            env.reset(options={"task_id": task_id})
            prompt = [{key: message[key] for key in ("role", "content")} for message in env.conversation]
            rows.append({"prompt": [{**prompt[0], TASK_ID: task_id}, *prompt[1:]]})
        return rows

    def __call__(self, prompts: Sequence[Any], trainer: Any) -> dict[str, Any]:
        """One episode for every prompt."""
        chat = self._chat(trainer.eos_token_ids)
        episodes = [self._begin(prompt[0][TASK_ID], chat) for prompt in prompts]
        waiting, scored = episodes, True
        while waiting:
            heard = [episode.transcript.ids for episode in waiting]
            replies, log_probs = trainer._generate_single_turn(heard, None, {}, num_generations=1)
            scored = log_probs is not None  # vLLM's generation tells them, that of transformers does not
            spoken = zip(waiting, replies, log_probs or [[0.0] * len(ids) for ids in replies], strict=True)
            limit = trainer.max_completion_length
            waiting = [episode for episode, ids, chances in spoken if _goes_on(episode, ids, chances, limit)]
        rollouts = [episode.rollout() for episode in episodes]
        for episode in episodes:
            self._environments.give_back(episode.env)
        told = [(len(episode.prompt), episode.transcript) for episode in episodes]
        return {
            "prompt_ids": [episode.prompt for episode in episodes],
            "completion_ids": [transcript.ids[first:] for first, transcript in told],
            "env_mask": [[int(one) for one in transcript.sampled[first:]] for first, transcript in told],
            "logprobs": [transcript.log_probs[first:] for first, transcript in told] if scored else None,
            "reward": [rollout.reward for rollout in rollouts],
            "reward_terms": [rollout.reward_terms for rollout in rollouts],
            "valid": [rollout.valid for rollout in rollouts],
        }

    def demonstration(self, task_id: str, rng: np.random.Generator, noise: float = 0.0) -> Rollout:
        """A demonstration of a task, for a cold start: the demonstrator's tokens are those to be learned."""
        episode = self._begin(task_id, self._chat(()))
        rollout = episode.imitate(episode.env.tasks.demonstrate(episode.env.task, rng, noise))
        self._environments.give_back(episode.env)
        return rollout

    def _begin(self, task_id: str, chat: Chat) -> Conversation:
        if task_id not in self._starts:
            self._starts[task_id] = self._environments.start(task_id)
        env = self._environments.take(self._starts[task_id])
        return Conversation(env, Transcript(chat, self._text_of))


def _goes_on(episode: Conversation, ids: list[int], log_probs: list[float], limit: int) -> bool:
    """Take up a sampled reply; whether another one is wanted. ``limit``: tokens of the episode behind the prompt."""
    transcript = episode.transcript
    left = limit - (len(transcript.ids) - len(episode.prompt))
    if len(ids) > left:
        episode.cut(ids[:left], log_probs[:left])
        return False
    episode.spoke(ids, log_probs)
    answer = episode.answer()
    assert answer is not None, "nothing else steps these environments"
    if answer.over:
        return False
    if len(transcript.ids) - len(episode.prompt) >= limit:
        episode.cut([], [])
        return False
    return True


def episode_reward(
    reward: Sequence[float],
    reward_terms: Sequence[Mapping[str, float]],
    valid: Sequence[bool],
    log_metric: Callable[[str, float], None] | None = None,
    **columns: Any,
) -> list[float]:
    """A reward function: what :class:`Episodes` played for. Terms and verdict become metrics."""
    for terms, right in zip(reward_terms, valid, strict=True):
        log_episode(log_metric, terms, right)
    return list(reward)


class ResTTrainer(GRPOTrainer):
    """``GRPOTrainer`` whose tokens count as ResT weighs them, by what the reply format's parser says they are.

    A token's advantage is its completion's times the token's weight (:func:`rest_agent.weights.token_weights`), where
    TRL's loss expects one advantage for all of them. Clipping, aggregation (``loss_type``) and its denominator, KL term
    and all else stay TRL's. Progress is that of the run, from 0 at its first step to 1 at its last.

    Args:
        weights: preset and schedule. ``paper``, which needs measured entropies, and ``reference`` are refused.
        reply_format: the format whose parser tells the regions.
        arguments, options: ``GRPOTrainer``'s.

    Raises:
        ConfigError: such weights cannot be had here, or the chat template does not do.
    """

    def __init__(
        self,
        *arguments: Any,
        weights: WeightsConfig | None = None,
        reply_format: str = "hermes",
        **options: Any,
    ):
        self._schedule = WeightsConfig() if weights is None else weights
        if self._schedule.preset in ("paper", "reference"):
            raise ConfigError(f"weights.preset: {self._schedule.preset} needs more than TRL tells; take another preset")
        super().__init__(*arguments, **options)
        variables: Any = self.chat_template_kwargs
        chat = Chat(self._tokenizer, show_tools=False, variables=variables, stops=self.eos_token_ids)
        self._end_ids, self._reply_prefix = chat.end_ids, chat.reply_prefix
        self._text_of, self._parse = TokenText(self._tokenizer), get_format(reply_format).parse

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        mask = output["completion_mask"] * output.get("tool_mask", 1)
        regions = self.regions(output["completion_ids"], mask)
        number = self.state.global_step
        progress = min(1.0, number / max(1, self.state.max_steps - 1))
        weights = token_weights(regions, progress, self._schedule, update=number + 1)
        unweighted = unweighted_rows(regions, progress, self._schedule, update=number + 1)
        share = self.accelerator.gather(unweighted.float()).mean().item()
        training: bool = self.model.training  # type: ignore[union-attr]
        self._metrics["train" if training else "eval"]["rest/unweighted_rows"].append(share)
        output["advantages"] = output["advantages"][:, None] * weights
        return output

    def regions(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, T) int64: what each token of the completions is; ``mask`` (B, T) is 1 on what the policy sampled."""
        found = torch.full_like(ids, int(Region.NONE))
        for row, (tokens, sampled) in enumerate(zip(ids.tolist(), mask.tolist(), strict=True)):
            for first, last in _stretches(sampled):
                reply = tokens[first:last]
                _, parts = reply_regions(reply, self._text_of, self._end_ids, self._parse, self._reply_prefix)
                found[row, first:last] = torch.tensor(parts)
        return found


def _stretches(sampled: Sequence[int]) -> list[tuple[int, int]]:
    """The first token of each reply, and the one behind its last."""
    edges = [place for place, (one, other) in enumerate(zip([0, *sampled], [*sampled, 0], strict=True)) if one != other]
    return list(zip(edges[::2], edges[1::2], strict=True))
