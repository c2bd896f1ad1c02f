"""The keywords of loading: those of the original API, each parsed once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import ArgumentError, ArgumentTypeError, AutopipeError, UnsafeCheckpointError, nearest
from ..sizes import parse_size
from ..wording import logger, shown
from .source import HubOptions, follows_links

_log = logger(__name__)

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
_OF_NETWORKS = ("balanced_low_0", "sequential")

_Text = Annotated[str, Field(min_length=1)]


class LoadOptions(BaseModel):
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
        device_map: a device, a strategy, or where each network of a pipeline goes.
        max_memory: how much each device may take, for a strategy.
        offload_folder: for networks that go to the disk.
        memory: a budget, by which the networks of a pipeline are placed; `"auto"` for what is free.
        load_connected_pipeline: where the index names one stage of a chain, `DiffusionPipeline`
            opens the class of all stages.
        revision, token, cache_dir, force_download, local_files_only: where to look for a
            repository.
        follow_links: let links lead out of a checkpoint, which the caller made; None asks the
            environment variable AUTOPIPE_FOLLOW_LINKS.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    dtype: Any = None
    variant: _Text | None = None
    use_safetensors: bool | None = None
    low_cpu_mem_usage: bool = True
    output_loading_info: bool = False
    ignore_mismatched_sizes: bool = False
    disable_mmap: bool | None = None
    device_map: Any = None
    max_memory: Any = None
    offload_folder: Any = None
    memory: Any = None
    load_connected_pipeline: bool = False
    revision: _Text | None = None
    token: bool | str | None = Field(None, repr=False)
    cache_dir: str | Path | None = None
    force_download: bool = False
    local_files_only: bool = False
    follow_links: bool = Field(default_factory=follows_links)

    @field_validator("device_map")
    @classmethod
    def _one_device(cls, device_map: Any) -> Any:
        """A device map that is but a device, as that."""
        if isinstance(device_map, Mapping) or device_map in (*_STRATEGIES, *_OF_NETWORKS):
            return device_map
        with suppress(RuntimeError, TypeError):
            return torch.device(device_map)
        raise ArgumentError(
            f"device_map={shown(device_map)} is not supported; give a device such as 'cuda', "
            f"'balanced', 'auto', or a dict from component to device"
        )

    @model_validator(mode="after")
    def _no_contradiction(self) -> LoadOptions:
        if self.force_download and self.local_files_only:
            raise ArgumentError(
                "force_download=True asks to fetch from the Hub, and local_files_only=True not "
                "to; give one"
            )
        if self.memory is not None and self.device_map is not None:
            raise ArgumentError(
                "memory= and device_map= both say where the networks go; give one of them"
            )
        if not (self.memory is None or (isinstance(self.memory, str) and self.memory == "auto")):
            parse_size(self.memory, "memory")
        return self

    @property
    def hub(self) -> HubOptions:
        """Where to look."""
        return HubOptions(**{name: getattr(self, name) for name in _HUB})

    @property
    def device(self) -> torch.device | None:
        """Where the networks go, if all go to one device."""
        return self.device_map if isinstance(self.device_map, torch.device) else None

    def with_dtype(self, dtype: Dtype | Mapping[str, Dtype] | None) -> LoadOptions:
        """The same with another dtype."""
        return self.model_copy(update={"dtype": dtype})

    def dtype_of(self, component: str | None) -> Dtype:
        """The dtype for one component; `"auto"` where its files decide."""
        dtype: Dtype | None = self.dtype
        if isinstance(self.dtype, Mapping):
            dtype = self.dtype.get(component or "", self.dtype.get("default"))
        if dtype is not None:
            return dtype
        return torch.float32 if self.variant is None else "auto"


_HUB = tuple(HubOptions.__dataclass_fields__)

KEYWORDS = (*LoadOptions.model_fields, "torch_dtype", "use_auth_token")
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
    for name in _REMOTE_CODE:
        if given.get(name):
            raise UnsafeCheckpointError(
                f"{name}={shown(given[name])} asks to run code of a checkpoint, which autopipe "
                f"never does; a custom pipeline is an installed plugin: pip install it and load "
                f"the checkpoint without {name}="
            )
    for name in _NOT_YET:
        if given.get(name) is not None:
            raise ArgumentError(f"{name}= is not supported yet; leave it out")
    useless = [f"{name}= ({why})" for name, why in WITHOUT_MEANING.items() if given.get(name)]
    if useless:
        _log.warning("ignored, since it means nothing here: %s", "; ".join(useless))
    known = {*KEYWORDS, *REFUSED, *WITHOUT_MEANING}
    rest = {name: value for name, value in given.items() if name not in known}
    values = {n: v for n, v in given.items() if v is not None and n in LoadOptions.model_fields}
    values.setdefault("token", given.get("use_auth_token"))
    dtypes = [parse_dtypes(given[n]) for n in ("torch_dtype", "dtype") if given.get(n) is not None]
    if len(dtypes) == 2 and dtypes[0] != dtypes[1]:
        raise ArgumentError(
            f"torch_dtype={given['torch_dtype']!r} and dtype={given['dtype']!r} contradict each "
            f"other; they mean the same, so give one"
        )
    values["dtype"] = dtypes[0] if dtypes else None
    try:
        return LoadOptions(**values), rest
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> AutopipeError:
    """The first thing that pydantic has against the options, as an error of ours."""
    first = error.errors()[0]
    told = first.get("ctx", {}).get("error")
    if isinstance(told, AutopipeError):
        return told
    name = str(first["loc"][0])
    if name == "token":
        return ArgumentTypeError("token must be text, True, False or None")
    text = "a path or None" if name == "cache_dir" else "text or None"
    wanted = "True or False" if first["type"] == "bool_type" else text
    return ArgumentTypeError(f"{name} must be {wanted}, not {shown(first['input'])}")


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
            f"dtype must be a torch.dtype, a name such as 'float16', or 'auto', not {shown(value)}"
        )
    name = value.removeprefix("torch.")
    name = _SHORT.get(name, name)
    if name == "auto":
        return "auto"
    if name not in _NAMED:
        raise ArgumentError(
            f"there is no dtype {shown(value)} for weights.{nearest(name, (*_NAMED, *_SHORT))} "
            f"There are {', '.join(_NAMED)} and 'auto'"
        )
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def parse_dtypes(value: Any) -> Dtype | Mapping[str, Dtype]:
    """One dtype, or one for each of some components."""
    if isinstance(value, Mapping):
        return {name: parse_dtype(one) for name, one in value.items()}
    return parse_dtype(value)


def check_for_pipeline(options: LoadOptions) -> None:
    """Raise `ArgumentError` for a device map that spreads the parts of one network."""
    if options.device_map in _OF_NETWORKS:
        raise ArgumentError(
            f"device_map={shown(options.device_map)} spreads the parts of one network; for a "
            f"pipeline give {' or '.join(map(repr, _STRATEGIES))}"
        )


def check_for_network(options: LoadOptions, owner: str) -> None:
    """Raise `ArgumentError` for options that place several networks; a model is but one."""
    if options.memory is not None:
        raise ArgumentError(
            f"memory={shown(options.memory)} is for pipelines; for a {owner} give device_map and "
            f"max_memory"
        )
