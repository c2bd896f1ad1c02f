"""Prior and decoder as one pipeline: inpainting."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Inpaint
from autopipe_components.image_embeddings.combined import Drawing
from autopipe_components.image_embeddings.decoder import Result
from autopipe_components.images.kinds import ImageInput
from autopipe_components.stages.checks import Prompt
from autopipe_components.stages.codec import Generators
from autopipe_components.stages.reports import OlderCallback

from ..inpaint import KandinskyV22InpaintPipeline
from .steps import KandinskyV22Combined


class KandinskyV22InpaintCombinedPipeline(KandinskyV22Combined, Inpaint):
    """Inpainting with Kandinsky 2.2."""

    _decoder_class = KandinskyV22InpaintPipeline

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt,
        image: ImageInput,
        mask_image: ImageInput,
        negative_prompt: Prompt | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        num_images_per_prompt: int = 1,
        height: int = 512,
        width: int = 512,
        prior_guidance_scale: float = 4.0,
        prior_num_inference_steps: int = 25,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        prior_callback_on_step_end: StepCallback | None = None,
        prior_callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        strength: float = 1.0,
        prior_latents: Tensor | None = None,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
    ) -> Result:
        """Draw what `prompt` says where `mask_image` is white.

        Parameters that are not named here are those of the prior, `KandinskyV22PriorPipeline`, if
        they begin with `prior_`, and else of the decoder, `KandinskyV22InpaintPipeline`.

        Args:
            prompt: a text or a list of them.
            negative_prompt: what to keep away from, one for each prompt.
            num_images_per_prompt: how many images of each prompt.
            generator: the source of noise of both, or a list with one for each image.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used. Nothing was computed.
        """
        # 1. Check everything that the decoder takes; the prior checks the rest
        drawing = Drawing(
            start={"image": image, "mask_image": mask_image, "strength": strength},
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            generator=generator,
            latents=latents,
            output_type=output_type,
            callback_on_step_end=callback_on_step_end,
            callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs,
            callback=callback,
            callback_steps=callback_steps,
        )
        self._check_decoder(prompt, num_images_per_prompt, drawing)

        # 2. Turn the text into embeddings
        embeds = self._embed(
            prompt,
            negative_prompt,
            num_images_per_prompt=num_images_per_prompt,
            prior_num_inference_steps=prior_num_inference_steps,
            generator=generator,
            prior_latents=prior_latents,
            prior_guidance_scale=prior_guidance_scale,
            prior_callback_on_step_end=prior_callback_on_step_end,
            prior_callback_on_step_end_tensor_inputs=prior_callback_on_step_end_tensor_inputs,
        )

        # 3. Draw them
        result: Result = self.decoder_pipe(**embeds, **drawing.arguments(), return_dict=return_dict)
        return result
