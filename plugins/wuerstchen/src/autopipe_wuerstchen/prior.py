"""The prior: text to a very small latent image, which the decoder draws from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from autopipe.kinds import Network, Processor, Scheduler
from autopipe.outputs import BaseOutput
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.steps.checks import Prompt, check_size
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import checks_of

from .steps import WuerstchenStage, cells

if TYPE_CHECKING:
    import numpy as np


@dataclass
class WuerstchenPriorPipelineOutput(BaseOutput):
    """`image_embeddings`: (B, C, h, w), for the decoder."""

    image_embeddings: Tensor | np.ndarray


Result: TypeAlias = "WuerstchenPriorPipelineOutput | tuple[Any]"


class WuerstchenPriorPipeline(WuerstchenStage):
    """The prior of Würstchen (Pernias et al. 2023, arXiv:2306.00637).

    Args:
        tokenizer: a `transformers.CLIPTokenizer`.
        text_encoder: a `transformers.CLIPTextModel`.
        prior: a `WuerstchenPrior`.
        scheduler: a `DDPMWuerstchenScheduler`.
        latent_mean, latent_std: results are latents times the first minus the second.
        resolution_multiple: the number of pixels per cell of the result.
    """

    model_cpu_offload_seq = "text_encoder->prior"
    required_components = ("prior", "scheduler")
    output_types = ("pt", "np")
    _guidance_scale = 8.0

    prior: Any

    def __init__(
        self,
        tokenizer: Processor,
        text_encoder: Network,
        prior: Network,
        scheduler: Scheduler,
        latent_mean: float = 42.0,
        latent_std: float = 1.0,
        resolution_multiple: float = 42.67,
    ) -> None:
        self.register_modules(
            tokenizer=tokenizer, text_encoder=text_encoder, prior=prior, scheduler=scheduler
        )
        self.register_to_config(
            latent_mean=latent_mean,
            latent_std=latent_std,
            resolution_multiple=resolution_multiple,
        )

    @property
    def denoiser(self) -> Any:
        return self.prior

    check_inputs = checks_of(
        "prompt negative_prompt num_inference_steps do_classifier_free_guidance",
        "prompt_embeds negative_prompt_embeds",
    )

    def encode_prompt(
        self,
        device: torch.device | str | None,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
        prompt: Prompt | None = None,
        negative_prompt: Prompt | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the hidden states (B, K, D) of prompt and negative prompt, for each image.

        Args:
            device: the device of the result; None means that of the pipeline.
            num_images_per_prompt: the number of repetitions of each prompt.
            do_classifier_free_guidance: if False, the negative prompt is not encoded.
            prompt, negative_prompt: a string or a list of strings each.
            prompt_embeds, negative_prompt_embeds: used in place of encoding a text.

        Raises:
            ArgumentError: if the numbers of prompts and negative prompts differ.
        """
        return self.embed(
            prompt,
            negative_prompt,
            prompt_embeds,
            negative_prompt_embeds,
            guided=do_classifier_free_guidance,
            count=num_images_per_prompt,
            device=device,
        )

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        height: int = 1024,
        width: int = 1024,
        num_inference_steps: int = 60,
        timesteps: Sequence[float] | None = None,
        guidance_scale: float = 8.0,
        negative_prompt: Prompt | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pt",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Return the embeddings of images of `prompt`.

        Args:
            prompt: a string, or a list of strings.
            height, width: of the images, in pixels.
            num_inference_steps: the number of denoising steps.
            timesteps: times from 1 to 0, one more than steps, in place of their number.
            guidance_scale: how closely to follow the prompt; guidance is off at 1 and below.
            negative_prompt: what to avoid.
            prompt_embeds, negative_prompt_embeds: encoded prompts (B, K, D) in place of strings.
            num_images_per_prompt: the number of embeddings per prompt.
            generator: the random generator, or a list with one per embedding.
            latents: the initial noise (B, C, h, w); by default it is sampled.
            output_type: `"pt"` or `"np"`.
            return_dict: if False, return a tuple.
            callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step;
                tensors in the dict that it returns replace those of the call. Setting
                `run._interrupt = True` skips the remaining steps.
            callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
            check_memory: if False, don't refuse calls that certainly exceed the memory.
            adapters: the strengths of the attachments in this call, such as `{"ink": 0.7}`; by
                default those of the pipeline.
            cancellation: ends the call when it is set, such as a `threading.Event`.

        Returns:
            `WuerstchenPriorPipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        # 1. Check everything that can be checked
        call, config = self.call, self.config
        rows = self.check_texts(self.prior.config.c_cond if self.prior is not None else 0)
        check_size(height, width, 1)
        callbacks = self.begin(rows, rows)
        size = (
            cells(math.ceil(side / config["resolution_multiple"]), name)
            for side, name in ((call.height, "height"), (call.width, "width"))
        )
        shape = (rows * call.num_images_per_prompt, self.prior.config.c_in, *size)
        self.check_shape(shape)
        schedule = self.make_schedule()

        # 2. Encode the texts, and denoise
        latents = self.draw(self.encode_texts(num_images_per_prompt), shape, schedule, callbacks)

        # 3. Undo the normalisation
        found: Any = latents * config["latent_mean"] - config["latent_std"]
        found = found.float().cpu().numpy() if call.output_type == "np" else found
        return WuerstchenPriorPipelineOutput(found) if call.return_dict else (found,)

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {"c": tensors["text_encoder_hidden_states"]}

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        predicted: Tensor = self.prior(
            sample, r=timestep.expand(len(sample)).to(sample.dtype), **inputs
        )
        return predicted
