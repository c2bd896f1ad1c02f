"""The stub of `autopipe` for type checkers, generated from the manifests of installed plugins.

The public names of families are resolved at run time, so checkers can't find them in the source of
the core. The stub says where each one is defined. The core ships a stub for everything that this
project publishes; `autopipe stubs` writes one for everything that is installed, including plugins
of other authors. Only manifests are imported for it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autopipe.registry import Registry
from autopipe.resolution.public import SUBMODULES
from autopipe.tasks import CORE, Task

FILE = "autopipe/__init__.pyi"
"""The path of the stub in a folder of stubs."""


@dataclass(frozen=True)
class _Import:
    """An import of a name that the stub redefines or exports."""

    module: str
    attribute: str
    name: str

    @classmethod
    def of(cls, target: str, name: str) -> _Import:
        """Return the import of `target` as `name`."""
        module, _, attribute = target.partition(":")
        return cls(module, attribute, name)

    def __str__(self) -> str:
        ignored = "" if _is_typed(self.module) else "  # type: ignore[import-untyped]"
        return f"from {self.module} import {self.attribute} as {self.name}{ignored}"


def stub(registry: Registry, command: str) -> str:
    """Return the stub of the public names in `registry`; its first line names `command`."""
    tasks = [task for task in registry.tasks if task not in CORE and task.auto_class]
    targets = {name: registry.target(name) or "" for name in registry.names()}
    tasks = sorted(task for task in tasks if targets.pop(task.auto_class, None))
    own = {name: target for name, target in targets.items() if target.startswith("autopipe.")}
    # First under a private name: if a plugin is absent, some checkers know only that name as Any.
    others = {name: target for name, target in targets.items() if name not in own}
    imports = [
        *(_Import.of(target, name) for name, target in own.items()),
        *(_Import.of(target, f"_{name}") for name, target in others.items()),
        *(_Import.of(task.protocol, _calls(task)) for task in tasks if task.protocol),
    ]
    modules = sorted(set(registry.of("module")) - set(SUBMODULES))
    manifests = registry.families.values()
    classes = {
        *(one.name for manifest in manifests for one in manifest.pipelines),
        *(one.name for manifest in manifests for one in manifest.components),
    }
    lines = [
        f"# Written by `{command}` from what plugins declare. Changes are lost.",
        "from abc import ABCMeta as _ABCMeta",
        *(["from types import ModuleType as _ModuleType"] if modules else []),
        "from typing import TypeAlias as _TypeAlias",
        "",
        *(f"import autopipe.{name} as _{name}" for name in SUBMODULES),
        "from autopipe.auto import AutoPipeline as _AutoPipeline",
        "from autopipe.resolution.version import __version__ as __version__",
        *map(str, sorted(imports, key=lambda one: (one.module, one.name))),
        "",
        *(f"{name} = _{name}" for name in SUBMODULES),
        *(f"{name}: _ModuleType" for name in modules),
        *(f"{name}{': _TypeAlias' if name in classes else ''} = _{name}" for name in others),
        *(line for task in tasks for line in _auto_class(task)),
    ]
    return "\n".join(lines) + "\n"


def _auto_class(task: Task) -> Iterator[str]:
    """Yield the Auto class of a plugin's task, after the class of its pipelines if typed."""
    pipeline = "DiffusionPipeline"
    if task.protocol:
        pipeline = f"{_calls(task)}Pipeline"
        yield f"class {pipeline}({_calls(task)}, DiffusionPipeline, metaclass=_ABCMeta): ..."
    yield f"class {task.auto_class}(_AutoPipeline[{pipeline}]): ..."


def _calls(task: Task) -> str:
    return f"_{task.auto_class.removeprefix('AutoPipelineFor')}"


def _is_typed(module: str) -> bool:
    """Whether the package of `module` has a `py.typed` file; True if it can't be found."""
    try:
        found = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return True
    places = found.submodule_search_locations if found is not None else None
    return not places or any((Path(place) / "py.typed").is_file() for place in places)
