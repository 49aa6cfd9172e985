"""A key-value cache that grows in place and whose rows can be picked."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

_FIRST = 256  # columns of the first buffer


class _GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values in buffers that double when full: appending a column copies that column alone."""

    keys: Any  # (B, heads, columns, width), of which the first `length` columns are written
    values: Any
    length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        end = self.length + key_states.shape[2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = (_buffer(states, max(_FIRST, end)) for states in (key_states, value_states))
        elif end > self.keys.shape[2]:
            columns = max(end, 2 * self.keys.shape[2])
            self.keys, self.values = (_buffer(old, columns, self.length) for old in (self.keys, self.values))
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.length


def _buffer(states: Tensor, columns: int, keep: int = 0) -> Tensor:
    rows, heads, _, width = states.shape
    buffer = states.new_empty(rows, heads, columns, width)
    buffer[:, :, :keep] = states[:, :, :keep]
    return buffer


def growing_cache(layers: int) -> Cache:
    """An empty cache for ``layers`` full-attention layers. ``batch_select_indices`` repeats and drops rows."""
    return Cache(layers=[_GrowingLayer() for _ in range(layers)])  # type: ignore[no-untyped-call]


def supports(config: Any) -> bool:
    """Whether every layer of the model attends to all that came before it."""
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    return set(kinds) == {"full_attention"} and not getattr(config, "sliding_window", None)


def select_rows(cache: Cache, rows: Tensor) -> None:
    """Keep (or repeat) the given rows, in that order."""
    layers: Any = cache.layers
    for layer in layers:
        layer.keys = torch.index_select(layer.keys, 0, rows)
        layer.values = torch.index_select(layer.values, 0, rows)
