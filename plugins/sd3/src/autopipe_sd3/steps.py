"""The steps that all tasks of the family share: components, prompts, sizes and the prediction.

The tasks of `autopipe_components.latent` call these steps; nothing here depends on a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.loop import Tensors
from autopipe_components.steps.pooled import PromptArguments
from autopipe_components.steps.prompt import join_halves

from .output import StableDiffusion3PipelineOutput
from .prompts import EncodesPrompts


class StableDiffusion3Steps(EncodesPrompts):
    """The components of Stable Diffusion 3 (arXiv:2403.03206), and the steps that all tasks share.

    Args:
        transformer: an `SD3Transformer2DModel`.
        scheduler: a `FlowMatchEulerDiscreteScheduler`, or another one of flows.
        vae: an `AutoencoderKL`.
        text_encoder, text_encoder_2: a `transformers.CLIPTextModelWithProjection` each.
        tokenizer, tokenizer_2: a `transformers.CLIPTokenizer` each.
        text_encoder_3: a `transformers.T5EncoderModel`; without it zeros stand for its states.
        tokenizer_3: a `transformers.T5Tokenizer`.
        image_encoder, feature_extractor: for add-ons that take image prompts.
    """

    model_cpu_offload_seq = (
        "text_encoder->text_encoder_2->text_encoder_3->image_encoder->transformer->vae"
    )
    _optional_components = (
        "text_encoder",
        "tokenizer",
        "text_encoder_2",
        "tokenizer_2",
        "text_encoder_3",
        "tokenizer_3",
        "image_encoder",
        "feature_extractor",
    )
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "pooled_prompt_embeds",
        "negative_prompt_embeds",
        "negative_pooled_prompt_embeds",
    )
    output_class = StableDiffusion3PipelineOutput
    required_components = ("transformer", "scheduler")
    resizes_image = True
    # The scheduler of the checkpoints was tuned with levels that it shifts itself.
    even_levels = False
    negative_halves: ClassVar[Mapping[str, str]] = {
        "negative_prompt_embeds": "prompt_embeds",
        "negative_pooled_prompt_embeds": "pooled_prompt_embeds",
    }

    _guidance_scale: float = 7.0

    def __init__(
        self,
        transformer: Network,
        scheduler: Scheduler,
        vae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        text_encoder_2: Network,
        tokenizer_2: Processor,
        text_encoder_3: Network,
        tokenizer_3: Processor,
        image_encoder: Network = None,
        feature_extractor: Processor = None,
    ) -> None:
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            text_encoder_2=text_encoder_2,
            text_encoder_3=text_encoder_3,
            tokenizer=tokenizer,
            tokenizer_2=tokenizer_2,
            tokenizer_3=tokenizer_3,
            transformer=transformer,
            scheduler=scheduler,
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
        )

    # The network and its sizes

    @property
    def denoiser(self) -> Any:
        return self.transformer

    @property
    def default_sample_size(self) -> int:
        """The training height of the transformer, in latent cells."""
        return self.trained_size()[0]

    @property
    def patch_size(self) -> int:
        """The height and width of a patch, in latent cells."""
        return int(self.transformer.config.patch_size)

    @property
    def size_unit(self) -> int:
        return self.vae_scale_factor * self.patch_size

    @property
    def given_size_multiple(self) -> int:  # type: ignore[override]  # that of the network
        return self.size_unit

    # Steps of a call, in order

    def set_size(self, batch_size: int, height: int, width: int) -> None:
        super().set_size(batch_size, height, width)
        most = self.transformer.config.pos_embed_max_size * self.size_unit
        if max(height, width) > most:
            raise ArgumentError(
                f"height and width are {height} and {width}; this transformer has positions for "
                f"{most} pixels along each axis, so give {most} at most"
            )

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        call = self.call
        embeds, negative, pooled, negative_pooled = self.encode_prompt(
            num_images_per_prompt=call.num_images_per_prompt,
            do_classifier_free_guidance=self.do_classifier_free_guidance,
            clip_skip=self.clip_skip,
            max_sequence_length=call.max_sequence_length,
            **vars(PromptArguments.of(call)),
        )
        if self.do_classifier_free_guidance:
            assert negative is not None
            assert negative_pooled is not None
            embeds = join_halves(embeds, negative)
            pooled = join_halves(pooled, negative_pooled)
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {
            "encoder_hidden_states": tensors["prompt_embeds"],
            "pooled_projections": tensors["pooled_prompt_embeds"],
        }

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        predicted: Tensor = self.transformer(
            sample,
            timestep=timestep,
            joint_attention_kwargs=self.joint_attention_kwargs,
            return_dict=False,
            **inputs,
        )[0]
        return predicted
