"""Text to image with Stable Diffusion and a T2I-Adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import TEXTS, checks_of
from autopipe_stable_diffusion.output import Result
from autopipe_stable_diffusion.text2image import StableDiffusionPipeline

from .condition import AdapterCondition
from .hints import AdapterImage, Numbers


class StableDiffusionAdapterPipeline(AdapterCondition[Result], StableDiffusionPipeline):
    """Text to image with Stable Diffusion 1.x and 2.x and a T2I-Adapter.

    Args:
        adapter: a `T2IAdapter`, or several: a `MultiAdapter` or a list.

    All other parameters are those of `StableDiffusionPipeline`. The scheduler is taken as it is.

    Raises:
        ArgumentError: if the adapter was trained for another kind of U-Net, or there is a safety
            checker but no feature extractor.
    """

    model_cpu_offload_seq = "text_encoder->adapter->unet->vae"
    _exclude_from_cpu_offload: ClassVar[tuple[str, ...]] = ()
    _optional_components = ("safety_checker", "feature_extractor")
    scheduler_corrections: ClassVar = {}
    ignores_partial_size = False

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        unet: Network,
        adapter: Network,
        scheduler: Scheduler,
        safety_checker: Network,
        feature_extractor: Processor,
        requires_safety_checker: bool = True,
    ) -> None:
        super().__init__(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
            requires_safety_checker=requires_safety_checker,
        )
        self._take_adapter(adapter)

    check_inputs = checks_of("prompt height width callback_steps image", TEXTS)

    @pipeline_call
    def __call__(  # type: ignore[override]  # the picture comes before the size
        self,
        prompt: Prompt | None = None,
        image: AdapterImage | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 7.5,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        adapter_conditioning_scale: Numbers = 1.0,
        clip_skip: int | None = None,
        *,
        adapter_conditioning_factor: float = 1.0,
        adapter_image: AdapterImage | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        guidance_rescale: float = 0.0,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt` that follow a picture.

        All other parameters are those of `StableDiffusionPipeline`.

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
            `StableDiffusionPipelineOutput`, or the tuple of its two values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
