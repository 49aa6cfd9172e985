"""LoRA through peft: adapters beside the policy's linear layers, and the weights that come of adding them up.

A layer with an adapter computes W x + scale B A x. A and B are trained; W and all that has no adapter stays as it was
loaded. The policy is scored with its adapters in place. It is sampled, evaluated and exported as the plain model that
has W + scale B A for W, which is the same up to rounding. In half precision that rounding is as coarse as W's own
digits: the metric ``log_prob_gap`` tells how far the two are apart, ``rollout.importance_cap`` corrects for it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rest_agent.config import ConfigError, LoRAConfig

WEIGHTS_NAME, CONFIG_NAME = "adapter_model.safetensors", "adapter_config.json"
_ADAPTER = "default"  # peft's name for one that was given none
_PREFIX = "base_model.model."  # of a weight's name in peft's files


def add(model: Any, config: LoRAConfig, base: str) -> None:
    """Put adapters into ``model``, in place, and freeze the rest. B begins at 0: the policy is still that of ``base``.

    Args:
        base: folder or hub id that ``model`` was loaded from, for the adapter's own record.

    Raises:
        ConfigError: peft is missing, or a target is not a linear layer below the head.
    """
    if is_adapter(base):
        raise ConfigError(
            f"model.path: {base} is an adapter itself. To train another on top of it, make them one model first: "
            f"python -m rest_agent.merge {base} FOLDER"
        )
    linear = {name for name, part in _below_head(model) if type(part) is nn.Linear}
    for target in config.targets:
        named = {name for name, _ in model.named_modules() if name == target or name.endswith(f".{target}")}
        if not named or not named <= linear:
            known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
            what = "is not a linear layer below the head" if named else "is not in the model"
            raise ConfigError(f"model.lora.targets: {target} {what}; there are {known}")
    peft = _peft()
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.targets) or sorted(linear),
        task_type="CAUSAL_LM",
        base_model_name_or_path=str(Path(base).resolve()) if Path(base).is_dir() else base,
    )
    peft.inject_adapter_in_model(settings, model)


def is_adapter(path: str | Path) -> bool:
    """Whether a folder holds an adapter, as a checkpoint of a run with LoRA does."""
    return (Path(path) / CONFIG_NAME).is_file()


def base_of(path: str | Path) -> str:
    """Where the model of an adapter is; ``path`` itself if that is a whole model.

    Raises:
        ConfigError: peft is missing.
    """
    return str(_peft().PeftConfig.from_pretrained(str(path)).base_model_name_or_path if is_adapter(path) else path)


def layers(model: Any) -> dict[str, Any]:
    """The layers of ``model`` that have an adapter, by name."""
    return {name: part for name, part in model.named_modules() if hasattr(part, "lora_A")}


class Weight(NamedTuple):
    """A weight of the plain model, and what it is made of."""

    name: str
    """As in the plain model."""
    parts: tuple[Tensor, ...]
    """The weight itself, then A and B if it has an adapter."""
    scale: float = 1.0

    @torch.no_grad()
    def value(self) -> Tensor:
        """The weight with its adapter in it; the sum is rounded once."""
        weight, *adapter = self.parts
        if not adapter:
            return weight
        down, up = adapter
        return torch.addmm(weight.float(), up.float(), down.float(), alpha=self.scale).to(weight.dtype)


def weights(model: Any) -> Iterator[Weight]:
    """Every weight of the plain model once, tied ones under their first name; ``model`` may have adapters or none."""
    adapted = layers(model)
    for name, value in model.named_parameters():
        owner, _, leaf = name.rpartition(".base_layer.")
        if owner in adapted:
            layer = adapted[owner]
            adapter = (layer.lora_A[_ADAPTER].weight, layer.lora_B[_ADAPTER].weight) if leaf == "weight" else ()
            yield Weight(f"{owner}.{leaf}", (value, *adapter), layer.scaling[_ADAPTER])
        elif ".lora_A." not in name and ".lora_B." not in name:
            yield Weight(name, (value,))


def plain(model: Any) -> Any:
    """A copy of ``model`` without adapters, and without what they add to its weights."""
    return _strip(copy.deepcopy(model))


def merge(model: Any, folder: str | Path) -> Any:
    """``model`` itself with the adapter in ``folder`` added to its weights; a plain model still.

    Raises:
        ConfigError: it is of a kind whose sum is another.
    """
    peft = _peft()
    config = peft.PeftConfig.from_pretrained(str(folder))
    if config.peft_type != "LORA" or config.bias != "none" or config.modules_to_save:
        raise ConfigError(f"model.path: {folder} is not an adapter of LoRA alone, without biases and other modules")
    peft.inject_adapter_in_model(config, model)
    for name, layer in layers(model).items():
        if type(layer.base_layer) is not nn.Linear or layer.lora_variant or layer.lora_bias[_ADAPTER]:
            raise ConfigError(f"model.path: the adapter of {name} in {folder} is not plain LoRA on a linear layer")
    found = {name.removeprefix(_PREFIX): value for name, value in load_file(Path(folder) / WEIGHTS_NAME).items()}
    peft.set_peft_model_state_dict(model, found)
    with torch.no_grad():
        for weight in weights(model):
            weight.parts[0].copy_(weight.value())
    return _strip(model).requires_grad_(True)


@contextmanager
def off(model: Any) -> Iterator[None]:
    """While it lasts, adapters add nothing: ``model`` (or DeepSpeed's engine around it) computes what its base does.

    They are still called, so that ZeRO stage 3 finds its modules in the usual order.
    """
    scales = {layer: layer.scaling[_ADAPTER] for layer in layers(model).values()}
    for layer in scales:
        layer.scaling[_ADAPTER] = 0.0
    try:
        yield
    finally:
        for layer, scale in scales.items():
            layer.scaling[_ADAPTER] = scale


@contextmanager
def without_frozen(model: Any) -> Iterator[None]:
    """While it lasts, ``model.state_dict()`` leaves out what is not trained, under all of its names."""

    def leave_out(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        for name, value in module.named_parameters(remove_duplicate=False):
            if not value.requires_grad:
                del state[prefix + name]

    handle = model.register_state_dict_post_hook(leave_out)
    try:
        yield
    finally:
        handle.remove()


def save(model: Any, trained: Mapping[str, Tensor], folder: Path) -> None:
    """Write the adapters of ``model`` as peft does; ``trained``: their weights, whole, by their names in ``model``."""
    bare = _peft().get_peft_model_state_dict(model, dict(trained), save_embedding_layers=False)
    save_file({_PREFIX + name: value for name, value in bare.items()}, folder / WEIGHTS_NAME, {"format": "pt"})
    config = copy.copy(model.peft_config[_ADAPTER])
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules)
    config.save_pretrained(str(folder))


def _strip(model: Any) -> Any:
    for name, layer in layers(model).items():
        model.set_submodule(name, layer.base_layer)
    if hasattr(model, "peft_config"):
        del model.peft_config
    return model


def _below_head(model: Any) -> Iterator[tuple[str, nn.Module]]:
    head = model.get_output_embeddings()
    return ((name, part) for name, part in model.named_modules() if part is not head)


def _peft() -> ModuleType:
    try:
        import peft
    except ImportError as error:
        raise ConfigError(f'LoRA needs peft ({error}): pip install -c constraints.txt -e ".[train]"') from error
    return peft
