"""The base of every network: a torch module with a config, loading and saving."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, ParamSpec, TypeVar, cast, overload

import torch
from torch import Tensor, nn

from .attaching.network_view import origin_of
from .checkpoint.configs import StoredConfig
from .checkpoint.hub.upload import PushToHubMixin
from .errors import PlacementError
from .kinds import BaseNetwork
from .placement.base import at_rest
from .registry import receive
from .wording import logger

if TYPE_CHECKING:
    from .placement.devices import DeviceLike
    from .placement.parts import PartMapping

_log = logger(__name__)

_Self = TypeVar("_Self", bound="ModelMixin")
_Parameters = ParamSpec("_Parameters")
_Output = TypeVar("_Output")

_MARK = "_is_entry_point"


def entry_point(
    method: Callable[_Parameters, _Output | tuple[Any, ...]],
) -> Callable[_Parameters, _Output]:
    """Mark a method that pipelines call on a network, as they call `forward`.

    Offloading then moves the weights for it, too; hooks of accelerate wrap only `forward`. For
    type checkers it returns its output, even if `return_dict=False` makes that a tuple.
    """
    body: Callable[..., Any] = method

    @functools.wraps(method)
    def hooked(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        hook: Any = getattr(self, "_hf_hook", None)
        if hook is None:
            return body(self, *args, **kwargs)
        placed = origin_of(self)
        args, kwargs = hook.pre_forward(placed, *args, **kwargs)
        return hook.post_forward(placed, body(self, *args, **kwargs))

    setattr(hooked, _MARK, True)
    return cast(Callable[_Parameters, _Output], hooked)


def is_entry_point(cls: type, name: str) -> bool:
    """Whether the method `name` of `cls` is marked as an entry point."""
    return bool(getattr(getattr(cls, name, None), _MARK, False))


def hook_device(network: nn.Module) -> torch.device | None:
    """Return the execution device set by hooks of accelerate, or None."""
    for module in network.modules():
        hook = getattr(module, "_hf_hook", None)
        for one in getattr(hook, "hooks", (hook,)):
            device = getattr(one, "execution_device", None)
            if device is not None:
                return torch.device(device)
    return None


class ModelMixin(BaseNetwork, StoredConfig, PushToHubMixin):
    """A network that is saved as `config.json` and `diffusion_pytorch_model.safetensors`.

    Subclasses decorate `__init__` with `register_to_config` and use the parameter names of
    published checkpoints, so that a state dict loads without a conversion table.
    """

    _supports_gradient_checkpointing: ClassVar[bool] = False

    @overload
    @classmethod
    def from_pretrained(
        cls: type[_Self],
        pretrained_model_name_or_path: str | Path,
        *,
        output_loading_info: Literal[True],
        **options: Any,
    ) -> tuple[_Self, dict[str, Any]]: ...
    @overload
    @classmethod
    def from_pretrained(
        cls: type[_Self],
        pretrained_model_name_or_path: str | Path,
        *,
        output_loading_info: Literal[False] = False,
        torch_dtype: torch.dtype | str | None = None,
        **options: Any,
    ) -> _Self: ...
    @classmethod
    def from_pretrained(
        cls: type[_Self],
        pretrained_model_name_or_path: str | Path,
        *,
        subfolder: str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        dtype: torch.dtype | str | None = None,
        variant: str | None = None,
        use_safetensors: bool | None = None,
        low_cpu_mem_usage: bool = True,
        output_loading_info: bool = False,
        ignore_mismatched_sizes: bool = False,
        device_map: PartMapping | None = None,
        max_memory: Mapping[DeviceLike, int | str] | None = None,
        offload_folder: str | Path | None = None,
        **hub: Any,
    ) -> Any:
        """Load a network from a folder or Hub repository, in evaluation mode.

        Args:
            pretrained_model_name_or_path: a local folder, or a repository id of the Hub.
            subfolder: the folder inside it that contains the network.
            torch_dtype, dtype: the dtype of the weights: a `torch.dtype`, its name, or `"auto"`
                for the dtype of the file. The default is float32.
            variant: the variant of the weight files, such as `"fp16"`.
            use_safetensors: True refuses pickled weights, False requires them, None prefers
                safetensors.
            low_cpu_mem_usage: if False, initialise the network first, then copy the weights.
            output_loading_info: return `(network, info)`; `info` lists missing, unexpected and
                mismatched keys.
            ignore_mismatched_sizes: keep the initial values of parameters whose stored shape
                differs.
            device_map: a device; a mapping from part names (`""` is the whole network) to a
                device or `"disk"`; or `"auto"`, `"balanced"`, `"balanced_low_0"` or `"sequential"`
                to distribute the parts. The network's `hf_device_map` says where each part is.
                Layers in main memory or on disk are moved to an accelerator one by one when used.
            max_memory: limits for distributing, by device: bytes or text such as `"10GiB"`. The
                default is the free memory.
            offload_folder: the folder for parts on `"disk"`; by default a temporary folder.
            **hub: `revision`, `token`, `cache_dir`, `local_files_only`, `force_download`, ...
                and values that override the config.

        Raises:
            CheckpointError: if the folder, the config or the weights are absent.
            VariantError: if there are no weights of this variant.
            WeightsMismatchError: if the tensors don't fit the config.
            ArgumentError: if the device map doesn't fit the network.
            PlacementError: if the device map doesn't fit this machine.
        """
        from .checkpoint.checkpoint import load_model

        return load_model(
            cls,
            pretrained_model_name_or_path,
            subfolder=subfolder,
            torch_dtype=torch_dtype,
            dtype=dtype,
            variant=variant,
            use_safetensors=use_safetensors,
            low_cpu_mem_usage=low_cpu_mem_usage,
            output_loading_info=output_loading_info,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            device_map=device_map,
            max_memory=max_memory,
            offload_folder=offload_folder,
            **hub,
        )

    @classmethod
    def from_single_file(
        cls: type[_Self],
        pretrained_model_link_or_path_or_dict: str | Path | Mapping[str, Tensor],
        *,
        config: str | Path | None = None,
        subfolder: str | None = None,
        original_config: str | Path | Mapping[str, Any] | None = None,
        torch_dtype: torch.dtype | str | None = None,
        **options: Any,
    ) -> _Self:
        """Load a network from a single file in the layout of its authors, in evaluation mode.

        The file may hold this network alone or a whole checkpoint. The weights are taken from the
        file without a copy of it.

        Args:
            pretrained_model_link_or_path_or_dict: the path of a `.safetensors` or `.ckpt` file, its
                address on the Hub, or a state dict.
            config: the folder or repository with the config; by default the family knows it.
            subfolder: the folder of the config in `config`.
            original_config: the config in YAML of the authors' code: a path, its text, or a dict.
            torch_dtype: as for `from_pretrained`; the default is float32.
            **options: those of `from_pretrained`, and values that override the config.

        Raises:
            ArgumentError: if `config` and `original_config` are given.
            CheckpointError: if there is no such file, or it can't be read.
            QuantizedWeightsError: if its weights are quantized.
            UnsupportedCheckpointError: if no installed reader knows its layout, or it has no
                network of this class.
            WeightsMismatchError: if the tensors don't fit the config.
        """
        from .checkpoint.single_file import load_network

        given = pretrained_model_link_or_path_or_dict
        keywords = {"config": config, "subfolder": subfolder, "original_config": original_config}
        network: _Self = load_network(
            cls, given, {**keywords, "torch_dtype": torch_dtype, **options}
        )
        return network

    def save_pretrained(
        self,
        save_directory: str | Path,
        is_main_process: bool = True,
        save_function: object = None,
        safe_serialization: bool = True,
        variant: str | None = None,
        max_shard_size: int | str = "10GB",
        push_to_hub: bool = False,
        **hub: Any,
    ) -> None:
        """Write config and weights into `save_directory`, atomically.

        Args:
            save_directory: the folder to write.
            is_main_process: False writes nothing (the other ranks of a distributed run).
            save_function: ignored with a warning, as in diffusers.
            safe_serialization: if True write safetensors, else a pickled state dict.
            variant: part of the file name: `diffusion_pytorch_model.<variant>.safetensors`.
            max_shard_size: bytes, or text such as `"5GB"`; larger weights are split into shards.
            push_to_hub: upload afterwards to the repository `repo_id`.
        """
        from .checkpoint.save import SaveOptions, save_model

        options = SaveOptions(safe_serialization, variant, max_shard_size, push_to_hub, hub)
        if save_function is not None:
            _log.warning("save_function= has no effect and is ignored")
        if is_main_process:
            with at_rest(origin_of(self)):
                save_model(self, save_directory, options)

    def _apply(self: _Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _Self:
        # Called by `to`, `cuda`, `half` and others; offloaded weights support only some of them.
        if hook_device(self) is not None and any(one.is_meta for one in self.parameters()):
            try:
                fn(torch.empty(0, device="meta"))
            except NotImplementedError as error:
                raise PlacementError(
                    f"this {type(self).__name__} can't be moved, because its device map or "
                    f"offloading places its layers; load it without them, or don't move it"
                ) from error
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch has not typed it.
        return self

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first floating-point parameter, or of the first buffer.

        If layers store their weights in another dtype than they compute in, it is the latter.
        """
        casting: torch.dtype | None = self.__dict__.get("compute_dtype")
        if casting is not None:
            return casting
        for tensor in chain(self.parameters(), self.buffers()):
            if tensor.is_floating_point():
                return tensor.dtype
        return torch.get_default_dtype()

    @property
    def device(self) -> torch.device:
        """The device of the first parameter or buffer, or the execution device if offloaded."""
        for tensor in chain(self.parameters(), self.buffers()):
            return (hook_device(self) or tensor.device) if tensor.is_meta else tensor.device
        return torch.device("cpu")

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Return the number of elements of all parameters."""
        embeddings = [
            m for m in self.modules() if exclude_embeddings and isinstance(m, nn.Embedding)
        ]
        skipped = {id(parameter) for module in embeddings for parameter in module.parameters()}
        counted = (p for p in self.parameters() if p.requires_grad or not only_trainable)
        return sum(parameter.numel() for parameter in counted if id(parameter) not in skipped)

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Return the size in bytes of the parameters and, with `return_buffers`, the buffers."""
        buffers = self.buffers() if return_buffers else ()
        return sum(tensor.nbytes for tensor in (*self.parameters(), *buffers))

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether a part recomputes its activations in the backward pass."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self.modules())

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass: training takes less memory and more time."""
        self._set_gradient_checkpointing(True)

    def disable_gradient_checkpointing(self) -> None:
        """Undo `enable_gradient_checkpointing`."""
        self._set_gradient_checkpointing(False)

    def _set_gradient_checkpointing(self, enable: bool) -> None:
        if not self._supports_gradient_checkpointing:
            raise ValueError(f"{type(self).__name__} does not support gradient checkpointing")
        for module in self.modules():
            if hasattr(module, "gradient_checkpointing"):
                setattr(module, "gradient_checkpointing", enable)  # noqa: B010


receive(ModelMixin, "network method")
