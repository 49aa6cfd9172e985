"""Verdicts on single-turn tasks: of replies as texts, of recorded function calls, of calls that are already decoded.

Where a task has accepted calls, the AST checker compares; (ir)relevance only asks whether anything was called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tooluse_gym.envs.bfcl.ast.checker import check_calls, is_calls
from tooluse_gym.envs.bfcl.ast.return_formats import ReturnFormat, decode_function_calls, decode_reply
from tooluse_gym.envs.bfcl.languages import language_of
from tooluse_gym.formats.python_calls import DecodeError
from tooluse_gym.scoring import Verdict
from tooluse_gym.tasks import Task

UNDECODABLE = "ast_decoder:decoder_failed"


def score_ast(
    category: str,
    task: Task,
    reply: str | Sequence[Mapping[str, str]],
    underscore_to_dot: bool = False,
    return_format: ReturnFormat | None = None,
    tagged: bool = False,
) -> Verdict:
    """The official verdict on a reply to a single-turn task.

    Args:
        category: upstream's name; for a case of format_sensitivity, that of the task it was made from.
        task: as :func:`~tooluse_gym.envs.bfcl.single_turn.load_single_turn` reads it.
        reply: the text; or, in function-calling mode, what was called, ``[{name: arguments as a JSON text}, …]``.
        underscore_to_dot: the model calls functions by names with ``_`` for every ``.``.
        return_format: how the text writes calls, by default a list of calls in the category's language.
        tagged: read what the first ``<TOOLCALL>…</TOOLCALL>`` holds.

    Raises:
        ConfigurationError: no such format, or replies in Java or JavaScript without the extra ``bfcl``.
    """
    try:
        if isinstance(reply, str):
            decoded = decode_reply(reply, return_format or language_of(category), tagged)
        else:
            decoded = decode_function_calls(reply)
    except DecodeError:
        if "relevance" in category:
            return score_ast_calls(category, task, [])
        return Verdict(False, UNDECODABLE, 0)
    return score_ast_calls(category, task, decoded, underscore_to_dot)


def score_ast_calls(category: str, task: Task, calls: Any, underscore_to_dot: bool = False) -> Verdict:
    """The official verdict on decoded calls, ``[{name: {parameter: value}}, …]``; see :func:`score_ast`.

    Values in Java and JavaScript are texts of source code.
    """
    if "relevance" in category:
        called = is_calls(calls) and bool(calls)
        if "irrelevance" in category:
            return Verdict(False, "irrelevance_error:decoder_success", 0) if called else Verdict(True)
        return Verdict(True) if called else Verdict(False, "relevance_error:decoder_failed", 0)
    metadata = task.metadata
    error = check_calls(category, metadata["functions"], metadata["possible_answer"], calls, underscore_to_dot)
    return Verdict(True) if error is None else Verdict(False, error, 0)
