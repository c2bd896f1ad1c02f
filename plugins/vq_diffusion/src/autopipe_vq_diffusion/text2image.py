"""Text to image by diffusion of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe.tasks import Text2Image
from autopipe_components.guided import GuidedPipeline, Predict
from autopipe_components.image_processor import VaeImageProcessor
from autopipe_components.steps.callbacks import OlderCallback, step_callbacks
from autopipe_components.steps.checks import (
    Prompt,
    batch_size_of,
    check_components,
    check_prompt,
    check_size,
    check_steps,
)
from autopipe_components.steps.codec import Generators, in_dtype_of
from autopipe_components.steps.guidance import guide
from autopipe_components.steps.prompt import embed_prompts, join_halves, text_length, tokenize
from autopipe_components.steps.timesteps import set_schedule

from .classes import check_classes, check_fit, check_rate, truncate

Result: TypeAlias = "ImagePipelineOutput | tuple[Any]"

_SMALLEST = -70
"""The smallest log probability: the scheduler subtracts some, so none may be infinite."""


class VQDiffusionPipeline(GuidedPipeline, Text2Image):
    """Text to image with VQ-Diffusion (Gu et al. 2022, arXiv:2111.14822).

    Latents are classes, each the index of a vector in the codebook of the autoencoder, or the mask.
    A call starts with masks alone.

    Args:
        vqvae: a `VQModel`.
        text_encoder: a `transformers.CLIPTextModel`.
        tokenizer: a `transformers.CLIPTokenizer`.
        transformer: a `Transformer2DModel`.
        scheduler: a `VQDiffusionScheduler`.
        learned_classifier_free_sampling_embeddings: a `LearnedClassifierFreeSamplingEmbeddings`.
    """

    model_cpu_offload_seq = (
        "text_encoder->learned_classifier_free_sampling_embeddings->transformer->vqvae"
    )
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "prompt_embeds")

    vqvae: Any
    text_encoder: Any
    tokenizer: Any
    transformer: Any
    learned_classifier_free_sampling_embeddings: Any

    def __init__(
        self,
        vqvae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        transformer: Network,
        scheduler: Scheduler,
        learned_classifier_free_sampling_embeddings: Network,
    ) -> None:
        self.register_modules(
            vqvae=vqvae,
            transformer=transformer,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=scheduler,
            learned_classifier_free_sampling_embeddings=learned_classifier_free_sampling_embeddings,
        )

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt,
        num_inference_steps: int = 100,
        guidance_scale: float = 5.0,
        truncation_rate: float = 1.0,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        *,
        height: int | None = None,
        width: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt`.

        Args:
            prompt: a string, or a list of strings.
            num_inference_steps: the number of denoising steps, at most that of the training.
            guidance_scale: how closely to follow the prompt; guidance is off at 1 and below.
            truncation_rate: the sum of the probabilities of the classes that a step may choose, in
                [0, 1]; the least likely ones are left out.
            num_images_per_prompt: the number of images per prompt.
            generator: the random generator, or a list with one per image.
            latents: the initial classes (B, pixels), int64; by default all are masks.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`.
            return_dict: if False, return a tuple.
            callback: `callback(step, timestep, latents)`, called every `callback_steps` steps.
            callback_steps: the number of steps between calls of `callback`.
            height, width: in pixels, at most the training resolution, which is the default.
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
        # 1. Check everything that can be checked
        call = self.call
        rows = self._begin()
        callbacks = step_callbacks(
            self,
            call.callback_on_step_end,
            call.callback_on_step_end_tensor_inputs,
            call.callback,
            call.callback_steps,
        )
        down, right = self._grid()
        if call.latents is not None:
            check_classes(call.latents, (rows, down * right), self._mask)
        self.check_sample_memory(rows, down, right)
        schedule = set_schedule(
            self.scheduler,
            num_inference_steps=call.num_inference_steps,
            device=self._execution_device,
        )

        # 2. Encode the prompt, and start with masks
        encoded = self._encode_prompt(
            self.call.prompt, self.call.num_images_per_prompt, self.do_classifier_free_guidance
        )
        tensors: Tensors = {"prompt_embeds": in_dtype_of(self.transformer, encoded)}
        start = torch.full((rows, down * right), self._mask)
        start = start if call.latents is None else call.latents
        tensors["latents"] = start.to(self._execution_device)

        # 3. Denoise
        classes = self.run_loop(
            tensors,
            self.make_predictor(tensors),
            schedule,
            callbacks,
            eta=0,
            generator=call.generator,
        )

        # 4. Look the vectors up, and decode them
        images: Any = classes
        if call.output_type != "latent":
            # A call that ended early leaves masks, which have no vector.
            known = classes.masked_fill(classes == self._mask, 0)
            shape = (rows, down, right, self._codebook[1])
            pixels = self.vqvae.decode(known, force_not_quantize=True, shape=shape).sample
            images = VaeImageProcessor().postprocess(pixels, call.output_type)
        return ImagePipelineOutput(images) if call.return_dict else (images,)

    @property
    def denoiser(self) -> Any:
        return self.transformer

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        """Return log probabilities (B or 2B, pixels, classes)."""
        predicted: Tensor = self.transformer(
            sample, timestep=timestep, grid=self._grid(), return_dict=False, **inputs
        )[0]
        return predicted.mT

    def apply_guidance(self, prediction: Tensor, further: Tensor | None = None) -> Tensor:
        guided = guide(prediction, self.guidance_scale, further=further)
        return guided - guided.logsumexp(dim=-1, keepdim=True)

    def make_predictor(
        self, tensors: Tensors, extra_channels: Callable[[], Sequence[Tensor]] = tuple
    ) -> Predict:
        predict, rate = super().make_predictor(tensors, extra_channels), self.call.truncation_rate

        def truncated(step: int, timestep: Tensor) -> Tensor:
            # Here, as callbacks and add-ons may have replaced them.
            check_classes(tensors["latents"], tuple(tensors["latents"].shape), self._mask)
            return self.truncate(predict(step, timestep).mT, rate).clamp(min=_SMALLEST)

        return truncated

    def truncate(self, log_p_x_0: Tensor, truncation_rate: float) -> Tensor:
        """Return log probabilities (B, classes, pixels), minus infinity for unlikely classes."""
        return truncate(log_p_x_0, truncation_rate)

    def _begin(self) -> int:
        """Check the components and most arguments, and return the number of images."""
        call = self.call
        check_components(self, tuple(type(self).module_names()))
        check_prompt(call.prompt)
        check_steps(call.num_inference_steps)
        check_rate(call.truncation_rate)
        check_fit(self.transformer, self.scheduler, self._codebook[0])
        return self.set_call_state(
            batch_size_of(call.prompt, None),
            num_images_per_prompt=call.num_images_per_prompt,
            generator=call.generator,
            guidance_scale=call.guidance_scale,
            cross_attention_kwargs=None,
            output_type=call.output_type,
        )

    @property
    def _mask(self) -> int:
        """The class of masked pixels."""
        return int(self.transformer.num_vector_embeds) - 1

    @property
    def _codebook(self) -> tuple[int, int]:
        """The number of vectors of the autoencoder, and their length."""
        vectors = self.vqvae.quantize.embedding
        return vectors.num_embeddings, vectors.embedding_dim

    def _grid(self) -> tuple[int, int]:
        """Return rows and columns of classes for the size of the call.

        Raises:
            ArgumentError: if the size isn't possible.
        """
        factor = 2 ** (len(self.vqvae.config.block_out_channels) - 1)
        most = self.transformer.height * factor
        size = self.call.height or most, self.call.width or most
        check_size(*size, factor)
        if max(size) > most:
            raise ArgumentError(
                f"height and width are {size[0]} and {size[1]}; this model draws {most} x {most} "
                f"pixels at most"
            )
        return size[0] // factor, size[1] // factor

    def _encode_prompt(
        self, prompt: Prompt, num_images_per_prompt: int, do_classifier_free_guidance: bool
    ) -> Tensor:
        """Return the embeddings of prompts (B, K, D); under guidance the negative half is first."""
        guided = do_classifier_free_guidance
        learned = self.learned_classifier_free_sampling_embeddings
        embeds, negative = embed_prompts(
            # By way of `encoder`, so that add-ons for prompts act.
            lambda texts, length: self.encoder("text_encoder", self._encode_text)(texts),
            prompt,
            None,
            None,
            learned(batch_size_of(prompt, None)) if guided and learned.learnable else None,
            guided=guided,
            num_images_per_prompt=num_images_per_prompt,
            device=self._execution_device,
            dtype=self.text_encoder.dtype,
        )
        return join_halves(embeds, negative) if guided and negative is not None else embeds

    def _encode_text(self, texts: Sequence[str]) -> Tensor:
        """Return the hidden states (B, K, D) of texts, each token's of length 1, as in training."""
        with self.tokenizing(self.tokenizer):
            length = text_length(self.tokenizer, self.text_encoder)
            ids, _ = tokenize(self.tokenizer, texts, length)
        states: Tensor = self.text_encoder(ids.to(self._execution_device)).last_hidden_state
        normed: Tensor = states / states.norm(dim=-1, keepdim=True)
        return normed
