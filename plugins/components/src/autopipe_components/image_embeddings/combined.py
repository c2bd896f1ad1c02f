"""A prior and a decoder as one pipeline: text in, images out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.loop import StepCallback

from ..stages.checks import Prompt, check_images_per_prompt, check_text
from ..stages.codec import Generators
from ..stages.reports import OlderCallback, step_reports

PRIOR = "prior_"
"""What the names of the prior's components begin with."""

_Stage = TypeVar("_Stage", bound=DiffusionPipeline)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What a decoder takes besides embeddings, named as its parameters are.

    Attributes:
        start: what it takes for its task alone: `image`, `strength`, `mask_image`.
    """

    start: Mapping[str, Any]
    height: int
    width: int
    num_inference_steps: int
    guidance_scale: float
    generator: Generators
    latents: Tensor | None
    output_type: str
    callback_on_step_end: StepCallback | None
    callback_on_step_end_tensor_inputs: Sequence[str]
    callback: OlderCallback | None
    callback_steps: int | None

    def arguments(self) -> dict[str, Any]:
        """All of it by the names of parameters."""
        names = (one.name for one in fields(self) if one.name != "start")
        return {**self.start, **{name: getattr(self, name) for name in names}}


class CombinedPipeline(DiffusionPipeline):
    """Holds the components of a decoder under their names, and those of its prior as `prior_...`.

    A subclass names both classes, and says in `__call__` what goes to which.
    """

    _exclude_from_cpu_offload = ("prior_prior",)
    _also_in_turn = ("prior_prior",)
    _prior_class: ClassVar[type[DiffusionPipeline]]
    _decoder_class: ClassVar[type[DiffusionPipeline]]

    @property
    def prior_pipe(self) -> Any:
        """The prior, a pipeline on the components that this one has now.

        It is made anew each time: what is assigned to it, a scheduler for example, is not seen
        here; assign to `prior_scheduler` instead.
        """
        return self._stage(self._prior_class, PRIOR)

    @property
    def decoder_pipe(self) -> Any:
        """The decoder, a pipeline on the components that this one has now; as `prior_pipe`."""
        return self._stage(self._decoder_class, "")

    def _stage(self, cls: type[_Stage], prefix: str) -> _Stage:
        components = self.components
        stage = cls(**{name: components[prefix + name] for name in cls.module_names()})
        stage._take_part_in(self)
        return stage

    def _check_decoder(self, prompt: Prompt, num_images_per_prompt: int, drawing: Drawing) -> None:
        """Refuse what the decoder can't use before the prior has done its work.

        Raises:
            ArgumentError, ArgumentTypeError: it is so.
        """
        check_text("prompt", prompt)
        check_images_per_prompt(num_images_per_prompt)
        decoder = self.decoder_pipe
        prompts = 1 if prompt is None or isinstance(prompt, str) else len(prompt)
        unknown = torch.empty(prompts * num_images_per_prompt, decoder._embedding_width)
        rows = decoder._start_call(
            unknown,
            unknown,
            height=drawing.height,
            width=drawing.width,
            num_images_per_prompt=1,
            generator=drawing.generator,
            guidance_scale=drawing.guidance_scale,
            output_type=drawing.output_type,
        )
        decoder._prepare(
            rows,
            1,
            **drawing.start,
            height=drawing.height,
            width=drawing.width,
            num_inference_steps=drawing.num_inference_steps,
            latents=drawing.latents,
        )
        step_reports(
            decoder,
            drawing.callback_on_step_end,
            drawing.callback_on_step_end_tensor_inputs,
            drawing.callback,
            drawing.callback_steps,
        )

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
