"""Edits pictures by an instruction, with Stable Diffusion XL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.images.kinds import ImageInput
from autopipe_components.latent.starts import StartsFromNoise
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import NAMES, TEXTS, checks_of
from autopipe_sdxl.output import Result
from autopipe_sdxl.sizes import Size
from autopipe_sdxl.steps import StableDiffusionXLSteps
from autopipe_sdxl.watermark import StableDiffusionXLWatermarker, can_watermark

from .guidance import GuidedByImage


class StableDiffusionXLInstructPix2PixPipeline(
    GuidedByImage[Result], StableDiffusionXLSteps, StartsFromNoise[Result]
):
    """Editing pictures by an instruction with Stable Diffusion XL.

    Args:
        vae, text_encoder, text_encoder_2, tokenizer, tokenizer_2, scheduler,
            force_zeros_for_empty_prompt, add_watermarker: as for `StableDiffusionXLPipeline`.
        unet: a `UNet2DConditionModel` with 8 input channels.
        is_cosxl_edit: whether the network was trained on scaled latents of the picture, as CosXL
            Edit was.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->unet->vae"
    _optional_components = ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2")  # type: ignore[assignment]
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *GuidedByImage._callback_tensor_inputs,
        "add_text_embeds",
        "add_time_ids",
    )

    check_inputs = checks_of("prompt callback_steps", f"{TEXTS} {NAMES}")

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        text_encoder_2: Network,
        tokenizer: Processor,
        tokenizer_2: Processor,
        unet: Network,
        scheduler: Scheduler,
        force_zeros_for_empty_prompt: bool = True,
        add_watermarker: bool | None = None,
        is_cosxl_edit: bool | None = False,
    ) -> None:
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            text_encoder_2=text_encoder_2,
            tokenizer=tokenizer,
            tokenizer_2=tokenizer_2,
            unet=unet,
            scheduler=scheduler,
        )
        self.register_to_config(
            force_zeros_for_empty_prompt=force_zeros_for_empty_prompt,
            add_watermarker=add_watermarker,
            # Written where it matters: diffusers doesn't write it.
            is_cosxl_edit=is_cosxl_edit or None,
        )
        wanted = can_watermark() if add_watermarker is None else add_watermarker
        self.watermark = StableDiffusionXLWatermarker() if wanted else None

    @property
    def is_cosxl_edit(self) -> bool:
        """Whether the network was trained on scaled latents of the picture."""
        return bool(self.options["is_cosxl_edit"])

    @property
    def scales_image_latents(self) -> bool:  # type: ignore[override]
        return self.is_cosxl_edit

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 100,
        denoising_end: float | None = None,
        guidance_scale: float = 5.0,
        image_guidance_scale: float = 1.5,
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
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        cross_attention_kwargs: dict[str, Any] | None = None,
        guidance_rescale: float = 0.0,
        original_size: Size | None = None,
        crops_coords_top_left: Size = (0, 0),
        target_size: Size | None = None,
        *,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Edit `image` as `prompt` says.

        All other parameters are those of `StableDiffusionXLPipeline`.

        Args:
            prompt, prompt_2: an instruction, such as "make it blue", or a list of them.
            image: the picture: PIL, array or tensor, a list, or latents (N, 4, h, w). One per
                prompt, or fewer, which are then repeated.
            height, width: in pixels, multiples of 8; the picture is resized to them. The default is
                the training resolution of the U-Net.
            guidance_scale: how closely to follow the instruction.
            image_guidance_scale: how much of the picture to keep, usually from 1 to 2. Below 1,
                there is no guidance, by the instruction neither.

        Returns:
            `StableDiffusionXLPipelineOutput`, or a tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    # Steps of a call, in order

    def image_to_pixels(self, image: ImageInput) -> Tensor:
        return self.image_processor.preprocess(image, *self.resolve_size())
