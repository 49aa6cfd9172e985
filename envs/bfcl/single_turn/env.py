"""BFCL's single-turn tasks as an environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tooluse_gym.env import ToolUseEnv
from tooluse_gym.envs.bfcl.ast.scorer import score_ast, score_ast_calls
from tooluse_gym.envs.bfcl.docs import underscored
from tooluse_gym.envs.bfcl.languages import language_of
from tooluse_gym.envs.bfcl.prompt_config import DEFAULT, PromptConfig, prompt_config
from tooluse_gym.envs.bfcl.release import where
from tooluse_gym.envs.bfcl.single_turn.prompting import SingleTurnPrompting, load_single_prompting
from tooluse_gym.envs.bfcl.single_turn.tasks import (
    SENSITIVITY,
    SINGLE_TURN,
    documented,
    load_format_sensitivity,
    load_single_turn,
    without_dots,
)
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Format, Reply
from tooluse_gym.reuse import Recent
from tooluse_gym.scoring import Judge, ReplyJudge, Verdict
from tooluse_gym.tasks import Task, TaskSource, TestTasks
from tooluse_gym.tools import Tool
from tooluse_gym.world import DeclaredWorld, World

_WORLDS_REMEMBERED = 1_024


class BFCLSingleTurnEnv(ToolUseEnv):
    """One reply to one question: its calls are compared with the accepted ones, and not carried out.

    Official evaluation is ``validation="official"``, ``rubric="official"`` and ``format="prompting"`` (upstream's
    prompting mode), or else ``format="structured"`` and ``show_tools=False`` (its function-calling mode, for models
    that it calls with underscores for dots; ``info["tools"]`` is the list that it gives to a model). In every format
    but ``prompting`` functions have underscores where their names have dots.

    Args:
        dataset: ``starter`` generates tasks without any download, in splits train, validation and test; the names of
            BFCL's own files, ``simple_python`` to ``live_relevance``, and ``format_sensitivity``, are all split
            ``test``.
        data_dir: as in :class:`~tooluse_gym.envs.bfcl.env.BFCLMultiTurnEnv`.
        format: as in :class:`~tooluse_gym.env.ToolUseEnv`, or ``prompting``.
        prompt: the variant of the prompting mode, ``ret_fmt=…&tool_call_tag=…&func_doc_fmt=…&prompt_fmt=…&style=…``.
        allow_test_data: let ``reset`` sample from BFCL's own tasks, as training does.
        starter: options of the task generator, see :class:`~tooluse_gym.envs.bfcl.starter.SingleTurnStarter`.
        **options: those of :class:`~tooluse_gym.env.ToolUseEnv`. ``validation="strict"`` demands, beside what the
            official scorer does, that every call satisfies its function's schema.
    """

    def __init__(
        self,
        dataset: str = "starter",
        *,
        data_dir: str | Path | None = None,
        format: str | Format = "hermes",
        prompt: str | PromptConfig = DEFAULT,
        allow_test_data: bool = False,
        starter: Mapping[str, Any] | None = None,
        **options: Any,
    ):
        config, language = prompt_config(prompt), language_of(dataset)
        prompted = format == "prompting" or isinstance(format, SingleTurnPrompting)
        if not prompted and (config != DEFAULT or dataset == SENSITIVITY):
            what = f"prompt={str(config)!r}" if config != DEFAULT else f"dataset {dataset!r}"
            raise ConfigurationError(f"{what} is about prompts: it needs format='prompting'")
        if language != "python" and config.returns != "python":
            raise ConfigurationError(f"replies to {dataset} are calls in its language, not {config.returns}")
        tasks = _source(dataset, data_dir, config, prompted, allow_test_data, dict(starter or {}))
        if format == "prompting":
            format = load_single_prompting(where(data_dir), config, language)
        self._worlds: Recent[DeclaredWorld] = Recent(_WORLDS_REMEMBERED)
        super().__init__(tasks, format=format, **options)

    def make_world(self, task: Task) -> World:
        return self._worlds.get(task.id, lambda: DeclaredWorld(map(self._named, documented(task))))

    def make_judge(self, task: Task) -> Judge:
        return ReplyJudge(task, self.make_world(task), lambda turn, reply: self._score(task, reply))

    def shown_tools(self, task: Task, turn: int, world: World) -> tuple[Tool, ...]:
        return tuple(world.tools.values())

    def _named(self, tool: Tool) -> Tool:
        return tool if isinstance(self.format, SingleTurnPrompting) else replace(tool, name=underscored(tool.name))

    def _score(self, task: Task, reply: Reply) -> Verdict:
        if self.validation == "strict":
            world = self.make_world(task)
            for call in reply.calls:
                if failure := world.call(call).failure:
                    return Verdict(False, f"refused_call:{failure}")
        category: str = task.metadata["category"]
        if isinstance(self.format, SingleTurnPrompting):
            return score_ast(
                category, task, reply.text, return_format=self.format.return_format, tagged=self.format.tagged
            )
        malformed = any(call.error is not None for call in reply.calls)
        calls = None if malformed else [{call.name: call.arguments} for call in reply.calls]
        return score_ast_calls(category, task, calls, underscore_to_dot=True)


def _source(
    dataset: str,
    data_dir: str | Path | None,
    config: PromptConfig,
    prompted: bool,
    allow_test_data: bool,
    starter: dict[str, Any],
) -> TaskSource:
    if dataset == "starter":
        from tooluse_gym.envs.bfcl.starter import SingleTurnStarter

        return SingleTurnStarter(**starter)
    if starter:
        raise ConfigurationError(f"starter options {', '.join(starter)} do not apply to dataset {dataset!r}")
    if dataset == SENSITIVITY:
        tasks = load_format_sensitivity(config, data_dir)
    elif dataset in SINGLE_TURN:
        tasks = load_single_turn(dataset, data_dir)
    else:
        known = ", ".join(("starter", *SINGLE_TURN, SENSITIVITY))
        raise ConfigurationError(f"unknown dataset {dataset!r}; choose one of {known}")
    asked = list(tasks.values()) if prompted else [without_dots(task) for task in tasks.values()]
    return TestTasks(asked, f"BFCL's test data ({dataset})", allow_test_data)
