"""Conversations as token ids, under the model's own chat template.

Only what the agent did *not* say is ever tokenised here: the opening, and what follows a reply. The reply itself stays
the ids that were sampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from rest_agent.config import ConfigError
from tooluse_gym import messages
from tooluse_gym.messages import Message

_MARK = "reply-whose-end-is-sought"
_PROBE_TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool_name",
        "description": "A tool.",
        "parameters": {"type": "object", "properties": {"probe": {"type": "string"}}, "required": ["probe"]},
    },
}


class Chat:
    """A tokenizer and its chat template.

    ``end_id`` is the token with which the template closes a reply. ``reply_prefix`` is text that the generation prompt
    already puts into the mouth of the model (``<think>`` in some templates): it is part of the reply, but not sampled.

    Args:
        tokenizer: a Hugging Face tokenizer.
        show_tools: tools are shown by the template. Otherwise the environment's system message shows them.

    Raises:
        ConfigError: there is no chat template, it cannot show tools although it should, or it refuses tool results.
    """

    def __init__(self, tokenizer: Any, show_tools: bool):
        self.tokenizer = tokenizer
        self.show_tools = show_tools
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigError("model.path: the tokenizer has no chat template; use an instruction-tuned model")
        if show_tools and _PROBE_TOOL["function"]["name"] not in self._render([messages.user("hi")], [_PROBE_TOOL]):
            raise ConfigError(
                "environment.tools_from: the model's chat template does not show tools; "
                "set it to system, or use a model with a tool-capable template"
            )
        prompt = self._render([messages.user("hi")], prompt=True)[len(self._render([messages.user("hi")], prompt=False)) :]
        opened = prompt.rfind("<think>")
        self.reply_prefix = prompt[opened:] if opened >= 0 and "</think>" not in prompt[opened:] else ""
        closing = self._encode(self._after_reply([messages.user("go on")]))
        if not closing:
            raise ConfigError("model.path: the chat template writes nothing after a reply; it cannot be continued")
        self.end_id: int = closing[0]
        self._end_text = tokenizer.decode([self.end_id])
        self._after_reply([messages.tool_result("probe_tool_name", "ok")])  # refuses tool messages? then here and now

    def opening(self, conversation: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[int]:
        """Ids of the conversation up to the agent's first word."""
        return self._encode(self._render(conversation, tools if self.show_tools else (), prompt=True))

    def continuation(self, heard: Sequence[Message]) -> list[int]:
        """Ids between the end token of a reply (not included) and the agent's next word."""
        text = self._after_reply(heard)
        return self._encode(text.removeprefix(self._end_text))

    def reply(self, text: str) -> list[int]:
        """Ids of a reply that nobody sampled (a demonstration), its end token included."""
        return [*self._encode(text.removeprefix(self.reply_prefix)), self.end_id]

    def _after_reply(self, heard: Sequence[Message]) -> str:
        # Rendered behind a stand-in conversation, so that templates which rewrite history cannot touch what was said.
        text = self._render([messages.user("hi"), messages.assistant(_MARK), *heard], prompt=True)
        return text[text.index(_MARK) + len(_MARK) :]

    def _render(
        self, conversation: Sequence[Message], tools: Sequence[Mapping[str, Any]] = (), prompt: bool = False
    ) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                list(conversation), tools=list(tools) or None, add_generation_prompt=prompt, tokenize=False
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in conversation)
            raise ConfigError(f"model.path: the chat template refuses messages of the roles {roles}: {error}") from error
        return text

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids
