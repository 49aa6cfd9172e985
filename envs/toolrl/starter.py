"""The starter source: one-step tasks without end and without a download, each made from its id alone.

``StarterTasks()["starter/train/7"]`` asks for a few things at once; most take a call each, some are just answered::

    please send "plum" to "lagoon" and say "reef"
        <think> I need send_message. I answer "reef". </think>
        <tool_call>
        {"name": "send_message", "parameters": {"receiver": "lagoon", "text": "plum"}}
        </tool_call>
        <response> reef </response>

The splits are disjoint: a word of a task belongs to one split alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

import numpy as np

from tooluse_gym.envs.toolrl.rows import FORMAT, demonstration
from tooluse_gym.errors import ConfigurationError
from tooluse_gym.formats import Call
from tooluse_gym.messages import user
from tooluse_gym.tasks import Task, Turn, Utterance
from tooluse_gym.tools import Tool

_NUMBERS = 2**53
_TOOLS_SHOWN = 4
_MOST_REQUESTS = 3

_WORDS = """
acorn amber anchor apple arrow aspen autumn basil beacon berry birch bloom breeze canyon cedar cherry cinder cliff
clover cobalt comet coral cotton creek crystal daisy delta dune eagle ember falcon fennel fern fjord flint forest
galaxy garnet ginger glacier grove harbor hazel heron honey indigo island ivory jasmine juniper kestrel lagoon
lantern laurel lemon lilac lotus maple marble meadow mint moss nectar nutmeg oasis olive onyx opal orchid osprey
pearl pebble pepper pine plum poppy prairie quartz quill raven reef river robin rose saffron sage shadow silver
spruce stone summit thistle thunder tulip umber valley velvet violet walnut willow winter yarrow zephyr
"""
WORDS = _WORDS.split()
SPLITS = {
    "train": [word for place, word in enumerate(WORDS) if place % 10 < 8],
    "validation": WORDS[8::10],
    "test": WORDS[9::10],
}
"""The words of each split; every other value of a task is a number or a switch."""

Draw = Callable[[Random, Sequence[str]], Any]


def _word(random: Random, words: Sequence[str]) -> Any:
    return random.choice(words)


def _number(random: Random, words: Sequence[str]) -> Any:
    return random.randint(2, 60)


def _switch(random: Random, words: Sequence[str]) -> Any:
    return random.random() < 0.5


_TYPES: dict[Draw, str] = {_word: "string", _number: "integer", _switch: "boolean"}


class Request(NamedTuple):
    """Something to ask for: a sentence, and the tool whose parameters it tells."""

    sentence: str
    tool: Tool
    draws: dict[str, Draw]


def _request(name: str, description: str, sentence: str, **draws: Draw) -> Request:
    properties = {parameter: {"type": _TYPES[draw]} for parameter, draw in draws.items()}
    schema = {"type": "object", "properties": properties, "required": list(draws), "additionalProperties": False}
    return Request(sentence, Tool(name, description, schema), draws)


REQUESTS = (
    _request(
        "set_timer",
        "Start a timer.",
        'start a timer of {minutes} minutes called "{label}"',
        minutes=_number,
        label=_word,
    ),
    _request("add_item", "Put an item on a list.", 'put "{item}" on the list "{list}"', item=_word, list=_word),
    _request("send_message", "Send a message.", 'send "{text}" to "{receiver}"', receiver=_word, text=_word),
    _request("play_song", "Play a song.", 'play the song "{title}"', title=_word),
    _request("switch_lamp", "Switch a lamp on or off.", 'set the lamp "{lamp}" to {on}', lamp=_word, on=_switch),
    _request("book_table", "Book a table.", 'book a table for {people} at "{place}"', place=_word, people=_number),
    _request("get_weather", "Tell the weather in a city.", 'tell me the weather in "{city}"', city=_word),
    _request(
        "set_volume", "Set the volume of a speaker.", 'set "{speaker}" to volume {level}', speaker=_word, level=_number
    ),
)
SAY = 'say "{word}"'
"""What takes a response and no call."""


class StarterTasks:
    """Tasks of one to three requests. An id is ``starter/<split>/<number>``, in every process the same task."""

    splits = tuple(SPLITS)

    def sample(self, rng: np.random.Generator, split: str) -> Task:
        if split not in SPLITS:
            raise ConfigurationError(f"no tasks in split {split!r}; there are {', '.join(SPLITS)}")
        return self[f"starter/{split}/{int(rng.integers(_NUMBERS))}"]

    def __getitem__(self, task_id: str) -> Task:
        source, _, rest = task_id.partition("/")
        split, _, number = rest.partition("/")
        if source != "starter" or split not in SPLITS or not number.isdecimal() or str(int(number)) != number:
            raise KeyError(task_id)
        return _make(task_id, split)

    def demonstrate(self, task: Task, rng: np.random.Generator, noise: float) -> Sequence[Utterance]:
        """The answer; with probability ``noise`` one with a slip: no call, one call less, or a wrong argument."""
        if not 0 <= noise <= 1:
            raise ConfigurationError(f"noise must be 0 to 1, got {noise}")
        said = demonstration(task)
        return [_slip(said, SPLITS[task.split], rng) if rng.random() < noise else said]


def _make(task_id: str, split: str) -> Task:
    random = Random(task_id)
    words = SPLITS[split]
    asked = random.sample(REQUESTS, random.randint(0, _MOST_REQUESTS))
    sentences, calls = [], []
    for request in asked:
        arguments = {name: draw(random, words) for name, draw in request.draws.items()}
        told = {name: str(value).lower() if isinstance(value, bool) else value for name, value in arguments.items()}
        sentences.append(request.sentence.format_map(told))
        calls.append(Call(request.tool.name, arguments))
    response = None
    if not calls or (len(calls) < _MOST_REQUESTS and random.random() < 0.25):
        response = random.choice(words)
        sentences.append(SAY.format(word=response))
    thoughts = [f"I need {', '.join(call.name for call in calls)}."] if calls else []
    thoughts += [f'I answer "{response}".'] if response else []
    spare = [request for request in REQUESTS if request not in asked]
    shown = [*asked, *random.sample(spare, _TOOLS_SHOWN - len(asked))]
    random.shuffle(shown)
    answer = FORMAT.write(calls, " ".join(thoughts), response)
    turn = Turn((user(f"please {' and '.join(sentences)}"),), (tuple(calls),) if calls else (), response=response)
    tools = tuple(request.tool for request in shown)
    metadata = {"tools": tools, "answer": answer, "truth": answer}
    return Task(task_id, (turn,), (), split=split, metadata=metadata, single_step=True)


def _slip(said: Utterance, words: Sequence[str], rng: np.random.Generator) -> Utterance:
    calls, kind = said.calls, int(rng.integers(3))
    if kind == 0 or not calls:
        return Utterance(think=said.think, response="done")
    if kind == 1 and len(calls) > 1:
        return Utterance(calls[:-1], said.think, said.response)
    name, value = next(iter(calls[0].arguments.items()))
    other = words[int(rng.integers(len(words)))] if isinstance(value, str) else value + 1
    wrong = replace(calls[0], arguments={**calls[0].arguments, name: other}, source=None)
    return Utterance((wrong, *calls[1:]), said.think, said.response)
