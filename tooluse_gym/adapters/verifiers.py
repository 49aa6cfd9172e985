"""Environments as tasks of verifiers, by its ``v1`` interface. Needs verifiers 0.4, and nothing of the trainer.

verifiers splits an environment into tasks, which say what is asked and how it is judged, and a *harness*, the program
that talks to the model. :class:`GymTasks` are the tasks; :class:`GymHarness` plays their episodes in the environment,
user's turns included, and asks the model through the address that verifiers hands it, where every message is recorded.
verifiers finds both in one module, by its name (``examples/verifiers_env.py`` is such a module)::

    class Tasks(GymTasks): ...
    class Harness(GymHarness): ...
    __all__ = ["Harness", "Tasks"]

Rewards and metrics of a rollout are the terms of the environment's rubric and its verdict; the whole episode is in
``trace.info["episode"]``, and ``tooluse-gym show`` prints it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import verifiers.v1 as vf
from pydantic import Field

from tooluse_gym.adapters import draw
from tooluse_gym.evaluation.players import ServedPlayer
from tooluse_gym.evaluation.server import ContextTooLongError, Said, Server, ServerError
from tooluse_gym.evaluation.setting import Entry, Setting
from tooluse_gym.outcome import Played


class GymTasksConfig(vf.TasksetConfig):
    """Which tasks: ``--env.taskset.environment``, ``--env.taskset.count`` and so on."""

    environment: str = "tooluse_gym:BFCLMultiTurn-v0"
    options: dict[str, Any] = Field(default_factory=lambda: {"format": "structured"})
    """The environment's. The format ``structured`` is function calling."""
    tools_from: Literal["system", "template"] = "template"
    """``template``: the server is told of the tools. ``system``: the environment's first message describes them."""
    results_as: Literal["tool", "user"] = "tool"
    """Role of tool results; ``user`` where the server's chat template knows no other."""
    task_ids: list[str] = Field(default_factory=list)
    """Tasks by their ids."""
    count: int = 100
    """Tasks that are drawn, if none is named."""
    split: str | None = None
    seed: int = 0


class GymTaskData(vf.TaskData):
    """A task, by what it is played in and by its ``id``."""

    setting: dict[str, Any]


class GymTask(vf.Task[GymTaskData]):
    """What an episode earned; all of it was found out while it was played."""

    @vf.reward
    async def reward(self, trace: vf.Trace) -> dict[str, float]:
        """The terms of the rubric; verifiers adds them up."""
        return dict(trace.info.get("reward_terms", {}))

    @vf.metric
    async def valid(self, trace: vf.Trace) -> float:
        """The official verdict."""
        return float(trace.info.get("valid", False))


class GymTasks(vf.Taskset[GymTask, GymTasksConfig]):
    """Tasks that are drawn from an environment."""

    def load(self) -> Iterable[GymTask]:
        config = self.config
        setting = Setting(config.environment, config.options, config.tools_from, config.results_as)
        env = setting.make()
        for task_id in config.task_ids or draw(env, config.count, config.seed, config.split):
            env.reset(options={"task_id": task_id})
            prompt = "\n".join(message["content"] for message in env.task.turns[0].messages)
            yield GymTask(GymTaskData(id=task_id, prompt=prompt, setting=asdict(setting)), config.task)


_OURS = {"temperature": None, "max_tokens": None, "seed": None}  # verifiers says how is sampled


class GymHarnessConfig(vf.HarnessConfig):
    """Nothing beside verifiers' own."""


class GymHarness(vf.Harness[GymHarnessConfig]):
    """Plays the episode of a task. It runs in verifiers' process: no container, no program to install."""

    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: GymTaskData,
    ) -> vf.ProgramResult:
        server = _Interceptor(endpoint, ctx.model, secret, extra=_OURS, tries=1, trace=trace)
        setting, entry, episodes = Setting(**data.setting), Entry("", str(data.id)), list[Played]()
        player = ServedPlayer(server, at_once=1)
        # In a thread, as verifiers' server answers in this very process while the player waits for it.
        await asyncio.to_thread(player.play, setting, [entry], lambda _, played: episodes.append(played))
        (played,) = episodes
        trace.info |= {"reward_terms": played.reward_terms, "valid": played.valid}
        if played.trajectory is not None:
            trace.info["episode"] = json.loads(played.trajectory.to_json())
        return vf.ProgramResult(exit_code=0, stdout="", stderr="")


@dataclass(frozen=True)
class _Interceptor(Server):
    """verifiers' server between us and the model."""

    trace: vf.Trace | None = None

    def complete(self, **request: Any) -> Said:
        try:
            return super().complete(**request)
        except ServerError as error:
            if self.trace is not None and self.trace.stop_condition is not None:  # a limit of verifiers, not a failure
                raise ContextTooLongError(str(error)) from error
            raise
