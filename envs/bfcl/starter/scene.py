"""Starter worlds: a random scenario, and what a request may look at in the world made from it.

A scenario has BFCL's own form. A scene reads the simulators through their public methods and attributes, so that it
always tells what is the case after the calls made so far.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from typing import Any

from tooluse_gym.world import World

from .lexicon import Lexicon

FILES, MATH, TWITTER = "GorillaFileSystem", "MathAPI", "TwitterAPI"

_MOST_WORDS = 4  # in a file


class Scene:
    """The world as the next request finds it."""

    def __init__(self, world: World, lexicon: Lexicon, random: Random):
        self.world = world
        self.lexicon = lexicon
        self.random = random

    @property
    def account(self) -> Any:
        """The Twitter simulator."""
        return self.world.toolsets[TWITTER]

    @property
    def files(self) -> dict[str, str]:
        """Name and text of every file in the current directory."""
        return {name: text for name, text in self._entries() if text is not None}

    @property
    def folders(self) -> list[str]:
        """Names of the directories in the current directory."""
        return [name for name, text in self._entries() if text is None]

    @property
    def names(self) -> set[str]:
        """Every name in the file tree below the current directory."""
        shell: Any = self.world.toolsets[FILES]
        return {path.rsplit("/", 1)[-1] for path in shell.find()["matches"]}

    def _entries(self) -> list[tuple[str, str | None]]:
        shell: Any = self.world.toolsets[FILES]
        return [(name, shell.cat(name).get("file_content")) for name in shell.ls()["current_directory_content"]]


def random_scenario(random: Random, lexicon: Lexicon, toolsets: Collection[str], signed_in: bool) -> dict[str, Any]:
    """The initial state of the tool sets that have one."""
    scenario: dict[str, Any] = {}
    if FILES in toolsets:
        scenario[FILES] = {"root": {"workspace": _directory(random, lexicon)}}
    if TWITTER in toolsets:
        scenario[TWITTER] = _account(random, lexicon, signed_in)
    return scenario


def _directory(random: Random, lexicon: Lexicon) -> dict[str, Any]:
    """Two or three files, and a folder with one file."""
    *files, folder, inner = random.sample(lexicon.words, random.choice((4, 5)))
    contents: dict[str, Any] = {name: _file(random, lexicon) for name in files}
    contents[folder] = {"type": "directory", "contents": {inner: _file(random, lexicon)}}
    return {"type": "directory", "contents": contents}


def _file(random: Random, lexicon: Lexicon) -> dict[str, str]:
    count = 1 if random.random() < 0.4 else random.randint(2, _MOST_WORDS)
    return {"type": "file", "content": " ".join(random.sample(lexicon.words, count))}


def _account(random: Random, lexicon: Lexicon, signed_in: bool) -> dict[str, Any]:
    """An account that follows two people, and two or three tweets of others."""
    user, password, *following = random.sample(lexicon.words, 4)
    tweets = {
        str(number): {
            "id": number,
            "username": random.choice(following),
            "content": random.choice(lexicon.words),
            "tags": [],
            "mentions": [],
        }
        for number in range(random.choice((2, 3)))
    }
    return {
        "username": user,
        "password": password,
        "authenticated": signed_in,
        "tweets": tweets,
        "comments": {},
        "retweets": {},
        "following_list": following,
        "tweet_counter": len(tweets),
    }
