"""Loading models, schedulers and pipelines: what `from_pretrained` calls."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import read_json_object
from ..registry import Registry, default_registry
from .chain import origin_of
from .components import load_component, made_from, stems_of
from .files import Plan, plan_component
from .headers import Header, main_dtype, read_header
from .names import parts_of
from .options import (
    LoadOptions,
    check_device_map,
    check_dtypes,
    check_keywords,
    check_one_place,
    split_keywords,
)
from .prepare import Chooser as Chooser
from .prepare import Prepared as Prepared
from .prepare import prepare as prepare
from .source import open_source
from .tensors import TORCH_DTYPES
from .weights import LoadingInfo

_THREADS = 4


def load_model(
    cls: Any,
    path: str | Path,
    *,
    subfolder: str | None = None,
    registry: Registry | None = None,
    **keywords: Any,
) -> Any:
    """The model of class `cls` in a folder or repository; see `ModelMixin.from_pretrained`."""
    options, overrides = split_keywords(keywords)
    check_keywords(overrides, cls.init_parameters(), cls.__name__)
    check_dtypes(options, (), cls.__name__)
    check_one_place(options, cls.__name__)
    source = open_source(path, options.hub, registry or default_registry())
    files = plan_component(
        source,
        parts_of(subfolder),
        has_weights=True,
        stems=stems_of(cls),
        variant=options.variant,
        use_safetensors=options.use_safetensors,
        dtype=options.dtype_name_of(None),
    )
    root = source.fetch(file.path for file in files.files)
    model, info = load_component(cls, root, files, options, overrides=overrides)
    return (model, info.as_dict()) if options.output_loading_info else model


def load_scheduler(
    cls: Any,
    path: str | Path,
    *,
    subfolder: str | None = None,
    return_unused_kwargs: bool = False,
    registry: Registry | None = None,
    **keywords: Any,
) -> Any:
    """The scheduler of class `cls` in a folder; see `SchedulerMixin.from_pretrained`.

    The config may be that of another scheduler: what `cls` doesn't know, it keeps.
    """
    options, overrides = split_keywords(keywords)
    known = cls.init_parameters()
    if not return_unused_kwargs:
        check_keywords(overrides, known, cls.__name__)
    source = open_source(path, options.hub, registry or default_registry())
    file = "/".join((*parts_of(subfolder), str(cls.config_name)))
    folder = source.fetch([file])
    config = read_json_object(folder / file)
    used = {name: value for name, value in overrides.items() if name in known}
    scheduler = made_from(cls, {**config, **used}, folder / file)
    unused = {name: value for name, value in overrides.items() if name not in known}
    return (scheduler, unused) if return_unused_kwargs else scheduler


def load_pipeline(
    chooser: type | Chooser,
    path: str | Path,
    *,
    registry: Registry | None = None,
    **keywords: Any,
) -> Any:
    """The pipeline of a checkpoint; see `DiffusionPipeline.from_pretrained`.

    Args:
        chooser: a pipeline class, or a function from the index to one. `DiffusionPipeline`
            itself stands for the class that the index names.
    """
    ready = prepare(chooser, path, registry or default_registry(), keywords)
    cls, index, options = ready.cls, ready.index, ready.options
    check_device_map(options.device_map, cls.module_names(), cls.__name__)
    values: dict[str, Any] = dict.fromkeys(cls.module_names())
    parts, told = _load_components(ready)
    values.update(parts)
    values.update({n: index.options[n] for n in cls.option_names() if n in index.options})
    values.update(ready.given)
    pipe = cls(**values)
    # Options that this class doesn't declare wait for a class that does.
    pipe._carried = {**index.options, **pipe.options}
    pipe._origins = _origins(ready, keywords)
    if options.device_map is not None:
        pipe.set_device_map(
            options.device_map,
            max_memory=options.max_memory,
            offload_folder=options.offload_folder,
        )
    if options.memory is not None:
        pipe.fit_memory(options.memory, offload_folder=options.offload_folder)
    return (pipe, told) if options.output_loading_info else pipe


def _load_components(
    ready: Prepared, dtype: Any = None
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The components to load, and what there is to tell of each, by name.

    Args:
        dtype: for what is to have the dtype of a variant, instead of that.
    """
    root = ready.source.fetch(ready.paths)
    headers = _checked(ready.plan, root)
    options = ready.options if dtype is None else replace(ready.options, dtype=dtype)
    options = _with_dtype_of_variant(options, ready.plan, headers)
    loaded = _load_side_by_side(ready.classes, ready.plan, root, options)
    parts = {name: component for name, (component, _) in loaded.items()}
    told = {name: info.as_dict() for name, (_, info) in loaded.items()}
    for name, (joined, names) in ready.several.items():
        parts[name] = joined([parts.pop(part) for part in names])
    if ready.stage is not None:
        own = ready.stage.options.dtype
        others, told_of_others = _load_components(
            ready.stage, options.dtype if own is None else own
        )
        parts.update({f"{ready.stage_keyword}_{name}": one for name, one in others.items()})
        told.update({f"{ready.stage_keyword}_{n}": one for n, one in told_of_others.items()})
    return parts, told


def _origins(ready: Prepared, keywords: Mapping[str, Any]) -> dict[str, str]:
    """The checkpoints of `ready`, and that of a stage among `keywords`, by stage."""
    if ready.stage is None:
        stage = origin_of(ready.stage_keyword, keywords.get(ready.stage_keyword))
    else:
        stage = {ready.stage_keyword: _name_of(ready.stage.source)}
    return {"": _name_of(ready.source), **stage}


def _name_of(source: Any) -> str:
    """A folder, or a repository with its commit."""
    commit = getattr(source, "commit", None)
    return f"{source.repository}@{commit}" if commit else str(source.name)


def _checked(plan: Plan, root: Path) -> dict[str, Header]:
    """The headers of all safetensors files, read before anything is built or loaded.

    Raises:
        DamagedFileError: a file is not whole.
    """
    weights = [part.weights for part in plan.components.values() if part.weights]
    files = [file for one in weights if one.format == "safetensors" for file in one.files]
    return {file.path: read_header(root / file.path) for file in files}


def _with_dtype_of_variant(
    options: LoadOptions, plan: Plan, headers: Mapping[str, Header]
) -> LoadOptions:
    """With a variant and no dtype, all components get the one dtype that its files have.

    One for all: a component without that variant would otherwise not fit the others.
    """
    if options.variant is None or options.dtype is not None:
        return options
    weights = [part.weights for part in plan.components.values() if part.weights]
    weights = [one for one in weights if one.variant] or weights
    files = [headers[file.path] for one in weights for file in one.files if file.path in headers]
    name = main_dtype(files)
    return options if name is None else replace(options, dtype=TORCH_DTYPES[name])


def _load_side_by_side(
    classes: Mapping[str, type], plan: Plan, root: Path, options: LoadOptions
) -> dict[str, tuple[Any, LoadingInfo]]:
    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        tasks = {
            name: threads.submit(
                load_component, cls, root, plan.components[name], options, name=name
            )
            for name, cls in classes.items()
        }
        try:
            return {name: task.result() for name, task in tasks.items()}
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
