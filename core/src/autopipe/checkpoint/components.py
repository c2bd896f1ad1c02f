"""One component of a checkpoint: which class it is, and loading it from a local folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..config import read_json_object
from ..errors import (
    AutopipeError,
    ConfigError,
    UnsupportedCheckpointError,
    WeightsMismatchError,
)
from ..modeling import ModelMixin
from ..registry import Registry
from ..scheduling import SchedulerMixin
from ..targets import load_target
from . import transformers
from .build import WithoutMemory
from .files import ComponentFiles, Weights
from .index import Pair
from .limits import check_sizes
from .options import LoadOptions
from .processors import load_processor
from .weights import LoadingInfo, casting, fill, finish, read_weights


def find_class(pair: Pair, registry: Registry) -> type | None:
    """The class that an index calls `pair`: one that a family declares, a listed one, or None."""
    library, name = pair
    known = registry.component(library, name)
    if known is not None:
        cls: type = load_target(known.target)
        return cls
    return transformers.find_class(name) if library == transformers.LIBRARY else None


def class_of(pair: Pair, registry: Registry, origin: str) -> type:
    """The class that an index calls `pair`; `origin` is that index, for the message.

    Raises:
        UnsupportedCheckpointError: no installed family declares it. Nothing was imported.
    """
    cls = find_class(pair, registry)
    if cls is None:
        library, name = pair
        raise UnsupportedCheckpointError(
            f"{origin} needs the class {name} of {library}, which no installed family declares, so "
            f"it is not imported. {registry.explain_missing(name)}"
        )
    return cls


def has_weights(cls: type) -> bool:
    """Whether objects of `cls` are networks."""
    return issubclass(cls, nn.Module)


def stems_of(cls: type) -> tuple[str, ...]:
    """What the weight files of `cls` are called."""
    return (cls.weights_name,) if issubclass(cls, ModelMixin) else transformers.STEMS


def load_component(
    cls: Any,
    root: Path,
    files: ComponentFiles,
    options: LoadOptions,
    *,
    name: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> tuple[Any, LoadingInfo]:
    """Load an object of `cls` from the planned `files` under `root`.

    Args:
        name: the component's name in its pipeline.
        overrides: values of the config to use instead of the file's.

    Raises:
        ConfigError: the config is absent or malformed, or the class refuses it.
        CheckpointError: files are absent or damaged.
        WeightsMismatchError: the tensors don't fit the config.
    """
    folder = root.joinpath(*files.folder)
    if issubclass(cls, SchedulerMixin):
        config = read_json_object(folder / str(cls.config_name))
        return made_from(cls, {**config, **(overrides or {})}, folder), LoadingInfo()
    if files.weights is None:
        return load_processor(cls, root, folder), LoadingInfo()
    if issubclass(cls, ModelMixin) or transformers.is_model(cls):
        model, info = _load_network(cls, root, files.weights, folder, options, name, overrides)
        return (model if options.device is None else model.to(options.device)), info
    raise UnsupportedCheckpointError(
        f"{cls.__name__} is a network, but neither a ModelMixin nor a model of transformers, so "
        f"there is no way to load it from {folder}"
    )


def made_from(cls: Any, config: Mapping[str, Any], origin: Path) -> Any:
    """`cls.from_config(config)`, whatever goes wrong being a `ConfigError` that names `origin`."""
    check_sizes(config, origin)
    try:
        return cls.from_config(config)
    except AutopipeError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{cls.__name__} can't be made from the config in {origin} "
            f"({type(error).__name__}: {error}); correct it"
        ) from error


def _load_network(
    cls: Any,
    root: Path,
    weights: Weights,
    folder: Path,
    options: LoadOptions,
    name: str | None,
    overrides: Mapping[str, Any] | None,
) -> tuple[Any, LoadingInfo]:
    # Initial values are made only where they may stay.
    initialised = not options.low_cpu_mem_usage or options.ignore_mismatched_sizes
    model = _build(cls, folder, overrides or {}, initialised=False)
    if initialised:
        _check_memory(model, weights, folder)
        model = _build(cls, folder, overrides or {}, initialised=True)
    of_us = issubclass(cls, ModelMixin)

    def keep(dtype: torch.dtype) -> frozenset[str]:
        if not of_us:
            return transformers.kept_in_fp32(model, dtype)
        smaller = dtype.itemsize < torch.float32.itemsize
        return frozenset(cls._keep_in_fp32_modules if smaller else ())

    target = casting(weights, root, options.dtype_of(name), keep)
    state = read_weights(weights, root, target, options.disable_mmap)
    origin = str(root / weights.files[0].path) if len(weights.files) == 1 else str(folder)
    try:
        state = cls.convert_state_dict(state) if of_us else transformers.fitted(model, state)
        info = fill(
            model,
            state,
            origin=origin,
            initialised=not options.low_cpu_mem_usage,
            ignore_mismatched_sizes=options.ignore_mismatched_sizes,
        )
    except AutopipeError:
        raise
    except Exception as error:
        raise WeightsMismatchError(
            f"{origin} doesn't fit {cls.__name__} ({type(error).__name__}: {error}); fetch the "
            f"checkpoint again"
        ) from error
    finish(model, state, target, origin)
    if not of_us:
        transformers.record_dtype(model)
    return model, info


def _check_memory(model: nn.Module, weights: Weights, folder: Path) -> None:
    """Raise `ConfigError` if initial values would take far more memory than the files have."""
    size = sum(tensor.nbytes for tensor in model.parameters())
    if size > 8 * weights.size + (1 << 30):
        raise ConfigError(
            f"the config in {folder} asks for {size:,} bytes of weights, and the files have "
            f"{weights.size:,}; correct it, or fetch the checkpoint again"
        )


def _build(cls: Any, folder: Path, overrides: Mapping[str, Any], initialised: bool) -> Any:
    """An object of `cls` in evaluation mode; without memory unless `initialised`."""
    if issubclass(cls, ModelMixin):
        config = {**read_json_object(folder / str(cls.config_name)), **overrides}
        if initialised:
            return made_from(cls, config, folder).eval()
        with WithoutMemory():
            return made_from(cls, config, folder).eval()
    settings = transformers.read_model_config(cls, folder / "config.json")
    if initialised:
        return transformers.build(cls, settings)
    with WithoutMemory():
        return transformers.build(cls, settings)
