"""Who plays: a served model, or an agent of one's own. Local models play in ``rest_agent.player``, as that needs torch.

There are three ways to show a served model its tools, and to read its calls:

- format ``structured`` with tools from the template: function calling. The server is sent the tools and takes the calls
  out of the text; calls and results go back to it in OpenAI's form.
- another format (``hermes``, ``toolrl``) with tools from the template: the server is sent the tools, and its chat
  template shows them, but the model's words stay text. Thoughts and calls that the server has taken out are put back.
- tools from the system message: the server is not told of tools. The environment describes them in its first message,
  and reads the text by its format.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, Protocol

import numpy as np

from tooluse_gym import messages
from tooluse_gym.agents import Agent
from tooluse_gym.env import ToolUseEnv
from tooluse_gym.evaluation.server import ContextTooLongError, Server, reply_text
from tooluse_gym.evaluation.setting import Entry, Setting
from tooluse_gym.formats.wording import UnwritableReplyError
from tooluse_gym.messages import Message
from tooluse_gym.outcome import Outcome, Played

Finished = Callable[[Entry, Played], None]
Given = Callable[[Entry], Mapping[str, Any]]
"""Options of ``reset`` beside the task's id."""


def nothing_given(entry: Entry) -> Mapping[str, Any]:
    """The entry begins as its task says."""
    return {}


class Player(Protocol):
    """Plays entries, in any order and any number of them at a time."""

    @property
    def name(self) -> str:
        """The model's name, for reports."""

    def play(
        self, setting: Setting, entries: Sequence[Entry], finished: Finished, given: Given = nothing_given
    ) -> None:
        """Play each entry once; ``finished`` is told of every episode as it ends, in the caller's thread."""


class AgentPlayer:
    """An agent of one's own: ``make(env)`` returns the agent of an episode that was just reset."""

    def __init__(self, name: str, make: Callable[[ToolUseEnv], Agent]):
        self.name = name
        self._make = make

    def play(
        self, setting: Setting, entries: Sequence[Entry], finished: Finished, given: Given = nothing_given
    ) -> None:
        env = setting.make()
        for entry in entries:
            observation, info = env.reset(seed=seed_of(entry), options={"task_id": entry.task, **given(entry)})
            agent, outcome, over = self._make(env), Outcome(env), False
            while not over:
                observation, reward, terminated, truncated, info = env.step(agent(observation, info))
                over = terminated or truncated
                outcome.add(reward, over, truncated, info)
            finished(entry, Played(**outcome.fields(env)))


def ground_truth(env: ToolUseEnv) -> Agent:
    """An agent that says what the ground truth says; nothing after that, or where the format cannot express it."""
    said = iter(env.tasks.demonstrate(env.task, np.random.default_rng(0), 0.0))

    def agent(observation: Any, info: dict[str, Any]) -> str:
        following = next(said, None)
        try:
            return "" if following is None else env.write(following)
        except UnwritableReplyError:
            return ""

    return agent


class ServedPlayer:
    """A model behind a server.

    Requests have seeds, an entry's own; a server that honours them says the same again.

    Args:
        at_once: episodes that are played side by side.
    """

    def __init__(self, server: Server, temperature: float = 0.0, max_reply_tokens: int = 4096, at_once: int = 16):
        self.name = server.model
        self._server = server
        self._limits = {"temperature": temperature, "max_tokens": max_reply_tokens}
        self._at_once = at_once

    def play(
        self, setting: Setting, entries: Sequence[Entry], finished: Finished, given: Given = nothing_given
    ) -> None:
        """As :class:`Player` says.

        Raises:
            ServerError: the server refuses requests. Episodes that were finished by then have been told of.
        """
        idle: list[ToolUseEnv] = []
        waiting = iter(entries)
        running: dict[Future[Played], Entry] = {}
        with ThreadPoolExecutor(self._at_once) as threads:
            try:
                while True:
                    for entry in islice(waiting, self._at_once - len(running)):
                        env = idle.pop() if idle else setting.make()
                        running[threads.submit(self._play, env, idle, setting, entry, given(entry))] = entry
                    if not running:
                        return
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    failures = [one.exception() for one in done]
                    for one in done:
                        entry = running.pop(one)
                        if one.exception() is None:
                            finished(entry, one.result())
                    for failure in failures:
                        if failure is not None:
                            raise failure
            except BaseException:
                # What is under way has been paid for: it is let end, and told of if it ends well.
                waiting = iter(())
                for one in running:
                    one.cancel()
                for one, entry in running.items():
                    if not one.cancelled() and one.exception() is None:
                        finished(entry, one.result())
                raise

    def _play(
        self, env: ToolUseEnv, idle: list[ToolUseEnv], setting: Setting, entry: Entry, given: Mapping[str, Any]
    ) -> Played:
        env.reset(seed=seed_of(entry), options={"task_id": entry.task, **given})
        outcome, seeds = Outcome(env), np.random.default_rng(seed_of(entry))
        conversation: list[dict[str, Any]] = list(_told(setting, env.conversation))
        over = False
        while not over:
            request: dict[str, Any] = {"messages": conversation, "seed": int(seeds.integers(2**31)), **self._limits}
            if setting.tools_from == "template" and env.tools:
                request["tools"] = list(env.tools)
            try:
                said = self._server.complete(**request)
            except ContextTooLongError:
                outcome.truncated = True
                break
            text = reply_text(said, env.format)
            heard, reward, terminated, truncated, info = env.step(text)
            over = terminated or truncated
            outcome.add(reward, over, truncated or said.cut, info)
            conversation += _exchanged(setting, env, said.calls, said.content, text, heard)
        played = Played(**outcome.fields(env))
        idle.append(env)
        return played


def seed_of(entry: Entry) -> int:
    """A number of the entry's own."""
    return zlib.crc32("\0".join(map(str, entry)).encode(errors="surrogatepass"))


def _told(setting: Setting, conversation: Sequence[Message]) -> Sequence[Message]:
    return messages.results_as_user(conversation) if setting.results_as == "user" else conversation


def _exchanged(
    setting: Setting,
    env: ToolUseEnv,
    calls: Sequence[Mapping[str, Any]],
    content: str,
    text: str,
    heard: Sequence[Message],
) -> list[dict[str, Any]]:
    """The model's message and those that follow it, as the server is told of them."""
    if not calls or env.format.name != "structured":
        return [messages.assistant(text), *_told(setting, heard)]
    results = [message for message in heard if message["role"] == "tool"]
    if len(results) < len(calls):  # some were not carried out, which OpenAI's form cannot express
        return [messages.assistant(text), *messages.results_as_user(heard)]
    told = [{**result, "tool_call_id": call.get("id")} for result, call in zip(results, calls, strict=True)]
    asked = {"role": "assistant", "content": content or None, "tool_calls": list(calls)}
    return [asked, *told, *(message for message in heard if message["role"] != "tool")]
