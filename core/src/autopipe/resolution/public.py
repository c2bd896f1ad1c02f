"""The public names of the core."""

from __future__ import annotations

PUBLIC = {
    name: module
    for module, names in {
        "auto": "AutoPipelineForImage2Image AutoPipelineForInpainting AutoPipelineForText2Image",
        "attaching.attachment": "Attachment",
        "config": "ConfigMixin FrozenConfig register_to_config",
        "attaching.engine": "NetworkEngine",
        "errors": "AutopipeError",
        "hooks": "hookimpl",
        "manifest": "AddOn Command Component Condition Engine Export Family Manifest Pipeline "
        "Method Module Probe Reader Runner",
        "modeling": "ModelMixin",
        "outputs": "BaseOutput ImagePipelineOutput",
        "pipeline.base": "DiffusionPipeline",
        "scheduling": "SchedulerMixin",
        "tasks": "Image2Image Inpaint Input Task Text2Image",
    }.items()
    for name in names.split()
}
"""Each name with the module that defines it."""

SUBMODULES = ("errors", "registry", "utils")
"""The modules of the core that are attributes of `autopipe`."""
