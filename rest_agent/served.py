"""Evaluation of a model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, ``transformers serve``, others.

``python -m rest_agent.served --url http://localhost:8000/v1 --model NAME [--config FILE] [key.sub=value ...]``

Neither torch nor a tokenizer is needed: the server is sent the whole conversation each time (``POST
/chat/completions``), and answers in text. What is played here has no tokens, so nothing can be trained on it.

There are three ways to show a model its tools, and to read its calls:

- ``environment.format=structured``: function calling. The server is sent the tools and takes the calls out of the text;
  calls and results go back to it in OpenAI's form.
- ``environment.format=hermes`` (or ``toolrl``): the server is sent the tools, and its chat template shows them, but the
  model's words stay text. Thoughts and calls that the server has taken out are put back.
- ``environment.tools_from=system``: the server is not told of tools. The environment describes them in its first
  message, and reads the text by its format. If the server's template knows no tool results: ``results_as=user``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from rest_agent.config import ConfigError
from rest_agent.config_text import load
from rest_agent.environments import Environments, Start
from rest_agent.outcome import Evaluation, Outcome, Played
from tooluse_gym import messages, trajectory
from tooluse_gym.errors import ConfigurationError, DataNotFoundError, TaskError
from tooluse_gym.formats import Call, Format
from tooluse_gym.messages import Message

_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
_TOO_LONG = re.compile(r"context|too long|too many tokens", re.IGNORECASE)
_LONGEST_PAUSE = 60.0
_SEED = 7


class ServerError(Exception):
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


@dataclass(frozen=True)
class Server:
    """A model at ``url`` (up to ``/v1``).

    A request that fails for the moment (no connection, too busy, an error of the server's own) is made again after
    ``pause`` seconds, or as many as the server asks for, then after twice as many, ``tries`` times in all.
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

    @property
    def address(self) -> str:
        return f"{self.url.rstrip('/')}/chat/completions"

    def complete(self, **request: Any) -> Said:
        """The model's next message.

        Raises:
            ContextTooLongError: the conversation is too long.
            ServerError: the request was refused, or failed too often.
        """
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        fields = {"model": self.model, **request, **self.extra}
        body = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
        pause = self.pause
        for number in range(self.tries):
            last = number == self.tries - 1
            try:
                sent = urllib.request.Request(self.address, body, headers)
                with urllib.request.urlopen(sent, timeout=self.seconds) as answer:
                    return _said(json.load(answer)["choices"][0])
            except urllib.error.HTTPError as error:
                text = error.read().decode(errors="replace")[:500]
                if error.code in (400, 413, 422) and _TOO_LONG.search(text):
                    raise ContextTooLongError(f"{self.address}: {text}") from error
                if last or error.code not in _AGAIN:
                    raise ServerError(f"{self.address} answers {error.code}: {text}") from error
                pause = max(pause, _asked_for(error.headers.get("Retry-After")))
            except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:  # unreachable, or nonsense
                if last:
                    raise ServerError(f"{self.address}: {type(error).__name__}: {error}") from error
            time.sleep(min(pause, _LONGEST_PAUSE))
            pause *= 2
        raise AssertionError("unreachable: the last try returns or raises")


def _asked_for(retry_after: str | None) -> float:
    """Seconds; 0 if the server names none, or a date."""
    return float(retry_after) if retry_after and re.fullmatch(r"\d+(\.\d+)?", retry_after) else 0.0


def _said(choice: dict[str, Any]) -> Said:
    message = choice["message"]
    calls = tuple(message.get("tool_calls") or ())
    for call in calls:
        if not all(isinstance(call["function"][part], str) for part in ("name", "arguments")):
            raise ValueError(f"a call of another form than OpenAI's: {call}")
    thought = message.get("reasoning_content") or message.get("reasoning")
    return Said(message.get("content") or "", thought, calls, choice.get("finish_reason") == "length")


class ServedArena(Environments):
    """Where a served model plays."""

    def rollouts(
        self,
        model: Server,
        starts: Sequence[Start],
        temperature: float,
        max_reply_tokens: int,
        at_once: int = 16,
        progress: bool = False,
    ) -> list[Played]:
        """An episode of ``model`` from each starting point, in their order, ``at_once`` of them at a time.

        Requests have seeds; a server that honours them says the same again.

        Raises:
            ServerError: the server refuses requests, or finds all openings too long.
        """
        limits = {"temperature": temperature, "max_tokens": max_reply_tokens}
        with ThreadPoolExecutor(at_once) as threads:
            running = [threads.submit(self._play, model, start, limits, row) for row, start in enumerate(starts)]
            shown = track(running, "episodes", console=Console(stderr=True), disable=not progress)
            try:
                played = [one.result() for one in shown]
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise
        if played and not any(one.steps for one in played):
            raise ServerError(
                f"{model.address}: the openings of all {len(played)} episodes are too long for the server"
            )
        return played

    def _play(self, model: Server, start: Start, limits: Mapping[str, Any], row: int) -> Played:
        env = self.take(start)
        outcome, seeds = Outcome(env), np.random.default_rng([_SEED, row])
        conversation: list[dict[str, Any]] = list(self._told(env.conversation))
        over = False
        while not over:
            request = {"messages": conversation, "seed": int(seeds.integers(2**31)), **limits}
            if self.config.tools_from == "template" and env.tools:
                request["tools"] = list(env.tools)
            try:
                said = model.complete(**request)
            except ContextTooLongError:
                outcome.truncated = True
                break
            text = reply_text(said, env.format)
            heard, reward, terminated, truncated, info = env.step(text)
            over = terminated or truncated
            outcome.add(reward, over, truncated or said.cut, info)
            conversation += self._exchanged(said, text, heard)
        played = Played(**outcome.fields(env))
        self.give_back(env)
        return played

    def _told(self, conversation: Sequence[Message]) -> Sequence[Message]:
        return messages.results_as_user(conversation) if self.config.results_as == "user" else conversation

    def _exchanged(self, said: Said, text: str, heard: Sequence[Message]) -> list[dict[str, Any]]:
        """The model's message and those that follow it, as the server is told of them."""
        if not said.calls or self.config.format != "structured":
            return [messages.assistant(text), *self._told(heard)]
        results = [message for message in heard if message["role"] == "tool"]
        if len(results) < len(said.calls):  # some were not carried out, which OpenAI's form cannot express
            return [messages.assistant(text), *messages.results_as_user(heard)]
        told = [{**result, "tool_call_id": call.get("id")} for result, call in zip(results, said.calls, strict=True)]
        asked = {"role": "assistant", "content": said.content or None, "tool_calls": list(said.calls)}
        return [asked, *told, *(message for message in heard if message["role"] != "tool")]


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
    except ValueError:
        return "\n".join([said.content, *map(json.dumps, functions)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate on held-out tasks; the exit status. Prints the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m rest_agent.served", description="Evaluate a served model.")
    parser.add_argument("--url", required=True, help="the server's address up to /v1; its key: $OPENAI_API_KEY")
    parser.add_argument("--model", required=True, help="its name there")
    parser.add_argument("--temperature", type=float, default=0.0, help="default: 0, greedy")
    parser.add_argument("--at_once", type=int, default=16, help="episodes that are played side by side")
    parser.add_argument("--request", type=json.loads, default={}, metavar="JSON", help=_REQUEST_HELP)
    parser.add_argument("--save", metavar="FILE", help="append the episodes to it, for tooluse-gym show")
    parser.add_argument("--config", help="YAML file, as for training")
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help=_KEYS_HELP)
    options = parser.parse_intermixed_args(arguments)
    try:
        config = load(options.config, options.overrides, otherwise=None)
        server = Server(options.url, options.model, os.environ.get("OPENAI_API_KEY"), options.request)
        arena = ServedArena(config.environment)
        starts = arena.held_out_tasks(config.environment.eval_split, config.evaluation.tasks)
        limits = (options.temperature, config.rl.max_reply_tokens, options.at_once)
        found = Evaluation(arena.rollouts(server, starts, *limits, progress=True), [start.task for start in starts])
    except (ConfigError, ServerError, ConfigurationError, DataNotFoundError, TaskError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.save:
        trajectory.save(options.save, [one.trajectory for one in found.rollouts if one.trajectory is not None])
    print(json.dumps(found.summary()))
    return 0


_REQUEST_HELP = 'further fields of every request; null leaves one of ours out ({"max_tokens": null, "top_p": 0.9})'
_KEYS_HELP = "settings, over those of --config: environment.…, evaluation.tasks and rl.max_reply_tokens count"

if __name__ == "__main__":
    sys.exit(main())
