"""Loading one component of a checkpoint, once its files are here."""

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
from ..wording import told
from . import transformers
from .build import WithoutMemory, check_sizes
from .files import ComponentFiles, Weights
from .headers import main_dtype
from .options import LoadOptions
from .processors import load_processor
from .source import Source
from .tensors import TORCH_DTYPES
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
    """Load an object of `cls` from the planned `files` of `source`, which were fetched.

    Args:
        name: the component's name in its pipeline.
        overrides: values of the config to use instead of the file's.

    Raises:
        ConfigError: the config is absent or malformed, or the class refuses it.
        CheckpointError: files are absent or damaged.
        WeightsMismatchError: the tensors don't fit the config.
    """
    folder = source.root.joinpath(*files.folder)
    if files.weights is None and not issubclass(cls, BaseScheduler):
        return load_processor(cls, source, files.folder), LoadingInfo()
    ours = issubclass(cls, (BaseNetwork, BaseScheduler))
    if not ours and not transformers.is_model(cls):
        raise UnsupportedCheckpointError(
            f"{cls.__name__} is a network, but neither a ModelMixin nor a model of transformers, "
            f"so there is no way to load it from {folder}"
        )
    file = str(cls.config_name) if ours else "config.json"
    config = {**source.json("/".join((*files.folder, file))), **(overrides or {})}
    if files.weights is None:
        return made_from(cls, config, folder / file), LoadingInfo()
    return _load_network(cls, source, files.weights, config, folder, options, name)


def made_from(cls: Any, config: Mapping[str, Any], origin: Path) -> Any:
    """`cls.from_config(config)`, of the file `origin`, which every error names.

    Raises:
        ConfigError, SchedulerError: the class refuses the config, or fails in its own way.
    """
    check_sizes(config, origin)
    try:
        return cls.from_config(config)
    except (ConfigError, SchedulerError) as error:
        raise type(error)(f"{origin}: {error}") from error
    except AutopipeError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{cls.__name__} can't be made from the config in {origin} ({told(error)}); correct it"
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
    make = made_from if ours else transformers.build
    described = folder / str(cls.config_name) if ours else folder
    with WithoutMemory(folder):
        model: Any = make(cls, config, described)
    # Initial values are made only where they may stay.
    if not options.low_cpu_mem_usage or options.ignore_mismatched_sizes:
        size = sum(tensor.nbytes for tensor in model.parameters())
        if size > 8 * weights.size + (1 << 30):
            raise ConfigError(
                f"the config in {folder} asks for {size:,} bytes of weights, and the files have "
                f"{weights.size:,}; correct it, or fetch the checkpoint again"
            )
        model = make(cls, config, described)
    wanted = options.dtype_of(name)
    dtype = stored_dtype(source, [weights]) if wanted == "auto" else wanted
    kept = cls._keep_in_fp32_modules if ours else transformers.kept_in_fp32(model, dtype)
    target = Casting(dtype, kept)
    state = read_weights(source, weights, target, options.disable_mmap)
    origin = str(source.root / weights.files[0].path if len(weights.files) == 1 else folder)
    state = without_wrappers(model, state, origin)
    try:
        state = cls.convert_state_dict(state) if ours else transformers.fitted(model, state)
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
            f"{origin} doesn't fit {cls.__name__} ({told(error)}); fetch the checkpoint again"
        ) from error
    finish(model, state, target, origin)
    if ours:
        model.register_to_config(_name_or_path=str(folder))
    else:
        transformers.record_dtype(model)
    if options.device_map is not None and options.device is not None:
        model = model.to(options.device)
    return model.eval(), info


def stored_dtype(source: Source, weights: list[Weights]) -> torch.dtype | None:
    """The dtype that most bytes of some weights have; None where only unpickling would tell."""
    safe = [one for one in weights if one.format == "safetensors"]
    name = main_dtype([source.header(file.path) for one in safe for file in one.files])
    return None if name is None else TORCH_DTYPES[name]
