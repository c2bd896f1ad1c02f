"""Parses the keywords of loading, which are those of diffusers and some more."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    AutopipeError,
    QuantizedWeightsError,
    UnsafeCheckpointError,
    nearest,
)
from ..sizes import parse_size
from ..wording import logger, shown
from .community import check_trusted
from .source import HubOptions, follows_links

_log = logger(__name__)

Dtype = torch.dtype | Literal["auto"]

_SHORT = {"fp16": "float16", "half": "float16", "bf16": "bfloat16", "fp32": "float32"}
_NAMED = ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")

WITHOUT_MEANING: Mapping[str, str] = {
    "resume_download": "downloads always resume",
    "proxies": "set HTTPS_PROXY and HTTP_PROXY in the environment",
    "mirror": "set HF_ENDPOINT in the environment to the URL of the mirror",
    "use_onnx": "the index says whether ONNX files are read; revision='onnx' may have them",
    "offload_state_dict": "weights are mapped from their files",
}
"""Keywords of diffusers that are accepted without effect, with the reason or an alternative."""

_QUANTIZING = ("quantization_config",)
_STRATEGIES = ("auto", "balanced")
_OF_NETWORKS = ("balanced_low_0", "sequential")

_Text = Annotated[str, Field(min_length=1)]


class LoadOptions(BaseModel):
    """The options of loading.

    Attributes:
        dtype: one dtype for all components; `"auto"` for the dtype of the files; or a mapping from
            component names to dtypes, with `"default"` for the others. None means float32, or with
            a variant the dtype of its files.
        variant: the variant of the weight files: `"fp16"`, `"auto"`, or None for no variant.
        use_safetensors: True refuses pickled weights, False requires them.
        low_cpu_mem_usage: if False, initialise networks before loading weights.
        output_loading_info: also return missing, unexpected and mismatched keys.
        ignore_mismatched_sizes: keep the initial values of parameters whose stored shape differs.
        disable_mmap: read files instead of mapping them; None maps files on local disks.
        device_map: a device, a strategy, or a mapping from a pipeline's networks to devices.
        max_memory: the memory limit of each device, for a strategy.
        offload_folder: the folder for networks on disk.
        memory: a memory budget for placing the networks of a pipeline; `"auto"` uses what is free.
        check_memory: refuse weights that are certainly too large for this machine.
        engine: the engines of a pipeline's networks, as for its method `use_engine`.
        custom_pipeline: the file, folder or repository of code that the caller trusts, which
            defines the class of the pipeline.
        custom_revision: the revision of that repository.
        load_connected_pipeline: if the index names one stage of a chain, `DiffusionPipeline` opens
            the combined class of all stages.
        revision, token, cache_dir, force_download, local_files_only: options for repositories.
        follow_links: allow links that lead out of a checkpoint; the default is the environment
            variable AUTOPIPE_FOLLOW_LINKS.
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
    check_memory: bool = True
    engine: Any = None
    custom_pipeline: str | Path | None = None
    custom_revision: _Text | None = None
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
        """Convert a device map that is a single device."""
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
                "force_download=True and local_files_only=True contradict each other; give one of "
                "them"
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
        """The options for repositories and links."""
        return HubOptions(**{name: getattr(self, name) for name in _HUB})

    @property
    def device(self) -> torch.device | None:
        """The device of all networks, if there is one."""
        return self.device_map if isinstance(self.device_map, torch.device) else None

    def with_dtype(self, dtype: Dtype | Mapping[str, Dtype] | None) -> LoadOptions:
        """Return these options with another dtype."""
        return self.model_copy(update={"dtype": dtype})

    def dtype_of(self, component: str | None) -> Dtype:
        """Return the dtype for one component; `"auto"` if its files decide."""
        dtype: Dtype | None = self.dtype
        if isinstance(self.dtype, Mapping):
            dtype = self.dtype.get(component or "", self.dtype.get("default"))
        if dtype is not None:
            return dtype
        return torch.float32 if self.variant is None else "auto"


_HUB = tuple(HubOptions.__dataclass_fields__)

_TRUST = "trust_remote_code"

KEYWORDS = (*LoadOptions.model_fields, "torch_dtype", "use_auth_token", _TRUST)
"""Every keyword of loading that has an effect."""

REFUSED = _QUANTIZING
"""Keywords that are errors unless they are None or False."""


def split_keywords(given: Mapping[str, Any]) -> tuple[LoadOptions, dict[str, Any]]:
    """Split keywords into load options and others.

    Raises:
        ArgumentError: if a value can't be used, or two keywords contradict each other.
        ArgumentTypeError: if a value has the wrong type.
        QuantizedWeightsError: if a keyword asks to quantize weights.
        UnsafeCheckpointError: if a keyword asks to run code of the checkpoint.
    """
    if given.get("custom_pipeline"):
        check_trusted(given["custom_pipeline"], given.get(_TRUST))
    elif given.get(_TRUST):
        raise UnsafeCheckpointError(
            f"{_TRUST}={shown(given[_TRUST])} asks to run code of a checkpoint, which autopipe "
            f"never does; install the custom pipeline as a plugin and load the checkpoint without "
            f"{_TRUST}=, or name the code that you trust by custom_pipeline="
        )
    for name in _QUANTIZING:
        if given.get(name) is not None:
            raise QuantizedWeightsError.wanted(name)
    useless = [f"{name}= ({why})" for name, why in WITHOUT_MEANING.items() if given.get(name)]
    if useless:
        _log.warning("ignored keywords without effect: %s", "; ".join(useless))
    known = {*KEYWORDS, *REFUSED, *WITHOUT_MEANING}
    rest = {name: value for name, value in given.items() if name not in known}
    values = {n: v for n, v in given.items() if v is not None and n in LoadOptions.model_fields}
    if not given.get("custom_pipeline"):
        values.pop("custom_pipeline", None)
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
    """Convert the first validation error of pydantic to an error of this library."""
    first = error.errors()[0]
    original = first.get("ctx", {}).get("error")
    if isinstance(original, AutopipeError):
        return original
    name = str(first["loc"][0])
    if name == "token":
        return ArgumentTypeError("token must be a string, True, False or None")
    is_path = name in ("cache_dir", "custom_pipeline")
    text = "a path or None" if is_path else "a string or None"
    wanted = "True or False" if first["type"] == "bool_type" else text
    return ArgumentTypeError(f"{name} must be {wanted}, not {shown(first['input'])}")


def parse_dtype(value: Any) -> Dtype:
    """Return the dtype for a `torch.dtype`, a name such as `"float16"` or `"fp16"`, or `"auto"`.

    Raises:
        ArgumentError: if there is no such dtype, or weights can't have it.
        ArgumentTypeError: if `value` is neither a dtype nor a string.
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
            f"Known: {', '.join(_NAMED)} and 'auto'"
        )
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def parse_dtypes(value: Any) -> Dtype | Mapping[str, Dtype]:
    """Parse one dtype, or a mapping from component names to dtypes."""
    if isinstance(value, Mapping):
        return {name: parse_dtype(one) for name, one in value.items()}
    return parse_dtype(value)


def check_for_pipeline(options: LoadOptions) -> None:
    """Raise `ArgumentError` for a device map that distributes the parts of one network."""
    if options.device_map in _OF_NETWORKS:
        raise ArgumentError(
            f"device_map={shown(options.device_map)} is for a single network; for a pipeline give "
            f"{' or '.join(map(repr, _STRATEGIES))}"
        )


def check_for_network(options: LoadOptions, owner: str) -> None:
    """Raise `ArgumentError` for options that concern a whole pipeline."""
    if options.custom_pipeline is not None:
        raise ArgumentError(f"custom_pipeline= is for pipelines; leave it out for {owner}")
    if options.memory is not None:
        raise ArgumentError(
            f"memory={shown(options.memory)} is for pipelines; for {owner} give device_map and "
            f"max_memory"
        )
    if options.engine is not None:
        raise ArgumentError(
            f"engine={shown(options.engine)} is for pipelines; load the pipeline with it, or call "
            f"its method use_engine"
        )
