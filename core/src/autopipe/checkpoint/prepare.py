"""What loading a pipeline will read, decided before any large file is fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, CheckpointError, ConfigError, VariantError
from ..kinds import Place, check_given, kind_of, place_of, places_of
from ..modeling import SeveralModels
from ..registry import Registry
from . import chain
from .components import class_of, find_class, has_weights, stems_of
from .files import AUTO, ComponentFiles, Plan, plan_component, variants_of
from .index import INDEX_NAME, Index, read_index
from .options import LoadOptions, check_dtypes, check_keywords, split_keywords
from .probe import open_index
from .source import Source, open_source

Chooser = Callable[[Index], type]


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
        stage: the same for another checkpoint, one stage of a chain of which this is another.
        stage_keyword: with an underscore, what that one's components are called by.
    """

    cls: Any
    source: Source
    index: Index
    options: LoadOptions
    given: Mapping[str, Any]
    classes: Mapping[str, type]
    several: Mapping[str, tuple[type[SeveralModels], list[str]]]
    plan: Plan
    stage: Prepared | None = None
    stage_keyword: str = ""

    @property
    def paths(self) -> list[str]:
        """The files to have, the index first if there is one."""
        index = [INDEX_NAME] if INDEX_NAME in self.source.files() else []
        return [*index, *(file.path for file in self.plan.files)]


def prepare(
    chooser: type | Chooser, path: str | Path, registry: Registry, keywords: Mapping[str, Any]
) -> Prepared:
    """Decide what to load, and check the keywords; see `load_pipeline`."""
    options, given = split_keywords(keywords)
    source = open_source(path, options.hub, registry)
    index = open_index(source, registry)
    cls: Any = _chosen(chooser, index, registry, connected=options.load_connected_pipeline)
    keyword = chain.keyword_of(index.class_name, cls, registry)
    check_keywords(given, (*cls.init_parameters(), *filter(None, [keyword])), cls.__name__)
    if keyword is None:
        ready = _prepare(cls, source, index, options, given, registry)
    else:
        stage, given = _prepare_stage(keyword, cls, source, index, options, given, registry)
        elsewhere = chain.names_of(keyword, cls)
        ready = _prepare(cls, source, index, options, given, registry, elsewhere=elsewhere)
        ready = replace(ready, stage=stage, stage_keyword=keyword)
    check_dtypes(options, (*cls.module_names(), *ready.classes), cls.__name__)
    return ready


def _prepare(
    cls: Any,
    source: Source,
    index: Index,
    options: LoadOptions,
    given: Mapping[str, Any],
    registry: Registry,
    *,
    elsewhere: Iterable[str] = (),
    strict: bool = True,
) -> Prepared:
    """Plan one checkpoint.

    Args:
        elsewhere: the components that another checkpoint has.
        strict: whether at least one component must have the variant that was asked for.
    """
    classes = _classes_to_load(cls, index, given, registry, elsewhere)
    several = _separate(classes, source)
    options = _for_every_part(options, several)
    plan = _planned(cls, source, classes, options, strict=strict)
    return Prepared(cls, source, index, options, given, classes, several, plan)


def _prepare_stage(
    keyword: str,
    cls: Any,
    source: Source,
    index: Index,
    options: LoadOptions,
    given: Mapping[str, Any],
    registry: Registry,
) -> tuple[Prepared | None, dict[str, Any]]:
    """The plan for the other stage of a chain, if it is to be loaded; and what is given then.

    The other checkpoint is taken at a commit of its own, with the variant where it has it.
    """
    names = chain.names_of(keyword, cls)
    # The stage knows its components by names of its own, which the caller did not use.
    check_given(cls, {name: given[name] for name in names if name in given})
    named = given.get(keyword)
    if named is not None and not isinstance(named, (str, Path)):
        return None, chain.with_loaded(keyword, cls, given)
    rest = {name: value for name, value in given.items() if name != keyword}
    if set(names) <= set(rest):
        return None, rest
    hub = replace(options.hub, revision=None)
    if named is not None:
        other: Source | None = open_source(named, hub, registry)
    else:
        other = chain.open_named(keyword, source, hub)
    if other is None:
        chain.check_all_given(keyword, cls, rest, f"{source.name} ({index.class_name})")
    assert other is not None
    found = read_index(other.fetch([INDEX_NAME]))
    kind: Any = registry.resolve(found.class_name).load_class()
    chain.check_fits(keyword, cls, kind.module_names(), f"{other.name} ({found.class_name})")
    dtype = options.dtype
    if isinstance(dtype, Mapping):
        own_names = {**names, "default": "default"}
        dtype = {own_names[name]: one for name, one in dtype.items() if name in own_names}
    taken = {own: rest[name] for name, own in names.items() if name in rest}
    of_stage = replace(options, dtype=dtype, hub=hub)
    return _prepare(kind, other, found, of_stage, taken, registry, strict=False), rest


def _chosen(chooser: type | Chooser, index: Index, registry: Registry, *, connected: bool) -> type:
    """The class to open; of a stage, the class of its chain for the same task if `connected`."""
    if isinstance(chooser, type) and not _declares_components(chooser):
        stored = registry.pipeline(index.class_name)
        task = stored.task if stored and connected else None
        return registry.resolve(index.class_name, task).load_class()
    return chooser if isinstance(chooser, type) else chooser(index)


def _declares_components(cls: Any) -> bool:
    """Whether `cls` is a pipeline of its own, and not the base of them all."""
    return bool(cls.module_names())


def _classes_to_load(
    cls: Any,
    index: Index,
    given: Mapping[str, Any],
    registry: Registry,
    elsewhere: Iterable[str] = (),
) -> dict[str, type]:
    """The class of every component that has to be loaded, imported here, one after another."""
    classes: dict[str, type] = {}
    missing: list[str] = []
    places = places_of(cls)
    for name in cls.module_names():
        if name in elsewhere:
            continue
        pair = index.components.get(name)
        if name in given:
            kind = None if pair is None else find_class(pair, registry)
            place = places.get(name) or (kind and place_of(kind))
            if place and given[name] is not None:
                place.check(given[name], name)
        elif pair is not None:
            classes[name] = class_of(pair, registry, str(index.folder / INDEX_NAME))
            _check_kind(classes[name], name, places.get(name), cls, index)
        elif name not in cls.optional_components():
            missing.append(name)
    if missing:
        raise ArgumentError(
            f"{cls.__name__} expects {', '.join(cls.module_names())}, and {index.folder} "
            f"({index.class_name}) has no {' and no '.join(missing)}; pass {missing[0]}=..."
        )
    return classes


def _check_kind(found: type, name: str, place: Place | None, cls: type, index: Index) -> None:
    """Raise `ConfigError` if the index names a class that `cls` has no use for as `name`."""
    if place is not None and not place.takes(found):
        raise ConfigError(
            f"{index.folder / INDEX_NAME} names {found.__name__} for {name!r}, which is "
            f"{kind_of(found).value}, and {cls.__name__} takes {place}; correct the entry, or "
            f"pass {name}=..."
        )


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


def _for_every_part(
    options: LoadOptions, several: Mapping[str, tuple[type[SeveralModels], list[str]]]
) -> LoadOptions:
    """`options` with a dtype for a component of several networks given to each of them."""
    if not isinstance(options.dtype, Mapping):
        return options
    parts = {
        part: options.dtype[name]
        for name, (_, names) in several.items()
        if name in options.dtype
        for part in names
    }
    return replace(options, dtype={**parts, **options.dtype})


def _planned(
    cls: Any,
    source: Source,
    classes: Mapping[str, type],
    options: LoadOptions,
    *,
    strict: bool,
) -> Plan:
    """The files of every component; where strict, one must have the variant that was asked for."""
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
            dtype=options.dtype_name_of(name),
            fall_back=True,
        )
    weights = [part.weights for part in parts.values() if part.weights]
    found = {one.variant for one in weights}
    if strict and found and options.variant not in (None, AUTO, *found):
        present = {v for name in parts for v in variants_of(source.files(name)) if v}
        raise VariantError(
            f"{source.name} has no weights of the variant {options.variant!r}; it has "
            f"{', '.join(sorted(map(repr, present))) or 'no variants'}. Leave variant out, or "
            f"pass variant='auto'"
        )
    return Plan(parts)
