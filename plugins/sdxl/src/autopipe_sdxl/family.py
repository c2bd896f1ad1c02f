"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Export, Family, Pipeline, Reader
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
        readers=(
            Reader(
                "sdxl",
                keys=(
                    "model.diffusion_model.input_blocks.0.0.weight",
                    "model.diffusion_model.label_emb.0.0.weight",
                ),
                target=f"{package}.single_file:StableDiffusionXLLayout",
            ),
            Reader(
                "sdxl-unet",
                keys=("input_blocks.0.0.weight", "out.2.weight", "label_emb.0.0.weight"),
                target=f"{package}.single_file:StableDiffusionXLLayout",
            ),
            Reader(
                "sdxl-unet-plain",
                keys=("conv_in.weight", "conv_out.weight", "add_embedding.linear_1.weight"),
                target=f"{package}.single_file:StableDiffusionXLLayout",
            ),
        ),
    )
