"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT

_TASKS = {
    Task.TEXT2IMAGE: "KandinskyCombinedPipeline",
    Task.IMAGE2IMAGE: "KandinskyImg2ImgCombinedPipeline",
    Task.INPAINT: "KandinskyInpaintCombinedPipeline",
}
"""The combined class for each task, in the module of the task's name."""

_DECODERS = {
    Task.TEXT2IMAGE: "KandinskyPipeline",
    Task.IMAGE2IMAGE: "KandinskyImg2ImgPipeline",
    Task.INPAINT: "KandinskyInpaintPipeline",
}
"""The decoder class for each task."""


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
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
            *LIGHT,
            Component(
                "MultilingualCLIP", f"{package}.text_encoder:MultilingualCLIP", library="kandinsky"
            ),
        ),
    )
