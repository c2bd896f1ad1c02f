"""The manifest of this package: an add-on, and a condition on the lines of other families."""

from __future__ import annotations

from dataclasses import replace

from autopipe.hooks import hookimpl
from autopipe.manifest import AddOn, Component, Condition, Manifest, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT

from .inputs import ADAPTER_FACTOR, ADAPTER_IMAGE, ADAPTER_SCALE

_LINES = {"stable_diffusion": "StableDiffusion", "sdxl": "StableDiffusionXL"}


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    package = "autopipe_t2i_adapter"
    return Manifest(
        name="t2i_adapter",
        pipelines=tuple(
            Pipeline(
                f"{prefix}AdapterPipeline",
                f"{package}.{line}:{prefix}AdapterPipeline",
                Task.TEXT2IMAGE,
                line,
                conditions=frozenset({"adapter"}),
            )
            for line, prefix in _LINES.items()
        ),
        components=(
            *LIGHT,
            Component("T2IAdapter", f"{package}.t2iadapter:T2IAdapter"),
            Component("MultiAdapter", f"{package}.multiadapter:MultiAdapter"),
        ),
        conditions=(
            Condition(
                "adapter",
                keyword="adapter",
                target=f"{package}.t2iadapter:T2IAdapter",
                inputs=(replace(ADAPTER_IMAGE, required=True), ADAPTER_SCALE, ADAPTER_FACTOR),
                help="a T2I-Adapter",
            ),
        ),
        addons=(
            AddOn(
                "t2i_adapter",
                f"{package}.addon:T2IAdapters",
                (ADAPTER_IMAGE, ADAPTER_SCALE, ADAPTER_FACTOR),
                "pictures as conditions, for every task",
            ),
        ),
        demo=f"{package}:demo",
    )
