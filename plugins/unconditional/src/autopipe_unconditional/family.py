"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Export, Family, Pipeline
from autopipe.tasks import Input, Task

_CLASSES = Input(
    "class_labels",
    "label",
    required=False,
    help="the number of the class to draw, for checkpoints with classes",
)
_EVERY_CALL = (
    "class_labels",
    "num_inference_steps",
    "generator",
    "output_type",
    "return_dict",
    "callback_on_step_end",
    "callback_on_step_end_tensor_inputs",
)

UNCONDITIONAL = Task(
    "unconditional",
    auto_class="AutoPipelineForUnconditional",
    aliases=("unconditional-image-generation", "class-to-image"),
    inputs=(_CLASSES,),
    parameters=("batch_size", *_EVERY_CALL),
    output="images",
    # PNDM takes four steps at least.
    samples={"num_inference_steps": (4, 6)},
    repeats="batch_size",
)

REPAINT = Task(
    "repaint",
    auto_class="AutoPipelineForRepainting",
    inputs=(
        Input("image", "image", help="the image to repaint: a file or a URL"),
        # Not of the kind "mask", whose white parts are repainted.
        Input("mask_image", "image", option="keep", help="the mask; white parts are kept"),
        _CLASSES,
    ),
    parameters=("image", "mask_image", "jump_length", "jump_n_sample", *_EVERY_CALL),
    output="images",
    samples={
        "num_inference_steps": (4, 6),
        "jump_length": (1, 2),
        "jump_n_sample": (2, 1),
    },
)

AUDIO = Task(
    "unconditional_audio",
    auto_class="AutoPipelineForUnconditionalAudio",
    aliases=("unconditional-audio-generation",),
    inputs=(
        Input(
            "audio_length_in_s",
            "number",
            option="seconds",
            required=False,
            help="the length of the sound in seconds",
        ),
    ),
    parameters=(
        "batch_size",
        "num_inference_steps",
        "generator",
        "audio_length_in_s",
        "return_dict",
        "callback_on_step_end",
        "callback_on_step_end_tensor_inputs",
    ),
    output="audios",
    samples={"num_inference_steps": (4, 6)},
    repeats="batch_size",
)

_PIPELINES = {
    "ConsistencyModelPipeline": "consistency",
    "DDIMPipeline": "ddim",
    "DDPMPipeline": "ddpm",
    "DiTPipeline": "dit",
    "KarrasVePipeline": "karras_ve",
    "LDMPipeline": "ldm",
    "PNDMPipeline": "pndm",
    "ScoreSdeVePipeline": "score_sde_ve",
}
"""The pipelines of the task: the module of each, which is also its line."""

_NETWORKS = {
    "DiTTransformer2DModel": "dit_transformer:DiTTransformer2DModel",
    "UNet1DModel": "unet_1d:UNet1DModel",
}

_SCHEDULERS = {
    "KarrasVeScheduler": "karras_ve",
    "RePaintScheduler": "repaint",
    "ScoreSdeVeScheduler": "score_sde_ve",
}


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package = "autopipe_unconditional"
    return Family(
        name="unconditional",
        demo=f"{package}:demo",
        tasks=(UNCONDITIONAL, REPAINT, AUDIO),
        pipelines=(
            *(
                Pipeline(name, f"{package}.{module}:{name}", UNCONDITIONAL, module)
                for name, module in _PIPELINES.items()
            ),
            # It opens the checkpoints of DDPM.
            Pipeline("RePaintPipeline", f"{package}.repaint:RePaintPipeline", REPAINT, "ddpm"),
            Pipeline(
                "DanceDiffusionPipeline",
                f"{package}.dance_diffusion:DanceDiffusionPipeline",
                AUDIO,
                "dance_diffusion",
            ),
        ),
        components=(
            # As the first checkpoints of DiT name it, and other families other classes; they are
            # saved by the name that follows.
            Component(
                "Transformer2DModel",
                f"{package}.networks.{_NETWORKS['DiTTransformer2DModel']}",
                only_own_lines=True,
            ),
            *(
                Component(name, f"{package}.networks.{target}")
                for name, target in _NETWORKS.items()
            ),
            *(
                Component(name, f"{package}.schedulers.{module}:{name}", kind="scheduler")
                for name, module in _SCHEDULERS.items()
            ),
            # As diffusers writes it.
            Component(
                "KarrasVeScheduler",
                f"{package}.schedulers.karras_ve:KarrasVeScheduler",
                library="deprecated",
                kind="scheduler",
            ),
        ),
        exports=(Export("AudioPipelineOutput", f"{package}.dance_diffusion:AudioPipelineOutput"),),
    )
