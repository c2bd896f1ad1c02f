"""Loads one component of a checkpoint from its local files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import (
    AutopipeError,
    ConfigError,
    SchedulerError,
    UnsupportedCheckpointError,
    WeightsMismatchError,
)
from ..kinds import BaseNetwork, BaseScheduler
from ..wording import error_summary
from .build import WithoutMemory, check_not_quantized, check_sizes
from .files import ComponentFiles, Weights
from .foreign import models
from .foreign.processors import load_processor
from .formats.headers import main_dtype
from .formats.tensors import TORCH_DTYPES
from .options import LoadOptions
from .source import Source
from .weights import Casting, LoadingInfo, fill, finish, read_weights, without_wrappers


def load_component(
    cls: Any,
    source: Source,
    files: ComponentFiles,
    options: LoadOptions,
    *,
    name: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> tuple[Any, LoadingInfo]:
    """Load an object of `cls` from the planned `files` of `source`, which are already local.

    Args:
        name: the component's name in its pipeline.
        overrides: config entries that replace those of the file.

    Raises:
        ConfigError: if the config is absent, malformed, or not valid for the class.
        CheckpointError: if files are absent or damaged.
        WeightsMismatchError: if the tensors don't fit the config.
    """
    folder = source.label(files.folder)
    if files.weights is None and not issubclass(cls, BaseScheduler):
        return load_processor(cls, source, files.folder), LoadingInfo()
    ours = issubclass(cls, (BaseNetwork, BaseScheduler))
    if not ours and not models.is_model(cls):
        raise UnsupportedCheckpointError(
            f"{cls.__name__} can't be loaded from {folder}: it is neither a ModelMixin nor a model "
            f"of transformers"
        )
    file = str(cls.config_name) if ours else "config.json"
    config = {**source.json("/".join((*files.folder, file))), **(overrides or {})}
    if files.weights is None:
        return made_from(cls, config, folder / file), LoadingInfo()
    return _load_network(cls, source, files.weights, config, folder, options, name)


def made_from(cls: Any, config: Mapping[str, Any], origin: Path) -> Any:
    """Return `cls.from_config(config)`; errors name the file `origin`.

    Raises:
        ConfigError: if the config is not valid for the class (`SchedulerError` for schedulers).
        QuantizedWeightsError: if it says that the weights are quantized.
    """
    check_sizes(config, origin)
    check_not_quantized(config, origin)
    try:
        return cls.from_config(config)
    except (ConfigError, SchedulerError) as error:
        raise type(error)(f"{origin}: {error}") from error
    except AutopipeError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{cls.__name__} can't be created from the config in {origin} "
            f"({error_summary(error)}); correct it"
        ) from error


def _load_network(
    cls: Any,
    source: Source,
    weights: Weights,
    config: Mapping[str, Any],
    folder: Path,
    options: LoadOptions,
    name: str | None,
) -> tuple[Any, LoadingInfo]:
    ours = issubclass(cls, BaseNetwork)
    make = made_from if ours else models.build
    described = folder / str(cls.config_name) if ours else folder
    with WithoutMemory(folder):
        model: Any = make(cls, config, described)
    # Initial values are only needed if they may stay.
    if not options.low_cpu_mem_usage or options.ignore_mismatched_sizes:
        size = sum(tensor.nbytes for tensor in model.parameters())
        if size > 8 * weights.size + (1 << 30):
            raise ConfigError(
                f"the config in {folder} asks for {size:,} bytes of weights, but the files have "
                f"{weights.size:,}; correct it, or fetch the checkpoint again"
            )
        model = make(cls, config, described)
    wanted = options.dtype_of(name)
    dtype = stored_dtype(source, [weights]) if wanted == "auto" else wanted
    kept = cls.kept_in_fp32(dtype) if ours else models.kept_in_fp32(model, dtype)
    target = Casting(dtype, kept)
    state = read_weights(source, weights, target, options.disable_mmap)
    origin = str(source.place(weights.files[0].path) if len(weights.files) == 1 else folder)
    state = without_wrappers(model, state, origin)
    try:
        state = model.fitted_state(state) if ours else models.fitted(model, state)
        info = fill(
            model,
            state,
            origin=origin,
            dtype=None if wanted == "auto" else wanted,
            initialised=not options.low_cpu_mem_usage,
            ignore_mismatched_sizes=options.ignore_mismatched_sizes,
        )
    except AutopipeError:
        raise
    except Exception as error:
        raise WeightsMismatchError(
            f"{origin} doesn't fit {cls.__name__} ({error_summary(error)}); fetch the checkpoint "
            f"again"
        ) from error
    finish(model, state, target, origin)
    if ours:
        model.record_origin(folder)
    else:
        models.record_dtype(model)
    if options.device_map is not None and options.device is not None:
        model = model.to(options.device)
    return model.eval(), info


def stored_dtype(source: Source, weights: list[Weights]) -> torch.dtype | None:
    """Return the dtype of most bytes of `weights`; None for pickles."""
    safe = [one for one in weights if one.format == "safetensors"]
    name = main_dtype([source.header(file.path) for one in safe for file in one.files])
    return None if name is None else TORCH_DTYPES[name]
