"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Export, Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT, moved


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line, encoder = (
        "autopipe_alt_diffusion",
        "alt_diffusion",
        "RobertaSeriesModelWithTransformation",
    )
    return Family(
        name="alt_diffusion",
        pipelines=(
            Pipeline(
                "AltDiffusionPipeline",
                f"{package}.text2image:AltDiffusionPipeline",
                Task.TEXT2IMAGE,
                line,
            ),
            Pipeline(
                "AltDiffusionImg2ImgPipeline",
                f"{package}.image2image:AltDiffusionImg2ImgPipeline",
                Task.IMAGE2IMAGE,
                line,
            ),
        ),
        components=(*LIGHT, *moved(encoder, f"{package}.text_encoder:{encoder}", line)),
        exports=(
            Export("AltDiffusionPipelineOutput", f"{package}.output:AltDiffusionPipelineOutput"),
        ),
    )
