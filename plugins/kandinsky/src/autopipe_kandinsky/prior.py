"""The prior: converts text to the CLIP embedding of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.pipeline.call import Arguments, Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.steps.checks import (
    Prompt,
    check_components,
    check_number,
    check_tensor,
    check_text,
)
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.timesteps import Schedule

from .output import KandinskyPriorPipelineOutput
from .prior_steps import PriorSteps, Result, Start
from .texts import Texts, check_texts


class ImageEmbeddingPrior(PriorSteps):
    """Denoises the CLIP embedding of an image, conditioned on that of a text."""

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        num_inference_steps: int = 25,
        generator: Generators = None,
        latents: Tensor | None = None,
        guidance_scale: float = 4.0,
        output_type: str = "pt",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Return the embedding of an image of `prompt`.

        Args:
            prompt: a string, or a list of strings.
            negative_prompt: what to avoid, one for each prompt. The negative embedding is that of
                the negative prompt; by default that of a black image.
            num_images_per_prompt: the number of embeddings per prompt.
            num_inference_steps: the number of denoising steps, at least 2.
            generator: the random generator, or a list with one per embedding.
            latents: the initial noise (B, D); by default it is sampled. With negative prompts, B
                is twice the number of embeddings.
            guidance_scale: how closely to follow the prompt; guidance is off at 1 and below.
            output_type: `"pt"` or `"np"`.
            return_dict: if False, return a tuple.
            callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step;
                tensors in the dict that it returns replace those of the call. Setting
                `run._interrupt = True` skips the remaining steps.
            callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
            adapters: the strengths of the attachments in this call, such as `{"ink": 0.7}`; by
                default those of the pipeline.
            cancellation: ends the call when it is set, such as a `threading.Event`.

        Returns:
            `KandinskyPriorPipelineOutput`, or the tuple of its values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_prior(self._from_noise)

    def _from_noise(self, texts: Texts) -> Start:
        """Return the start for `PriorSteps.run_prior`: from noise, or the caller's `latents`."""
        latents = self.call.latents
        rows = len(texts.prompts) * self.call.num_images_per_prompt
        shape = (rows, self.prior.config.embedding_dim)
        check_tensor("latents", latents)
        if latents is not None and latents.shape != shape:
            raise ArgumentError(
                f"latents must have the shape {shape}, not {tuple(latents.shape)}: a row for "
                f"each embedding" + (" and each negative one" if texts.negative else "")
            )

        def start(tensors: Tensors, schedule: Schedule, generator: Generators) -> Tensor:
            dtype, device = tensors["prompt_embeds"].dtype, self._execution_device
            return self.prepare_latents(shape, dtype, device, generator, latents, self.scheduler)

        return start

    @torch.no_grad()
    def interpolate(
        self,
        images_and_prompts: list[str | Image.Image | Tensor],
        weights: list[float],
        num_images_per_prompt: int = 1,
        num_inference_steps: int = 25,
        generator: Generators = None,
        latents: Tensor | None = None,
        negative_prior_prompt: str | None = None,
        negative_prompt: str = "",
        guidance_scale: float = 4.0,
        device: torch.device | str | None = None,
    ) -> KandinskyPriorPipelineOutput:
        """Return the weighted sum of the embeddings of texts and images.

        Args:
            images_and_prompts: texts, PIL images, pixels (1, 3, H, W) from `image_processor`, and
                embeddings (1, D).
            weights: a number for each.
            num_images_per_prompt: the number of sums, each with its own noise.
            num_inference_steps, generator, latents, guidance_scale: as in a call, for each text.
            negative_prior_prompt: what to avoid in the embeddings of the texts.
            negative_prompt: the text of the negative embedding; if empty, the negative embedding is
                that of `negative_prior_prompt`, or of a black image.
            device: the device for encoding images; None means that of the pipeline.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        # 1. Check everything that can be checked
        check_components(self, ("prior", "text_encoder", "tokenizer", "scheduler"))
        if negative_prior_prompt is None:
            check_components(self, ("image_encoder",))
        for name, given in (("images_and_prompts", images_and_prompts), ("weights", weights)):
            if not isinstance(given, (list, tuple)):
                raise ArgumentTypeError(f"{name} must be a list, not {type(given).__name__}")
        if len(images_and_prompts) != len(weights) or not weights:
            raise ArgumentError(
                f"got {len(images_and_prompts)} images and prompts and {len(weights)} weights; "
                f"give one weight for each, and at least one"
            )
        for one in images_and_prompts:
            if not isinstance(one, (str, Image.Image, Tensor)):
                raise ArgumentTypeError(
                    f"images_and_prompts contains {type(one).__name__}; give texts, PIL images and "
                    f"tensors"
                )
        for weight in weights:
            check_number("weights", weight)
        check_text("negative_prompt", negative_prompt)
        call: dict[str, Any] = {
            "negative_prompt": negative_prior_prompt,
            "num_images_per_prompt": num_images_per_prompt,
            "num_inference_steps": num_inference_steps,
            "generator": generator,
            "guidance_scale": guidance_scale,
            "output_type": "pt",
        }
        check_texts(Arguments({"prompt": negative_prompt, **call}))
        parts = [o if isinstance(o, str) else self.preprocess_images(o) for o in images_and_prompts]

        # 2. Embed each text and image
        def embed(text: str) -> Any:
            return ImageEmbeddingPrior.__call__(self, text, latents=latents, **call)

        embeds = [
            embed(part).image_embeds
            if isinstance(part, str)
            else self.embed_images(part, device).repeat(num_images_per_prompt, 1)
            for part in parts
        ]
        away = embed(negative_prompt)

        # 3. Mix them
        weighted = [weight * one for one, weight in zip(embeds, weights)]
        return KandinskyPriorPipelineOutput(
            image_embeds=torch.stack(weighted).sum(dim=0),
            negative_image_embeds=away.image_embeds
            if negative_prompt
            else away.negative_image_embeds,
        )
