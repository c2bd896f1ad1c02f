"""The keywords of loading: those of the original API, each parsed once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch

from ..errors import ArgumentError, ArgumentTypeError, UnsafeCheckpointError, nearest
from ..sizes import parse_size
from .source import HubOptions

_log = logging.getLogger(__name__)

Dtype = torch.dtype | Literal["auto"]

_SHORT = {"fp16": "float16", "half": "float16", "bf16": "bfloat16", "fp32": "float32"}
_NAMED = ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")

_REMOTE_CODE = ("custom_pipeline", "trust_remote_code")

WITHOUT_MEANING: Mapping[str, str] = {
    "resume_download": "a download always goes on where it was",
    "proxies": "set HTTPS_PROXY and HTTP_PROXY in the environment",
    "mirror": "set HF_ENDPOINT in the environment to the address of the mirror",
    "custom_revision": "code of a checkpoint is never run, so there is none to choose",
    "use_onnx": "there are no ONNX pipelines, and ONNX files are never fetched",
    "offload_state_dict": "weights are mapped from their files, so none need to be put away",
}
"""Keywords of the original API that are accepted and do nothing, and why, or what to do instead."""

_NOT_YET = ("quantization_config",)
_STRATEGIES = ("auto", "balanced")
_HUB = tuple(one.name for one in fields(HubOptions))


@dataclass(frozen=True)
class LoadOptions:
    """How to load.

    Attributes:
        dtype: one for all components, `"auto"` for that of the files, or one by component name
            with `"default"` for the others. None is float32, or with a variant that of its files.
        variant: which weight files: `"fp16"`, or `"auto"`, or None for plain names.
        use_safetensors: True refuses pickled weights, False wants them.
        low_cpu_mem_usage: False builds models with initial values first.
        output_loading_info: return missing, unexpected and mismatched keys too.
        ignore_mismatched_sizes: leave parameters of another shape at their initial values.
        disable_mmap: read files instead of mapping them; None maps those on local disks.
        device: where the networks go.
        device_map: a strategy, or where each network of a pipeline goes.
        max_memory: how much each device may take, for a strategy.
        offload_folder: for networks that go to the disk.
        memory: a budget, by which the networks of a pipeline are placed; `"auto"` for what is free.
        load_connected_pipeline: where the index names one stage of a chain, `DiffusionPipeline`
            opens the class of all stages.
        hub: where to look for a repository.
    """

    dtype: Dtype | Mapping[str, Dtype] | None = None
    variant: str | None = None
    use_safetensors: bool | None = None
    low_cpu_mem_usage: bool = True
    output_loading_info: bool = False
    ignore_mismatched_sizes: bool = False
    disable_mmap: bool | None = None
    device: torch.device | None = None
    device_map: Any = None
    max_memory: Mapping[Any, int | str] | None = None
    offload_folder: str | Path | None = None
    memory: int | str | None = None
    load_connected_pipeline: bool = False
    hub: HubOptions = field(default_factory=HubOptions)

    def dtype_of(self, component: str | None) -> Dtype:
        """The dtype for one component; `"auto"` where its files decide."""
        dtype: Dtype | None
        if isinstance(self.dtype, Mapping):
            dtype = self.dtype.get(component or "", self.dtype.get("default"))
        else:
            dtype = self.dtype
        if dtype is not None:
            return dtype
        return torch.float32 if self.variant is None else "auto"

    def dtype_name_of(self, component: str | None) -> str:
        """The same as plain text, such as `"float16"`."""
        return str(self.dtype_of(component)).removeprefix("torch.")


KEYWORDS = (
    *(one.name for one in fields(LoadOptions) if one.name not in ("device", "hub")),
    *_HUB,
    "torch_dtype",
    "use_auth_token",
)
"""Every keyword of loading that does something."""

REFUSED = (*_REMOTE_CODE, *_NOT_YET)
"""Those that are errors unless they are None or False."""


def split_keywords(given: Mapping[str, Any]) -> tuple[LoadOptions, dict[str, Any]]:
    """The load options among keywords, and the other keywords.

    Raises:
        ArgumentError: a value can't be used, or two keywords contradict each other.
        ArgumentTypeError: a value is of the wrong type.
        UnsafeCheckpointError: code from a checkpoint is asked for.
    """
    _refuse_code(given)
    for name in _NOT_YET:
        if given.get(name) is not None:
            raise ArgumentError(f"{name}= is not supported yet; leave it out")
    useless = [f"{name}= ({why})" for name, why in WITHOUT_MEANING.items() if given.get(name)]
    if useless:
        _log.warning("ignored, since it means nothing here: %s", "; ".join(useless))
    known = {*KEYWORDS, *REFUSED, *WITHOUT_MEANING}
    rest = {name: value for name, value in given.items() if name not in known}
    options = LoadOptions(
        dtype=_agreed_dtype(given.get("torch_dtype"), given.get("dtype")),
        variant=_text(given, "variant"),
        use_safetensors=_flag(given, "use_safetensors", None),
        low_cpu_mem_usage=bool(_flag(given, "low_cpu_mem_usage", True)),
        output_loading_info=bool(_flag(given, "output_loading_info", False)),
        ignore_mismatched_sizes=bool(_flag(given, "ignore_mismatched_sizes", False)),
        disable_mmap=_flag(given, "disable_mmap", None),
        device=_device(given.get("device_map")),
        device_map=given.get("device_map"),
        max_memory=given.get("max_memory"),
        offload_folder=given.get("offload_folder"),
        memory=_budget(given),
        load_connected_pipeline=bool(_flag(given, "load_connected_pipeline", False)),
        hub=_hub(given),
    )
    return options, rest


def _hub(given: Mapping[str, Any]) -> HubOptions:
    token = given.get("token")
    options = HubOptions(
        revision=_text(given, "revision"),
        token=given.get("use_auth_token") if token is None else token,
        cache_dir=given.get("cache_dir"),
        force_download=bool(_flag(given, "force_download", False)),
        local_files_only=bool(_flag(given, "local_files_only", False)),
    )
    if not isinstance(options.token, (str, bool, type(None))):
        raise ArgumentTypeError("token must be text, True, False or None")
    if not isinstance(options.cache_dir, (str, Path, type(None))):
        raise ArgumentTypeError(f"cache_dir must be a path or None, not {options.cache_dir!r}")
    if options.force_download and options.local_files_only:
        raise ArgumentError(
            "force_download=True asks to fetch from the Hub, and local_files_only=True not to; "
            "give one"
        )
    return options


def check_keywords(given: Iterable[str], known: Iterable[str], owner: str) -> None:
    """Raise `ArgumentTypeError` for the first of `given` that is not `known` and no option."""
    names = (*known, *KEYWORDS)
    for name in given:
        if name not in names:
            raise ArgumentTypeError(
                f"{owner}.from_pretrained has no keyword {name!r}."
                + (nearest(name, names) or f" It has {', '.join(known)}, and options of loading.")
            )


def check_dtypes(options: LoadOptions, components: Iterable[str], owner: str) -> None:
    """Raise `ArgumentError` for a dtype of a component that is none of `components`."""
    names = ("default", *components)
    for name in options.dtype if isinstance(options.dtype, Mapping) else ():
        if name not in names:
            raise ArgumentError(
                f"a dtype is given for {name!r}, which {owner} doesn't have."
                + (nearest(name, names) or f" Dtypes can be for {', '.join(map(repr, names))}.")
            )


def parse_dtype(value: Any) -> Dtype:
    """A dtype from a `torch.dtype`, a name such as `"float16"` or `"fp16"`, or `"auto"`.

    Raises:
        ArgumentError: there is no such dtype, or weights can't have it.
        ArgumentTypeError: `value` is neither a dtype nor a name.
    """
    if isinstance(value, torch.dtype):
        if not value.is_floating_point:
            raise ArgumentError(f"weights can't have the dtype {value}; give one such as float16")
        return value
    if not isinstance(value, str):
        raise ArgumentTypeError(
            f"dtype must be a torch.dtype, a name such as 'float16', or 'auto', not {value!r}"
        )
    name = value.removeprefix("torch.")
    name = _SHORT.get(name, name)
    if name == "auto":
        return "auto"
    if name not in _NAMED:
        raise ArgumentError(
            f"there is no dtype {value!r} for weights.{nearest(name, (*_NAMED, *_SHORT))} "
            f"There are {', '.join(_NAMED)} and 'auto'"
        )
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _agreed_dtype(torch_dtype: Any, dtype: Any) -> Dtype | Mapping[str, Dtype] | None:
    """What `torch_dtype` and `dtype` ask for together."""
    parsed = [_parse_dtypes(value) for value in (torch_dtype, dtype) if value is not None]
    if len(parsed) == 2 and parsed[0] != parsed[1]:
        raise ArgumentError(
            f"torch_dtype={torch_dtype!r} and dtype={dtype!r} contradict each other; they mean "
            f"the same, so give one"
        )
    return parsed[0] if parsed else None


def _parse_dtypes(value: Any) -> Dtype | Mapping[str, Dtype]:
    if isinstance(value, Mapping):
        return {name: parse_dtype(one) for name, one in value.items()}
    return parse_dtype(value)


def check_device_map(device_map: Any, components: Iterable[str], owner: str) -> None:
    """Raise `ArgumentError` for a device map that names something else than `components`."""
    names = ("", *components)
    for name in device_map if isinstance(device_map, Mapping) else ():
        if name not in names:
            raise ArgumentError(
                f"device_map has a place for {name!r}, which {owner} doesn't have."
                + (nearest(str(name), names) or f" It has {', '.join(names[1:])}.")
            )


def check_one_place(options: LoadOptions, owner: str) -> None:
    """Raise `ArgumentError` for options that place several networks; a model is but one."""
    several = {name: getattr(options, name) for name in ("max_memory", "offload_folder", "memory")}
    if options.device is None:
        several["device_map"] = options.device_map
    for name, value in several.items():
        if value is not None:
            raise ArgumentError(
                f"{name}={value!r} is for pipelines; for a {owner} give device_map a device, such "
                f"as 'cuda'"
            )


def _device(device_map: Any) -> torch.device | None:
    """The one device of a device map that is only that."""
    if device_map is None or isinstance(device_map, Mapping) or device_map in _STRATEGIES:
        return None
    if isinstance(device_map, (str, int, torch.device)):
        try:
            return torch.device(device_map)
        except RuntimeError:
            pass
    raise ArgumentError(
        f"device_map={device_map!r} is not supported; give a device such as 'cuda', 'balanced', "
        f"'auto', or a dict from component to device"
    )


def _budget(given: Mapping[str, Any]) -> int | str | None:
    memory: int | str | None = given.get("memory")
    if memory is not None and given.get("device_map") is not None:
        raise ArgumentError(
            "memory= and device_map= both say where the networks go; give one of them"
        )
    if memory not in (None, "auto"):
        parse_size(memory, "memory")
    return memory


def _refuse_code(given: Mapping[str, Any]) -> None:
    for name in _REMOTE_CODE:
        if given.get(name):
            raise UnsafeCheckpointError(
                f"{name}={given[name]!r} asks to run code of a checkpoint, which autopipe never "
                f"does; a custom pipeline is an installed plugin: pip install it and load the "
                f"checkpoint without {name}="
            )


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is None or (isinstance(value, str) and value):
        return value
    raise ArgumentTypeError(f"{name} must be text or None, not {value!r}")


def _flag(given: Mapping[str, Any], name: str, default: bool | None) -> bool | None:
    value = given.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise ArgumentTypeError(f"{name} must be True or False, not {value!r}")
