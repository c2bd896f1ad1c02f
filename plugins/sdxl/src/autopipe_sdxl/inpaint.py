"""Inpainting: repaints the masked part of an image with a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Inpaint
from autopipe_components.images.kinds import ImageInput
from autopipe_components.latent import LatentInpaint
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import checks_of

from .image_steps import StableDiffusionXLImageSteps
from .methods import FURTHER, TEXTS_2
from .output import Result
from .sizes import Size


class StableDiffusionXLInpaintPipeline(StableDiffusionXLImageSteps, LatentInpaint[Result], Inpaint):
    """Inpainting with Stable Diffusion XL; the U-Net may take the mask, or not."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *StableDiffusionXLImageSteps._callback_tensor_inputs,
        "mask",
        "masked_image_latents",
    )
    _guidance_scale = 7.5

    check_inputs = checks_of(
        "prompt prompt_2 image mask_image height width strength callback_steps output_type",
        f"{TEXTS_2} {FURTHER} padding_mask_crop",
    )

    @pipeline_call
    def __call__(  # type: ignore[override]  # prompt_2 comes before image
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        mask_image: ImageInput = None,  # type: ignore[assignment]
        masked_image_latents: Tensor | None = None,
        height: int | None = None,
        width: int | None = None,
        padding_mask_crop: int | None = None,
        strength: float = 0.9999,
        num_inference_steps: int = 50,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        denoising_start: float | None = None,
        denoising_end: float | None = None,
        guidance_scale: float = 7.5,
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
        cross_attention_kwargs: dict[str, Any] | None = None,
        guidance_rescale: float = 0.0,
        original_size: Size | None = None,
        crops_coords_top_left: Size = (0, 0),
        target_size: Size | None = None,
        negative_original_size: Size | None = None,
        negative_crops_coords_top_left: Size = (0, 0),
        negative_target_size: Size | None = None,
        aesthetic_score: float = 6.0,
        negative_aesthetic_score: float = 2.5,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        paste_unmasked: bool = False,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Repaint the white part of `mask_image` with `prompt`.

        All other parameters are those of `StableDiffusionXLImg2ImgPipeline`.

        Args:
            image: the image: PIL, array or tensor, a list, or latents (N, 4, h, w). One per prompt,
                or fewer, which are then repeated.
            mask_image: the mask, of the same types; values of at least 0.5 are repainted.
            masked_image_latents: the encoded image without its masked part.
            height, width: in pixels, multiples of 8; the image is resized to them. The default is
                the training resolution of the U-Net.
            padding_mask_crop: crop the image to the mask with at least this many pixels around it,
                repaint the crop at full size, and paste it back. PIL images only.
            strength: the part of the steps to take, in [0, 1]; only exactly 1 starts from pure
                noise. Not used with `denoising_start`.
            latents: unit noise (B, 4, h, w); by default it is sampled.
            paste_unmasked: restore the unmasked pixels of the image exactly. Otherwise they differ
                slightly, because they are encoded and decoded.

        Returns:
            `StableDiffusionXLPipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
