"""A model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, ``transformers serve``, others."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from tooluse_gym.errors import ToolUseError
from tooluse_gym.formats import Call, Format

_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
_TOO_LONG = re.compile(r"context|too long|too many tokens", re.IGNORECASE)
_NO_ANSWER = (OSError, HTTPException)
_TROUBLES = (*_NO_ANSWER, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What an unreachable server raises, and one that talks nonsense."""
_LONGEST_PAUSE = 60.0
_LARGEST_ANSWER = 64 * 2**20  # bytes
_SHOWN = 500  # characters of an answer in an error
_PART = 2**16  # bytes of an answer that are read at a time


class ServerError(ToolUseError):
    """A server cannot be reached, refuses a request or answers nonsense. The message names its address."""


class ContextTooLongError(ServerError):
    """A server refuses a conversation for its length."""


@dataclass(frozen=True)
class Said:
    """A message of the model."""

    content: str
    thought: str | None
    calls: tuple[dict[str, Any], ...]
    """As the server wrote them; those that stand in the content are not among them."""
    cut: bool
    """It grew too long."""


class _Gate:
    """When the next request may be sent, for all threads together."""

    def __init__(self, per_minute: float | None):
        self._spacing = 0.0 if per_minute is None else 60.0 / per_minute
        self._open = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            now = time.monotonic()
            at = max(now, self._open)
            self._open = at + self._spacing
        time.sleep(at - now)

    def close(self, seconds: float) -> None:
        """Let nobody through for so long."""
        with self._lock:
            self._open = max(self._open, time.monotonic() + seconds)


@dataclass(frozen=True)
class Server:
    """A model at ``url`` (up to ``/v1``).

    A request that fails for the moment (no connection, too busy, an error of the server's own) is made again after
    ``pause`` seconds, or as many as the server asks for, then after twice as many, ``tries`` times in all. What a
    server asks for, all threads heed.
    """

    url: str
    model: str
    key: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of every request, over ours; None leaves one out."""
    seconds: float = 600.0
    """The longest wait for an answer."""
    tries: int = 6
    pause: float = 1.0
    per_minute: float | None = None
    """Requests sent in a minute, at most."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_gate", _Gate(self.per_minute))

    @property
    def address(self) -> str:
        return f"{self.url.rstrip('/')}/chat/completions"

    def complete(self, **request: Any) -> Said:
        """The model's next message.

        Raises:
            ContextTooLongError: the conversation is too long.
            ServerError: the request was refused, or failed too often.
        """
        fields = {"model": self.model, **request, **self.extra}
        body = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
        gate: _Gate = self._gate  # type: ignore[attr-defined]
        pause = self.pause
        for number in range(self.tries):
            last = number == self.tries - 1
            gate.wait()
            try:
                return _said(_answer(self.address, self.key, self.seconds, body)["choices"][0])
            except urllib.error.HTTPError as error:
                text = _beginning(error)
                if error.code in (400, 413, 422) and _TOO_LONG.search(text):
                    raise ContextTooLongError(f"{self.address}: {text}") from error
                if last or error.code not in _AGAIN:
                    raise ServerError(f"{self.address} answers {error.code}: {text}{_remedy(error.code)}") from error
                asked = _asked_for(error.headers.get("Retry-After"))
                if asked:
                    gate.close(min(asked, _LONGEST_PAUSE))
                pause = max(pause, asked)
            except _TROUBLES as error:
                if last:
                    raise ServerError(f"{self.address}: {type(error).__name__}: {error}") from error
            time.sleep(min(pause, _LONGEST_PAUSE))
            pause *= 2
        raise AssertionError("unreachable: the last try returns or raises")


def only_model(url: str, key: str | None = None, seconds: float = 30.0) -> str:
    """The name of the one model that a server offers.

    Raises:
        ServerError: it does not say, or offers several.
    """
    address = f"{url.rstrip('/')}/models"
    try:
        names = [model["id"] for model in _answer(address, key, seconds)["data"]]
    except _TROUBLES as error:
        raise ServerError(f"{address} does not tell the model's name ({error}): give it with --name") from error
    if len(names) != 1:
        raise ServerError(f"{address} offers {', '.join(names) or 'no model'}: choose one with --name")
    return str(names[0])


def _answer(address: str, key: str | None, seconds: float, body: bytes | None = None) -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    end = time.monotonic() + seconds
    text = bytearray()
    with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=seconds) as answer:
        while part := answer.read1(_PART):
            text += part
            if len(text) > _LARGEST_ANSWER:
                raise ValueError(f"an answer of more than {_LARGEST_ANSWER} bytes")
            if time.monotonic() > end:
                raise TimeoutError(f"no whole answer within {seconds:g} seconds")
    return json.loads(text)


def _beginning(error: urllib.error.HTTPError) -> str:
    """What a refusal says, as far as it can be read."""
    try:
        return error.read(4 * _SHOWN).decode(errors="replace")[:_SHOWN]
    except _NO_ANSWER as failure:
        return f"({failure})"


def _remedy(code: int) -> str:
    return " (the key is $OPENAI_API_KEY)" if code in (401, 403) else ""


def _asked_for(retry_after: str | None) -> float:
    """Seconds; 0 if the server names none, or a date."""
    return float(retry_after) if retry_after and re.fullmatch(r"\d+(\.\d+)?", retry_after) else 0.0


def _said(choice: dict[str, Any]) -> Said:
    message = choice["message"]
    calls = tuple(message.get("tool_calls") or ())
    for call in calls:
        if not all(isinstance(call["function"][part], str) for part in ("name", "arguments")):
            raise ValueError(f"a call of another form than OpenAI's: {str(call)[:_SHOWN]}")
    content, thought = message.get("content") or "", message.get("reasoning_content") or message.get("reasoning")
    if not isinstance(content, str) or not isinstance(thought, str | None):
        raise ValueError(f"a message that is not text: {str(message)[:_SHOWN]}")
    return Said(content, thought, calls, choice.get("finish_reason") == "length")


def reply_text(said: Said, format: Format) -> str:
    """What the model said, as a reply in ``format``: a thought and calls that the server has taken out are put back.

    Calls that the format cannot express (their arguments are not JSON, say) are left as they are, for the environment
    to judge.
    """
    functions = [call["function"] for call in said.calls]
    if functions and format.name == "structured":  # takes arguments as they come
        return json.dumps([{"name": one["name"], "arguments": one["arguments"] or "{}"} for one in functions])
    if not functions and not said.thought:
        return said.content
    try:
        calls = [Call(one["name"], json.loads(one["arguments"] or "{}")) for one in functions]
        return format.write(calls, said.thought, said.content or None)
    except (ValueError, RecursionError):
        return "\n".join([said.content, *map(json.dumps, functions)])
