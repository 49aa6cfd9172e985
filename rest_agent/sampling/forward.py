"""A pass of the model over a cache of slots, in as few operations as we can.

Sampling from a small model is bound by the cost of calling into torch, not by arithmetic. So the weights of the usual
decoder (RMSNorm, rotary positions, grouped queries, gated SiLU) are read from the Hugging Face module and applied here:
projections of the same input are one matrix, a key is read once for all the queries that share it, and all that some
conversations hear goes into the pass that feeds others the one token they said. Any other model is run by its own
forward, a token at a time.

It is plain PyTorch for any device and dtype; tested on CPU, in float32 and bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 (everybody's name for it)
from torch import Tensor, nn
from transformers import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM
from transformers.cache_utils import Cache, DynamicCache

from rest_agent.sampling.cache import SlotCache
from rest_agent.sampling.cache import supports as has_full_attention

_FUSED_BELOW = 50_000_000  # parameters: fused matrices are copies, for which a large model has no memory
_ARCHITECTURES = (LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)
_ROTARY = ("default", "linear", "llama3", "yarn")  # whose frequencies do not depend on the length
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def forward_of(model: Any, columns: int) -> OwnForward:
    """The fastest forward for ``model`` with the weights it has now; conversations have up to ``columns`` tokens."""
    return LeanForward(model, columns) if supports(model) else OwnForward(model)


def supports(model: Any) -> bool:
    """Whether :class:`LeanForward` computes what ``model`` does: a known architecture with nothing added to it.

    Hooks on the model as a whole are DeepSpeed's book-keeping; one on a part may change what that part computes.
    """
    if type(model) not in _ARCHITECTURES or not has_full_attention(model.config):
        return False
    config = model.config
    blocks = [block for layer in model.model.layers for block in (layer.self_attn, layer.mlp)]
    projections = [getattr(block, name) for block in blocks for name in _PROJECTIONS if hasattr(block, name)]
    parts = [*model.model.modules(), model.lm_head]
    return (
        config.hidden_act == "silu"
        and config.rope_parameters["rope_type"] in _ROTARY
        and all(type(projection) is nn.Linear for projection in projections)  # not an adapter around one
        and not any(part._forward_hooks or part._forward_pre_hooks for part in parts)
    )


class Heard(NamedTuple):
    """What some conversations hear before their last token of a pass."""

    slots: Sequence[int]
    columns: Sequence[int]
    """Of the first token of each."""
    chunks: Sequence[Sequence[int]]


class OwnForward:
    """The model's own forward, which feeds each slot one token at a time."""

    hears = False
    """Whether :meth:`step` takes what is heard."""

    def __init__(self, model: Any):
        self._model = model

    def prefill(self, prompts: Sequence[Sequence[int]]) -> Cache:
        """Keys and values of whole prompts, row by row, for :meth:`SlotCache.store`."""
        # Padding is on the right, where causal attention needs no mask to pass it over.
        width = max(map(len, prompts))
        ids = torch.tensor([[*prompt, *[0] * (width - len(prompt))] for prompt in prompts], device=self._model.device)
        filled = DynamicCache()
        self._model(input_ids=ids, past_key_values=filled, use_cache=True, logits_to_keep=1)
        return filled

    def step(self, ids: Tensor, cache: SlotCache, heard: Heard | None = None) -> Tensor:
        """Feed one token (S,) to every slot, at the column that the cache aims at; before it, what some heard.

        Returns:
            (S, V) logits after those tokens.
        """
        assert heard is None, "not by this forward"
        logits: Tensor = self._model(
            input_ids=ids[:, None],
            attention_mask=cache.mask(self._model.dtype),
            position_ids=cache.positions[:, None],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
        return logits


class _Projection(NamedTuple):
    """Linear maps of one input, whose outputs stand side by side."""

    parts: list[tuple[Tensor, Tensor | None]]
    """Weight and bias of each."""

    def __call__(self, x: Tensor) -> Tensor:
        if len(self.parts) == 1:
            return F.linear(x, *self.parts[0])
        return torch.cat([F.linear(x, *part) for part in self.parts], dim=-1)


def _projection(modules: Sequence[nn.Linear], fuse: bool) -> _Projection:
    if not fuse:
        return _Projection([(module.weight, module.bias) for module in modules])
    weights: list[Tensor] = [module.weight for module in modules]
    biases: list[Tensor] = [module.bias for module in modules if module.bias is not None]
    return _Projection([(torch.cat(weights), torch.cat(biases) if biases else None)])


class _Layer(NamedTuple):
    """Weights of one decoder layer."""

    before_attention: Tensor
    qkv: _Projection
    qk_norm: Tensor | None
    """(heads + kv_heads, D): head by head, the queries' before the keys'."""
    out: _Projection
    before_mlp: Tensor
    gate_up: _Projection
    down: _Projection


Attend = Callable[[Any, Tensor, Tensor, Tensor], Tensor]
"""(layer of the cache, queries (N, heads, D), keys (N, kv_heads, D), values) -> (N, heads * D)"""


class LeanForward(OwnForward):
    """The arithmetic of a supported model, and no more. Prompts, where arithmetic is the cost, go through the model.

    Weights are read once: after an update of the model, make another. Vectors of tokens are (N, hidden), whichever
    conversation a token belongs to; only attention looks at conversations.
    """

    hears = True

    def __init__(self, model: Any, columns: int):
        super().__init__(model)
        body, config = model.model, model.config
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._epsilon = config.rms_norm_eps
        self._embedding: Tensor = body.embed_tokens.weight
        self._norm: Tensor = body.norm.weight
        self._head = _projection([model.lm_head], fuse=False)
        fuse = model.num_parameters() < _FUSED_BELOW
        self._layers = [self._read(layer, fuse) for layer in body.layers]
        self._cos, self._sin = self._rotations(body.rotary_emb, columns)

    def _read(self, layer: Any, fuse: bool) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        qk_norm = None
        if hasattr(attention, "q_norm"):
            norms = [attention.q_norm.weight] * self._heads + [attention.k_norm.weight] * self._kv_heads
            qk_norm = torch.stack(norms)
        return _Layer(
            before_attention=layer.input_layernorm.weight,
            qkv=_projection([attention.q_proj, attention.k_proj, attention.v_proj], fuse),
            qk_norm=qk_norm,
            out=_projection([attention.o_proj], fuse=False),
            before_mlp=layer.post_attention_layernorm.weight,
            gate_up=_projection([mlp.gate_proj, mlp.up_proj], fuse),
            down=_projection([mlp.down_proj], fuse=False),
        )

    def _rotations(self, rotary: Any, columns: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine (columns, 1, D); the sine's first half is negative, see :meth:`_run`."""
        positions = torch.arange(columns, device=self._embedding.device)[None]
        cos, sin = (part[0, :, None] for part in rotary(self._embedding, positions))
        first, second = sin.chunk(2, dim=-1)
        return cos, torch.cat((-first, second), dim=-1)

    def step(self, ids: Tensor, cache: SlotCache, heard: Heard | None = None) -> Tensor:
        slots, mask = len(ids), cache.mask(self._embedding.dtype)

        def look(layer: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            keys, values = layer.update(keys[:, :, None], values[:, :, None])
            # Queries that share a key stand where a sequence's queries would: no key is copied for them.
            shared = queries.view(slots, self._kv_heads, -1, queries.shape[-1])
            return F.scaled_dot_product_attention(shared, keys, values, attn_mask=mask).flatten(1)

        if heard is None:
            x = self._run(ids, cache.positions, look, cache)
        else:
            heard_ids, heard_at, listen = self._hearing(heard)

            def attend(layer: Any, *qkv: Tensor) -> Tensor:
                after = listen(layer, *(part[slots:] for part in qkv), cache.width)  # first, as `look` sees its keys
                return torch.cat((look(layer, *(part[:slots] for part in qkv)), after))

            x = self._run(torch.cat((ids, heard_ids)), torch.cat((cache.positions, heard_at)), attend, cache)[:slots]
        return self._head(self._normalised(x, self._norm))

    def _hearing(self, heard: Heard) -> tuple[Tensor, Tensor, Callable[..., Tensor]]:
        """Tokens (N,) that are heard, their positions, and how they attend."""
        device = self._embedding.device
        rows, longest = len(heard.chunks), max(map(len, heard.chunks))
        width = max(first + len(chunk) for first, chunk in zip(heard.columns, heard.chunks, strict=True))
        slot, first = torch.tensor([list(heard.slots), list(heard.columns)], device=device)
        # Token n is token `place` of chunk `row`. Only attention sees padding.
        ids, row, place = torch.tensor(
            [(token, r, p) for r, chunk in enumerate(heard.chunks) for p, token in enumerate(chunk)], device=device
        ).unbind(1)
        owner, positions = slot[row], first[row] + place
        mask = self._causal_mask(first, longest, width)

        def listen(layer: Any, queries: Tensor, keys: Tensor, values: Tensor, room: int) -> Tensor:
            layer.reserve(keys[:, :, None], room)
            layer.keys[owner, :, positions] = keys
            layer.values[owner, :, positions] = values
            keys, values = (buffer[:, :, :width].index_select(0, slot) for buffer in (layer.keys, layer.values))
            shape = (self._kv_heads, self._heads // self._kv_heads)
            padded = queries.new_zeros(rows, longest, *shape, queries.shape[-1])
            padded[row, place] = queries.view(len(queries), *shape, -1)
            shared = padded.permute(0, 2, 3, 1, 4).flatten(2, 3)  # (rows, kv_heads, queries of a key, D)
            seen = F.scaled_dot_product_attention(shared, keys, values, attn_mask=mask)
            return seen.view(rows, *shape, longest, -1).permute(0, 3, 1, 2, 4)[row, place].flatten(1)

        return ids, positions, listen

    def _causal_mask(self, first: Tensor, longest: int, width: int) -> Tensor:
        """(rows, 1, heads of a key * longest, width): each token looks at its own column and those before it."""
        own = first[:, None] + torch.arange(longest, device=first.device)
        hidden = torch.arange(width, device=first.device) > own[..., None]
        mask = torch.zeros(hidden.shape, dtype=self._embedding.dtype, device=first.device)
        mask.masked_fill_(hidden, torch.finfo(mask.dtype).min)
        return mask.repeat(1, self._heads // self._kv_heads, 1)[:, None]

    def _run(self, ids: Tensor, positions: Tensor, attend: Attend, cache: SlotCache) -> Tensor:
        """(N, hidden) after the last layer, of tokens (N,) at their positions (N,)."""
        x = F.embedding(ids, self._embedding)
        cos, sin = self._cos[positions], self._sin[positions]
        both = self._heads + self._kv_heads
        layers: Any = cache.layers
        for layer, memory in zip(self._layers, layers, strict=True):
            qkv = layer.qkv(self._normalised(x, layer.before_attention))
            qkv = qkv.view(len(x), both + self._kv_heads, -1)
            qk = qkv[:, :both]
            if layer.qk_norm is not None:
                qk = self._normalised(qk, layer.qk_norm)
            # x cos + rotate_half(x) sin: half a turn of the vector is rotate_half but for the sign, which sin has.
            qk = torch.addcmul(qk * cos, qk.roll(qk.shape[-1] // 2, -1), sin)
            x += layer.out(attend(memory, qk[:, : self._heads], qk[:, self._heads :], qkv[:, both:]))
            gate, up = layer.gate_up(self._normalised(x, layer.before_mlp)).chunk(2, dim=-1)
            x += layer.down(F.silu(gate).mul_(up))
        return x

    def _normalised(self, x: Tensor, weight: Tensor) -> Tensor:
        """RMSNorm in float32, scaled in the model's dtype."""
        return weight * F.rms_norm(x.float(), x.shape[-1:], eps=self._epsilon).to(x.dtype)
