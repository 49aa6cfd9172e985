"""The prompting mode of single replies: prompts of every variant, replies in every return format and language."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tooluse_gym.envs.bfcl.ast.return_formats import decode_reply
from tooluse_gym.envs.bfcl.languages import Language
from tooluse_gym.envs.bfcl.prompt_config import DEFAULT, FORMAT_SENSITIVITY, PromptConfig
from tooluse_gym.envs.bfcl.single_turn import documented, load_format_sensitivity
from tooluse_gym.envs.bfcl.single_turn.prompting import SingleTurnPrompting, load_single_prompting
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call, Kind
from tooluse_gym.formats.wording import UnwritableReplyError
from tooluse_gym.testing import GARBAGE


def reader(config: PromptConfig | None = None, language: Language = "python") -> SingleTurnPrompting:
    return SingleTurnPrompting(("", ""), config or PromptConfig(), language)


VALUES: dict[str, Any] = {"a": 1, "b": -2.5, "c": 'it\'s <b> & "q"', "d": True, "e": None, "f": [1, "x"], "g": {"h": 1}}
CALLS = (Call("shop.sell", VALUES), Call("f", {}), Call("f", {"empty": {}}))


@pytest.mark.parametrize("config", FORMAT_SENSITIVITY[::3], ids=str)
def test_calls_are_read_as_they_are_written(config: PromptConfig) -> None:
    format = reader(config)
    text = format.write(CALLS)
    reply = format.parse(text)
    assert reply.calls == CALLS
    assert reply.error is None
    assert text.startswith("<TOOLCALL>") == config.tagged
    assert [{call.name: call.arguments} for call in CALLS] == decode_reply(text, config.returns, config.tagged)
    assert "".join(text[segment.start : segment.end] for segment in reply.segments) == text
    names = [text[segment.start : segment.end] for segment in reply.segments if segment.kind is Kind.NAME]
    assert names == ["shop.sell", "f", "f"]


@pytest.mark.parametrize(
    ("language", "many"), [("java", 'new ArrayList<String>(Arrays.asList("a", "b"))'), ("javascript", '["a", "b"]')]
)
def test_source_texts_are_read_as_they_are_written(language: Language, many: str) -> None:
    format = reader(language=language)
    call = Call("Shop.sell", {"name": "two words", "many": many, "flag": "true", "it": "x.y"})
    assert format.parse(format.write([call])).calls == (call,)


def test_filled_java_objects_are_written_as_text_blocks() -> None:
    format = reader(language="java")
    text = format.write([Call("f", {"a": 'new HashMap<String, Object>() {{ put("k", 1); }}', "b": "c"})])
    assert text == '[f(a="""new HashMap<String, Object>() {{ put("k", 1); }}""", b="c")]'


def test_what_a_format_cannot_say_is_refused() -> None:
    nested = Call("f", {"a": [{"b": 1}], "c": 2})  # officially read up to the first "}]"
    with pytest.raises(UnwritableReplyError):
        reader(PromptConfig("json")).write([nested])
    with pytest.raises(UnwritableReplyError):
        reader(PromptConfig("verbose_xml")).write([Call("f", {"a": object()})])


@pytest.mark.parametrize("language", ["python", "java", "javascript"])
@pytest.mark.parametrize("config", [PromptConfig(), PromptConfig("json", True), PromptConfig("concise_xml")], ids=str)
def test_other_texts_are_answers_in_words(config: PromptConfig, language: Language) -> None:
    format = reader(config, language)
    for text in (*GARBAGE, "[]", '[{"function": "f", "parameters": ' + "[" * 500 + "]" * 500 + "}]"):
        reply = format.parse(text)
        assert "".join(text[segment.start : segment.end] for segment in reply.segments) == text
    for text in ("Sorry.", "I cannot do that (yet)."):
        assert format.parse(text).response == text
        assert format.parse(format.write((), response=text)).calls == ()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (PromptConfig(), "[f(a="),
        (PromptConfig(tagged=True), "<TOOLCALL>[f(a=1)]"),
        (PromptConfig("json"), '```json\n[{"function": "f"'),
        (PromptConfig("verbose_xml"), "<functions><function"),
        (PromptConfig("json"), ""),
    ],
)
def test_failed_attempts_are_errors(config: PromptConfig, text: str) -> None:
    reply = reader(config).parse(text)
    assert (reply.calls, reply.response) == ((), None)
    assert reply.error


def test_deep_arguments_are_no_call() -> None:
    deep = '[{"function": "f", "parameters": {"a": ' + "[" * 200 + "]" * 200 + "}}]"
    assert reader(PromptConfig("json")).parse(deep).calls == ()


def test_prompts_are_upstreams_in_every_variant(bfcl_data: Path, bfcl_release: Path) -> None:
    """Of 20 tasks; ``bfcl_parity.py --oracle`` compares all 5,200. The digest is of what the official program says."""
    tasks = list(load_format_sensitivity(DEFAULT, bfcl_data).values())[::10]
    digests = hashlib.sha256()
    for config in FORMAT_SENSITIVITY:
        format = load_single_prompting(bfcl_release, config)
        for task in tasks:
            prompt = format.system_prompt(documented(task))
            digests.update(f"{hashlib.sha256(prompt.encode()).hexdigest()}\n".encode())
    assert digests.hexdigest() == "6539d2657b8202f234a74dc8aa381c1ba57123dfde8672631e2b21bb38e38081"


def test_cases_have_upstreams_ids(bfcl_data: Path) -> None:
    config = FORMAT_SENSITIVITY[-1]
    names = list(load_format_sensitivity(config, bfcl_data))
    assert len(names) == 200
    assert names[0] == f"format_sensitivity_25:{config}:simple_python_19"
    assert names[-1] == f"format_sensitivity_5199:{config}:live_parallel_multiple_21-18-0"


def test_variants_that_are_not_compared_are_named(bfcl_data: Path) -> None:
    with pytest.raises(ConfigurationError, match="format_sensitivity does not ask with the prompt 'ret_fmt=json&"):
        load_format_sensitivity(PromptConfig("json", layout="markdown"), bfcl_data)
