"""Text to image with latent diffusion (Rombach et al. 2022, arXiv:2112.10752)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from autopipe.kinds import Network, Processor, Scheduler
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe.tasks import Text2Image
from autopipe_components.latent import LatentText2Image
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.prompt import (
    check_halves,
    check_texts,
    embed_prompts,
    join_halves,
    text_length,
    tokenize,
)

Result: TypeAlias = "ImagePipelineOutput | tuple[Any]"

TOKENS = 77
"""The number of tokens that the text encoder was trained with."""


class LDMTextToImagePipeline(LatentText2Image[Result], Text2Image):
    """Text to image with the latent diffusion models from before Stable Diffusion.

    Args:
        vqvae: an `AutoencoderKL` or a `VQModel`.
        bert: an `LDMBertModel`.
        tokenizer: a `transformers.BertTokenizer`.
        unet: a `UNet2DConditionModel`.
        scheduler: any scheduler, such as `DDIMScheduler`.
    """

    model_cpu_offload_seq = "bert->unet->vqvae"
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "negative_prompt_embeds",
    )
    negative_halves: ClassVar[Mapping[str, str]] = {"negative_prompt_embeds": "prompt_embeds"}
    autoencoder_name = "vqvae"
    output_class = ImagePipelineOutput

    vqvae: Any
    bert: Any
    tokenizer: Any

    def __init__(
        self,
        vqvae: Network,
        bert: Network,
        tokenizer: Processor,
        unet: Network,
        scheduler: Scheduler,
    ) -> None:
        self.register_modules(
            vqvae=vqvae, bert=bert, tokenizer=tokenizer, unet=unet, scheduler=scheduler
        )

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether each step predicts with and without the prompt: with any scale other than 1."""
        return self._guidance_scale != 1 and self.guidance_embedding_dim is None

    def check_prompts(self) -> int:
        return check_texts(self.call, self.unet.config)

    def check_conditioning(self) -> None:
        guided = self.do_classifier_free_guidance
        check_halves(self.call, self.bert, self.tokenizer, guided=guided)

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        call, guided = self.call, self.do_classifier_free_guidance
        embeds, negative = self.encode_prompt(
            call.prompt,
            None,
            call.num_images_per_prompt,
            guided,
            call.negative_prompt,
            call.prompt_embeds,
            call.negative_prompt_embeds,
        )
        if guided and negative is not None:
            embeds = join_halves(embeds, negative)
        return {"prompt_embeds": embeds}

    def encode_prompt(
        self,
        prompt: Prompt | None,
        device: torch.device | str | None,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
        negative_prompt: Prompt | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the embeddings (B, K, D) of prompt and negative prompt, repeated for each image.

        Args:
            prompt: a string or a list of strings; None if `prompt_embeds` are given.
            device: the device of the embeddings; None means that of the pipeline.
            num_images_per_prompt: the number of repetitions of each prompt.
            do_classifier_free_guidance: if False, the negative prompt is not encoded.
            negative_prompt: as `prompt`; by default empty strings.
            prompt_embeds, negative_prompt_embeds: used in place of encoding a prompt.

        Raises:
            ArgumentError: if the numbers of prompts and negative prompts differ.
        """
        return embed_prompts(
            # By way of `encoder`, so that add-ons for prompts act.
            lambda texts, length: self.encoder("bert", self._encode_text)(texts),
            prompt,
            negative_prompt,
            prompt_embeds,
            negative_prompt_embeds,
            guided=do_classifier_free_guidance,
            num_images_per_prompt=num_images_per_prompt,
            device=self._execution_device if device is None else device,
            dtype=(self.unet if self.bert is None else self.bert).dtype,
        )

    def _encode_text(self, texts: Sequence[str]) -> Tensor:
        """Return the hidden states (B, K, D) of texts. Padding is read, as in training."""
        with self.tokenizing(self.tokenizer):
            length = min(TOKENS, text_length(self.tokenizer, self.bert))
            ids, _ = tokenize(self.tokenizer, texts, length)
        states: Tensor = self.bert(ids.to(self._execution_device)).last_hidden_state
        return states

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 1.0,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        *,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt`.

        Args:
            prompt: a string, or a list of strings.
            height, width: in pixels, multiples of 8; by default the training resolution.
            num_inference_steps: the number of denoising steps; more give better images.
            guidance_scale: how closely to follow the prompt; 1 turns guidance off.
            eta: the noise that DDIM adds in each step, in [0, 1]; other schedulers ignore it.
            generator: the random generator, or a list with one per image.
            latents: the initial noise (B, C, height / 8, width / 8); by default it is sampled.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`.
            return_dict: if False, return a tuple.
            negative_prompt: what to avoid; a string for a string, a list for a list.
            num_images_per_prompt: the number of images per prompt.
            prompt_embeds, negative_prompt_embeds: encoded prompts (B, K, D) in place of strings.
            callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step;
                tensors in the dict that it returns replace those of the call. Setting
                `run._interrupt = True` skips the remaining steps.
            callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
            check_memory: if False, don't refuse calls that certainly exceed the memory.
            adapters: the strengths of the attachments in this call, such as `{"ink": 0.7}`; by
                default those of the pipeline.
            cancellation: ends the call when it is set, such as a `threading.Event`.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
