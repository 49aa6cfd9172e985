"""A model of one's own machine as a player of benchmarks: batches of episodes, with a cache kept over their turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from rest_agent import policy
from rest_agent.chat import Chat, stop_ids
from rest_agent.config import EnvironmentConfig
from rest_agent.environments import Start
from rest_agent.regions import TokenText
from rest_agent.rollout import Arena
from rest_agent.sampling.decode import Sampling
from tooluse_gym.evaluation.players import Finished, Given, nothing_given, seed_of
from tooluse_gym.evaluation.setting import Entry, Setting


class LocalPlayer:
    """A Hugging Face model in this process, sampled as the trainer samples.

    Raises:
        ConfigError: nothing that can be loaded is there, or its chat template does not suit.
    """

    def __init__(self, path: str, sampling: Sampling, dtype: str = "float32", device: str | None = None):
        self.name = Path(path).name
        self._model, self._tokenizer = policy.load(path, dtype)
        self._model.eval().requires_grad_(False).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._sampling = sampling

    def play(
        self, setting: Setting, entries: Sequence[Entry], finished: Finished, given: Given = nothing_given
    ) -> None:
        if not entries:
            return
        env = setting.make()
        config = EnvironmentConfig(
            id=setting.env_id,
            format=env.format.name,
            tools_from=setting.tools_from,
            results_as=setting.results_as,
            options=setting.options,
        )
        chat = Chat(
            self._tokenizer,
            show_tools=setting.tools_from == "template",
            results_as=setting.results_as,
            stops=stop_ids(self._model),
        )
        arena = Arena(config, chat, TokenText(self._tokenizer))

        def starts() -> Iterator[Start]:
            for entry in entries:
                env.reset(seed=seed_of(entry), options={"task_id": entry.task, **given(entry)})
                yield Start(env.snapshot(), env.task)

        arena.rollouts(
            self._model,
            starts(),
            self._sampling,
            seed=seed_of(entries[0]),
            finished=lambda number, rollout: finished(entries[number], rollout),
        )
