"""API-Bank's dialogues and chains of calls, as their files have them, and the official list of samples.

A dialogue of levels 1 and 2 is a file of lines: ``User``, ``AI`` and ``API``. Level 3 is one file of *chains*: a
request, the calls it takes and the answer. Every call comes with the result it had when it was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jsonschema

from tooluse_gym.errors import DataNotFoundError
from tooluse_gym.tasks import check, read_json_lines

from .database import DIALOGUES, GET, read_json
from .manager import Result
from .release import CHAINS, LEVELS

Role = Literal["User", "AI", "API"]

_RESULT = {
    "type": "object",
    "properties": {
        "api_name": {"type": "string"},
        "input": {"type": ["object", "null"]},
        "output": {},
        "exception": {"type": ["string", "null"]},
    },
    "required": ["input", "output", "exception"],
}
_LINE = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "properties": {"role": {"enum": ["User", "AI", "API"]}},
        "required": ["role"],
        "if": {"properties": {"role": {"const": "API"}}},
        "then": {
            "properties": {"api_name": {"type": "string"}, "param_dict": {"type": "object"}, "result": _RESULT},
            "required": ["api_name", "param_dict", "result"],
        },
        "else": {"properties": {"text": {"type": "string"}}, "required": ["text"]},
    }
)
_CHAINS = jsonschema.Draft202012Validator(
    {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "properties": {
                "requirement": {"type": "string", "minLength": 1},
                "response": {"type": "string"},
                "apis": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "properties": {
                            "api_name": {"type": "string"},
                            "input": {"type": "object"},
                            "output": _RESULT,
                        },
                        "required": ["api_name", "input", "output"],
                    },
                },
            },
            "required": ["requirement", "response", "apis"],
        },
    }
)


@dataclass(frozen=True)
class ApiCall:
    """A recorded call: ``params`` as a model would write them, all text at levels 1 and 2."""

    name: str
    params: Mapping[str, Any]
    result: Result
    place: str
    """File and line (level 3: entry), for messages."""


@dataclass(frozen=True)
class Line:
    """What one party says, or a call."""

    role: Role
    text: str = ""
    call: ApiCall | None = None


@dataclass(frozen=True)
class Dialogue:
    """A recorded dialogue. Its ``id`` is ``level-1/<file>``, ``level-2/<file>`` or ``level-3/<number>``."""

    id: str
    level: int
    lines: tuple[Line, ...]

    @property
    def calls(self) -> tuple[ApiCall, ...]:
        """Every call, in order."""
        return tuple(line.call for line in self.lines if line.call is not None)


@dataclass(frozen=True)
class Sample:
    """One official question: what comes after ``history``? Either a call, or what the AI says.

    ``id`` is the dialogue's with the sample's place in the official list; samples whose dialogue says nothing of their
    kind there have no place in it.
    """

    id: str
    dialogue: Dialogue
    turn: int
    """Index of the line asked for."""

    @property
    def history(self) -> tuple[Line, ...]:
        return self.dialogue.lines[: self.turn]

    @property
    def target(self) -> Line:
        return self.dialogue.lines[self.turn]


def read_dialogues(folder: Path, level: int) -> tuple[Dialogue, ...]:
    """All dialogues of a level, in order of their ids. A file without a line is a dialogue in which nothing is said.

    Raises:
        DataNotFoundError: the files are absent.
        TaskError: a line is malformed; the message names file, line and field.
    """
    if level == 3:
        return tuple(_chains(folder / CHAINS))
    place = folder / DIALOGUES / LEVELS[level]
    paths = sorted(place.glob("*.jsonl"))
    if not paths:
        raise DataNotFoundError(f"{place} holds no dialogues (*.jsonl): run '{GET}' for a complete copy")
    return tuple(_dialogue(path, level) for path in paths)


def _dialogue(path: Path, level: int) -> Dialogue:
    lines = []
    for place, record in read_json_lines(path):
        check(_LINE, record, place)
        lines.append(_line(record, place))
    return Dialogue(f"level-{level}/{path.stem}", level, tuple(lines))


def _line(record: Mapping[str, Any], place: str) -> Line:
    if record["role"] == "API":
        return Line("API", call=ApiCall(record["api_name"], record["param_dict"], record["result"], place))
    return Line(record["role"], record["text"])


def _chains(path: Path) -> Iterator[Dialogue]:
    entries = read_json(path)
    check(_CHAINS, entries, str(path))
    for number, entry in enumerate(entries):
        calls = [
            Line("API", call=ApiCall(call["api_name"], call["input"], call["output"], f"{path}: {number}.apis.{index}"))
            for index, call in enumerate(entry["apis"])
        ]
        lines = (Line("User", entry["requirement"].strip()), *calls, Line("AI", entry["response"]))
        yield Dialogue(f"level-3/{number}", 3, lines)


def samples(dialogues: Sequence[Dialogue], role: Role) -> list[Sample]:
    """The official samples that ask for a line of ``role``: ``API`` for calls, ``AI`` for what is said.

    After every call of levels 1 and 2 the list asks for it and for the line that follows; where that is another call,
    it is asked for twice. At level 3 every call is asked for once, and the answer.
    """
    return [sample for dialogue in dialogues for sample in _samples(dialogue) if sample.target.role == role]


def _samples(dialogue: Dialogue) -> Iterator[Sample]:
    if dialogue.level == 3:
        turns = list(range(1, len(dialogue.lines)))
    else:
        places = [turn for turn, line in enumerate(dialogue.lines) if line.role == "API"]
        turns = [turn for place in places for turn in (place, place + 1) if turn < len(dialogue.lines)]
    for number, turn in enumerate(turns):
        yield Sample(f"{dialogue.id}#{number}", dialogue, turn)
