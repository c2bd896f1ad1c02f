"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Export, Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line = "autopipe_sdxl", "sdxl"
    return Family(
        name="sdxl",
        pipelines=(
            Pipeline(
                "StableDiffusionXLPipeline",
                f"{package}.text2image:StableDiffusionXLPipeline",
                Task.TEXT2IMAGE,
                line,
            ),
            Pipeline(
                "StableDiffusionXLImg2ImgPipeline",
                f"{package}.image2image:StableDiffusionXLImg2ImgPipeline",
                Task.IMAGE2IMAGE,
                line,
            ),
            Pipeline(
                "StableDiffusionXLInpaintPipeline",
                f"{package}.inpaint:StableDiffusionXLInpaintPipeline",
                Task.INPAINT,
                line,
            ),
        ),
        components=LIGHT,
        exports=(
            Export(
                "StableDiffusionXLPipelineOutput",
                f"{package}.output:StableDiffusionXLPipelineOutput",
            ),
        ),
    )
