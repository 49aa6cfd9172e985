"""Gymnasium environments in which language models use tools.

Importing this package registers every environment and nothing else: it loads Gymnasium (with NumPy) and the folders'
``__init__`` files; the names below load their modules when first used.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tooluse_gym.lazy import lazy_names

if TYPE_CHECKING:
    from tooluse_gym.agents import ScriptedAgent, play
    from tooluse_gym.candidates import ConversationCalls
    from tooluse_gym.env import ToolUseEnv
    from tooluse_gym.formats import Call, Format, Reply, get_format
    from tooluse_gym.rewards import Rubric, get_rubric
    from tooluse_gym.scoring import ReplyJudge, Verdict
    from tooluse_gym.search import TreeSearch
    from tooluse_gym.spaces import MessagesSpace, UnicodeText
    from tooluse_gym.tasks import Task, TaskList, TaskSource, Turn, Utterance, load_tasks
    from tooluse_gym.testing import check_tool_env
    from tooluse_gym.tools import Tool, ToolSet
    from tooluse_gym.trajectory import Step, Trajectory
    from tooluse_gym.world import DeclaredWorld, World
    from tooluse_gym.wrappers import CallMenu, TextObservation, TokenObservation, WordObservation

    __version__: str

_HOMES = {
    "agents": ("ScriptedAgent", "play"),
    "candidates": ("ConversationCalls",),
    "env": ("ToolUseEnv",),
    "formats": ("Call", "Format", "Reply", "get_format"),
    "rewards": ("Rubric", "get_rubric"),
    "scoring": ("ReplyJudge", "Verdict"),
    "search": ("TreeSearch",),
    "spaces": ("MessagesSpace", "UnicodeText"),
    "tasks": ("Task", "TaskList", "TaskSource", "Turn", "Utterance", "load_tasks"),
    "testing": ("check_tool_env",),
    "tools": ("Tool", "ToolSet"),
    "trajectory": ("Step", "Trajectory"),
    "world": ("DeclaredWorld", "World"),
    "wrappers": ("CallMenu", "TextObservation", "TokenObservation", "WordObservation"),
}
_load, _names = lazy_names(__name__, _HOMES)

__all__ = [  # noqa: RUF022 (by module, as above)
    "ScriptedAgent",
    "play",
    "ConversationCalls",
    "ToolUseEnv",
    "Call",
    "Format",
    "Reply",
    "get_format",
    "Rubric",
    "get_rubric",
    "ReplyJudge",
    "Verdict",
    "TreeSearch",
    "MessagesSpace",
    "UnicodeText",
    "Task",
    "TaskList",
    "TaskSource",
    "Turn",
    "Utterance",
    "load_tasks",
    "check_tool_env",
    "Tool",
    "ToolSet",
    "Step",
    "Trajectory",
    "DeclaredWorld",
    "World",
    "CallMenu",
    "TextObservation",
    "TokenObservation",
    "WordObservation",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("tooluse-gym")  # its one place is pyproject.toml
        except PackageNotFoundError:
            return "0+not.installed"
    return _load(name)


def __dir__() -> list[str]:
    return ["__version__", *_names()]


def _register_environments() -> None:
    """Import every folder of ``envs``; each registers its ids with string entry points."""
    folder = Path(__file__).parent / "envs"
    if not (folder / "__init__.py").is_file():
        raise ImportError(
            f"{folder} is not a folder of environments: this copy of the source lost its symbolic link "
            "tooluse_gym/envs -> ../envs (as archives and Git with core.symlinks=false do), so restore the link or "
            "install the package from a wheel"
        )
    for module in pkgutil.iter_modules([str(folder)]):
        importlib.import_module(f"{__name__}.envs.{module.name}")


_register_environments()
