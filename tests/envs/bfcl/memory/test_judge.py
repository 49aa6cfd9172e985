"""What counts as an answer; the cases of ``found`` are the official checker's."""

from __future__ import annotations

import pytest

from tooluse_gym.envs.bfcl import score_answer
from tooluse_gym.envs.bfcl.memory.judge import found
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.messages import user
from tooluse_gym.tasks import Task, Turn

QUESTION = Task("q", (Turn((user("who am i?"),)),), ("MemoryAPI_kv",), metadata={"answers": ["Michael", "Mike"]})


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("my name is michael.", "Michael", True),
        ("Michaelson", "Michael", False),
        ("{'answer': '3.5'}", "35", True),
        ("a_b", "a b", False),
        ("ab", "a_b", True),
        ("it's", 'it"s', True),
        ("x\ny z", "x y", False),
        ("costs $5 today", "$5", False),
        ("c++ x", "c++", False),
        ("x", "", True),
    ],
)
def test_an_answer_stands_between_word_boundaries(text: str, answer: str, right: bool) -> None:
    assert found([answer], text) is right
    assert found(["nowhere", answer], text) is right


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([["[f(a=1)]", "Michael"]], None),
        ([["Paul", "It is Mike."]], None),
        ([["Michael", "Paul"]], "answer_not_found"),
        ([["Michael", "[f(a=1)]"]], None),
        ([["[f(x='Michael')]"]], "no_last_message"),
        ([["Michael", ""]], "no_last_message"),
        ([["Michael", "[]"]], "answer_not_found"),
        ([["f(a={})"]], "answer_not_found"),
        ([[]], "no_last_message"),
        ([["Michael"], ["Michael"]], "inference_error"),
        ("Error during inference: Michael", "inference_error"),
    ],
)
def test_the_last_reply_without_calls_is_the_answer(replies: str | list[list[str]], error: str | None) -> None:
    verdict = score_answer(QUESTION, replies)
    assert verdict.valid is (error is None)
    assert verdict.error_type == (error and f"agentic:{error}")


def test_conversations_have_no_answer() -> None:
    with pytest.raises(ConfigurationError, match="task 't' is no question"):
        score_answer(Task("t", QUESTION.turns, QUESTION.toolsets), [["Michael"]])
