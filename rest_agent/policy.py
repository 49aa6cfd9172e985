"""The policy: a causal language model and its tokenizer, loaded from Hugging Face files or made from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from rest_agent.config import ConfigError, ModelConfig

ROLE_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|tools|>")
END, PAD = "<|end|>", "<|pad|>"
TAG_TOKENS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<response>", "</response>")
# Words keep their underscores and digits stand alone, so that a name is the same token in a sentence, in JSON (where a
# quote stands before it) and in Python syntax.
_PIECES = Regex(r" ?\p{L}[\p{L}_]*| ?\p{N}|[^\S\n]*[^\s\p{L}\p{N}]+|\n+|\s+")


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE over ``texts``: any text has ids, and the same texts give the same ids in every process."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(_PIECES, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END, *ROLE_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAG_TOKENS])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD)
    wrapped.chat_template = files("rest_agent").joinpath("templates/compact.jinja").read_text(encoding="utf-8")
    return wrapped


def new_model(config: ModelConfig, tokenizer: Any) -> Qwen3ForCausalLM:
    """A randomly initialised Qwen3-architecture model for ``tokenizer``."""
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            head_dim=config.hidden_size // config.heads,
            intermediate_size=config.intermediate_size,
            max_position_embeddings=config.context,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=config.embedding_std)
    return model.to(getattr(torch, config.dtype))


def load(path: str | Path, dtype: str) -> tuple[Any, Any]:
    """Model and tokenizer of a Hugging Face folder or hub id.

    Raises:
        ConfigError: nothing that can be loaded is there.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigError(f"model.path: cannot load a causal language model from {path!r}: {error}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer
