"""Text to image with Stable Diffusion XL and a T2I-Adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import checks_of
from autopipe_sdxl.methods import FURTHER, POOLED, TEXTS_2
from autopipe_sdxl.output import Result
from autopipe_sdxl.sizes import Size
from autopipe_sdxl.text2image import StableDiffusionXLPipeline

from .condition import AdapterCondition
from .hints import AdapterImage, Numbers


class StableDiffusionXLAdapterPipeline(AdapterCondition[Result], StableDiffusionXLPipeline):
    """Text to image with Stable Diffusion XL and a T2I-Adapter.

    Args:
        adapter: a `T2IAdapter`, or several: a `MultiAdapter` or a list.

    All other parameters are those of `StableDiffusionXLPipeline`. Images get no watermark.

    Raises:
        ArgumentError: if the adapter was trained for another kind of U-Net.
    """

    model_cpu_offload_extra = ("adapter",)

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        text_encoder_2: Network,
        tokenizer: Processor,
        tokenizer_2: Processor,
        unet: Network,
        adapter: Network,
        scheduler: Scheduler,
        force_zeros_for_empty_prompt: bool = True,
        feature_extractor: Processor = None,
        image_encoder: Network = None,
    ) -> None:
        super().__init__(
            vae=vae,
            text_encoder=text_encoder,
            text_encoder_2=text_encoder_2,
            tokenizer=tokenizer,
            tokenizer_2=tokenizer_2,
            unet=unet,
            scheduler=scheduler,
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
            force_zeros_for_empty_prompt=force_zeros_for_empty_prompt,
            add_watermarker=False,
        )
        self._take_adapter(adapter)

    check_inputs = checks_of(
        "prompt prompt_2 height width callback_steps", f"{TEXTS_2} {POOLED} {FURTHER}"
    )

    @pipeline_call
    def __call__(  # type: ignore[override]  # the picture comes before the size
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        image: AdapterImage | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        denoising_end: float | None = None,
        guidance_scale: float = 5.0,
        negative_prompt: Prompt | None = None,
        negative_prompt_2: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        guidance_rescale: float = 0.0,
        original_size: Size | None = None,
        crops_coords_top_left: Size = (0, 0),
        target_size: Size | None = None,
        negative_original_size: Size | None = None,
        negative_crops_coords_top_left: Size = (0, 0),
        negative_target_size: Size | None = None,
        adapter_conditioning_scale: Numbers = 1.0,
        adapter_conditioning_factor: float = 1.0,
        clip_skip: int | None = None,
        *,
        adapter_image: AdapterImage | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt` that follow a picture.

        All other parameters are those of `StableDiffusionXLPipeline`.

        Args:
            image: the picture that the adapter reads, such as outlines: PIL, array or tensor with
                values in [0, 1], or a list with one for each prompt. Several adapters take a list
                with an entry for each.
            adapter_image: the same, under the name that it has for other pipelines.
            height, width: in pixels, multiples of 8; by default those of the picture, rounded down
                to the adapter's factor.
            adapter_conditioning_scale: the strength; a number, or one for each adapter.
            adapter_conditioning_factor: the part of the steps, in [0, 1] from the first, in which
                the adapter is active.

        Returns:
            `StableDiffusionXLPipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
