"""How the open places of a request are filled from the scene; None where the scene has nothing that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from .scene import Scene

Value = str | int
Slot = Callable[[Scene, Mapping[str, Value]], Value | None]
"""``slot(scene, filled)``: a value for one slot, given the values of those before it."""


def _one_of(scene: Scene, candidates: Iterable[Value], filled: Mapping[str, Value]) -> Value | None:
    choices = [value for value in candidates if value not in filled.values()]
    return scene.random.choice(choices) if choices else None


def file(scene: Scene, filled: Mapping[str, Value]) -> Value | None:
    """A file in the current directory."""
    return _one_of(scene, scene.files, filled)


def full_file(scene: Scene, filled: Mapping[str, Value]) -> Value | None:
    """A file with text."""
    return _one_of(scene, (name for name, text in scene.files.items() if text), filled)


def letter(scene: Scene, filled: Mapping[str, Value]) -> Value | None:
    """A file whose text names somebody the account does not follow."""
    strangers = _strangers(scene)
    return _one_of(scene, (name for name, text in scene.files.items() if text in strangers), filled)


def folder(scene: Scene, filled: Mapping[str, Value]) -> Value | None:
    """A directory in the current directory."""
    return _one_of(scene, scene.folders, filled)


def new_name(scene: Scene, filled: Mapping[str, Value]) -> Value | None:
    """A name for a new file or directory."""
    taken = scene.names
    return _one_of(scene, (word for word in scene.lexicon.words if word not in taken), filled)


def word(scene: Scene, filled: Mapping[str, Value]) -> Value | None:
    """Something to say."""
    return _one_of(scene, scene.lexicon.words, filled)


def stranger(scene: Scene, filled: Mapping[str, Value]) -> Value | None:
    """Somebody the account does not follow."""
    return _one_of(scene, _strangers(scene), filled)


def tweet(scene: Scene, filled: Mapping[str, Value]) -> Value | None:
    """The id of a tweet."""
    return _one_of(scene, scene.account.tweets, filled)


def own_name(scene: Scene, filled: Mapping[str, Value]) -> Value | None:
    """The account's user name."""
    return str(scene.account.username)


def own_password(scene: Scene, filled: Mapping[str, Value]) -> Value | None:
    """The account's password."""
    return str(scene.account.password)


def number(low: int, high: int) -> Slot:
    """A whole number from ``low`` to ``high``, both included."""

    def any_number(scene: Scene, filled: Mapping[str, Value]) -> Value | None:
        return scene.random.randint(low, high)

    return any_number


def _strangers(scene: Scene) -> list[str]:
    known = (scene.account.username, *scene.account.following_list)
    return [word for word in scene.lexicon.words if word not in known]
