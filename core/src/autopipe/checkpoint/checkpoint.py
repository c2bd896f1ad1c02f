"""Loading in a straight line: open a checkpoint, plan what its pipeline needs, load that."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..constructors import construct
from ..errors import check_names
from ..kinds import check_given
from ..placement.devices import check_here
from ..registry import Registry, default_registry
from . import chain
from .address import open_source
from .foreign.pairs import check_pairs
from .index import Index, open_index
from .load import load_component, made_from, stored_dtype
from .names import parts_of
from .options import KEYWORDS, LoadOptions, check_for_network, check_for_pipeline, split_keywords
from .plan import Plan, files_of, make_plan
from .source import Source
from .weights import LoadingInfo

_THREADS = 4


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a pipeline, of which only the index has been read.

    Attributes:
        source: where it is.
        index: what its index says.
        options: how to load.
        given: the components and options that the caller gives.
        registry: the installed families.
    """

    source: Source
    index: Index
    options: LoadOptions
    given: Mapping[str, Any]
    registry: Registry

    @classmethod
    def open(
        cls, path: str | Path, keywords: Mapping[str, Any], registry: Registry | None = None
    ) -> Checkpoint:
        """Find the checkpoint that `path` means, and read its index.

        Args:
            keywords: as for `DiffusionPipeline.from_pretrained`.

        Raises:
            CheckpointError: there is no such checkpoint, or it is not one of a pipeline.
            ConfigError, UnsafeCheckpointError: its index is malformed, or can't be trusted.
        """
        options, given = split_keywords(keywords)
        check_for_pipeline(options)
        registry = registry or default_registry()
        source = open_source(path, options.hub, registry)
        with source.unchanged():
            return cls(source, open_index(source, registry), options, given, registry)

    def plan(self, cls: Any) -> Plan:
        """What loading the pipeline class `cls` from this checkpoint reads.

        `DiffusionPipeline` itself stands for the class that the index names, or where that is one
        stage of a chain, on request for the class of its chain for the same task.

        Raises:
            ArgumentError, ArgumentTypeError: a keyword is unknown, or its value can't be used.
            CheckpointError: files are absent, or not in the variant or format that is asked for.
            UnsupportedCheckpointError: no installed family declares a class.
        """
        stored = self.registry.pipeline(self.index.class_name)
        if not cls.module_names():
            task = stored.task if stored and self.options.load_connected_pipeline else None
            cls = self.registry.resolve(self.index.class_name, task).load_class()
        keyword = chain.keyword_of(stored, cls, self.registry) if stored and stored.needs else None
        name, names = cls.__name__, cls.module_names()
        own = (*cls.init_parameters(), *([keyword] if keyword else ()))
        check_names(
            self.given, (*own, *KEYWORDS), f"{name}.from_pretrained has no keyword", listed=own
        )
        elsewhere = chain.names_of(keyword, cls) if keyword else ()
        stage, given = self._plan_stage(keyword, cls) if keyword else (None, self.given)
        options = self.options
        with self.source.unchanged():
            plan = make_plan(
                cls, self.source, self.index, options, given, self.registry, elsewhere=elsewhere
            )
        said = f"= goes by component, and {name} has no"
        check_names(options.dtype, ("default", *names, *plan.parts), f"dtype{said}")
        check_names(options.device_map, ("", *names), f"device_map{said}")
        return replace(plan, stage=stage, keyword=keyword or "")

    def _plan_stage(self, keyword: str, cls: Any) -> tuple[Plan | None, Mapping[str, Any]]:
        """The plan for the other stage of a chain, if it is to be loaded; and what is given then.

        The other checkpoint is taken at a commit of its own, with the variant where it has it.
        """
        names = chain.names_of(keyword, cls)
        # The stage knows its components by names of its own, which the caller did not use.
        check_given(cls, {name: self.given[name] for name in names if name in self.given})
        named = self.given.get(keyword)
        if named is not None and not isinstance(named, (str, Path)):
            return None, chain.with_loaded(keyword, cls, self.given)
        rest = {name: value for name, value in self.given.items() if name != keyword}
        if set(names) <= set(rest):
            return None, rest
        hub = replace(self.options.hub, revision=None)
        if named is None:
            other = chain.open_named(keyword, self.source, hub)
        else:
            other = open_source(named, hub, self.registry)
        if other is None:
            raise chain.lacks(keyword, cls, f"{self.source.name} ({self.index.class_name})")
        found = open_index(other, self.registry)
        kind: Any = self.registry.resolve(found.class_name).load_class()
        said = f"{other.name} ({found.class_name})"
        chain.check_fits(keyword, cls, kind.module_names(), said)
        options = self.options
        if isinstance(options.dtype, Mapping):
            own_names = {**names, "default": "default"}
            dtypes = {own_names[n]: one for n, one in options.dtype.items() if n in own_names}
            options = options.with_dtype(dtypes)
        taken = {own: rest[name] for name, own in names.items() if name in rest}
        return make_plan(kind, other, found, options, taken, self.registry, strict=False), rest

    def load(self, plan: Plan) -> Any:
        """Fetch, check and load what was planned; with `output_loading_info`, and what of it.

        Raises:
            CheckpointError, DamagedFileError: a file can't be fetched, or is not whole.
            ConfigError, WeightsMismatchError: configs and weights don't fit the classes.
        """
        cls, options, index = plan.cls, plan.options, plan.index
        if options.device is not None:
            check_here(options.device)
        with plan.source.unchanged():
            parts, told = _load_parts(plan, options)
        stored = {n: one for n, one in index.options.items() if n in cls.init_parameters()}
        absent = dict.fromkeys(cls.module_names())
        pipe: Any = construct(cls, {**stored, **absent, **parts, **plan.given})
        # Options that this class doesn't declare wait for a class that does.
        pipe._carried = dict(index.options)
        pipe._origins = {"": plan.source.origin}
        if plan.stage is not None:
            pipe._origins[plan.keyword] = plan.stage.source.origin
        elif plan.keyword:
            pipe._origins.update(chain.origin_of(plan.keyword, self.given.get(plan.keyword)))
        if options.device_map is not None:
            pipe.set_device_map(
                options.device_map,
                max_memory=options.max_memory,
                offload_folder=options.offload_folder,
            )
        if options.memory is not None:
            pipe.fit_memory(options.memory, offload_folder=options.offload_folder)
        return (pipe, told) if options.output_loading_info else pipe


def _load_parts(plan: Plan, options: LoadOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """The components of all stages, side by side, and what there is to tell of each, by name."""
    plan.source.fetch([item.path for item in plan.items])
    weights = [part.files.weights for part in plan.parts.values() if part.files.weights]
    # All headers are read before anything is built: one tells whether its file is whole.
    for file in [f for one in weights if one.format == "safetensors" for f in one.files]:
        plan.source.header(file.path)
    if options.variant is not None and options.dtype is None:
        # One dtype for all: a component without that variant would otherwise not fit the others.
        of_variant = [one for one in weights if one.variant] or weights
        options = options.with_dtype(stored_dtype(plan.source, of_variant))

    def load(name: str) -> tuple[Any, LoadingInfo]:
        part = plan.parts[name]
        return load_component(part.cls, plan.source, part.files, options, name=name)

    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        # Where one fails, those that have not begun are left out.
        loaded = dict(zip(plan.parts, threads.map(load, plan.parts)))
    parts = {name: part for name, (part, _) in loaded.items()}
    check_pairs({**plan.given, **parts}, plan.source.root)
    told = {n: info.as_dict() for n, (_, info) in loaded.items() if options.output_loading_info}
    for name, (joined, names) in plan.several.items():
        parts[name] = joined([parts.pop(part) for part in names])
    if plan.stage is not None:
        own = plan.stage.options
        own = own.with_dtype(options.dtype if own.dtype is None else own.dtype)
        with plan.stage.source.unchanged():
            others, told_of_others = _load_parts(plan.stage, own)
        parts.update({f"{plan.keyword}_{name}": one for name, one in others.items()})
        told.update({f"{plan.keyword}_{name}": one for name, one in told_of_others.items()})
    return parts, told


def load_model(cls: Any, path: str | Path, *, subfolder: str | None = None, **keywords: Any) -> Any:
    """The model of class `cls` in a folder or repository; see `ModelMixin.from_pretrained`."""
    options, overrides = split_keywords(keywords)
    known = cls.init_parameters()
    said = f"{cls.__name__}.from_pretrained has no keyword"
    check_names(overrides, (*known, *KEYWORDS), said, listed=known)
    check_names(options.dtype, ("default",), f"dtype= goes by component, and {cls.__name__} has no")
    check_for_network(options, cls.__name__)
    places = None
    if options.device_map is not None:
        from ..placement.parts import parse_parts, place_parts

        places = parse_parts(options.device_map)
    source = open_source(path, options.hub, default_registry())
    with source.unchanged():
        files = files_of(cls, source, parts_of(subfolder), options)
        source.fetch(file.path for file in files.files)
        model, info = load_component(cls, source, files, options, overrides=overrides)
    model.register_to_config(_name_or_path=str(path))
    if places is not None:
        place_parts(
            model,
            places,
            max_memory=options.max_memory,
            offload_folder=options.offload_folder,
        )
    return (model, info.as_dict()) if options.output_loading_info else model


def load_config(
    cls: Any,
    path: str | Path,
    return_unused_kwargs: bool = False,
    return_commit_hash: bool = False,
    *,
    subfolder: str | None = None,
    **keywords: Any,
) -> Any:
    """The config of `cls` in a folder or repository.

    With one of the two flags, or both, the result is a tuple: the config, `keywords` that say
    nothing of where to look, and the commit of the repository or None.
    """
    options, unused = split_keywords(keywords)
    source = open_source(path, options.hub, default_registry())
    found = source.json("/".join((*parts_of(subfolder), str(cls.config_name))))
    more = [(unused, return_unused_kwargs), (source.commit, return_commit_hash)]
    asked = [value for value, is_asked in more if is_asked]
    return (found, *asked) if asked else found


def load_scheduler(
    cls: Any,
    path: str | Path,
    *,
    subfolder: str | None = None,
    return_unused_kwargs: bool = False,
    **keywords: Any,
) -> Any:
    """The scheduler of class `cls` in a folder; see `SchedulerMixin.from_pretrained`.

    The config may be that of another scheduler: what `cls` doesn't know, it keeps.
    """
    options, overrides = split_keywords(keywords)
    known = cls.init_parameters()
    if not return_unused_kwargs:
        said = f"{cls.__name__}.from_pretrained has no keyword"
        check_names(overrides, (*known, *KEYWORDS), said, listed=known)
    source = open_source(path, options.hub, default_registry())
    file = "/".join((*parts_of(subfolder), str(cls.config_name)))
    used = {name: value for name, value in overrides.items() if name in known}
    scheduler = made_from(cls, {**source.json(file), **used}, source.root / file)
    unused = {name: value for name, value in overrides.items() if name not in known}
    return (scheduler, unused) if return_unused_kwargs else scheduler
