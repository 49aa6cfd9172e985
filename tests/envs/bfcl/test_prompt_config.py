"""The variants of the prompting mode, as upstream writes them."""

from __future__ import annotations

import pytest

from tooluse_gym.envs.bfcl.prompt_config import DEFAULT, FORMAT_SENSITIVITY, PromptConfig, prompt_config
from tooluse_gym.errors import ConfigurationError

WRITTEN = "ret_fmt=verbose_xml&tool_call_tag=True&func_doc_fmt=python&prompt_fmt=markdown&style=experimental"


def test_variants_are_written_as_upstream_does() -> None:
    config = PromptConfig("verbose_xml", True, "python", "markdown", "experimental")
    assert str(config) == WRITTEN
    assert prompt_config(WRITTEN) == prompt_config(config) == config
    assert str(DEFAULT) == "ret_fmt=python&tool_call_tag=False&func_doc_fmt=json&prompt_fmt=plaintext&style=classic"


def test_there_are_26() -> None:
    assert len(set(FORMAT_SENSITIVITY)) == 26
    assert [prompt_config(str(config)) for config in FORMAT_SENSITIVITY] == list(FORMAT_SENSITIVITY)
    assert DEFAULT in FORMAT_SENSITIVITY


@pytest.mark.parametrize("text", ["", "json", WRITTEN.replace("True", "true"), f"{WRITTEN}&x=1"])
def test_others_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no prompt is configured as .*; the default is 'ret_fmt=python&"):
        prompt_config(text)
