"""Chat templates: what is told apart from what is said, and templates that cannot carry a tool-using conversation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from rest_agent.chat import Chat, stop_ids
from rest_agent.config import ConfigError
from tooluse_gym import messages

ALPHABET = {piece: index for index, piece in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
TOOL = {"type": "function", "function": {"name": "ls", "description": "List.", "parameters": {"type": "object"}}}
EVERYTHING = (
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def _chat(template: str | None, show_tools: bool = True, **options: Any) -> Chat:
    """Over a tokenizer of single bytes, whose only special tokens are <|end|> and <|eot|>."""
    tokenizer = Tokenizer(models.BPE(vocab=dict(ALPHABET), merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrapped: Any = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")  # type: ignore[no-untyped-call]
    wrapped.add_special_tokens({"additional_special_tokens": ["<|eot|>"]})
    wrapped.chat_template = template
    return Chat(wrapped, show_tools, **options)


def _read(chat: Chat, ids: list[int]) -> str:
    return str(chat.tokenizer.decode(ids))


def test_opening_reply_and_continuation_make_up_the_conversation() -> None:
    chat = _chat(EVERYTHING)
    opening = chat.opening([messages.user("hi")], [TOOL])
    assert _read(chat, opening).startswith('{"type": "function"')
    assert _read(chat, opening).endswith("<|user|>hi<|end|><|assistant|>")
    assert _read(chat, chat.reply("yes ")) == "yes <|end|>"
    heard = chat.continuation([messages.tool_result("ls", "a b"), messages.tool_result("ls", "c")])
    assert _read(chat, heard) == "<|tool|>a b<|end|><|tool|>c<|end|><|assistant|>"


def test_tools_are_left_to_the_system_message_if_so_configured() -> None:
    chat = _chat(EVERYTHING, show_tools=False)
    assert _read(chat, chat.opening([messages.user("hi")], [TOOL])) == "<|user|>hi<|end|><|assistant|>"


@pytest.mark.parametrize(
    "reply",
    ["  blanks around it  \n", "reply-whose-end-is-sought", "<|assistant|>", "<think>\n\nwhat</think>\n\nso"],
    ids=["blanks", "our own mark", "a role", "a thought"],
)
def test_what_was_said_cannot_change_what_is_told(reply: str) -> None:
    """A continuation is rendered behind a stand-in: trimming and dropping thoughts cannot reach the reply."""
    chat = _chat(EVERYTHING.replace("m.content", "m.content.split('</think>')[-1] | trim"))
    assert _read(chat, chat.reply(reply)) == f"{reply}<|end|>"
    assert _read(chat, chat.continuation([messages.user(" go on ")])) == "<|user|>go on<|end|><|assistant|>"
    assert "<|end|>" in _read(chat, chat.continuation([messages.user("reply-whose-end-is-sought")]))


def test_text_that_the_template_puts_before_the_end_token_is_not_the_end() -> None:
    chat = _chat(EVERYTHING.replace("{{ m.content }}<|end|>", "{{ m.content }} \n<|end|>\n"))
    assert chat.tokenizer.decode([chat.end_id]) == "<|end|>"
    assert _read(chat, chat.continuation([messages.user("a")])) == "\n<|user|>a \n<|end|>\n<|assistant|>"


@pytest.mark.parametrize(
    ("opened", "prefix", "sampled"),
    [
        ("<think>\n", "<think>\n", "\n</think>\nhi<|end|>"),
        ("<think>\n\n</think>\n\n", "", "hi<|end|>"),
        ("<think>so", "", "hi<|end|>"),
    ],
    ids=["open", "closed again", "with words of its own"],
)
def test_a_thought_that_the_prompt_opens_is_part_of_the_reply(opened: str, prefix: str, sampled: str) -> None:
    chat = _chat(EVERYTHING.replace("<|assistant|>", f"<|assistant|>{opened}"))
    assert chat.reply_prefix == prefix
    assert _read(chat, chat.reply("hi")) == sampled
    if prefix:
        assert _read(chat, chat.reply("<think> why </think>\nhi")) == "why </think>\nhi<|end|>"


def test_variables_reach_the_template() -> None:
    template = EVERYTHING.replace("<|assistant|>", "<|assistant|>{% if thinking %}<think>{% endif %}")
    assert _chat(template).reply_prefix == ""
    assert _chat(template, variables={"thinking": True}).reply_prefix == "<think>"


def test_results_can_be_told_as_user_messages() -> None:
    refuses = EVERYTHING.replace(
        "<|{{ m.role }}|>", "{% if m.role == 'tool' %}{{ raise_exception('only users') }}{% endif %}<|{{ m.role }}|>"
    )
    chat = _chat(refuses, results_as="user")
    heard = chat.continuation([messages.tool_result("ls", "a"), messages.tool_result("ls", "b")])
    expected = "<tool_response>\na\n</tool_response>\n<tool_response>\nb\n</tool_response>"
    assert _read(chat, heard) == f"<|user|>{expected}<|end|><|assistant|>"


def test_new_tools_are_told_once_and_only_where_the_template_shows_tools() -> None:
    chat = _chat(EVERYTHING)
    text = _read(chat, chat.continuation([messages.user("now")], [TOOL]))
    assert text.startswith('<|user|>These tools are now available as well:\n{"name": "ls"')
    assert text.endswith("}\n\nnow<|end|><|assistant|>")
    assert "available" not in _read(_chat(EVERYTHING, show_tools=False), chat.continuation([messages.user("now")], []))


@pytest.mark.parametrize(
    ("template", "options", "message"),
    [
        (None, {}, r"model\.path: the tokenizer has no chat template; use"),
        (
            EVERYTHING.replace("tools or []", "[]"),
            {},
            r"environment\.tools_from: .*does not show tools; set it to system",
        ),
        (
            EVERYTHING.replace("messages %}", "messages if m.role != 'tool' %}"),
            {},
            r"environment\.results_as: set it to user, .*passes over tool results",
        ),
        (
            EVERYTHING.replace("<|{{", "{{ raise_exception('no tools') if m.role == 'tool' }}<|{{"),
            {},
            r"environment\.results_as: set it to user, .*refuses messages of the roles user, assistant, tool: no tools",
        ),
        (EVERYTHING.replace("<|end|>", "\n"), {}, r"model\.path: .*closes a reply without a special token"),
        (
            EVERYTHING.replace(
                "}<|end|>", "}{{ '<|eot|>' if loop.nextitem and loop.nextitem.role == 'tool' else '<|end|>' }}"
            ),
            {},
            r"model\.path: .*with different tokens",
        ),
        (
            EVERYTHING.replace("<|assistant|>", "<|assistant|>{{ '<think>' if messages[-1].role == 'user' }}"),
            {},
            r"model\.path: .*opens <think> for some replies only",
        ),
        (
            EVERYTHING.replace("messages %}", "messages if m.role != 'assistant' %}"),
            {},
            r"leaves out what the assistant said",
        ),
        ("{{ messages[0].content + 1 }}", {"show_tools": False}, r"chat template refuses messages of the roles user"),
    ],
    ids=[
        "no template",
        "no tools",
        "results ignored",
        "results refused",
        "no end token",
        "two end tokens",
        "thinks sometimes",
        "no replies",
        "broken template",
    ],
)
def test_templates_that_cannot_serve_are_refused_with_a_remedy(
    template: str | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        _chat(template, **options)


@pytest.mark.parametrize(
    ("family", "end"), [("qwen", "<|im_end|>"), ("llama", "<|eot_id|>"), ("thinking", "</s>"), ("own", "<|end|>")]
)
def test_the_end_token_of_each_family(players: Any, family: str, end: str) -> None:
    chat = players[family].arena().chat
    assert chat.tokenizer.decode([chat.end_id]) == end
    assert chat.reply_prefix == ("<think>\n" if family == "thinking" else "")


@pytest.mark.parametrize(
    ("named", "expected"),
    [(None, set()), (7, {7}), ([3, 9], {3, 9})],
    ids=["none", "one", "several"],
)
def test_the_models_own_end_tokens(named: Any, expected: set[int]) -> None:
    assert stop_ids(SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=named))) == expected
    assert stop_ids(SimpleNamespace()) == set()


def test_the_end_tokens_of_a_pretrained_model_are_the_templates_and_its_own(players: Any) -> None:
    player = players["qwen"]
    ends = [player.tokenizer.eos_token_id, player.tokenizer.pad_token_id]
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=ends))
    chat = Chat(player.tokenizer, show_tools=True, stops=stop_ids(model))
    assert chat.end_id == ends[0]
    assert chat.end_ids == set(ends)
