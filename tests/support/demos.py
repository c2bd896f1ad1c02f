"""The demos that open as pipelines, and what their folders and their families' manifests say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autopipe.checkpoint.address import demo_folder
from autopipe.registry import default_registry

DEMOS = [f"demo:{n}" for n, family in default_registry().families.items() if family.demo_opens]


def folder(demo: str) -> Path:
    """Return the folder of a demo."""
    return demo_folder(demo.removeprefix("demo:"), default_registry())


def _written(demo: str) -> dict[str, Any]:
    return json.loads((folder(demo) / "model_index.json").read_text("utf-8"))


def components(demo: str) -> set[str]:
    """Return the names of the components that a demo's index has, those left empty aside."""
    return {
        name
        for name, entry in _written(demo).items()
        if isinstance(entry, list) and len(entry) == 2 and None not in entry
    }


def networks(demo: str) -> set[str]:
    """Return the names of the components that have weights in a demo's folder."""
    return {file.parent.name for file in folder(demo).glob("*/*.safetensors")}


def tasks(demo: str) -> list[str]:
    """Return the tasks that a demo serves: those of its class's line, without conditions."""
    pipelines = [p for f in default_registry().families.values() for p in f.pipelines]
    lines = {p.line for p in pipelines if p.name == _written(demo)["_class_name"]}
    return sorted(
        {str(t) for p in pipelines if p.line in lines and not p.conditions for t in p.tasks}
    )
