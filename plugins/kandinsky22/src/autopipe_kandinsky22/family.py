"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT

_TASKS = {
    Task.TEXT2IMAGE: "KandinskyV22CombinedPipeline",
    Task.IMAGE2IMAGE: "KandinskyV22Img2ImgCombinedPipeline",
    Task.INPAINT: "KandinskyV22InpaintCombinedPipeline",
}
"""The combined class for each task, in the module of the task's name."""

_DECODERS = {
    Task.TEXT2IMAGE: "KandinskyV22Pipeline",
    Task.IMAGE2IMAGE: "KandinskyV22Img2ImgPipeline",
    Task.INPAINT: "KandinskyV22InpaintPipeline",
}
"""The decoder class for each task."""

_OTHERS = {
    "KandinskyV22PriorPipeline": "prior",
    "KandinskyV22PriorEmb2EmbPipeline": "prior",
    "KandinskyV22ControlnetPipeline": "hint",
    "KandinskyV22ControlnetImg2ImgPipeline": "hint",
}


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line = "autopipe_kandinsky22", "kandinsky22"
    return Family(
        name="kandinsky22",
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
            *(Pipeline(name, f"{package}.{module}:{name}") for name, module in _OTHERS.items()),
        ),
        components=LIGHT,
    )
