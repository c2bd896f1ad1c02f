"""Maps class names of checkpoints to classes, as the installed plugins declare them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable

from ..errors import MissingPluginError, PluginError
from ..manifest import Component, Pipeline
from .claims import Settled
from .discovery import Installed
from .hints import published
from .targets import load_target, target_of


class Classes:
    """Look up classes by name, and names by class.

    Args:
        everything: the plugins.
        settled: their claims.
    """

    def __init__(self, everything: Iterable[Installed], settled: Settled) -> None:
        self._settled = settled
        self._pipelines = settled.of("pipeline")
        self._components = settled.of("component")
        # A plugin that also names a class of this project doesn't change what it is saved as.
        ours_last = sorted(everything, key=lambda one: one.plugin.dist in published())
        manifests = [one.manifest for one in ours_last]
        self._by_target = {p.target: p for m in manifests for p in m.pipelines}
        self._identities = {c.target: (c.library, c.name) for m in manifests for c in m.components}

    def pipeline(self, class_name: str) -> Pipeline | None:
        """The pipeline called `class_name`, or None."""
        claim = self._pipelines.get(class_name)
        return claim.entry if claim else None

    def component(
        self, library: str, class_name: str, pipeline: Pipeline | None = None
    ) -> Component | None:
        """Return the component that the index entry `[library, class_name]` names, or None.

        Args:
            pipeline: the checkpoint's pipeline. Claims of plugins of its line come first; those
                that are not public count only there.
        """
        if pipeline is not None:
            stored = self._pipelines.get(pipeline.name)
            own = (
                stored.installed.manifest.components if stored and stored.entry == pipeline else ()
            )
            for component in own:
                if (component.library, component.name) == (library, class_name):
                    return component
            for line in (pipeline.line, pipeline.opens_as):
                if found := self._settled.component_of(line, library, class_name):
                    return found
        claim = self._components.get((library, class_name))
        return claim.entry if claim else None

    def identity(self, cls: type) -> tuple[str, str] | None:
        """Return the index entry `(library, class_name)` for objects of `cls`, or None.

        A subclass of a known class has the entry of that class. Classes of transformers have
        their own name.
        """
        base = self.named_base(cls)
        if base is not None:
            return self._identities.get(target_of(base), ("transformers", base.__name__))
        pipeline = self.pipeline_of(cls)
        return ("diffusers", pipeline.name) if pipeline else None

    def named_base(self, cls: type) -> type | None:
        """Return the first class in the MRO of `cls` that an index can name, or None."""
        for base in cls.__mro__:
            if target_of(base) in self._identities or _is_of_transformers(base):
                return base
        return None

    def pipeline_of(self, cls: type) -> Pipeline | None:
        """The pipeline that `cls` is, or is a subclass of; otherwise None."""
        return next((p for b in cls.__mro__ if (p := self._by_target.get(target_of(b)))), None)

    def compatible_schedulers(self, cls: type) -> list[type]:
        """The installed schedulers that can be made from the config of `cls`, sorted by name.

        They are those of its `config_kind` that are `listed`, and `cls`.
        Classes that can't be imported are left out. A class without compatibles yields itself.
        """
        if not getattr(cls, "has_compatibles", True):
            return [cls]
        found = [c.entry for c in self._components.values() if c.entry.kind == "scheduler"]
        classes: list[type] = []
        for component in sorted(found, key=lambda c: c.name):
            with contextlib.suppress(PluginError, MissingPluginError):
                classes.append(load_target(component.target))
        kind = _kind(cls)
        # A class that is saved by two names is found twice.
        same = [one for one in dict.fromkeys(classes) if getattr(one, "has_compatibles", True)]
        return [
            one
            for one in same
            if one is cls or (_kind(one) == kind and getattr(one, "listed", True))
        ]


def _kind(cls: type) -> str | None:
    return getattr(cls, "config_kind", None)


def _is_of_transformers(cls: type) -> bool:
    """Whether `cls` is a model class that transformers exports under the same name."""
    library = sys.modules.get("transformers")
    is_there = library is not None and cls.__module__.startswith("transformers.models.")
    return is_there and getattr(library, cls.__name__, None) is cls
