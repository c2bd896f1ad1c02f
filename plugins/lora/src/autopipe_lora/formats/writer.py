"""Writes layers as the tensors of a LoRA file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.wording import listed, shown

from .layers import LoraLayer
from .module_names import published
from .scales import KEY

FORMATS = ("peft", "kohya")

_TAGS = {"unet": "unet", "transformer": "unet", "text_encoder": "te", "text_encoder_2": "te2"}


@dataclass(frozen=True)
class WrittenLora:
    """The content of a safetensors file: its tensors by key, and its metadata."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]


def write_lora(
    layers: Mapping[str, Mapping[str, LoraLayer]],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    format: str = "peft",
) -> WrittenLora:
    """Return the content of a file with these layers, which this and other libraries can read.

    Args:
        layers: by component and path of the module.
        settings: those of peft by component, for `lora_adapter_metadata`. By default they are
            written only for components that need them, because a scale is not 1.
        format: `"peft"`, as `save_lora_weights` writes it, or `"kohya"`, the format of sd-scripts.

    Raises:
        ArgumentError: if there are no layers, or the format can't express one of them.
    """
    if format not in FORMATS:
        raise ArgumentError(f"format is {shown(format)}; it must be one of {listed(FORMATS)}")
    if not any(layers.values()):
        raise ArgumentError("there is no layer to write")
    metadata = {"format": "pt"}
    if format == "kohya":
        if settings:
            raise ArgumentError(f"{KEY} is of the format 'peft'; format is 'kohya'")
        return WrittenLora(_kohya(layers), metadata)
    entries = {
        f"{component}.{name}": sorted(value) if isinstance(value, (set, frozenset)) else value
        for component, by_path in layers.items()
        for name, value in ((settings or {}).get(component) or _needed(by_path)).items()
    }
    if entries:
        metadata[KEY] = json.dumps(entries, indent=2, sort_keys=True)
    return WrittenLora(_peft(layers), metadata)


def _peft(layers: Mapping[str, Mapping[str, LoraLayer]]) -> dict[str, Tensor]:
    return {
        f"{component}.{name}": tensor
        for component, by_path in layers.items()
        for name, tensor in peft_tensors({published(p): one for p, one in by_path.items()}).items()
    }


def peft_tensors(layers: Mapping[str, LoraLayer]) -> dict[str, Tensor]:
    """Return the tensors of a component's layers by the names of peft.

    Raises:
        ArgumentError: if a magnitude is for the inputs, which peft doesn't have.
    """
    found: dict[str, Tensor] = {}
    for path, layer in layers.items():
        found[f"{path}.lora_A.weight"] = layer.down.contiguous()
        found[f"{path}.lora_B.weight"] = layer.up.contiguous()
        if layer.bias is not None:
            found[f"{path}.lora_B.bias"] = layer.bias.contiguous()
        if (magnitude := layer.magnitude) is not None:
            if magnitude.numel() != layer.up.shape[0] or magnitude.shape[0] == 1:
                raise ArgumentError(
                    f"the layer {shown(path)} has a magnitude for each input, which peft can't "
                    f"express; the format 'kohya' can"
                )
            # peft has the outputs on the second axis, except in a linear module.
            kernel = layer.down.shape[2:]
            shape = (1, -1, *(1 for _ in kernel)) if kernel else (-1,)
            found[f"{path}.lora_magnitude_vector"] = magnitude.reshape(shape).contiguous()
    return found


def _needed(layers: Mapping[str, LoraLayer]) -> Mapping[str, Any]:
    """Return the settings of a component; none if all scales are 1, which needs no settings."""
    return {} if all(layer.scale == 1 for layer in layers.values()) else peft_settings(layers)


def peft_settings(layers: Mapping[str, LoraLayer]) -> dict[str, Any]:
    """Return the settings of a component's layers, as arguments of peft's `LoraConfig`."""
    ranks = {_pattern(path, layers): layer.rank for path, layer in layers.items()}
    alphas = {_pattern(path, layers): layer.scale * layer.rank for path, layer in layers.items()}
    usual, alpha = (Counter(one.values()).most_common(1)[0][0] for one in (ranks, alphas))
    return {
        "r": usual,
        "lora_alpha": alpha,
        "rank_pattern": {name: one for name, one in ranks.items() if one != usual},
        "alpha_pattern": {name: one for name, one in alphas.items() if one != alpha},
        "target_modules": sorted(layers),
        "use_dora": any(layer.magnitude is not None for layer in layers.values()),
        "lora_bias": any(layer.bias is not None for layer in layers.values()),
    }


def _pattern(path: str, among: Mapping[str, LoraLayer]) -> str:
    """Return the expression that means this module: a path is also the end of longer ones."""
    ambiguous = any(other.endswith(f".{path}") for other in among)
    return f"^{path}" if ambiguous else path


def _kohya(layers: Mapping[str, Mapping[str, LoraLayer]]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for component, by_path in layers.items():
        if (tag := _TAGS.get(component)) is None:
            raise ArgumentError(
                f"the format 'kohya' has no name for {shown(component)}; it has names for "
                f"{listed(_TAGS)}"
            )
        if tag == "te" and "text_encoder_2" in layers:
            tag = "te1"
        for path, layer in by_path.items():
            stem = f"lora_{tag}_{published(path).replace('.', '_')}"
            found[f"{stem}.lora_down.weight"] = layer.down.contiguous()
            found[f"{stem}.lora_up.weight"] = layer.up.contiguous()
            found[f"{stem}.alpha"] = torch.tensor(layer.scale * layer.rank)
            if layer.magnitude is not None:
                found[f"{stem}.dora_scale"] = layer.magnitude.contiguous()
            if layer.bias is not None and layer.scale:
                found[f"{stem}.diff_b"] = layer.scale * layer.bias
    return found
