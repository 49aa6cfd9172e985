"""Small random models of other architectures, with tokenizers and chat templates of their own, as Hugging Face files.

``qwen`` and ``llama`` have byte-level tokenizers, ``thinking`` a SentencePiece-like one and a generation prompt that
opens ``<think>``, ``own`` is what the quickstart makes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from rest_agent import engine, policy
from rest_agent.chat import Chat
from rest_agent.config import EnvironmentConfig, ModelConfig
from rest_agent.environments import make_env
from rest_agent.regions import TokenText
from rest_agent.rollout import Arena

FAMILIES = ("qwen", "llama", "thinking", "own")
TEMPLATES = Path(__file__).parent / "templates"
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "max_position_embeddings": 4096,
    "initializer_range": 0.2,
}
SMALL = {"starter": {"turns": 2, "tools_shown": 2}}
"""Environment options that make short episodes."""


def _byte_level(texts: Sequence[str], special: Sequence[str], **named: str) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)  # type: ignore[no-untyped-call]


def _sentencepiece(texts: Sequence[str]) -> Any:
    """As Llama 2's: Metaspace, and bytes for what is not a piece. Only the end token is special."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    learner.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    learned = json.loads(learner.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += [piece for piece in learned["vocab"] if piece not in pieces]
    merges = [tuple(merge) for merge in learned["merges"]]
    model = models.BPE(
        vocab={piece: index for index, piece in enumerate(pieces)}, merges=merges, byte_fallback=True, unk_token="<unk>"
    )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def _make(family: str, texts: Sequence[str]) -> tuple[Any, Any]:
    torch.manual_seed(0)
    if family == "own":
        tokenizer = policy.train_tokenizer(texts, 500)
        return policy.new_model(ModelConfig(hidden_size=32, layers=2, intermediate_size=64), tokenizer), tokenizer
    if family == "qwen":
        tokenizer = _byte_level(
            texts, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], eos_token="<|im_end|>", pad_token="<|endoftext|>"
        )
    elif family == "llama":
        special = ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
        tokenizer = _byte_level(texts, special, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")
    else:
        tokenizer = _sentencepiece(texts)
    tokenizer.chat_template = (TEMPLATES / f"{family}.jinja").read_text(encoding="utf-8")
    rows = len(tokenizer) + 5  # models pad their embeddings
    config: Any
    if family == "llama":
        config = LlamaConfig(vocab_size=rows, tie_word_embeddings=False, **SHAPE)
        return LlamaForCausalLM(config), tokenizer
    config = Qwen3Config(vocab_size=rows, tie_word_embeddings=family == "qwen", **SHAPE)
    return Qwen3ForCausalLM(config), tokenizer


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each family's model."""
    env = make_env(EnvironmentConfig(options=SMALL))
    texts = []
    for seed in range(20):
        env.demonstrate(seed=seed)
        texts += [message["content"] for message in env.conversation]
        texts += [json.dumps(tool) for tool in env.tools]
    found = {}
    for family in FAMILIES:
        found[family] = tmp_path_factory.mktemp(family)
        model, tokenizer = _make(family, texts)
        model.save_pretrained(found[family])
        tokenizer.save_pretrained(found[family])
    return found


@dataclass(frozen=True)
class Player:
    """A model of a family, and what it takes to sample from it."""

    model: Any
    tokenizer: Any
    text_of: TokenText

    def arena(self, format: str = "hermes", tools_from: Any = "template", **options: Any) -> Arena:
        environment = EnvironmentConfig(format=format, tools_from=tools_from, options={**SMALL, **options})
        return Arena(environment, Chat(self.tokenizer, show_tools=tools_from == "template"), self.text_of)


@pytest.fixture(scope="session")
def players(folders: dict[str, Path]) -> dict[str, Player]:
    """Every family, as the trainer loads it."""
    found = {}
    for family, folder in folders.items():
        model, tokenizer = policy.load(folder, "float32")
        if family == "llama":
            model.set_attn_implementation("eager")
        found[family] = Player(model.eval().requires_grad_(False), tokenizer, TokenText(tokenizer))
    return found


class Scripted(torch.nn.Module):
    """A model that at every position favours the token that a script has there.

    It is as hard to sample from as any other, but gets to where a random one never comes: calls and their results.
    """

    def __init__(self, model: Any, script: Tensor, strength: float):
        super().__init__()
        self.model = model
        self.config = model.config
        self.device, self.dtype = model.device, model.dtype
        self.favours = torch.zeros(script.shape[0] + 2000, model.config.vocab_size)
        self.favours[torch.arange(script.shape[0] - 1), script[1:]] = strength

    def num_parameters(self) -> int:
        return 1

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor | None = None,
        logits_to_keep: int = 0,
        **options: Any,
    ) -> Any:
        out = self.model(input_ids=input_ids, position_ids=position_ids, logits_to_keep=logits_to_keep, **options)
        positions = torch.arange(input_ids.shape[1])[None] if position_ids is None else position_ids
        out.logits = out.logits + self.favours[positions][:, -logits_to_keep:]
        return out


@pytest.fixture(scope="session")
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture(scope="session")
def process_group() -> Iterator[torch.device]:
    """A process group of one."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}.items():
            patch.setenv(name, value)
        patch.setenv("MASTER_ADDR", "127.0.0.1")
        patch.setenv("MASTER_PORT", "0")
        yield engine.start_process_group()
        torch.distributed.destroy_process_group()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A port that nobody listens on."""

    def find() -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
            return port

    return find


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts Python with these arguments in the project's root, apart from the test's own process group.

    All it prints is one stream. It leads a group of processes, which can be sent signals as a terminal sends them.
    """
    root = Path(__file__).parents[2]
    own = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    apart = {name: value for name, value in os.environ.items() if name not in own} | {"PYTHONPATH": str(root)}

    def begin(*arguments: object, **variables: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=root,
            env=apart | {name: str(value) for name, value in variables.items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return begin


@pytest.fixture(scope="session")
def launch(
    start: Callable[..., subprocess.Popen[str]], free_port: Callable[[], int]
) -> Callable[..., subprocess.Popen[str]]:
    """Starts a script on two ranks under DeepSpeed's launcher."""

    def begin(*arguments: object) -> subprocess.Popen[str]:
        launcher = ("-m", "deepspeed.launcher.runner", "--num_accelerators", 2, "--master_port", free_port())
        return start(*launcher, *arguments)

    return begin


@pytest.fixture(scope="session")
def play_ranks(start: Callable[..., subprocess.Popen[str]], free_port: Callable[[], int]) -> Callable[..., None]:
    """Runs Python with these arguments as two ranks of one process group, to a good end."""

    def play(*arguments: object) -> None:
        common = {
            "WORLD_SIZE": 2,
            "LOCAL_WORLD_SIZE": 2,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": free_port(),
            "OMP_NUM_THREADS": 1,
        }
        ranks = [start(*arguments, **common, RANK=rank, LOCAL_RANK=rank) for rank in range(2)]
        for process in ranks:
            printed, _ = process.communicate(timeout=180)
            assert process.returncode == 0, printed

    return play
