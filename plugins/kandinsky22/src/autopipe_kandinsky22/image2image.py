"""Image to image: a decoder that changes an image towards embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.codec import Generators
from autopipe_kandinsky.decoder import Embeds, Result
from autopipe_kandinsky.image2image import FromImage

from .steps import KandinskyV22Decoder


class KandinskyV22Img2ImgPipeline(KandinskyV22Decoder, FromImage):
    """The decoder of Kandinsky 2.2 for image to image."""

    @pipeline_call
    def __call__(
        self,
        image_embeds: Embeds,
        image: ImageInput,
        negative_image_embeds: Embeds,
        height: int = 512,
        width: int = 512,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        strength: float = 0.3,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        latents: Tensor | None = None,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Change `image` towards the prior's embeddings.

        All other parameters are those of `KandinskyV22Pipeline`.

        Args:
            image: the initial image: PIL, array or tensor, or a list; or latents (N, C, h, w). One
                per embedding, or fewer, which are then repeated.
            height, width: in pixels, rounded down to the autoencoder's factor; the image is resized
                to them.
            strength: the part of the steps to take, in [0, 1]; 1 ignores the image.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`; pixels are in [0, 1].
            latents: noised latents (B, C, h, w), in place of those of `image`.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
