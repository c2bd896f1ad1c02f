"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Export, Family, Pipeline
from autopipe.tasks import Input, Task

UNCONDITIONAL = Task(
    "unconditional",
    auto_class="AutoPipelineForUnconditional",
    aliases=("unconditional-image-generation", "class-to-image"),
    inputs=(
        Input(
            "class_labels",
            "label",
            required=False,
            help="the number of the class to draw, for checkpoints with classes",
        ),
    ),
    parameters=(
        "batch_size",
        "class_labels",
        "num_inference_steps",
        "generator",
        "output_type",
        "return_dict",
        "callback_on_step_end",
        "callback_on_step_end_tensor_inputs",
    ),
    output="images",
    # PNDM takes four steps at least.
    samples={"num_inference_steps": (4, 6)},
    repeats="batch_size",
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
    "ConsistencyModelPipeline": ("consistency", "consistency"),
    "DDPMPipeline": ("ddpm", "unconditional"),
    "DiTPipeline": ("dit", "dit"),
}
"""The pipelines of the task: the module of each, and its line."""

_NETWORKS = {
    # As the first checkpoints of DiT name it; they are saved by the name that follows.
    "Transformer2DModel": "dit_transformer:DiTTransformer2DModel",
    "DiTTransformer2DModel": "dit_transformer:DiTTransformer2DModel",
    "UNet1DModel": "unet_1d:UNet1DModel",
}

_SCHEDULERS = {
    "CMStochasticIterativeScheduler": "cm_stochastic_iterative",
    "IPNDMScheduler": "ipndm",
}


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package = "autopipe_unconditional"
    return Family(
        name="unconditional",
        tasks=(UNCONDITIONAL, AUDIO),
        pipelines=(
            *(
                Pipeline(name, f"{package}.{module}:{name}", UNCONDITIONAL, line)
                for name, (module, line) in _PIPELINES.items()
            ),
            Pipeline(
                "DanceDiffusionPipeline",
                f"{package}.dance_diffusion:DanceDiffusionPipeline",
                AUDIO,
                "dance_diffusion",
            ),
        ),
        components=(
            *(
                Component(name, f"{package}.networks.{target}")
                for name, target in _NETWORKS.items()
            ),
            *(
                Component(name, f"{package}.schedulers.{module}:{name}", kind="scheduler")
                for name, module in _SCHEDULERS.items()
            ),
        ),
        exports=(Export("AudioPipelineOutput", f"{package}.dance_diffusion:AudioPipelineOutput"),),
    )
