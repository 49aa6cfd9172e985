"""A key-value cache of slots: every conversation stands in its own, from column 0 on, and has a length of its own.

So a finished conversation's slot can be given to another, and a conversation can go back to an earlier column, without
a look at its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

_FIRST = 256  # columns of the first buffer


class _SlotLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values, (S, heads, columns, width) each. What was never written is 0: a mask cannot hide a nan."""

    keys: Any
    values: Any

    def __init__(self, cache: SlotCache):
        super().__init__()  # type: ignore[no-untyped-call]
        self.cache = cache

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write one column of every slot; returns all the columns that the pass looks at."""
        cache = self.cache
        self.reserve(key_states, cache.width)
        self.keys[cache.slots, :, cache.positions] = key_states[:, :, 0]
        self.values[cache.slots, :, cache.positions] = value_states[:, :, 0]
        return self.keys[:, :, : cache.width], self.values[:, :, : cache.width]

    def reserve(self, like: Tensor, columns: int) -> None:
        """Room for ``columns``; buffers at least double, up to the cache's limit."""
        have = self.keys.shape[2] if self.is_initialized else 0
        if columns <= have:
            return
        wanted = min(max(_FIRST, columns, 2 * have), max(columns, self.cache.limit))
        buffers = [like.new_zeros(len(self.cache.slots), like.shape[1], wanted, like.shape[3]) for _ in range(2)]
        if self.is_initialized:
            for buffer, old in zip(buffers, (self.keys, self.values), strict=True):
                buffer[:, :, :have] = old
        else:
            self.lazy_initialization(like, like)
        self.keys, self.values = buffers

    def get_seq_length(self) -> int:
        return self.cache.width


class SlotCache(Cache):
    """Keys and values of S conversations for ``layers`` full-attention layers.

    A pass of the model feeds one token to each slot; :meth:`aim` says beforehand at which column.
    """

    def __init__(self, layers: int, slots: int, limit: int, device: torch.device):
        self.limit = limit
        self.slots = torch.arange(slots, device=device)
        self.positions = torch.zeros(slots, dtype=torch.int64, device=device)
        self.width = 0
        super().__init__(layers=[_SlotLayer(self) for _ in range(layers)])

    def aim(self, positions: Tensor, width: int) -> None:
        """The next pass writes column ``positions`` (S,) of each slot; ``width`` is one more than the greatest."""
        self.positions, self.width = positions, width

    def mask(self, dtype: torch.dtype) -> Tensor:
        """(S, 1, 1, width): 0 up to the slot's own column, the least number behind it.

        All implementations of attention in transformers take this form.
        """
        hidden = torch.arange(self.width, device=self.positions.device) > self.positions[:, None]
        zeros = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
        return zeros.masked_fill_(hidden, torch.finfo(dtype).min)[:, None, None]

    def store(self, prefilled: Any, rows: Sequence[int], slots: Sequence[int]) -> None:
        """Copy ``rows`` of a prefill to the beginning of ``slots``, pairwise."""
        source, target = (torch.tensor(list(places), device=self.slots.device) for places in (rows, slots))
        layers: Any = self.layers
        for layer, filled in zip(layers, prefilled.layers, strict=True):
            columns = filled.keys.shape[2]
            layer.reserve(filled.keys, columns)
            layer.keys[target, :, :columns] = filled.keys[source]
            layer.values[target, :, :columns] = filled.values[source]

    def copy(self, source: int, slots: Sequence[int], columns: int) -> None:
        """Copy the first ``columns`` of slot ``source`` to other slots."""
        target = torch.tensor(list(slots), device=self.slots.device)
        layers: Any = self.layers
        for layer in layers:
            layer.keys[target, :, :columns] = layer.keys[source, :, :columns]
            layer.values[target, :, :columns] = layer.values[source, :, :columns]

    def select(self, slots: Sequence[int]) -> None:
        """Keep the given slots, in that order."""
        chosen = torch.tensor(list(slots), device=self.slots.device)
        self.slots = torch.arange(len(chosen), device=self.slots.device)
        layers: Any = self.layers
        for layer in layers:
            if layer.is_initialized:
                layer.keys = torch.index_select(layer.keys, 0, chosen)
                layer.values = torch.index_select(layer.values, 0, chosen)


def supports(config: Any) -> bool:
    """Whether every layer of the model attends to all that came before it."""
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    return set(kinds) == {"full_attention"} and not getattr(config, "sliding_window", None)
