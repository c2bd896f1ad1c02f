"""Plans what loading a pipeline reads, before any large file is fetched."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import (
    ArgumentError,
    CheckpointError,
    ConfigError,
    UnsupportedCheckpointError,
    VariantError,
)
from ..kinds import (
    BaseNetwork,
    BaseScheduler,
    Kind,
    Several,
    kind_of,
    part_names,
    slot_of,
    slots_of,
)
from ..manifest import Pipeline
from ..registry import Registry
from ..resolution.targets import load_target
from ..wording import listed, shown
from .files import AUTO, ComponentFiles, candidates, holds_network, plan_component, variants_of
from .foreign import models
from .index import INDEX_NAME, Index
from .options import LoadOptions
from .source import Source


@dataclass(frozen=True)
class Part:
    """A component, or one of its networks, to load: the class and its files."""

    cls: Any
    files: ComponentFiles


@dataclass(frozen=True)
class Item:
    """A file that a plan needs.

    Attributes:
        path: the path inside the checkpoint, with slashes.
        size: the size in bytes; -1 if unknown.
        component: the component that it belongs to; None for the index.
        missing: whether it must be fetched.
    """

    path: str
    size: int
    component: str | None
    missing: bool


@dataclass(frozen=True)
class Plan:
    """Everything that loading a pipeline reads, all from one commit.

    Attributes:
        cls: the pipeline class.
        source: the files of the checkpoint.
        index: its index.
        options: the options of loading.
        given: the components and options that the caller passes.
        parts: the parts to load, by name.
        several: for components of several networks, the class and the names of its parts.
        stage: the plan for the other stage of a chain, or None.
        keyword: the keyword of the other stage; with an underscore, the prefix of its components.
    """

    cls: Any
    source: Source
    index: Index
    options: LoadOptions
    given: Mapping[str, Any]
    parts: Mapping[str, Part]
    several: Mapping[str, tuple[type[Several], list[str]]]
    stage: Plan | None = None
    keyword: str = ""

    @functools.cached_property
    def items(self) -> tuple[Item, ...]:
        """All files, each once, the index first; computed on first use."""
        listing = self.source.files()
        files: dict[str, tuple[int, str | None]] = {}
        if INDEX_NAME in listing:
            files[INDEX_NAME] = listing[INDEX_NAME], None
        for name, part in self.parts.items():
            for file in part.files.files:
                files.setdefault(file.path, (file.size, name))
        missing = set(self.source.missing(files))
        return tuple(Item(path, *found, path in missing) for path, found in files.items())

    @property
    def missing(self) -> tuple[Item, ...]:
        """The files of this checkpoint that must be fetched."""
        return tuple(item for item in self.items if item.missing)

    @property
    def size(self) -> int:
        """The total size in bytes, including the other stage."""
        return _bytes(self.items) + (self.stage.size if self.stage else 0)

    @property
    def missing_size(self) -> int:
        """The bytes to fetch, including the other stage."""
        return _bytes(self.missing) + (self.stage.missing_size if self.stage else 0)

    def run(self) -> Path:
        """Fetch the missing and damaged files of all stages; return the local folder.

        Raises:
            CheckpointError: if a file can't be fetched, or the disk is too small.
            DamagedFileError: if a file fails its checksum repeatedly.
        """
        if self.stage is not None:
            self.stage.run()
        return self.source.fetch([item.path for item in self.items], thoroughly=True)


def _bytes(items: Iterable[Item]) -> int:
    return sum(max(item.size, 0) for item in items)


def stems_of(cls: type) -> tuple[str, ...]:
    """Return the stems of the weight files of `cls`; empty if it is not a network."""
    if issubclass(cls, BaseNetwork):
        return tuple(dict.fromkeys((cls.weights_name, cls.pickle_name or cls.weights_name)))
    return models.STEMS if kind_of(cls) is Kind.NETWORK else ()


def files_of(
    cls: type, source: Source, folder: tuple[str, ...], options: LoadOptions, name: str = ""
) -> ComponentFiles:
    """Return the files in `folder` from which an object of `cls` is loaded.

    Args:
        name: the name of the component in a pipeline, which may lack the variant; else empty.

    Raises:
        CheckpointError, UnsafeCheckpointError: as for `plan_component`.
    """
    return plan_component(
        source,
        folder,
        stems=stems_of(cls),
        variant=options.variant,
        use_safetensors=options.use_safetensors,
        dtype=str(options.dtype_of(name)).removeprefix("torch."),
        fall_back=bool(name),
        reads=getattr(cls, "checkpoint_files", ()),
    )


def _folder_of(name: str, cls: type, source: Source) -> tuple[str, ...]:
    """Return the folder of a component: its own or, in the first pipelines on the Hub, the root.

    Those have one network and one scheduler, whose files lie beside the index.
    """
    if source.files(name) or not issubclass(cls, (BaseNetwork, BaseScheduler)):
        return (name,)
    beside = source.files()
    stems = stems_of(cls)
    there = cls.config_name in beside and (not stems or bool(candidates(beside, stems)))
    return () if there else (name,)


def make_plan(
    cls: Any,
    source: Source,
    index: Index,
    options: LoadOptions,
    given: Mapping[str, Any],
    registry: Registry,
    *,
    elsewhere: Iterable[str] = (),
    strict: bool = True,
) -> Plan:
    """Plan one checkpoint.

    Args:
        elsewhere: the components that come from another checkpoint.
        strict: whether at least one component must have the requested variant.

    Raises:
        ArgumentError: if a component is neither in the checkpoint nor given.
        ArgumentTypeError: if a given component has the wrong type.
        CheckpointError: if files are absent in the requested variant or format.
        UnsupportedCheckpointError: if no installed family declares a class; it is not imported.
    """
    classes = _classes(cls, index, given, registry, elsewhere)
    several: dict[str, tuple[type[Several], list[str]]] = {}
    dtypes = dict(options.dtype) if isinstance(options.dtype, Mapping) else {}
    for name, kind in [(n, k) for n, k in classes.items() if hasattr(k, "part_class")]:
        names = [name]
        while there := [
            one for one in part_names(kind, name, len(names)) if holds_network(source.files(one))
        ]:
            names.append(there[0])
        classes.update(dict.fromkeys(names, kind.part_class))
        several[name] = kind, names
        for further in names if name in dtypes else ():
            dtypes.setdefault(further, dtypes[name])
    if dtypes:
        options = options.with_dtype(dtypes)
    parts: dict[str, Part] = {}
    folders = {name: _folder_of(name, kind, source) for name, kind in classes.items()}
    for name, kind in classes.items():
        if name in cls.optional_components() and not source.files(name):
            raise CheckpointError(
                f"the index of {source.name} names a {name}, but there is no folder {name}; fetch "
                f"the checkpoint again, or pass {name}=None to omit it"
            )
        parts[name] = Part(kind, files_of(kind, source, folders[name], options, name))
    found = {part.files.weights.variant for part in parts.values() if part.files.weights}
    if strict and found and options.variant not in (None, AUTO, *found):
        present = {v for one in folders.values() for v in variants_of(source.files(*one)) if v}
        raise VariantError(
            f"{source.name} has no weights of the variant {shown(options.variant)}; it has "
            f"{listed(sorted(map(repr, present))) or 'no variants'}. Leave variant out, or "
            f"pass variant='auto'"
        )
    return Plan(cls, source, index, options, given, parts, several)


def _class_of(
    pair: tuple[str, str], registry: Registry, stored: Pipeline | None
) -> type[Any] | None:
    """Import and return the class that an index entry names; None if nobody declares it.

    Args:
        stored: the pipeline that the index names.
    """
    library, class_name = pair
    is_foreign = library == models.LIBRARY
    # A claim for a class of transformers holds for its other names, too.
    for name in (class_name, *([models.saved_name(class_name)] if is_foreign else [])):
        known = registry.component(library, name, stored)
        if known is not None:
            found: type[Any] = load_target(known.target)
            return found
    return models.find_class(class_name) if is_foreign else None


def _classes(
    cls: Any,
    index: Index,
    given: Mapping[str, Any],
    registry: Registry,
    elsewhere: Iterable[str],
) -> dict[str, Any]:
    """Import and return the class of every component to load."""
    classes: dict[str, Any] = {}
    missing: list[str] = []
    slots = slots_of(cls)
    stored = registry.pipeline(index.class_name)
    origin = index.folder / INDEX_NAME
    for name in cls.module_names():
        if name in elsewhere:
            continue
        pair = index.components.get(name)
        found = None if pair is None else _class_of(pair, registry, stored)
        slot = slots.get(name)
        if name in given:
            if slot is None and found is not None:
                slot = slot_of(found)
            if slot and given[name] is not None:
                slot.check(given[name], name)
        elif pair is None:
            if name not in cls.optional_components():
                missing.append(name)
        elif found is None:
            library, class_name = pair
            raise UnsupportedCheckpointError(
                f"{origin} needs the class {class_name} of {library}, which no installed family "
                f"declares, so it is not imported. {registry.explain_missing(class_name)} Or load "
                f"it yourself and pass it as {name}="
            )
        elif slot is not None and not slot.takes(found):
            raise ConfigError(
                f"{origin} names {found.__name__} for {name!r}, which is "
                f"{kind_of(found).value}, but {cls.__name__} takes {slot}; correct the entry, or "
                f"pass {name}="
            )
        else:
            classes[name] = found
    if missing:
        raise ArgumentError(
            f"{cls.__name__} needs {', '.join(cls.module_names())}, but {index.folder} "
            f"({index.class_name}) has no {' and no '.join(missing)}; pass {missing[0]}="
        )
    return classes
