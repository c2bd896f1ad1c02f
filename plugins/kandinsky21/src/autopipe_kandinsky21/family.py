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
    Task.TEXT2IMAGE: "KandinskyPipeline",
    Task.IMAGE2IMAGE: "KandinskyImg2ImgPipeline",
    Task.INPAINT: "KandinskyInpaintPipeline",
}
"""The class that draws for each task what a prior has made of the text."""


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
                Pipeline(
                    name,
                    f"{package}.{task}:{name}",
                    task,
                    f"{line}.decoder",
                    opens_as=line,
                    needs="prior",
                )
                for task, name in _DECODERS.items()
            ),
            Pipeline("KandinskyPriorPipeline", f"{package}.prior:KandinskyPriorPipeline"),
        ),
        components=(
            Component(
                "MultilingualCLIP", f"{package}.text_encoder:MultilingualCLIP", library="kandinsky"
            ),
        ),
    )
