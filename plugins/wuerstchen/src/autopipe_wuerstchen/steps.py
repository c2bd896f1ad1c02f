"""The steps that prior and decoder share: texts, schedule, guidance and the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors
from autopipe_components.guided import GuidedPipeline
from autopipe_components.steps.callbacks import StepCallbacks, step_callbacks
from autopipe_components.steps.checks import (
    Prompt,
    batch_size_of,
    check_components,
    check_negative_prompt,
    check_prompt,
    check_steps,
    check_width,
)
from autopipe_components.steps.codec import in_dtype_of
from autopipe_components.steps.given import ChecksGiven
from autopipe_components.steps.prompt import (
    check_encoder,
    distinct_texts,
    embed_prompts,
    join_halves,
    text_length,
    tokenize,
)
from autopipe_components.steps.text2image import check_latents
from autopipe_components.steps.timesteps import Schedule, set_schedule
from autopipe_kandinsky.methods import NoiseMethods


class WuerstchenStage(ChecksGiven, NoiseMethods, GuidedPipeline):
    """A stage: a network that denoises latents, under a text that a CLIP text model encodes."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "text_encoder_hidden_states",
        "negative_prompt_embeds",
    )
    negative_halves: ClassVar[Mapping[str, str]] = {
        "negative_prompt_embeds": "text_encoder_hidden_states"
    }

    tokenizer: Any
    text_encoder: Any

    # Steps of a call, in order

    def check_texts(self, width: int) -> int:
        """Check components, texts, schedule and the rest that both stages have.

        Args:
            width: of the encoded texts.

        Returns:
            The number of prompts.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is invalid.
        """
        call = self.call
        check_components(self, self.required_components)
        embeds, negative = call.get("prompt_embeds"), call.get("negative_prompt_embeds")
        check_prompt(call.prompt, embeds, call.negative_prompt, negative)
        check_width("prompt_embeds", embeds, width)
        check_width("negative_prompt_embeds", negative, width)
        check_steps(call.num_inference_steps)
        if call.timesteps is not None:
            check_steps(None, call.timesteps)
        return batch_size_of(call.prompt, embeds)

    def prompts(self, name: str = "prompt") -> list[str] | None:
        """Return the texts of the argument `name` as a list; None if it is None."""
        texts = self.call[name]
        return [texts] if isinstance(texts, str) else texts

    def begin(self, rows: int, prompts: int) -> StepCallbacks:
        """Set the state of the call, after checking what depends on guidance.

        Args:
            rows: the number of latents without those of `num_images_per_prompt`.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is invalid.
        """
        call = self.call
        self.set_call_state(
            rows,
            num_images_per_prompt=call.num_images_per_prompt,
            generator=call.generator,
            guidance_scale=call.guidance_scale,
            cross_attention_kwargs=None,
            output_type=call.output_type,
        )
        guided = self.do_classifier_free_guidance
        if guided:
            check_negative_prompt(self.prompts("negative_prompt"), self.prompts(), prompts)
        if call.prompt is not None or (guided and call.get("negative_prompt_embeds") is None):
            check_encoder(self.text_encoder, self.tokenizer)
        return step_callbacks(
            self, call.callback_on_step_end, call.callback_on_step_end_tensor_inputs
        )

    def make_schedule(self) -> Schedule:
        """Return the schedule, without the last time, from which there is no step.

        Raises:
            SchedulerError: if the scheduler doesn't take it.
        """
        call, custom = self.call, self.call.timesteps
        schedule = set_schedule(
            self.scheduler,
            num_inference_steps=None if custom is not None else call.num_inference_steps,
            timesteps=custom,
            device=self._execution_device,
        )
        timesteps = schedule.timesteps[:-1]
        return Schedule(timesteps, len(timesteps))

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Check given latents, and that latents of `shape` (B, C, h, w) fit in memory."""
        if self.call.latents is not None:
            check_latents(self.call.latents, shape)
        self.check_sample_memory(shape[0], *shape[2:])

    def encode_texts(self, count: int) -> Tensors:
        """Return the texts as tensors of the call, each `count` times; negative half first."""
        call, guided = self.call, self.do_classifier_free_guidance
        embeds, negative = self.embed(
            self.prompts(),
            self.prompts("negative_prompt"),
            call.get("prompt_embeds"),
            call.get("negative_prompt_embeds"),
            guided=guided,
            count=count,
        )
        if guided and negative is not None:
            embeds = join_halves(embeds, negative)
        return {"text_encoder_hidden_states": embeds, "negative_prompt_embeds": negative}

    def embed(
        self,
        prompt: Prompt | None,
        negative_prompt: Prompt | None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        *,
        guided: bool,
        count: int,
        device: torch.device | str | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return hidden states (B, K, D) of prompts and negative prompts, each `count` times.

        Other arguments are those of `encode_prompt` of the stages.
        """
        return embed_prompts(
            lambda texts, length: self.encoder("text_encoder", self._encode)(texts),
            prompt,
            negative_prompt,
            prompt_embeds,
            negative_prompt_embeds,
            guided=guided,
            num_images_per_prompt=count,
            device=device or self._execution_device,
            dtype=None,
        )

    def _encode(self, texts: Sequence[str]) -> Tensor:
        """Return the hidden states (B, K, D) of texts; padding is not read."""
        distinct, places = distinct_texts(texts)
        with self.tokenizing(self.tokenizer):
            length = text_length(self.tokenizer, self.text_encoder)
            ids, mask = tokenize(self.tokenizer, distinct, length)
        device = self._execution_device
        found = self.text_encoder(ids.to(device), attention_mask=mask.to(device))
        states: Tensor = found.last_hidden_state[places]
        return states

    def draw(
        self,
        tensors: Tensors,
        shape: tuple[int, ...],
        schedule: Schedule,
        callbacks: StepCallbacks,
    ) -> Tensor:
        """Return the denoised latents of `shape`."""
        call = self.call
        tensors = {**in_dtype_of(self.denoiser, tensors)}
        dtype, device = self.denoiser.dtype, self._execution_device
        tensors["latents"] = self.prepare_latents(
            shape, dtype, device, call.generator, call.latents, self.scheduler
        )
        predict = self.make_predictor(tensors)
        return self.run_loop(
            tensors, predict, schedule, callbacks, eta=0.0, generator=call.generator
        )


def cells(size: float, name: str, most: int = 1 << 16) -> int:
    """Return a number of latent cells as an integer.

    Raises:
        ArgumentError: if there are none, or more than `most`.
    """
    if not 1 <= size <= most:
        raise ArgumentError(f"{name} would have {size:g} latent cells; give 1 to {most}")
    return int(size)
