"""What this package offers."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Family, Pipeline
from autopipe.tasks import Task

_TASKS = {
    Task.TEXT2IMAGE: "KandinskyCombinedPipeline",
    Task.IMAGE2IMAGE: "KandinskyImg2ImgCombinedPipeline",
    Task.INPAINT: "KandinskyInpaintCombinedPipeline",
}
"""The class that fulfils each task, in the module of the task's name."""

_DECODERS = {
    "KandinskyPipeline": "text2image",
    "KandinskyImg2ImgPipeline": "image2image",
    "KandinskyInpaintPipeline": "inpaint",
}


@hookimpl
def autopipe_family() -> Family:
    """The manifest."""
    package, line = "autopipe_kandinsky21", "kandinsky21"
    return Family(
        name="kandinsky21",
        pipelines=(
            *(
                Pipeline(name, f"{package}.combined.{task}:{name}", task, line)
                for task, name in _TASKS.items()
            ),
            *(
                Pipeline(name, f"{package}.{module}:{name}", opens_as=line, needs="prior")
                for name, module in _DECODERS.items()
            ),
            Pipeline("KandinskyPriorPipeline", f"{package}.prior:KandinskyPriorPipeline"),
        ),
        components=(
            Component(
                "MultilingualCLIP", f"{package}.text_encoder:MultilingualCLIP", library="kandinsky"
            ),
        ),
    )
