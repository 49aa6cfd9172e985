"""BFCL v4's memory tasks as an environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from tooluse_gym.envs.bfcl.data import where
from tooluse_gym.envs.bfcl.env import SimulatorEnv
from tooluse_gym.envs.bfcl.memory.context import CLASSES, begin, left
from tooluse_gym.envs.bfcl.memory.data import load_memory_tasks
from tooluse_gym.envs.bfcl.memory.judge import MemoryJudge
from tooluse_gym.envs.bfcl.memory.starter import MemoryStarter
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Format
from tooluse_gym.scoring import Judge
from tooluse_gym.tasks import Task, TaskSource, TestTasks

_NOT_OFFERED = {
    "vector": "the back-end 'vector' is not offered: its results depend on the weights of the embedding model "
    "all-MiniLM-L6-v2, and those of a stand-in could not be compared",
    "web_search": "the dataset 'web_search' is not offered: it needs the live internet and a paid search service",
}


class BFCLMemoryEnv(SimulatorEnv):
    """An agent keeps what a user tells, and is asked for it in later conversations.

    A task is a conversation in which the user tells things, or a question. Each begins with a memory, which the system
    message shows (all of it, or the core), and can change it through tools. To let an agent live with its own memory,
    as the official program does, play the conversations in order and hand the memory on::

        for task_id in (*task.metadata["depends_on"], task.id):
            observation, info = env.reset(options={"task_id": task_id, "memory": memory})
            ...                                     # play
            memory = env.unwrapped.memory           # a question starts from that, and leaves it as it was

    Without the option ``memory``, upstream's tasks begin with an empty memory, and those of the starter with what the
    ground truth of the conversations before has left. A question is right if its answer is said; a conversation of the
    starter is right if the facts told are in memory after each turn; upstream's conversations are not graded.

    Args:
        dataset: ``starter`` generates tasks without any download; ``memory`` is BFCL's own, all of them split ``test``.
        backend: ``kv`` (keys and values) or ``rec_sum`` (one text).
        data_dir: as in :class:`~tooluse_gym.envs.bfcl.env.BFCLMultiTurnEnv`.
        format: as in :class:`~tooluse_gym.envs.bfcl.env.BFCLMultiTurnEnv`.
        allow_test_data: let ``reset`` sample from BFCL's own tasks.
        **options: those of :class:`~tooluse_gym.env.ToolUseEnv`. ``validation="official"`` executes calls as upstream
            does, and looks for the answer in the whole reply, thoughts included.
    """

    own_options: ClassVar[tuple[str, ...]] = ("memory",)

    def __init__(
        self,
        dataset: str = "starter",
        *,
        backend: str = "kv",
        data_dir: str | Path | None = None,
        format: str | Format = "hermes",
        allow_test_data: bool = False,
        **options: Any,
    ):
        for name in (dataset, backend):
            if name in _NOT_OFFERED:
                raise ConfigurationError(_NOT_OFFERED[name])
        if backend not in CLASSES:
            raise ConfigurationError(f"unknown backend {backend!r}; choose one of {', '.join(CLASSES)}")
        self.backend = backend
        tasks = _source(dataset, backend, data_dir, allow_test_data)
        folder = None if dataset == "starter" else where(data_dir)
        super().__init__(tasks, folder, data_dir=data_dir, format=format, **options)

    @property
    def memory(self) -> dict[str, Any]:
        """What the memory holds now, in upstream's form: plain data, a copy."""
        return left(self._running.judge.agent, self.backend)

    def report(self) -> dict[str, Any]:
        return {"memory": self.memory}

    def vary(self, task: Task, given: Mapping[str, Any]) -> Task:
        return begin(task, given["memory"])

    def make_judge(self, task: Task) -> Judge:
        return MemoryJudge(task, self.make_world(task), whole_reply=self.validation == "official")


def _source(dataset: str, backend: str, data_dir: str | Path | None, allow_test_data: bool) -> TaskSource:
    if dataset == "starter":
        return MemoryStarter(backend)
    if dataset != "memory":
        raise ConfigurationError(f"unknown dataset {dataset!r}; choose one of starter, memory")
    tasks = list(load_memory_tasks(backend, data_dir).values())
    return TestTasks(tasks, "BFCL's test data (memory)", allow_test_data)
