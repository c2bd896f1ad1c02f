"""What this package offers. Nothing heavy is imported here: classes are named by target."""

from __future__ import annotations

from autopipe import Component, Family, Pipeline, Task, hookimpl

PACKAGE = "autopipe_doodle"

TASKS = {
    Task.TEXT2IMAGE: ("text2image", "DoodlePipeline"),
    Task.IMAGE2IMAGE: ("image2image", "DoodleImg2ImgPipeline"),
    Task.INPAINT: ("inpaint", "DoodleInpaintPipeline"),
}


@hookimpl
def autopipe_family() -> Family:
    """The manifest."""
    return Family(
        name="doodle",
        pipelines=tuple(
            Pipeline(name, f"{PACKAGE}.{module}:{name}", task, line="doodle")
            for task, (module, name) in TASKS.items()
        ),
        components=(
            Component("DoodleNetwork", f"{PACKAGE}.network:DoodleNetwork", library=PACKAGE),
            Component(
                "DoodleScheduler",
                f"{PACKAGE}.scheduler:DoodleScheduler",
                library=PACKAGE,
                kind="scheduler",
            ),
        ),
        demo=f"{PACKAGE}:demo",
    )
