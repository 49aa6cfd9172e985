"""API-Bank as an environment: dialogues with the APIs behind them, or one call for a given beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tooluse_gym.env import ToolUseEnv
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call, Format
from tooluse_gym.rewards import Rubric
from tooluse_gym.scoring import Judge
from tooluse_gym.tasks import Task, TaskSource, TestTasks
from tooluse_gym.tools import Tool
from tooluse_gym.world import DeclaredWorld, ToolResult, World

from .apis.base import Mode
from .call_format import ApiBankCalls
from .data import CALLS, DIALOGUES, load_calls, load_dialogues
from .judge import CallJudge, DialogueJudge
from .level import Level, load_level, starter_level
from .release import where
from .rewards import RUBRIC
from .scorer import demand_mode
from .starter import StarterTasks
from .world import ApiWorld


class APIBankEnv(ToolUseEnv):
    """Dialogues in which an assistant looks things up and gets things done, at three levels of difficulty.

    At level 1 the agent sees the APIs that a dialogue needs. At levels 2 and 3 it sees a search for tools, and whatever
    it has found; level 3 is one request that takes a chain of calls. The verdict is valid if every gold call was made
    rightly. When an episode is over, ``info`` also has ``gold_calls``, ``accuracy`` (the fraction that was made
    rightly, in both modes of scoring), and of dialogues ``rouge_l`` (of the answers) and ``searches`` (``[name, way]``
    of each that found something).

    Args:
        dataset: ``starter`` makes dialogues of our own without any download, in splits train, validation and test;
            ``level-1``, ``level-2``, ``level-3`` are API-Bank's dialogues; ``call-1``, ``call-2``, ``call-3`` are
            ToolRL's edition of it, one call each. All of these are split ``test``.
        data_dir: folder of API-Bank's files; None looks at ``$TOOLUSE_API_BANK_DATA``, then where
            ``tooluse-gym data get api_bank`` puts them.
        scoring: which mode decides: ``corrected``, or ``reference`` as the official programs do, which reject some of
            their own gold calls. In ``call-…``, ``reference`` is the soft match of ToolRL and ResT.
        retriever: how the search finds tools: ``offline``, ``name``, ``bm25`` or ``embedding``.
        format: as in :class:`~tooluse_gym.env.ToolUseEnv`, or ``api_bank``, upstream's syntax.
        rubric: as there, or ``api_bank``.
        show_tools: as there. In ``call-…`` and the format ``toolrl`` the row's own prompt does that, to the letter.
        allow_test_data: let ``reset`` sample from API-Bank's own dialogues, as training does. Evaluation needs no
            permission: it names each task, ``reset(options={"task_id": …})``.
        starter: options of the generator, see :class:`~tooluse_gym.envs.api_bank.starter.StarterTasks`.
        **options: those of :class:`~tooluse_gym.env.ToolUseEnv`.
    """

    def __init__(
        self,
        dataset: str = "starter",
        *,
        data_dir: str | Path | None = None,
        scoring: Mode = "corrected",
        retriever: str = "offline",
        format: str | Format = "hermes",
        rubric: str | Mapping[str, Any] | Rubric = "api_bank",
        show_tools: bool = True,
        allow_test_data: bool = False,
        starter: Mapping[str, Any] | None = None,
        **options: Any,
    ):
        demand_mode(scoring)
        self.dataset = dataset
        self.scoring: Mode = scoring
        self._official_format = (format if isinstance(format, str) else format.name) == "toolrl"
        self._levels: dict[int, Level] = {}
        own_prompt = dataset in CALLS and self._official_format and show_tools
        tasks = self._source(data_dir, retriever, allow_test_data, dict(starter or {}), own_prompt)
        super().__init__(
            tasks,
            format=ApiBankCalls() if format == "api_bank" else format,
            rubric=RUBRIC if rubric == "api_bank" else rubric,
            show_tools=show_tools and not own_prompt,
            **options,
        )

    def _source(
        self, data_dir: str | Path | None, retriever: str, allowed: bool, starter: dict[str, Any], own_prompt: bool
    ) -> TaskSource:
        if self.dataset == "starter":
            self._levels = {number: starter_level(number, retriever) for number in (1, 2, 3)}
            return StarterTasks(**starter)
        if starter:
            raise ConfigurationError(f"starter options {', '.join(starter)} do not apply to dataset {self.dataset!r}")
        if self.dataset in DIALOGUES:
            level = load_level(DIALOGUES[self.dataset], where(data_dir), retriever)
            self._levels = {level.number: level}
            tasks = load_dialogues(level)
        elif self.dataset in CALLS:
            tasks = load_calls(CALLS[self.dataset], data_dir, own_prompt)
        else:
            known = ", ".join(("starter", *DIALOGUES, *CALLS))
            raise ConfigurationError(f"unknown dataset {self.dataset!r}; choose one of {known}")
        return TestTasks(tasks, f"API-Bank's test data ({self.dataset})", allowed)

    def make_world(self, task: Task) -> World:
        if task.single_step:
            return DeclaredWorld(task.metadata["tools"])
        mode: Mode = "corrected" if self.validation == "strict" else "reference"
        return ApiWorld(self._level(task), mode, _draws(task))

    def make_judge(self, task: Task) -> Judge:
        world = self.make_world(task)
        if isinstance(world, ApiWorld):
            return DialogueJudge(task, world, self._level(task), self.scoring)
        return CallJudge(task, world, self.scoring, self._official_format)

    def shown_tools(self, task: Task, turn: int, world: World) -> tuple[Tool, ...]:
        """With upstream's descriptions where they are at hand."""
        tools = super().shown_tools(task, turn, world)
        return tools if task.single_step else tuple(self._level(task).shown[tool.name] for tool in tools)

    def execute(self, world: World, call: Call, visible: Sequence[str]) -> ToolResult:
        if self.validation == "official" and isinstance(world, ApiWorld):
            return world.call_officially(call)
        return super().execute(world, call, visible)

    def report(self) -> dict[str, Any]:
        """What ``info`` tells when an episode is over; calls and answers that it has not come to are not made."""
        judge = self._running.judge
        assert isinstance(judge, DialogueJudge | CallJudge)
        return judge.report()

    def _info(self, terms: dict[str, float], results: Sequence[ToolResult] = ()) -> dict[str, Any]:
        info = super()._info(terms, results)
        return info | self.report() if "verdict" in info else info

    def _level(self, task: Task) -> Level:
        return self._levels[task.metadata["level"]]


def _draws(task: Task) -> dict[str, list[Any]]:
    """The recorded results of a task's calls, by API."""
    draws: dict[str, list[Any]] = {}
    for turn in task.metadata["recorded"]:
        for call in turn:
            draws.setdefault(call["name"], []).append(call["result"])
    return draws
