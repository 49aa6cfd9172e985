"""Conversations as token ids, under the model's own chat template.

Only what the agent did *not* say is ever tokenised here: the opening, and what follows a reply. The reply itself stays
the ids that were sampled. Whether a template that rewrites history (Qwen3's drops earlier thoughts) is followed is the
caller's choice: :meth:`Chat.continuation` leaves what was said as it was said, :meth:`Chat.opening` renders all of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from jinja2 import TemplateError

from rest_agent.config import ConfigError
from tooluse_gym import messages
from tooluse_gym.messages import Message
from tooluse_gym.reuse import Recent

ToolSchema = Mapping[str, Any]
"""A tool in OpenAI form."""

_MARK = "reply-whose-end-is-sought"
_PROBE_RESULT = "probe-of-a-tool-result"
_PROBE_TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool_name",
        "description": "A tool.",
        "parameters": {"type": "object", "properties": {"probe": {"type": "string"}}, "required": ["probe"]},
    },
}
_THINK = "<think>"
_REMEMBERED = 256  # texts: the rollouts of a group begin alike, and often hear the same
_OPEN_THOUGHT = re.compile(rf"{_THINK}\s*\Z")


class Chat:
    """A tokenizer and its chat template.

    ``end_id`` is the special token with which the template closes a reply; ``end_ids`` are all that end one.
    ``reply_prefix`` is text that the generation prompt already puts into the mouth of the model (``<think>`` in some
    templates): part of the reply, but not sampled.

    Args:
        tokenizer: a Hugging Face tokenizer.
        show_tools: tools are shown by the template. Otherwise the environment's system message shows them.
        results_as: role of the messages that carry tool results: ``tool``, or ``user`` for templates without it.
        variables: further variables of the template, such as ``enable_thinking``.
        stops: more tokens that end a reply: those that the model's own settings name (:func:`stop_ids`).

    Raises:
        ConfigError: there is no chat template; it does not show tools although it should; it refuses or passes over
            tool results; or nothing tells where a reply ends. The message names the key to change.
    """

    def __init__(
        self,
        tokenizer: Any,
        show_tools: bool,
        results_as: Literal["tool", "user"] = "tool",
        variables: Mapping[str, Any] | None = None,
        stops: Collection[int] = (),
    ):
        self.tokenizer = tokenizer
        self.show_tools = show_tools
        self.results_as = results_as
        self._variables = dict(variables or {})
        self._told: Recent[tuple[int, ...]] = Recent(_REMEMBERED)
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigError("model.path: the tokenizer has no chat template; use an instruction-tuned model")
        asked = [messages.user("hi")]
        if show_tools and _PROBE_TOOL["function"]["name"] not in self._render(asked, [_PROBE_TOOL]):  # type: ignore[index]
            raise ConfigError(
                "environment.tools_from: the model's chat template does not show tools; "
                "set it to system, or use a model with a tool-capable template"
            )
        after = [self._after_reply(heard) for heard in ([messages.user("go on")], self._probe_results())]
        self.end_id = self._closing_token(after)
        self.end_ids = frozenset({self.end_id, *stops})
        self.reply_prefix = _opened_thought(self._render(asked, prompt=True))
        if any(_opened_thought(text) != self.reply_prefix for text in after):
            raise ConfigError(
                "model.path: the chat template opens <think> for some replies only, which is not supported"
            )

    def opening(self, conversation: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        """Ids of the whole conversation, as the template tells it now, up to the agent's next word."""
        tools = tools if self.show_tools else ()
        key = ("opening", json.dumps((conversation, tools)))
        return list(self._told.get(key, lambda: tuple(self._encode(self._render(conversation, tools, prompt=True)))))

    def continuation(self, heard: Sequence[Message], new_tools: Sequence[ToolSchema] = ()) -> list[int]:
        """Ids between the end token of a reply (not included) and the agent's next word.

        Args:
            heard: the messages that follow the reply.
            new_tools: tools that were not visible before. Where the template shows tools, a message tells of them.
        """
        if new_tools and self.show_tools:
            heard = _announced(heard, new_tools)
        return list(self._told.get(("continuation", json.dumps(heard)), lambda: self._after_end(heard)))

    def reply(self, text: str) -> list[int]:
        """Ids of a reply that nobody sampled (a demonstration), its end token included."""
        if self.reply_prefix:  # the thought is open already: go on with it, or close it at once
            thinks = text.startswith(_THINK)
            text = text.removeprefix(_THINK).lstrip() if thinks else f"\n</think>\n{text}"
        # Behind a special token, as tokenizers of the SentencePiece kind put a blank before the first word of a text.
        ids = self._encode(self.tokenizer.decode([self.end_id]) + text)
        return [*ids[1:], self.end_id]

    def _probe_results(self) -> list[Message]:
        result = [messages.tool_result("probe_tool_name", _PROBE_RESULT)]
        remedy = "environment.results_as: set it to user, or use a model with a tool-capable template"
        try:
            text = self._after_reply(result)
        except ConfigError as error:
            raise ConfigError(f"{remedy}; {error}") from error
        if _PROBE_RESULT not in text:
            raise ConfigError(f"{remedy}; the chat template passes over tool results")
        return result

    def _closing_token(self, after: Sequence[str]) -> int:
        added = self.tokenizer.added_tokens_decoder
        special = {*self.tokenizer.all_special_ids, *(index for index, token in added.items() if token.special)}
        found = {next((index for index in self._encode(text) if index in special), None) for text in after}
        end = found.pop()
        if end is None or found:
            raise ConfigError(
                "model.path: the chat template closes a reply "
                + ("without a special token" if end is None else "with different tokens, by who speaks next")
                + ", so nothing would tell the model to stop; use a model whose template has one end-of-turn token"
            )
        return int(end)

    def _after_end(self, heard: Sequence[Message]) -> tuple[int, ...]:
        ids = self._encode(self._after_reply(heard))
        return tuple(ids[ids.index(self.end_id) + 1 :])

    def _after_reply(self, heard: Sequence[Message]) -> str:
        # Rendered behind a stand-in conversation, so that templates which rewrite history cannot touch what was said.
        text = self._render([messages.user("hi"), messages.assistant(_MARK), *heard], prompt=True)
        _, found, after = text.partition(_MARK)
        if not found:
            raise ConfigError("model.path: the chat template leaves out what the assistant said")
        return after

    def _render(self, conversation: Sequence[Message], tools: Sequence[ToolSchema] = (), prompt: bool = False) -> str:
        said = messages.results_as_user(conversation) if self.results_as == "user" else list(conversation)
        try:
            text: str = self.tokenizer.apply_chat_template(
                said, tools=list(tools) or None, add_generation_prompt=prompt, tokenize=False, **self._variables
            )
        except (TemplateError, TypeError, ValueError) as error:
            roles = ", ".join(message["role"] for message in said)
            raise ConfigError(f"the model's chat template refuses messages of the roles {roles}: {error}") from error
        return text

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids


def stop_ids(model: Any) -> frozenset[int]:
    """The tokens that end a text, by the model's generation settings; none if it has no such settings."""
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return frozenset(named if isinstance(named, list | tuple) else [] if named is None else [named])


def _opened_thought(prompt: str) -> str:
    found = _OPEN_THOUGHT.search(prompt)
    return found[0] if found else ""


def _announced(heard: Sequence[Message], tools: Sequence[ToolSchema]) -> list[Message]:
    lines = (json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    text = "\n".join(("These tools are now available as well:", *lines))
    if heard and heard[0]["role"] == "user":
        return [{**heard[0], "content": f"{text}\n\n{heard[0]['content']}"}, *heard[1:]]
    return [messages.user(text), *heard]
