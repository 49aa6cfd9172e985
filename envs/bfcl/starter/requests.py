"""What a starter user may ask for: one :class:`Request` per kind, as data.

A request has slots (filled from the world at that moment), sentences that name the slots, and acts: the calls that
serve it, each with a plan in words. Names stand in double quotes in every sentence and plan. To add a kind, append a
``Request``; see README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tooluse_gym.errors import ConfigurationError

from ..simulators import SIMULATORS
from . import slots
from .phrasing import templates
from .scene import FILES, MATH, TWITTER
from .slots import Slot


@dataclass(frozen=True)
class Act:
    """One call. ``"{slot}"`` as an argument stands for the slot's value with its type; anything else for itself.

    ``reads`` fills slots from the call's JSON result (slot name to result key), for the acts that follow.
    """

    tool: str
    arguments: Mapping[str, Any]
    plan: str
    reads: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A kind of request. ``name`` stands in task ids.

    ``cores`` are the middle parts of its sentences: imperative and lower-case, so that every prefix and suffix fits.

    Raises:
        ConfigurationError: the name cannot stand in an id, a simulator is unknown, or the phrasings do not split.
    """

    name: str
    toolsets: tuple[str, ...]
    cores: tuple[str, ...]
    slots: Mapping[str, Slot]
    acts: tuple[Act, ...]
    signed_in: bool | None = None  # what the Twitter account must be when the request is made; None: all the same
    sentences: Mapping[str, tuple[str, ...]] = field(init=False, repr=False)  # by split

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ConfigurationError(f"a request's name stands in task ids and must be an identifier: {self.name!r}")
        if not self.toolsets or not set(self.toolsets) <= set(SIMULATORS):
            raise ConfigurationError(f"request {self.name!r} needs simulators out of {', '.join(SIMULATORS)}")
        object.__setattr__(self, "sentences", templates(self.cores))


STARTER_REQUESTS = (
    # Files, one call
    Request(
        "create",
        (FILES,),
        ('create a file named "{file}"', 'make an empty file called "{file}"', 'add the new file "{file}"'),
        {"file": slots.new_name},
        (Act("touch", {"file_name": "{file}"}, 'create file "{file}"'),),
    ),
    Request(
        "remove",
        (FILES,),
        ('delete the file "{file}"', 'remove "{file}"', 'get rid of the file "{file}"'),
        {"file": slots.file},
        (Act("rm", {"file_name": "{file}"}, 'remove "{file}"'),),
    ),
    Request(
        "show",
        (FILES,),
        ('show what is in "{file}"', 'print the file "{file}"', 'read out "{file}"'),
        {"file": slots.full_file},
        (Act("cat", {"file_name": "{file}"}, 'show file "{file}"'),),
    ),
    Request(
        "rename",
        (FILES,),
        (
            'rename "{file}" to "{name}"',
            'give the file "{file}" the new name "{name}"',
            'change the name of "{file}" to "{name}"',
        ),
        {"file": slots.file, "name": slots.new_name},
        (Act("mv", {"source": "{file}", "destination": "{name}"}, 'rename "{file}" to "{name}"'),),
    ),
    Request(
        "words",
        (FILES,),
        (
            'count the words in "{file}"',
            'find out how many words "{file}" has',
            'tell me the number of words of "{file}"',
        ),
        {"file": slots.full_file},
        (Act("wc", {"file_name": "{file}", "mode": "w"}, 'count words of "{file}"'),),
    ),
    # Files, two calls
    Request(
        "note",
        (FILES,),
        (
            'create a file "{file}" that says "{text}"',
            'make a file called "{file}" and write "{text}" in it',
            'save "{text}" in a new file "{file}"',
        ),
        {"file": slots.new_name, "text": slots.word},
        (
            Act("touch", {"file_name": "{file}"}, 'first create file "{file}"'),
            Act("echo", {"content": "{text}", "file_name": "{file}"}, 'now write "{text}" to "{file}"'),
        ),
    ),
    Request(
        "stash",
        (FILES,),
        (
            'put "{file}" in a new folder "{folder}"',
            'make a folder "{folder}" and move "{file}" there',
            'move "{file}" into a new folder called "{folder}"',
        ),
        {"file": slots.file, "folder": slots.new_name},
        (
            Act("mkdir", {"dir_name": "{folder}"}, 'first create folder "{folder}"'),
            Act("mv", {"source": "{file}", "destination": "{folder}"}, 'now move "{file}" to "{folder}"'),
        ),
    ),
    Request(
        "enter",
        (FILES,),
        (
            'go to the folder "{folder}" and create "{file}" there',
            'inside the folder "{folder}" add a file "{file}"',
            'open the folder "{folder}" and make a new file "{file}"',
        ),
        {"folder": slots.folder, "file": slots.new_name},
        (
            Act("cd", {"folder": "{folder}"}, 'first open folder "{folder}"'),
            Act("touch", {"file_name": "{file}"}, 'now create file "{file}"'),
        ),
    ),
    # Twitter
    Request(
        "follow",
        (TWITTER,),
        ('follow "{person}"', 'start following "{person}"', 'add "{person}" to the people i follow'),
        {"person": slots.stranger},
        (Act("follow_user", {"username_to_follow": "{person}"}, 'follow "{person}"'),),
        signed_in=True,
    ),
    Request(
        "post",
        (TWITTER,),
        ('post "{text}"', 'tweet "{text}"', 'publish a tweet that says "{text}"'),
        {"text": slots.word},
        (Act("post_tweet", {"content": "{text}"}, 'post "{text}"'),),
        signed_in=True,
    ),
    Request(
        "comment",
        (TWITTER,),
        (
            'comment "{text}" on tweet {tweet}',
            'answer tweet {tweet} with "{text}"',
            'leave the comment "{text}" under tweet {tweet}',
        ),
        {"tweet": slots.tweet, "text": slots.word},
        (Act("comment", {"tweet_id": "{tweet}", "comment_content": "{text}"}, 'comment "{text}" on {tweet}'),),
        signed_in=True,
    ),
    Request(
        "signin",
        (TWITTER,),
        (
            'log in as "{user}" with password "{password}" and post "{text}"',
            'use the name "{user}" and the password "{password}" to tweet "{text}"',
            'post "{text}" as "{user}" with the password "{password}"',
        ),
        {"user": slots.own_name, "password": slots.own_password, "text": slots.word},
        (
            Act(
                "authenticate_twitter",
                {"username": "{user}", "password": "{password}"},
                'first log in "{user}" with "{password}"',
            ),
            Act("post_tweet", {"content": "{text}"}, 'now post "{text}"'),
        ),
        signed_in=False,
    ),
    # Numbers: 2 to 9, shared by all kinds so that a model sees each of them often; results reach 81
    Request(
        "add",
        (MATH,),
        ("add {a} and {b}", "work out {a} plus {b}", "compute the sum of {a} and {b}"),
        {"a": slots.number(2, 9), "b": slots.number(2, 9)},
        (Act("add", {"a": "{a}", "b": "{b}"}, "add {a} and {b}"),),
    ),
    Request(
        "multiply",
        (MATH,),
        ("multiply {a} by {b}", "work out {a} times {b}", "compute the product of {a} and {b}"),
        {"a": slots.number(2, 9), "b": slots.number(2, 9)},
        (Act("multiply", {"a": "{a}", "b": "{b}"}, "multiply {a} by {b}"),),
    ),
    # Chains: the second call needs the first one's result
    Request(
        "scale",
        (FILES, MATH),
        (
            'count the words in "{file}" and multiply that by {factor}',
            'work out {factor} times the number of words in "{file}"',
            'compute {factor} times the word count of "{file}"',
        ),
        {"file": slots.full_file, "factor": slots.number(2, 9)},
        (
            Act("wc", {"file_name": "{file}", "mode": "w"}, 'first count words of "{file}"', reads={"count": "count"}),
            Act("multiply", {"a": "{count}", "b": "{factor}"}, "now multiply {count} by {factor}"),
        ),
    ),
    Request(
        "introduce",
        (FILES, TWITTER),
        (
            'follow the user named in the file "{file}"',
            'read "{file}" and follow the name in it',
            'find the name in "{file}" and follow that user',
        ),
        {"file": slots.letter},
        (
            Act("cat", {"file_name": "{file}"}, 'first read file "{file}"', reads={"person": "file_content"}),
            Act("follow_user", {"username_to_follow": "{person}"}, 'now follow "{person}"'),
        ),
        signed_in=True,
    ),
)
"""The kinds of the starter world; six of the sixteen need two calls, and two of those are chains."""

DISTRACTORS = ("ls", "pwd", "subtract", "divide", "power", "unfollow_user", "retweet")
"""Tools that no request needs; beside those of the other requests they fill up what a task shows."""
