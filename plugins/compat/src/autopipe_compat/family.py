"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Export, Manifest, Module

from .equals import EQUALS, EXPORTED

_PATHS = (
    "callbacks configuration_utils dependency_versions_check dependency_versions_table "
    "experimental guiders hub_utils image_processor loaders models modular_pipelines optimization "
    "pipeline_flax_utils pipeline_utils pipelines quantizers schedulers training_utils utils "
    "video_processor"
)


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    return Manifest(
        name="compat",
        exports=tuple(Export(name, EQUALS[name]) for name in EXPORTED),
        modules=(
            *(Module(name, f"autopipe_compat.paths.{name}") for name in _PATHS.split()),
            Module("as_diffusers", "autopipe_compat.as_diffusers"),
            Module("logging", "autopipe_compat.logs"),
        ),
    )
