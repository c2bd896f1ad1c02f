"""A prior and a decoder as one pipeline: text in, images out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.loop import StepCallback

from ..stages.checks import Prompt
from ..stages.codec import Generators

PRIOR = "prior_"
"""What the names of the prior's components begin with."""

_Stage = TypeVar("_Stage", bound=DiffusionPipeline)


class CombinedPipeline(DiffusionPipeline):
    """Holds the components of a decoder under their names, and those of its prior as `prior_...`.

    A subclass names both classes, and says in `__call__` what goes to which.
    """

    _exclude_from_cpu_offload = ("prior_prior",)
    _prior_class: ClassVar[type[DiffusionPipeline]]
    _decoder_class: ClassVar[type[DiffusionPipeline]]

    @property
    def prior_pipe(self) -> Any:
        """The prior, a pipeline on the same components."""
        return self._stage(self._prior_class, PRIOR)

    @property
    def decoder_pipe(self) -> Any:
        """The decoder, a pipeline on the same components."""
        return self._stage(self._decoder_class, "")

    def _stage(self, cls: type[_Stage], prefix: str) -> _Stage:
        components = self.components
        stage = cls(**{name: components[prefix + name] for name in cls.module_names()})
        stage._take_part_in(self)
        return stage

    def _embed(
        self,
        prompt: Prompt,
        negative_prompt: Prompt | None,
        *,
        num_images_per_prompt: int,
        prior_num_inference_steps: int,
        generator: Generators,
        prior_latents: Tensor | None,
        prior_guidance_scale: float,
        prior_callback_on_step_end: StepCallback | None,
        prior_callback_on_step_end_tensor_inputs: Sequence[str],
    ) -> dict[str, Tensor]:
        """What the decoder takes of the prior: a row for each image."""
        image_embeds, negative_image_embeds = self.prior_pipe(
            prompt,
            negative_prompt=negative_prompt,
            num_images_per_prompt=num_images_per_prompt,
            num_inference_steps=prior_num_inference_steps,
            generator=generator,
            latents=prior_latents,
            guidance_scale=prior_guidance_scale,
            return_dict=False,
            callback_on_step_end=prior_callback_on_step_end,
            callback_on_step_end_tensor_inputs=prior_callback_on_step_end_tensor_inputs,
        )
        return {"image_embeds": image_embeds, "negative_image_embeds": negative_image_embeds}
