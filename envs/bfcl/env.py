"""BFCL's multi-turn tasks as an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tooluse_gym.env import ToolUseEnv
from tooluse_gym.envs.bfcl import data, docs
from tooluse_gym.envs.bfcl.prompting import load_prompting
from tooluse_gym.envs.bfcl.scorer import independent_truth, make_world, make_worlds
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call, Format
from tooluse_gym.scoring import Judge, WorldJudge
from tooluse_gym.tasks import Task, TaskSource, TestTasks
from tooluse_gym.tools import Tool
from tooluse_gym.world import ToolResult
from tooluse_gym.world import World as BaseWorld


class SimulatorEnv(ToolUseEnv):
    """What environments over BFCL's simulators share.

    Args:
        tasks: as in :class:`~tooluse_gym.env.ToolUseEnv`.
        folder: BFCL's data, whose docs of functions are shown where it has them; None shows the simulators' own.
        data_dir: where to look for the prompts of the format ``prompting`` if there is no such folder.
        format: as in :class:`~tooluse_gym.env.ToolUseEnv`, or ``prompting``.
        **options: those of :class:`~tooluse_gym.env.ToolUseEnv`.
    """

    def __init__(
        self,
        tasks: TaskSource,
        folder: Path | None,
        *,
        data_dir: str | Path | None,
        format: str | Format,
        **options: Any,
    ):
        self._documented = folder if folder is not None and (folder / docs.FOLDER).is_dir() else None
        if format == "prompting":
            format = load_prompting(folder or data.where(data_dir))
        super().__init__(tasks, format=format, **options)

    def make_world(self, task: Task) -> World:
        return make_world(task, "model", {})

    def shown_tools(self, task: Task, turn: int, world: BaseWorld) -> tuple[Tool, ...]:
        """Upstream's docs where they are at hand and the task is upstream's, else those of the simulators."""
        tools: Mapping[str, Tool] = world.tools
        if self._documented is not None:
            held_out = tuple(name for later in task.turns for name in later.reveals)
            tools = docs.load_docs(self._documented, task.toolsets, held_out)
        return tuple(tools[name] for name in task.visible(turn, tuple(tools)))

    def execute(self, world: BaseWorld, call: Call, visible: Sequence[str]) -> ToolResult:
        if self.validation == "official":
            assert isinstance(world, World)
            return ToolResult(world.execute_call(call))
        return super().execute(world, call, visible)


class BFCLMultiTurnEnv(SimulatorEnv):
    """Several turns over simulated APIs: a file system, a calculator, a social network and more.

    Official evaluation, message for message and verdict for verdict, is ``validation="official"``,
    ``rubric="official"`` and ``format="prompting"`` (upstream's prompting mode), or else ``format="structured"`` and
    ``show_tools=False`` (its function-calling mode; ``info["tools"]`` is the list that it gives to a model).

    Args:
        dataset: ``starter`` generates tasks without any download, in splits train, validation and test; ``base``,
            ``miss_func``, ``miss_param`` and ``long_context`` are BFCL's own files, all of them split ``test``.
        data_dir: folder of BFCL's files; None looks at ``$TOOLUSE_BFCL_DATA``, then where
            ``tooluse-gym data get bfcl`` puts them.
        format: as in :class:`~tooluse_gym.env.ToolUseEnv`, or ``prompting``.
        allow_test_data: let ``reset`` sample from BFCL's own tasks, as training does. Evaluation needs no permission:
            it names each task, ``reset(options={"task_id": …})``.
        starter: options of the task generator, see :class:`~tooluse_gym.envs.bfcl.starter.StarterTasks`.
        **options: those of :class:`~tooluse_gym.env.ToolUseEnv`.
    """

    def __init__(
        self,
        dataset: str = "starter",
        *,
        data_dir: str | Path | None = None,
        format: str | Format = "hermes",
        allow_test_data: bool = False,
        starter: Mapping[str, Any] | None = None,
        **options: Any,
    ):
        tasks = _source(dataset, data_dir, allow_test_data, dict(starter or {}))
        folder = None if dataset == "starter" else data.where(data_dir)
        super().__init__(tasks, folder, data_dir=data_dir, format=format, **options)

    def make_judge(self, task: Task) -> Judge:
        if self.validation == "strict":
            return super().make_judge(task)
        prepared = self._prepare(task)
        if prepared.truth is None:
            prepared.truth = independent_truth(task)
        if prepared.truth:
            return WorldJudge(task, self.make_world(task), prepared.truth)
        return WorldJudge(task, *make_worlds(task))


def _source(dataset: str, data_dir: str | Path | None, allow_test_data: bool, starter: dict[str, Any]) -> TaskSource:
    if dataset == "starter":
        from tooluse_gym.envs.bfcl.starter import StarterTasks

        return StarterTasks(**starter)
    if starter:
        raise ConfigurationError(f"starter options {', '.join(starter)} do not apply to dataset {dataset!r}")
    try:
        tasks = list(data.load_tasks(dataset, data_dir).values())
    except ConfigurationError:
        known = ", ".join(("starter", *data.CATEGORIES))
        raise ConfigurationError(f"unknown dataset {dataset!r}; choose one of {known}") from None
    return TestTasks(tasks, f"BFCL's test data ({dataset})", allow_test_data)
