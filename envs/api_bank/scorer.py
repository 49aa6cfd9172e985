"""The official way to score: one call, or one answer, for a given beginning of a dialogue.

Every call is carried out in fresh APIs: what the dialogue did before is not done again. ``reference`` is the official
program's verdict. ``corrected`` reads the call as it is meant, plays what came before it, and mends the checks.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats.reply import Call

from .apis.base import Mode, RejectedCallError
from .calls import find_calls, reference_call
from .dialogues import ApiCall, Sample, samples
from .judging import CallVerdict
from .level import load_level
from .manager import ApiManager
from .release import where
from .rouge import response_score

MODES: tuple[Mode, ...] = ("reference", "corrected")


def load_samples(level: int, kind: str = "call", data_dir: str | Path | None = None) -> list[Sample]:
    """The official samples of a level: what is asked for is a ``call``, or a ``response`` to what a call came to.

    Raises:
        ConfigurationError: there is no such level or kind.
        DataNotFoundError, TaskError: the data is absent or malformed.
    """
    roles = {"call": "API", "response": "AI"}
    if level not in (1, 2, 3) or kind not in roles:
        raise ConfigurationError(f"samples are of levels 1, 2 and 3, and of kinds call and response: {level}, {kind!r}")
    return samples(load_level(level, where(data_dir)).dialogues, "API" if kind == "call" else "AI")


def score_call(sample: Sample, reply: str, mode: Mode = "reference", data_dir: str | Path | None = None) -> CallVerdict:
    """The verdict on a reply in API-Bank's syntax, ``[ApiName(key='value')]``; its first call counts.

    Raises:
        ConfigurationError: there is no such mode, or the sample asks for no call.
    """
    demand_mode(mode)
    gold = sample.target.call
    if gold is None:
        raise ConfigurationError(f"sample {sample.id!r} asks for what the AI says, not for a call")
    level = load_level(sample.dialogue.level, where(data_dir))
    said = read_call(reply, mode)
    if said is None:
        return CallVerdict(False, "No API call found.")
    if said.error is not None:
        return CallVerdict(False, f"Malformed call: {said.error}")
    manager = level.manager(mode)
    if mode == "corrected":
        play(manager, [line.call for line in sample.history if line.call is not None])
    return level.judge(manager, said, gold, mode)


def score_response(sample: Sample, reply: str) -> float:
    """ROUGE-L of what the AI says, as the official evaluator of the sample's level computes it."""
    if sample.dialogue.level == 3:
        reply = reply.replace("User:", "").replace("AI:", "").strip()
    return response_score(reply, sample.target.text)


def read_call(text: str, mode: Mode) -> Call | None:
    """The first call of a text: as the official program reads it, or as it is meant."""
    if mode == "reference":
        return reference_call(text)
    return next((found.call for found in find_calls(text)), None)


def play(manager: ApiManager, calls: list[ApiCall]) -> None:
    """Carry out recorded calls; what cannot be carried out is left out."""
    for call in calls:
        with suppress(RejectedCallError):
            manager.call(call.name, call.params, call.result)


def demand_mode(mode: str) -> None:
    """Raise ConfigurationError unless there is such a mode of scoring."""
    if mode not in MODES:
        raise ConfigurationError(f"unknown scoring {mode!r}; choose one of {', '.join(MODES)}")
