"""BFCL's prompting mode for single replies: in any of its return formats, and in Java and JavaScript.

What a reply calls is what the official decoder reads in it, empty objects among the arguments included (executed turns
cannot have them). Where the decoder is not Python's, segments are coarse: the names, and all that follows each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from tooluse_gym.envs.bfcl.ast.checker import is_calls
from tooluse_gym.envs.bfcl.ast.return_formats import ReturnFormat, decode_reply
from tooluse_gym.envs.bfcl.languages import Language
from tooluse_gym.envs.bfcl.prompt_config import DEFAULT, PromptConfig
from tooluse_gym.envs.bfcl.prompting import Prompting, read_prompt
from tooluse_gym.envs.bfcl.simulators.limits import LARGEST_ARGUMENTS, Budget, RefusedError
from tooluse_gym.formats import Call, Kind, Reply, Segment
from tooluse_gym.formats.draft import stripped
from tooluse_gym.formats.pythonic import DecodeError
from tooluse_gym.formats.reply import cover
from tooluse_gym.formats.wording import UnwritableReplyError, proven, well_formed


class SingleTurnPrompting(Prompting):
    """One reply, in the language of the functions.

    Args:
        prompt: what the system prompt says before and after the functions.
        config: the variant of the prompt; it also says how replies are read.
        language: of the functions; replies in Java and JavaScript are read as such, whatever the variant.
    """

    def __init__(self, prompt: tuple[str, str], config: PromptConfig = DEFAULT, language: Language = "python"):
        super().__init__(prompt, config.docs)
        self.return_format: ReturnFormat = config.returns if language == "python" else language
        self.tagged = config.tagged
        self.parse("")  # a grammar that is not installed is missed here, not in the first step

    def parse(self, text: str) -> Reply:
        if self.return_format == "python" and not self.tagged and (reply := super().parse(text)).calls:
            return reply
        try:
            decoded = decode_reply(text, self.return_format, self.tagged)
            budget = Budget(LARGEST_ARGUMENTS, "the reply")
            calls = tuple(_call(budget.copy(call)) for call in decoded) if is_calls(decoded) else ()
        except (DecodeError, RefusedError) as error:
            return _unread(text, str(error))
        if not calls:
            return _unread(text, "no calls")
        return Reply(text, cover(len(text), _segments(text, calls), Kind.SCAFFOLD), calls)

    def write(self, calls: Sequence[Call], think: str | None = None, response: str | None = None) -> str:
        if not calls:
            return super().write(calls, think, response)
        well_formed(calls)
        try:
            text = _WRITERS[self.return_format](calls)
        except (TypeError, ValueError) as error:  # no value of the format, an integer that is too long to print
            raise UnwritableReplyError(f"the format {self.name} cannot express the calls: {error}") from None
        if self.tagged:
            text = f"<TOOLCALL>{text}</TOOLCALL>"
        return proven(
            self, text, calls, None, None, _read_back if self.return_format == "java" else lambda given: given
        )


def load_single_prompting(
    folder: Path, config: PromptConfig = DEFAULT, language: Language = "python"
) -> SingleTurnPrompting:
    """The format, with the prompt of the release; raises as :func:`~tooluse_gym.envs.bfcl.prompting.load_prompting`."""
    return SingleTurnPrompting(read_prompt(folder, config), config, language)


def _call(decoded: Mapping[Any, Mapping[Any, Any]]) -> Call:
    ((name, arguments),) = decoded.items()
    return Call(str(name), {"**" if key is None else str(key): value for key, value in arguments.items()})


_ATTEMPT = ("[", "<", "{")
"""How calls begin, in one format or another, behind back-ticks and blanks."""


def _unread(text: str, error: str) -> Reply:
    """A reply without calls: an answer in words, unless it begins like calls."""
    start, end = stripped(text, 0, len(text))
    attempt = not text[start:end] or text[start:end].lstrip("`\n ").removeprefix("json").lstrip().startswith(_ATTEMPT)
    kind = Kind.STRAY if attempt else Kind.RESPONSE
    segments = cover(len(text), [Segment(kind, start, end)], Kind.SCAFFOLD)
    return Reply(text, segments, response=None if attempt else text[start:end], error=error if attempt else None)


def _segments(text: str, calls: Sequence[Call]) -> Iterator[Segment]:
    places, position = [], 0
    for call in calls:
        start = text.find(call.name, position)
        if start < 0:  # written with escapes
            break
        position = start + len(call.name)
        places.append((start, position))
    ends = [start for start, _ in places[1:]] + [stripped(text, 0, len(text))[1]]
    for (start, end), following in zip(places, ends, strict=False):
        yield Segment(Kind.NAME, start, end)
        yield Segment(Kind.ARGUMENTS, end, following)


# Writing


def _python(calls: Sequence[Call]) -> str:
    return f"[{', '.join(Call(call.name, call.arguments).text for call in calls)}]"


def _source(calls: Sequence[Call], value: Callable[[str], str]) -> str:
    """Of Java or JavaScript, whose arguments are all texts."""
    written = (
        f"{call.name}({', '.join(f'{name}={value(str(text))}' for name, text in call.arguments.items())})"
        for call in calls
    )
    return f"[{', '.join(written)}]"


def _java_value(text: str) -> str:
    if _is_filled(text):  # of such an object only a text block keeps what it is filled with
        return f'"""{text}"""'
    return _value(text)


def _value(text: str) -> str:
    return text if any(mark in text for mark in '"\\\n') else f'"{text}"'


def _is_filled(text: Any) -> bool:
    return isinstance(text, str) and "{{" in text and '"' in text


def _read_back(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What is read where a text block was written: of its quotes one on each side goes. Upstream looks inside."""
    filled = {name for name, value in arguments.items() if isinstance(value, str) and _is_filled(value)}
    return {name: f'""{value}""' if name in filled else value for name, value in arguments.items()}


def _json(calls: Sequence[Call]) -> str:
    return json.dumps([{"function": call.name, "parameters": call.arguments} for call in calls], ensure_ascii=False)


def _verbose(name: str, text: str, kind: str) -> str:
    return f"<param name={quoteattr(name)} value={quoteattr(text)} type={quoteattr(kind)}/>"


def _concise(name: str, text: str, kind: str) -> str:
    return f"<param name={quoteattr(name)} type={quoteattr(kind)}>{escape(text)}</param>"


def _xml(parameter: Callable[[str, str, str], str], around: str) -> Callable[[Sequence[Call]], str]:
    def write(calls: Sequence[Call]) -> str:
        functions = []
        for call in calls:
            parameters = "".join(parameter(name, *_typed(value)) for name, value in call.arguments.items())
            functions.append(f"<function name={quoteattr(call.name)}>{around.format(parameters)}</function>")
        return f"<functions>{''.join(functions)}</functions>"

    return write


_XML_TYPES = {bool: "boolean", int: "integer", float: "float", list: "array", dict: "dict", tuple: "tuple"}


def _typed(value: Any) -> tuple[str, str]:
    """A value as the text and the type that stand for it in XML."""
    if value is None:
        return "", "null"
    if isinstance(value, str):
        return value, "string"
    if type(value) not in _XML_TYPES:
        raise TypeError(f"{type(value).__name__} has no type in XML")
    return repr(value), _XML_TYPES[type(value)]


_WRITERS: Mapping[ReturnFormat, Callable[[Sequence[Call]], str]] = {
    "python": _python,
    "java": lambda calls: _source(calls, _java_value),
    "javascript": lambda calls: _source(calls, _value),
    "json": _json,
    "verbose_xml": _xml(_verbose, "<params>{}</params>"),
    "concise_xml": _xml(_concise, "{}"),
}
