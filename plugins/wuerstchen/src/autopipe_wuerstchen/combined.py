"""Prior and decoder as one pipeline: text to image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.call import Arguments, Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Text2Image
from autopipe_components.steps.checks import (
    Prompt,
    check_components,
    check_images_per_prompt,
    check_size,
    check_tensor,
    check_text,
)
from autopipe_components.steps.codec import Generators
from autopipe_kandinsky.combined import CombinedPipeline

from .decoder import Result, WuerstchenDecoderPipeline
from .prior import WuerstchenPriorPipeline

_RESOLUTION = 42.67
"""The pixels per cell of the prior's result: the default, since this pipeline has no option."""


class WuerstchenCombinedPipeline(CombinedPipeline, Text2Image):
    """Text to image with Würstchen (Pernias et al. 2023, arXiv:2306.00637).

    Args:
        tokenizer, text_encoder, decoder, scheduler, vqgan: those of a `WuerstchenDecoderPipeline`.
        prior_tokenizer, prior_text_encoder, prior_prior, prior_scheduler: those of a
            `WuerstchenPriorPipeline`.
    """

    model_cpu_offload_seq = "prior_text_encoder->prior_prior->text_encoder->decoder->vqgan"
    _exclude_from_cpu_offload = ()
    model_cpu_offload_extra = ()
    prior_class = WuerstchenPriorPipeline
    decoder_class = WuerstchenDecoderPipeline

    def __init__(
        self,
        tokenizer: Processor,
        text_encoder: Network,
        decoder: Network,
        scheduler: Scheduler,
        vqgan: Network,
        prior_tokenizer: Processor,
        prior_text_encoder: Network,
        prior_prior: Network,
        prior_scheduler: Scheduler,
    ) -> None:
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            decoder=decoder,
            scheduler=scheduler,
            vqgan=vqgan,
            prior_tokenizer=prior_tokenizer,
            prior_text_encoder=prior_text_encoder,
            prior_prior=prior_prior,
            prior_scheduler=prior_scheduler,
        )

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        height: int = 512,
        width: int = 512,
        prior_num_inference_steps: int = 60,
        prior_timesteps: Sequence[float] | None = None,
        prior_guidance_scale: float = 4.0,
        num_inference_steps: int = 12,
        decoder_timesteps: Sequence[float] | None = None,
        decoder_guidance_scale: float = 0.0,
        negative_prompt: Prompt | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        prior_callback_on_step_end: StepCallback | None = None,
        prior_callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        guidance_scale: float | None = None,
        decoder_latents: Tensor | None = None,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt`.

        Other parameters are those of the prior, `WuerstchenPriorPipeline`, if they begin with
        `prior_`; those of the decoder, `WuerstchenDecoderPipeline`, if they begin with `decoder_`;
        else those that `WuerstchenDecoderPipeline` has by the same name.

        Args:
            prompt: a string, or a list of strings, for both stages.
            height, width: in pixels, best multiples of 128.
            negative_prompt: what to avoid, for both stages.
            prompt_embeds, negative_prompt_embeds: encoded prompts for the prior; the decoder's text
                is then empty.
            num_images_per_prompt: the number of images per prompt.
            generator: the random generator of both, or a list with one per image.
            latents: the prior's initial noise; `decoder_latents` is the decoder's.
            guidance_scale: in place of `decoder_guidance_scale`: the name that all pipelines of the
                task have for it.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        # 1. Check the decoder's arguments; the prior checks the others
        self._check_decoder_call()

        # 2. Turn the text into embeddings of images
        (embeddings,) = self.prior_pipe(**self._prior_call(), **self._shared(), return_dict=False)

        # 3. Draw the images
        own = self._decoder_call()
        result: Result = self.decoder_pipe(
            embeddings, **own, **self._shared(), return_dict=self.call.return_dict
        )
        return result

    def _check_decoder_call(self) -> None:
        call, decoder = self.call, self.decoder_pipe
        check_components(decoder, decoder.module_names())
        check_text("prompt", call.prompt)
        check_text("negative_prompt", call.negative_prompt)
        check_images_per_prompt(call.num_images_per_prompt)
        check_size(call.height, call.width, 1)
        rows = self._prompts() * call.num_images_per_prompt
        # What the prior will return; its values don't count here.
        sides = (math.ceil(side / _RESOLUTION) for side in (call.height, call.width))
        channels = decoder.decoder.config.effnet_embd
        unknown = torch.empty(rows, channels, *sides, device="meta")
        decoder.call = Arguments({**self._decoder_call(), **self._shared()})
        decoder.check_call(unknown)
        decoder.make_schedule()

    def _prompts(self) -> int:
        """Return the number of prompts."""
        prompt, embeds = self.call.prompt, self.call.prompt_embeds
        if embeds is not None:
            check_tensor("prompt_embeds", embeds)
            return len(embeds)
        return 1 if prompt is None or isinstance(prompt, str) else len(prompt)

    def _shared(self) -> dict[str, Any]:
        """Return the arguments that both stages take as they are."""
        added = {name: value for name, value in self.added_arguments.items() if name != "adapters"}
        call = self.call
        return {"generator": call.generator, "check_memory": call.check_memory, **added}

    def _prior_call(self) -> dict[str, Any]:
        """Return the prior's arguments of the call."""
        call = self.call
        given = call.prompt_embeds
        negative = call.negative_prompt if call.negative_prompt_embeds is None else None
        return {
            "prompt": call.prompt if given is None else None,
            "height": call.height,
            "width": call.width,
            "num_inference_steps": call.prior_num_inference_steps,
            "timesteps": call.prior_timesteps,
            "guidance_scale": call.prior_guidance_scale,
            "negative_prompt": negative,
            "prompt_embeds": given,
            "negative_prompt_embeds": call.negative_prompt_embeds,
            "num_images_per_prompt": call.num_images_per_prompt,
            "latents": call.latents,
            "callback_on_step_end": call.prior_callback_on_step_end,
            "callback_on_step_end_tensor_inputs": call.prior_callback_on_step_end_tensor_inputs,
        }

    def _decoder_call(self) -> dict[str, Any]:
        """Return the decoder's arguments of the call: a text for each embedding of the prior."""
        call, count = self.call, self.call.num_images_per_prompt
        prompt = [""] * self._prompts() if call.prompt is None else _each(call.prompt, count)
        negative, scale = call.negative_prompt, call.guidance_scale
        return {
            "prompt": prompt,
            "num_inference_steps": call.num_inference_steps,
            "timesteps": call.decoder_timesteps,
            "guidance_scale": call.decoder_guidance_scale if scale is None else scale,
            "negative_prompt": None if negative is None else _each(negative, count),
            "num_images_per_prompt": 1,
            "latents": call.decoder_latents,
            "output_type": call.output_type,
            "callback_on_step_end": call.callback_on_step_end,
            "callback_on_step_end_tensor_inputs": call.callback_on_step_end_tensor_inputs,
        }


def _each(texts: Prompt, count: int) -> list[str]:
    """Return texts, each repeated `count` times."""
    return [one for one in ([texts] if isinstance(texts, str) else texts) for _ in range(count)]
