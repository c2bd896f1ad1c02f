"""Loads a checkpoint in three steps: open it, plan what its pipeline needs, load that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..constructors import construct
from ..errors import check_names
from ..kinds import check_given
from ..manifest import EAGER
from ..placement.devices import check_here
from ..registry import Registry, default_registry
from . import chain
from .address import open_source
from .custom_code import custom_class
from .foreign.pairs import check_pairs
from .foresight import Stage, check_memory, foresee, look_at, need_in
from .index import Index, open_index
from .load import load_component, made_from
from .names import parts_of
from .options import KEYWORDS, LoadOptions, check_for_network, check_for_pipeline, split_keywords
from .plan import Part, Plan, files_of, make_plan
from .single.opening import component_of
from .source import Source
from .weights import LoadingInfo

_THREADS = 4


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a pipeline, of which only the index has been read.

    Attributes:
        source: its files.
        index: its index.
        options: the options of loading.
        given: the components and options that the caller passes.
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
        """Find the checkpoint `path` and read its index.

        Args:
            keywords: as for `DiffusionPipeline.from_pretrained`.

        Raises:
            CheckpointError: if there is no such checkpoint, or it is not one of a pipeline.
            ConfigError: if its index is malformed.
            UnsafeCheckpointError: if its index asks for something unsafe.
        """
        options, given = split_keywords(keywords)
        check_for_pipeline(options)
        registry = registry or default_registry()
        source = open_source(path, options.hub, registry)
        with source.unchanged():
            return cls(source, open_index(source, registry), options, given, registry)

    def plan(self, cls: Any) -> Plan:
        """Plan what loading the pipeline class `cls` from this checkpoint reads.

        `DiffusionPipeline` itself means the class that the index names. If that is one stage of a
        chain, it means, on request, the combined class for the same task.

        Raises:
            ArgumentTypeError: if a keyword is unknown.
            ArgumentError: if the value of a keyword can't be used.
            CheckpointError: if files are absent in the requested variant or format.
            UnsupportedCheckpointError: if no installed family declares a class.
            MissingPluginError: if no installed plugin has an engine.
        """
        stored = self.registry.pipeline(self.index.class_name)
        custom = self.options.custom_pipeline
        if custom is not None:
            base = next(one for one in reversed(cls.__mro__) if hasattr(one, "from_pipe"))
            hub = replace(self.options.hub, revision=self.options.custom_revision)
            cls = custom_class(custom, base, hub, self.index.class_name)
        elif not cls.module_names():
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
        rule = f"maps component names to values, and {name} has no component"
        check_names(options.dtype, ("default", *names, *plan.parts), f"dtype {rule}")
        check_names(options.device_map, ("", *names), f"device_map {rule}")
        check_names(options.engine, names, f"engine {rule}")
        of_engine = options.engine
        for engine in of_engine.values() if isinstance(of_engine, Mapping) else (of_engine,):
            if isinstance(engine, str) and engine != EAGER:
                self.registry.entry("engine", engine)
        return replace(plan, stage=stage, keyword=keyword or "")

    def _plan_stage(self, keyword: str, cls: Any) -> tuple[Plan | None, Mapping[str, Any]]:
        """Plan the other stage of a chain, if it must be loaded; also return the other arguments.

        The other checkpoint has its own commit, and uses the variant if it has it.
        """
        names = chain.names_of(keyword, cls)
        # Checked by the names that the caller used; the stage has its own names.
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
        label = f"{other.name} ({found.class_name})"
        chain.check_fits(keyword, cls, kind.module_names(), label)
        options = self.options
        if isinstance(options.dtype, Mapping):
            own_names = {**names, "default": "default"}
            dtypes = {own_names[n]: one for n, one in options.dtype.items() if n in own_names}
            options = options.with_dtype(dtypes)
        taken = {own: rest[name] for name, own in names.items() if name in rest}
        return make_plan(kind, other, found, options, taken, self.registry, strict=False), rest

    def load(self, plan: Plan) -> Any:
        """Fetch, check and load what was planned.

        With `output_loading_info` the result is `(pipeline, info)`, where `info` maps component
        names to their missing, unexpected and mismatched keys.

        Raises:
            CheckpointError: if a file can't be fetched.
            DamagedFileError: if a file is incomplete.
            ConfigError: if a config doesn't fit its class.
            WeightsMismatchError: if weights don't fit the config.
            QuantizedWeightsError: if weights are quantized.
            PlacementError: if the weights take more memory than there is.
        """
        cls, options, index = plan.cls, plan.options, plan.index
        if options.device is not None:
            check_here(options.device)
        with plan.source.unchanged():
            parts, infos = _load_parts(foresee(plan))
        stored = {n: one for n, one in index.options.items() if n in cls.init_parameters()}
        absent = dict.fromkeys(cls.module_names())
        pipe: Any = construct(cls, {**stored, **absent, **parts, **plan.given})
        # Options that this class doesn't declare are kept for a class that does.
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
        if options.engine is not None:
            pipe.use_engine(options.engine)
        return (pipe, infos) if options.output_loading_info else pipe


def _load_parts(stages: Sequence[Stage]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load the components of all stages; return them and their loading infos, by name."""
    plan, options = stages[0].plan, stages[0].options
    plan.source.fetch([item.path for item in plan.items])
    weights = [part.files.weights for part in plan.parts.values() if part.files.weights]
    # All headers are read before anything is built: they show whether the files are complete.
    for file in [f for one in weights if one.format == "safetensors" for f in one.files]:
        plan.source.header(file.path)

    def load(name: str) -> tuple[Any, LoadingInfo]:
        part = plan.parts[name]
        return load_component(part.cls, plan.source, part.files, options, name=name)

    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        # If one fails, those that have not started are skipped.
        loaded = dict(zip(plan.parts, threads.map(load, plan.parts)))
    parts = {name: part for name, (part, _) in loaded.items()}
    check_pairs({**plan.given, **parts}, plan.source.root)
    infos = {n: info.as_dict() for n, (_, info) in loaded.items() if options.output_loading_info}
    for name, (joined, names) in plan.several.items():
        parts[name] = joined([parts.pop(part) for part in names])
    if plan.stage is not None:
        prefix = stages[1].prefix
        with plan.stage.source.unchanged():
            others, other_infos = _load_parts(stages[1:])
        parts.update({f"{prefix}{name}": one for name, one in others.items()})
        infos.update({f"{prefix}{name}": one for name, one in other_infos.items()})
    return parts, infos


def load_model(
    cls: Any,
    path: str | Path,
    *,
    subfolder: str | None = None,
    source: Source | None = None,
    **keywords: Any,
) -> Any:
    """Load a network of class `cls`; see `ModelMixin.from_pretrained`.

    Args:
        source: the source of `path`, if it is open already.
    """
    options, overrides = split_keywords(keywords)
    known = cls.init_parameters()
    opening = f"{cls.__name__}.from_pretrained has no keyword"
    check_names(overrides, (*known, *KEYWORDS), opening, listed=known)
    opening = f"dtype maps component names to values, and {cls.__name__} has no component"
    check_names(options.dtype, ("default",), opening)
    check_for_network(options, cls.__name__)
    places = None
    if options.device_map is not None:
        from ..placement.parts import parse_parts, place_parts

        places = parse_parts(options.device_map)
    source = source or open_source(path, options.hub, default_registry())
    with source.unchanged():
        folder = parts_of(subfolder or component_of(source, cls))
        files = files_of(cls, source, folder, options)
        part = Part(cls, files)
        look_at(source, {"": part}, [file.path for file in files.files])
        label = f"{cls.__name__} of {source.name}"
        check_memory(label, lambda one: [need_in(source, cls, files, one, "")], options)
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
    """Return the config of `cls` in a folder or repository.

    With one or both of the two flags, the result is a tuple: the config, the unused `keywords`, and
    the commit of the repository or None.
    """
    options, unused = split_keywords(keywords)
    source = open_source(path, options.hub, default_registry())
    found = source.json("/".join((*parts_of(subfolder), str(cls.config_name))))
    more = [(unused, return_unused_kwargs), (source.commit, return_commit_hash)]
    extra = [value for value, is_wanted in more if is_wanted]
    return (found, *extra) if extra else found


def load_scheduler(
    cls: Any,
    path: str | Path,
    *,
    subfolder: str | None = None,
    return_unused_kwargs: bool = False,
    **keywords: Any,
) -> Any:
    """Load a scheduler of class `cls`; see `SchedulerMixin.from_pretrained`.

    The config may be that of another scheduler; entries that `cls` doesn't know are kept.
    """
    options, overrides = split_keywords(keywords)
    known = cls.init_parameters()
    if not return_unused_kwargs:
        opening = f"{cls.__name__}.from_pretrained has no keyword"
        check_names(overrides, (*known, *KEYWORDS), opening, listed=known)
    source = open_source(path, options.hub, default_registry())
    file = "/".join((*parts_of(subfolder), str(cls.config_name)))
    used = {name: value for name, value in overrides.items() if name in known}
    scheduler = made_from(cls, {**source.json(file), **used}, source.root / file)
    unused = {name: value for name, value in overrides.items() if name not in known}
    return (scheduler, unused) if return_unused_kwargs else scheduler
