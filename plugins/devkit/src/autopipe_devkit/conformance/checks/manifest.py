"""Checks of a family's manifest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from torch import nn

import autopipe
from autopipe.hooks import ENTRY_POINT_GROUP
from autopipe.manifest import Component, Export, Manifest, Pipeline
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.registry import Registry, default_registry
from autopipe.resolution.flaws import ENTRIES, flaws
from autopipe.resolution.packages import packages_with
from autopipe.resolution.targets import load_target, target_of
from autopipe.scheduling import SchedulerMixin

HEAVY = (
    "torch", "numpy", "scipy", "PIL", "transformers", "tokenizers", "accelerate", "safetensors",
    "diffusers", "pydantic", "huggingface_hub", "requests", "httpx",
)  # fmt: skip
"""Packages that take long to import, and that listing families must not import."""

_PROBE = """
import importlib, json, sys
importlib.import_module(sys.argv[1]).autopipe_family()
print(json.dumps(sorted(sys.modules)))
"""


def usable(family: Manifest, registry: Registry | None = None) -> Iterator[Pipeline]:
    """Return the pipelines of a family, except those that it adds to a line that is absent."""
    there = registry or default_registry()
    lines = {p.line for of in there.tasks.values() for p in of if not p.conditions}
    return (p for p in family.pipelines if not p.conditions or p.line in lines)


def manifest(family: Manifest) -> None:
    """The manifest is valid, and the plugin that provides it is in use without problems."""
    assert list(flaws(family)) == []
    plugin = default_registry().plugins[family.name]
    ours = [p for p in default_registry().problems if p.plugin.dist == plugin.dist]
    assert ours == []
    assert any(getattr(family, field) for field in ENTRIES), f"{family.name} offers nothing"


def light(family: Manifest) -> None:
    """Importing the manifest in a new process imports no heavy packages."""
    plugin = default_registry().plugins[family.name]
    packages = [one for one in packages_with(ENTRY_POINT_GROUP) if one.name == plugin.dist]
    points = [point for package in packages for point in package.points]
    module = next((point.value for point in points if point.name == plugin.name), None)
    assert module is not None, f"the installed {plugin} has no entry point {plugin.name}"
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, module],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    assert [name for name in HEAVY if name in imported] == [], (
        f"importing {module} imports heavy packages; name classes by target instead"
    )


def targets(family: Manifest) -> None:
    """Every target can be imported, is of the declared kind, and is public under its name."""
    entries: tuple[Pipeline | Component | Export, ...]
    pipelines = list(usable(family))
    public = [c for c in family.components if c.is_public]
    entries = (*pipelines, *public, *family.exports)
    for entry in entries:
        found = load_target(entry.target)
        assert getattr(autopipe, entry.name) is found
        if isinstance(found, type):
            assert target_of(found) == entry.target, (
                f"the target of {entry.name} must name the module that defines it"
            )
    for pipeline in pipelines:
        cls = load_target(pipeline.target)
        assert issubclass(cls, DiffusionPipeline)
        assert cls.__name__ == pipeline.name
    for component in family.components:
        cls = load_target(component.target)
        if component.kind == "scheduler":
            assert issubclass(cls, SchedulerMixin)
        if component.kind == "model":
            assert issubclass(cls, nn.Module), f"{component.name} is not a torch module"
    for probe in family.probes:
        assert callable(load_target(probe.target))
