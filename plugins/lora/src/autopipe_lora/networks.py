"""LoRAs in a network itself, by the calls of the reference.

They are adapters of the package peft, which can be trained. They change the network, and so every
pipeline that shares it; `load_lora_weights` of a pipeline does without both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from autopipe.checkpoint.attachable import open_tensors
from autopipe.errors import ArgumentError
from autopipe.wording import logger, shown
from autopipe_components.adapters import adapted_layers, check_adapters, check_addable, peft
from autopipe_components.networks.block_strengths import blocks_of

from .addon import NAMES
from .formats import metadata_of, peft_settings, peft_tensors, read_lora
from .saving import write_file
from .strengths import checked, of_modules

_log = logger(__name__)

_SELF = "network"
"""By which the formats know the network."""


def load_lora_adapter(
    self: Any,
    pretrained_model_name_or_path_or_dict: Any,
    prefix: str | None = "transformer",
    hotswap: bool = False,
    *,
    adapter_name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    network_alphas: Mapping[str, float] | None = None,
    low_cpu_mem_usage: bool = True,
    **options: Any,
) -> None:
    """Add a LoRA to this network as an adapter of peft, for all pipelines that share it.

    Args:
        pretrained_model_name_or_path_or_dict: as for `load_lora_weights`.
        prefix: what the keys for this network start with, such as `"unet"`; None for all keys.
        hotswap: not supported.
        adapter_name: its name; by default `default_0` and so on.
        metadata: the arguments of peft's `LoraConfig`, instead of those in the file.
        network_alphas: the alphas of the keys, if the file doesn't have them.
        low_cpu_mem_usage: has no effect.
        **options: as for `load_lora_weights`.

    Raises:
        ArgumentError: if the name is in use, or `hotswap` is given.
        MissingPackageError: if peft is not installed.
        WeightsMismatchError: if the keys don't fit the network.
    """
    known = getattr(self, "peft_config", {})
    name = adapter_name or f"default_{len(known)}"
    check_addable(self, name)
    if hotswap:
        raise ArgumentError(
            "hotswap= is for load_lora_weights of a pipeline; here, call delete_adapters first"
        )
    library = peft()
    file = open_tensors(pretrained_model_name_or_path_or_dict, names=NAMES, **options)
    start = "" if prefix is None else f"{prefix}."
    own = {key: tensor for key, tensor in file.tensors.items() if key.startswith(start)}
    for key, alpha in (network_alphas or {}).items():
        if key.startswith(start):
            own[key] = Tensor([alpha]).squeeze()
    if not own:
        _log.warning(
            "no key of %s starts with %s, so nothing was added to the %s",
            file.origin,
            shown(start),
            type(self).__name__,
        )
        return
    component = prefix or _SELF
    layers = read_lora(own, metadata_of(file), {component: self}, file.origin).layers[component]
    config = library.LoraConfig(**(metadata or peft_settings(layers)))
    library.inject_adapter_in_model(config, self, name)
    library.set_peft_model_state_dict(self, peft_tensors(layers), name)


def save_lora_adapter(
    self: Any,
    save_directory: str | Path,
    adapter_name: str = "default",
    upcast_before_saving: bool = False,
    safe_serialization: bool = True,
    weight_name: str | None = None,
) -> None:
    """Write an adapter of this network into a folder.

    Args:
        save_directory: the folder.
        adapter_name: the name of the adapter.
        upcast_before_saving: whether to write float32.
        safe_serialization: if True write safetensors, else a pickled state dict.
        weight_name: the name of the file, `pytorch_lora_weights.safetensors` by default.

    Raises:
        ArgumentError: if there is no adapter of this name.
    """
    check_adapters(self, [adapter_name])
    tensors = peft().get_peft_model_state_dict(self, adapter_name=adapter_name)
    if upcast_before_saving:
        tensors = {name: tensor.float() for name, tensor in tensors.items()}
    write_file(
        save_directory,
        tensors,
        self.peft_config[adapter_name].to_dict(),
        weight_name=weight_name,
        safe_serialization=safe_serialization,
    )


def load_attn_procs(self: Any, pretrained_model_name_or_path_or_dict: Any, **options: Any) -> None:
    """Add a LoRA to this network; the older name of `load_lora_adapter`."""
    file = open_tensors(
        pretrained_model_name_or_path_or_dict,
        names=NAMES,
        **{name: options.pop(name) for name in ("weight_name", "subfolder") if name in options},
    )
    prefix = "unet" if all(key.startswith("unet.") for key in file.tensors) else None
    load_lora_adapter(self, dict(file.tensors), prefix=prefix, **options)


def save_attn_procs(
    self: Any,
    save_directory: str | Path,
    is_main_process: bool = True,
    weight_name: str | None = None,
    save_function: object = None,
    safe_serialization: bool = True,
    **options: Any,
) -> None:
    """Write the LoRA of this network; the older name of `save_lora_adapter`.

    Args:
        save_directory: the folder.
        is_main_process: False writes nothing.
        weight_name: the name of the file.
        save_function: has no effect.
        safe_serialization: if True write safetensors, else a pickled state dict.
        **options: `adapter_name`.
    """
    if is_main_process:
        name = options.get("adapter_name") or next(
            iter(getattr(self, "peft_config", {})), "default"
        )
        save_lora_adapter(
            self,
            save_directory,
            name,
            safe_serialization=safe_serialization,
            weight_name=weight_name,
        )


def set_adapters(self: Any, adapter_names: str | Sequence[str], weights: Any = None) -> None:
    """Use these adapters of this network with these weights, and no others.

    Args:
        adapter_names: the name of an adapter, or several.
        weights: a number or a dict by block for all of them, or a list with one for each.

    Raises:
        ArgumentError: if there is no adapter of a name, or the lengths differ.
    """
    names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
    given = weights if isinstance(weights, list) else [weights] * len(names)
    if len(given) != len(names):
        raise ArgumentError(
            f"{len(names)} adapters are named, but {len(given)} weights given; give one for each"
        )
    check_adapters(self, names)
    blocks = {_SELF: blocks_of(self)}
    each = [checked({_SELF: one}, blocks) for one in given]
    by_path = [of_modules(one, _SELF, self) for one in each]
    layers = {id(layer) for layer in adapted_layers(self)}
    for path, module in self.named_modules():
        if id(module) in layers:
            layer: Any = module
            layer.set_adapter(names)
            for name, of_module in zip(names, by_path):
                layer.set_scale(name, of_module(path))


def active_adapters(self: nn.Module) -> list[str]:
    """Return the names of the adapters of this network that are in use.

    Raises:
        MissingPackageError: if peft is not installed.
    """
    for layer in adapted_layers(self):
        return list(layer.active_adapters)
    return []


def delete_adapters(self: Any, adapter_names: str | Sequence[str]) -> None:
    """Remove adapters from this network.

    Raises:
        ArgumentError: if there is no adapter of a name.
    """
    names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
    check_adapters(self, names)
    for name in names:
        for layer in adapted_layers(self):
            layer.delete_adapter(name)
        self.peft_config.pop(name)


def fuse_lora(
    self: Any,
    lora_scale: float = 1.0,
    safe_fusing: bool = False,
    adapter_names: Sequence[str] | None = None,
) -> None:
    """Make the adapters part of the weights of this network, for all pipelines that share it.

    Args:
        lora_scale: by what their weights are multiplied.
        safe_fusing: raise an error instead if a weight would not be finite.
        adapter_names: the adapters; by default the active ones.
    """
    for layer in adapted_layers(self):
        layer.scale_layer(lora_scale)
        layer.merge(safe_merge=safe_fusing, adapter_names=adapter_names)


def unfuse_lora(self: Any) -> None:
    """Undo `fuse_lora`, up to rounding."""
    for layer in adapted_layers(self):
        layer.unmerge()


def unload_lora(self: Any) -> None:
    """Remove all adapters from this network. What was fused stays in its weights."""
    layers = {id(layer) for layer in adapted_layers(self)}
    for path, module in [*self.named_modules()]:
        if id(module) in layers:
            above, _, name = path.rpartition(".")
            self.get_submodule(above)._modules[name] = module.get_base_layer()
    vars(self).pop("peft_config", None)
