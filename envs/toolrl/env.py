"""ToolRL's task as an environment: one message in answer to a dialogue, scored against the right one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tooluse_gym.env import ToolUseEnv
from tooluse_gym.envs.toolrl import data, scoring
from tooluse_gym.envs.toolrl.rows import Answer, Rows
from tooluse_gym.envs.toolrl.starter import StarterTasks
from tooluse_gym.formats import Format, Reply
from tooluse_gym.rewards import Rubric, get_rubric
from tooluse_gym.scoring import Judge, ReplyJudge, Verdict
from tooluse_gym.tasks import Task, TaskSource, Utterance
from tooluse_gym.world import DeclaredWorld, World


class ToolRLEnv(ToolUseEnv):
    """One step: the agent reads a dialogue and says what comes next, calls or a response or both.

    In the format ``toolrl`` the rubrics ``toolrl`` and ``rest`` score the text exactly as the published programs do; in
    other formats they score what the format's parser reads. The verdict is valid if the format is right and the calls
    are equal to the ground truth's, in order.

    Args:
        dataset: ``starter`` generates tasks without any download, in splits train, validation and test; ``train``,
            ``sft`` and ``test`` are ToolRL's own rows, those of ``test`` in the split test of the other two as well.
        data_dir: folder of ToolRL's files; None looks at ``$TOOLUSE_TOOLRL_DATA``, then where
            ``tooluse-gym data get toolrl`` puts them.
        format: as in :class:`~tooluse_gym.env.ToolUseEnv`.
        rubric: as there.
        show_tools: begin with a system message that shows tools and reply format. In the format ``toolrl`` it is the
            row's own, to the letter.
        allow_test_data: let ``reset`` sample from ToolRL's test rows, as training does. Evaluation needs no permission:
            it names each task, ``reset(options={"task_id": …})``.
        **options: those of :class:`~tooluse_gym.env.ToolUseEnv`.
    """

    def __init__(
        self,
        dataset: str = "starter",
        *,
        data_dir: str | Path | None = None,
        format: str | Format = "toolrl",
        rubric: str | Mapping[str, Any] | Rubric = "toolrl",
        show_tools: bool = True,
        allow_test_data: bool = False,
        **options: Any,
    ):
        self._exact = (format if isinstance(format, str) else format.name) == "toolrl"
        tasks: TaskSource = StarterTasks()
        if dataset != "starter":
            rows = data.load_tasks(dataset, data_dir)
            own_prompt = self._exact and show_tools
            shown = rows if own_prompt else [_without_prompt(task) for task in rows]
            tasks = Rows(shown, "ToolRL's test rows", allow_test_data)
            show_tools = show_tools and not own_prompt
        if self._exact:
            rubric = get_rubric(rubric, scoring.textual)
        super().__init__(tasks, format=format, rubric=rubric, show_tools=show_tools, **options)

    def make_world(self, task: Task) -> World:
        return DeclaredWorld(task.metadata["tools"])

    def make_judge(self, task: Task) -> Judge:
        return ReplyJudge(task, self.make_world(task), partial(self._score, task))

    def write(self, said: Utterance) -> str:
        """An action that says this, in the environment's reply format; an answer of the data is quoted."""
        return said.text if self._exact and isinstance(said, Answer) else super().write(said)

    def _score(self, task: Task, turn: int, reply: Reply) -> Verdict:
        if self._exact:
            return scoring.verdict(reply.text, task.metadata["truth"])
        if reply.calls != task.turns[turn].calls:
            return Verdict(False, "wrong_calls")
        return Verdict(True) if reply.error is None else Verdict(False, "wrong_format")


def _without_prompt(task: Task) -> Task:
    (turn,) = task.turns
    return replace(task, turns=(replace(turn, messages=turn.messages[1:]),))
