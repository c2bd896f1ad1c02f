"""Loading models, schedulers and pipelines: what `from_pretrained` calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import read_json_object
from ..errors import ArgumentError, CheckpointError, VariantError
from ..modeling import SeveralModels
from ..registry import Registry, default_registry
from .components import (
    check_kind,
    class_of,
    find_class,
    has_weights,
    load_component,
    made_from,
    stems_of,
)
from .files import AUTO, ComponentFiles, Plan, plan_component, variants_of
from .headers import Header, main_dtype, read_header
from .index import INDEX_NAME, Index, read_index
from .names import parts_of
from .options import LoadOptions, check_keywords, split_keywords
from .source import Source, open_source
from .tensors import TORCH_DTYPES
from .weights import LoadingInfo

_THREADS = 4

Chooser = Callable[[Index], type]


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
    source = open_source(path, options.hub, registry or default_registry())
    files = plan_component(
        source,
        parts_of(subfolder),
        has_weights=True,
        stems=stems_of(cls),
        variant=options.variant,
        use_safetensors=options.use_safetensors,
        dtype=_dtype_name(options, None),
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


@dataclass(frozen=True)
class Prepared:
    """What loading a pipeline will read. Only small files have been fetched to know it.

    Attributes:
        cls: the pipeline class.
        source: where the checkpoint is.
        index: what its index says.
        options: how to load.
        given: the components and options that the caller gives.
        classes: of the components to load, by name.
        several: of those of several networks, the class that joins them and their names.
        plan: the files of all of them.
    """

    cls: Any
    source: Source
    index: Index
    options: LoadOptions
    given: Mapping[str, Any]
    classes: Mapping[str, type]
    several: Mapping[str, tuple[type[SeveralModels], list[str]]]
    plan: Plan

    @property
    def paths(self) -> list[str]:
        """The files to have, the index first."""
        return [INDEX_NAME, *(file.path for file in self.plan.files)]


def prepare(
    chooser: type | Chooser, path: str | Path, registry: Registry, keywords: Mapping[str, Any]
) -> Prepared:
    """Decide what to load, and check the keywords; see `load_pipeline`."""
    options, given = split_keywords(keywords)
    source = open_source(path, options.hub, registry)
    index = read_index(source.fetch([INDEX_NAME]))
    cls: Any = _chosen(chooser, index, registry)
    check_keywords(given, cls.init_parameters(), cls.__name__)
    classes = _classes_to_load(cls, index, given, registry)
    several = _separate(classes, source)
    plan = _planned(cls, source, classes, options)
    return Prepared(cls, source, index, options, given, classes, several, plan)


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
    root = ready.source.fetch(ready.paths)
    headers = _checked(ready.plan, root)
    options = _with_dtype_of_variant(options, ready.plan, headers)
    loaded = _load_side_by_side(ready.classes, ready.plan, root, options)

    values: dict[str, Any] = dict.fromkeys(cls.module_names())
    parts = {name: component for name, (component, _) in loaded.items()}
    for name, (joined, names) in ready.several.items():
        parts[name] = joined([parts.pop(part) for part in names])
    values.update(parts)
    values.update({n: index.options[n] for n in cls.option_names() if n in index.options})
    values.update(ready.given)
    pipe = cls(**values)
    # Options that this class doesn't declare wait for a class that does.
    pipe._carried = {**index.options, **pipe.options}
    if not options.output_loading_info:
        return pipe
    return pipe, {name: info.as_dict() for name, (_, info) in loaded.items()}


def _chosen(chooser: type | Chooser, index: Index, registry: Registry) -> type:
    if isinstance(chooser, type) and not _declares_components(chooser):
        return registry.resolve(index.class_name).load_class()
    return chooser if isinstance(chooser, type) else chooser(index)


def _declares_components(cls: Any) -> bool:
    """Whether `cls` is a pipeline of its own, and not the base of them all."""
    return bool(cls.module_names())


def _classes_to_load(
    cls: Any, index: Index, given: Mapping[str, Any], registry: Registry
) -> dict[str, type]:
    """The class of every component that has to be loaded, imported here, one after another."""
    classes: dict[str, type] = {}
    missing: list[str] = []
    for name in cls.module_names():
        pair = index.components.get(name)
        if name in given:
            kind = None if pair is None else find_class(pair, registry)
            if kind is not None and given[name] is not None:
                check_kind(kind, given[name], name)
        elif pair is not None:
            classes[name] = class_of(pair, registry, str(index.folder / INDEX_NAME))
        elif name not in cls.optional_components():
            missing.append(name)
    if missing:
        raise ArgumentError(
            f"{cls.__name__} expects {', '.join(cls.module_names())}, and {index.folder} "
            f"({index.class_name}) has no {' and no '.join(missing)}; pass {missing[0]}=..."
        )
    return classes


def _separate(
    classes: dict[str, type], source: Source
) -> dict[str, tuple[type[SeveralModels], list[str]]]:
    """Put the parts of each component of several networks into `classes`, in its place.

    Returns the class of each such component, and the names of its parts.
    """
    several: dict[str, tuple[type[SeveralModels], list[str]]] = {}
    for name, kind in list(classes.items()):
        if issubclass(kind, SeveralModels):
            names = [name]
            while source.files(further := kind.part_name(name, len(names))):
                names.append(further)
            classes.update(dict.fromkeys(names, kind.part_class))
            several[name] = kind, names
    return several


def _planned(cls: Any, source: Source, classes: Mapping[str, type], options: LoadOptions) -> Plan:
    """The files of every component; at least one must have the variant that was asked for."""
    parts: dict[str, ComponentFiles] = {}
    for name, kind in classes.items():
        if name in cls.optional_components() and not source.files(name):
            raise CheckpointError(
                f"the index of {source.name} names a {name}, and there is no folder {name}; fetch "
                f"the checkpoint again, or pass {name}=None to go without it"
            )
        parts[name] = plan_component(
            source,
            (name,),
            has_weights=has_weights(kind),
            stems=stems_of(kind) if has_weights(kind) else (),
            variant=options.variant,
            use_safetensors=options.use_safetensors,
            dtype=_dtype_name(options, name),
            fall_back=True,
        )
    weights = [part.weights for part in parts.values() if part.weights]
    found = {one.variant for one in weights}
    if found and options.variant not in (None, AUTO, *found):
        present = {v for name in parts for v in variants_of(source.files(name)) if v}
        raise VariantError(
            f"{source.name} has no weights of the variant {options.variant!r}; it has "
            f"{', '.join(sorted(map(repr, present))) or 'no variants'}. Leave variant out, or "
            f"pass variant='auto'"
        )
    return Plan(parts)


def _dtype_name(options: LoadOptions, component: str | None) -> str:
    return str(options.dtype_of(component)).removeprefix("torch.")


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
