"""The policy: made from scratch, or loaded from Hugging Face files of any architecture."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from rest_agent import policy
from rest_agent.config import ConfigError, ModelConfig


@pytest.mark.parametrize(
    ("family", "architecture"),
    [("qwen", "Qwen3ForCausalLM"), ("llama", "LlamaForCausalLM"), ("thinking", "Qwen3ForCausalLM")],
)
def test_models_of_other_makers_are_loaded_with_their_template(
    folders: dict[str, Path], family: str, architecture: str
) -> None:
    model, tokenizer = policy.load(folders[family], "float32")
    assert type(model).__name__ == architecture
    assert tokenizer.chat_template
    assert tokenizer.pad_token_id is not None
    policy.check_lengths(model, 4096)


def test_a_tokenizer_from_scratch_is_the_same_in_every_process_and_after_saving(tmp_path: Path) -> None:
    texts = ["Move notes.txt into the folder drafts.", "mv(source='notes.txt', destination='drafts')"] * 3
    one, two = policy.train_tokenizer(texts, 400), policy.train_tokenizer(texts, 400)
    assert one.get_vocab() == two.get_vocab()
    one.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = '<|user|>Möve "notes.txt" 🙂\n<think>now</think><|end|>'
    assert loaded.encode(text) == one.encode(text)
    assert loaded.decode(loaded.encode(text)) == text
    assert loaded.chat_template == one.chat_template


def test_a_model_from_scratch_ties_its_embeddings(players: Any) -> None:
    tokenizer = players["own"].tokenizer
    torch.manual_seed(0)
    model = policy.new_model(ModelConfig(hidden_size=32, layers=1, embedding_std=0.3), tokenizer)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert float(model.get_input_embeddings().weight.detach().std()) == pytest.approx(0.3, rel=0.05)


def test_folders_without_a_model_are_named(tmp_path: Path, folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"model\.path: cannot load a causal language model from .*nowhere"):
        policy.load(tmp_path / "nowhere", "float32")
    for path in folders["qwen"].iterdir():
        if path.name != "model.safetensors":
            shutil.copy(path, tmp_path / path.name)
    with pytest.raises(ConfigError, match=r"model\.path: cannot load"):
        policy.load(tmp_path, "float32")
    weights = (folders["qwen"] / "model.safetensors").read_bytes()
    for kept in (b"", weights[:100], weights[:-1]):
        (tmp_path / "model.safetensors").write_bytes(kept)
        with pytest.raises(ConfigError, match=r"model\.path: cannot load .*deserializing"):
            policy.load(tmp_path, "float32")


def test_a_tokenizer_larger_than_its_model_is_refused(tmp_path: Path, folders: dict[str, Path], players: Any) -> None:
    shutil.copytree(folders["qwen"], tmp_path / "grown")
    tokenizer = AutoTokenizer.from_pretrained(folders["qwen"])
    tokenizer.add_tokens([f"<extra{number}>" for number in range(10)])
    tokenizer.save_pretrained(tmp_path / "grown")
    with pytest.raises(ConfigError, match=r"has 510 entries, its model only 505"):
        policy.load(tmp_path / "grown", "float32")


def test_episodes_longer_than_the_context_are_refused(players: Any) -> None:
    with pytest.raises(ConfigError, match=r"rl\.max_tokens: 5000 is more than the model's context of 4096"):
        policy.check_lengths(players["qwen"].model, 5000)
    sliding = SimpleNamespace(config=SimpleNamespace(sliding_window=512, max_position_embeddings=4096))
    with pytest.raises(ConfigError, match=r"model\.path: models with sliding-window"):
        policy.check_lengths(sliding, 100)
