"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Export, Family, Pipeline, Probe, Reader
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line = "autopipe_stable_diffusion", "stable_diffusion"
    return Family(
        name="stable_diffusion",
        pipelines=(
            Pipeline(
                "StableDiffusionPipeline",
                f"{package}.text2image:StableDiffusionPipeline",
                Task.TEXT2IMAGE,
                line,
            ),
            Pipeline(
                "StableDiffusionImg2ImgPipeline",
                f"{package}.image2image:StableDiffusionImg2ImgPipeline",
                Task.IMAGE2IMAGE,
                line,
            ),
            Pipeline(
                "StableDiffusionInpaintPipeline",
                f"{package}.inpaint:StableDiffusionInpaintPipeline",
                Task.INPAINT,
                line,
            ),
        ),
        components=(
            *LIGHT,
            Component(
                "StableDiffusionSafetyChecker",
                f"{package}.safety_checker:StableDiffusionSafetyChecker",
                library="stable_diffusion",
            ),
        ),
        exports=(
            Export(
                "StableDiffusionPipelineOutput", f"{package}.output:StableDiffusionPipelineOutput"
            ),
        ),
        probes=(
            Probe(
                folders=("unet", "vae", "text_encoder", "tokenizer"),
                target=f"{package}.probe:recognise",
                others=("scheduler", "safety_checker", "feature_extractor", "text_encoder_2"),
            ),
        ),
        demo=f"{package}:demo",
        readers=(
            Reader(
                "stable-diffusion",
                keys=("model.diffusion_model.input_blocks.0.0.weight",),
                target=f"{package}.single_file:StableDiffusionLayout",
                absent=(
                    "control_model.input_hint_block.0.weight",
                    "model.diffusion_model.label_emb.0.0.weight",
                ),
            ),
            Reader(
                "stable-diffusion-unet",
                keys=("input_blocks.0.0.weight", "out.2.weight"),
                target=f"{package}.single_file:StableDiffusionLayout",
                absent=("label_emb.0.0.weight",),
            ),
            Reader(
                "stable-diffusion-unet-plain",
                keys=("conv_in.weight", "conv_out.weight", "time_embedding.linear_1.weight"),
                target=f"{package}.single_file:StableDiffusionLayout",
                absent=("add_embedding.linear_1.weight",),
            ),
        ),
    )
