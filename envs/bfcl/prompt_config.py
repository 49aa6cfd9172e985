"""The variants of upstream's prompting mode: how docs are shown, how a reply is to look, and the prompt's layout."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

from tooluse_gym.errors import ConfigurationError

ReturnFormat = Literal["python", "json", "verbose_xml", "concise_xml"]
DocFormat = Literal["python", "xml", "json"]
Layout = Literal["plaintext", "markdown"]
Style = Literal["classic", "experimental"]

_WRITTEN = re.compile(
    f"ret_fmt=({'|'.join(get_args(ReturnFormat))})&tool_call_tag=(True|False)&func_doc_fmt=({'|'.join(get_args(DocFormat))})"
    f"&prompt_fmt=({'|'.join(get_args(Layout))})&style=({'|'.join(get_args(Style))})"
)


@dataclass(frozen=True)
class PromptConfig:
    """One variant, upstream's default if nothing is said. As a text it is written as upstream writes it."""

    returns: ReturnFormat = "python"
    tagged: bool = False
    docs: DocFormat = "json"
    layout: Layout = "plaintext"
    style: Style = "classic"

    def __str__(self) -> str:
        return (
            f"ret_fmt={self.returns}&tool_call_tag={self.tagged}&func_doc_fmt={self.docs}"
            f"&prompt_fmt={self.layout}&style={self.style}"
        )


DEFAULT = PromptConfig()


def prompt_config(text: str | PromptConfig) -> PromptConfig:
    """The variant that is written ``ret_fmt=python&tool_call_tag=False&func_doc_fmt=json&…``.

    Raises:
        ConfigurationError: none is.
    """
    if isinstance(text, PromptConfig):
        return text
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"no prompt is configured as {text!r}; the default is {str(DEFAULT)!r}")
    returns, tagged, docs, layout, style = found.groups()
    return PromptConfig(returns, tagged == "True", docs, layout, style)  # type: ignore[arg-type]  # as the pattern says


FORMAT_SENSITIVITY = (
    *(
        PromptConfig(returns, tagged, docs)
        for returns, tagged, docs in product(get_args(ReturnFormat), (True, False), get_args(DocFormat))
    ),
    PromptConfig(layout="markdown"),
    PromptConfig(style="experimental"),
)
"""The 26 variants that upstream compares."""
