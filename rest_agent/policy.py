"""The policy: a causal language model and its tokenizer, loaded from Hugging Face files or made from scratch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from rest_agent import lora
from rest_agent.config import Config, ConfigError, EnvironmentConfig, ModelConfig
from rest_agent.environments import make_env
from rest_agent.logits import check_head
from rest_agent.regions import TokenText
from rest_agent.sampling.cache import supports

ROLE_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|tools|>")
END, PAD = "<|end|>", "<|pad|>"
TAG_TOKENS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<response>", "</response>")
RESPONSE_WITH_CALLS: dict[str, Any] = {
    "defaults": {"role": "assistant"},
    "start_anchor": ROLE_TOKENS[2],
    "fields": {
        "reasoning_content": {"open": "<think>", "close_pattern": r"</think>\s*", "content": "text"},
        "tool_calls": {
            "open": "<tool_call>",
            "close_pattern": r"</tool_call>\s*",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<\|end\|>\s*", "content": "text"},
    },
}
"""``tokenizer.response_template`` for libraries that read the calls in replies themselves, as TRL does."""
# A word keeps its underscores and the quote before it, so that a quoted name is the same token in a sentence and in
# JSON, right behind the word that says what it names; numbers up to 99 are one token. Both make copying easy to learn.
_PIECES = Regex(r" ?\"?\p{L}[\p{L}_]*| ?\p{N}{1,2}|[^\S\n]*[^\s\p{L}\p{N}]+|\n+|\s+")


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
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
    wrapped: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD
    )
    wrapped.chat_template = files("rest_agent").joinpath("templates/compact.jinja").read_text(encoding="utf-8")
    # transformers serve would read replies as Qwen3's, by the architecture: a reply is its text.
    text = {"close": END, "content": "text", "content_args": {"strip": False}}
    wrapped.response_template = {"start_anchor": ROLE_TOKENS[2], "fields": {"content": text}}
    return wrapped


def new_model(config: ModelConfig, tokenizer: Any) -> Any:
    """A randomly initialised Qwen3-architecture model for ``tokenizer``."""
    model: Any = Qwen3ForCausalLM(
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
    model.config.dtype = getattr(torch, config.dtype)
    for parameter in model.parameters():  # and no buffer: half precision would blur the rotary frequencies
        parameter.data = parameter.data.to(model.config.dtype)
    return model


def load(path: str | Path, dtype: str) -> tuple[Any, Any]:
    """Model and tokenizer of a Hugging Face folder or hub id; an adapter is added to the weights of its base.

    Raises:
        ConfigError: nothing that can be loaded is there.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model: Any = AutoModelForCausalLM.from_pretrained(lora.base_of(path), dtype=getattr(torch, dtype))
        if lora.is_adapter(path):
            model = lora.merge(model, path)
        TokenText(tokenizer)
    except ConfigError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        raise ConfigError(f"model.path: cannot load a causal language model from {str(path)!r}: {error}") from error
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ConfigError(f"model.path: the tokenizer of {path} has {len(tokenizer)} entries, its model only {rows}")
    if tokenizer.pad_token_id is None:  # masked wherever it stands, so any token will do
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return model, tokenizer


def make(config: Config, resume: Path | None) -> tuple[Any, Any]:
    """Model and tokenizer of a run: those of its checkpoint, of ``model.path``, or new ones."""
    adapters = config.model.lora  # their weights come from DeepSpeed's shards, those of the base from where it is
    path = config.model.path if adapters else resume or config.model.path
    if path is None:
        tokenizer = train_tokenizer(corpus(config.environment), config.model.vocabulary)
        model = new_model(config.model, tokenizer)
    else:
        model, tokenizer = load(path, config.model.dtype)
    check_head(model)
    if adapters is not None:
        lora.add(model, adapters, str(path))
    if config.model.gradient_checkpointing:
        checkpoint_activations(model)
    return model, tokenizer


def checkpoint_activations(model: Any) -> None:
    """Compute the activations of ``model`` again in the backward pass."""
    # Older transformers call it gradient_checkpointing_enable.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def corpus(config: EnvironmentConfig, episodes: int = 600) -> Iterator[str]:
    """What is said in demonstrations of training tasks, and the signatures of their tools: texts for a tokenizer."""
    env = make_env(config)
    for seed in range(episodes):
        env.demonstrate(seed=seed, options={"split": config.train_split})
        yield from (message["content"] for message in env.conversation)
        for tool in env.tools:
            yield f"{tool['function']['name']}({', '.join(tool['function']['parameters']['properties'])})"


def check_lengths(model: Any, max_tokens: int) -> None:
    """Whether episodes of ``max_tokens`` can be sampled.

    Raises:
        ConfigError: they are longer than the model's context, or its attention is of a kind we cannot sample from.
    """
    if not supports(model.config):
        raise ConfigError("model.path: models with sliding-window or linear attention layers cannot be sampled yet")
    context = getattr(model.config, "max_position_embeddings", None) or max_tokens
    if max_tokens > context:
        raise ConfigError(f"rl.max_tokens: {max_tokens} is more than the model's context of {context}")
