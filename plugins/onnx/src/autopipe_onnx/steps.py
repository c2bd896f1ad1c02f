"""The steps that all tasks share for Stable Diffusion in the onnx layout.

They are those of the family, with the networks called through ONNX Runtime. As in diffusers, the
noise may come from a `numpy.random.RandomState`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Processor, Scheduler
from autopipe_components.safety import blackened, check_images, check_safety
from autopipe_components.steps.checks import (
    Prompt,
    batch_size_of,
    check_components,
    check_negative_prompt,
    check_prompt,
    check_width,
)
from autopipe_components.steps.codec import Codec, Generators
from autopipe_components.steps.prompt import check_encoder, distinct_texts, tokenize
from autopipe_stable_diffusion.corrections import correct_scheduler
from autopipe_stable_diffusion.steps import StableDiffusionSteps

from .described import Description, described
from .model import OnnxRuntimeModel

Randomness: TypeAlias = Generators | np.random.RandomState
"""Where a call draws its noise: generators of torch, or the state of numpy as in diffusers."""

_SESSION = ("provider", "sess_options", "provider_options")


@dataclass(frozen=True)
class OnnxCodec:
    """The codec of an autoencoder whose encoder and decoder are two networks.

    What the encoder returns are latents: whoever exported it chose whether it draws them from the
    posterior, with noise of its own, or takes the most likely ones.
    """

    encoder: OnnxRuntimeModel | None
    decoder: OnnxRuntimeModel
    description: Description

    @property
    def channels(self) -> int:
        return self.description.latent_channels

    @property
    def factor(self) -> int:
        return self.description.factor

    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if self.encoder is None:
            raise ArgumentError(
                "this pipeline has no vae_encoder, so it can't encode images; load the checkpoint "
                "without vae_encoder=None"
            )
        each = torch.split(image, 1)
        latents = torch.cat([self.encoder.run(sample=one)[0] for one in each])
        return self.description.scaling_factor * latents.to(image.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        each = torch.split(latents / self.description.scaling_factor, 1)
        return torch.cat([self.decoder.run(latent_sample=one)[0] for one in each])


class OnnxStableDiffusionSteps(StableDiffusionSteps):
    """The components of Stable Diffusion in the onnx layout, and the steps that all tasks share.

    The parameters of calls have the order of diffusers' classes for this layout, which is not that
    of the pipelines of Stable Diffusion. `generator` may also be a `numpy.random.RandomState`.

    Args:
        vae_encoder: an `OnnxRuntimeModel` from `sample` to latents.
        vae_decoder: one from `latent_sample` to images.
        text_encoder: one from `input_ids` to hidden states.
        tokenizer: a `CLIPTokenizer`.
        unet: one from `sample`, `timestep` and `encoder_hidden_states` to the prediction.
        scheduler: any scheduler.
        safety_checker: one from `clip_input` and `images` to images and flags; with None, images
            are not checked.
        feature_extractor: a `CLIPImageProcessor`, required by the safety checker.
        requires_safety_checker: whether to warn if there is no safety checker.

    Raises:
        ArgumentError: if there is a safety checker, but no feature extractor.
    """

    model_cpu_offload_seq = "text_encoder->unet->vae_decoder"
    _optional_components = ("safety_checker", "feature_extractor")
    _exclude_from_cpu_offload = ()
    required_components = ("unet", "vae_decoder", "scheduler")
    encodes_tokens = False

    unet_channels: ClassVar[int] = 4
    """The input channels of the U-Net, if its file doesn't tell."""

    unet: Any
    vae_encoder: OnnxRuntimeModel | None
    vae_decoder: OnnxRuntimeModel

    vae: Any = None
    image_encoder: Any = None

    _noise: np.random.RandomState | None = None

    def __init__(
        self,
        vae_encoder: OnnxRuntimeModel,
        vae_decoder: OnnxRuntimeModel,
        text_encoder: OnnxRuntimeModel,
        tokenizer: Processor,
        unet: OnnxRuntimeModel,
        scheduler: Scheduler,
        safety_checker: OnnxRuntimeModel,
        feature_extractor: Processor,
        requires_safety_checker: bool = True,
    ) -> None:
        if safety_checker is not None and feature_extractor is None:
            raise ArgumentError(
                "a safety checker needs a feature extractor: pass feature_extractor= too, or "
                "safety_checker=None to return images unchecked"
            )
        check_safety(
            type(self).__name__,
            safety_checker,
            feature_extractor,
            required=requires_safety_checker,
            license_of="Stable Diffusion",
        )
        self.register_modules(
            vae_encoder=vae_encoder,
            vae_decoder=vae_decoder,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=correct_scheduler(scheduler, self.scheduler_corrections),
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
        )
        self.register_to_config(requires_safety_checker=requires_safety_checker)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load the pipeline of a checkpoint; see `DiffusionPipeline.from_pretrained`.

        Args:
            *args, **kwargs: also `provider`, `sess_options` and `provider_options`, for all
                networks; see `OnnxRuntimeModel.load_model`.
        """
        session = {name: kwargs.pop(name, None) for name in _SESSION}
        loaded: Any = super().from_pretrained(*args, **kwargs)
        pipe = loaded[0] if isinstance(loaded, tuple) else loaded
        if any(session.values()):
            for one in pipe.components.values():
                if isinstance(one, OnnxRuntimeModel):
                    one.reopen(**session)
        return loaded

    # What the U-Net and the autoencoder are

    @property
    def guidance_embedding_dim(self) -> int | None:
        return None

    @property
    def denoiser_in_channels(self) -> int:
        return self.unet.size_of("sample", 1) or self.unet_channels

    def trained_size(self) -> tuple[int, int]:
        size = described(self.unet.config, self.unet.model_save_dir).sample_size
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    @property
    def codec(self) -> Codec:
        decoder = self.vae_decoder
        says = described(decoder.config, decoder.model_save_dir)
        return OnnxCodec(self.vae_encoder, decoder, says)

    def network_sizes(self, height: int, width: int) -> list[tuple[Any, int, int]]:
        """Return nothing: the memory that ONNX Runtime takes is not known beforehand."""
        return []

    def enable_vae_slicing(self) -> None:
        """Do nothing: images are always encoded and decoded one at a time."""

    def disable_vae_slicing(self) -> None:
        """Do nothing; see `enable_vae_slicing`."""

    def enable_vae_tiling(self) -> None:
        """Raise `ArgumentError`: ONNX Runtime decodes an image as a whole."""
        raise ArgumentError(
            "in the onnx layout an image is decoded as a whole; for tiles, load the checkpoint "
            "from which it was exported"
        )

    def disable_vae_tiling(self) -> None:
        """Do nothing: there are no tiles."""

    # Steps of a call, in order

    def begin_call(self) -> int:
        call = self.call
        if isinstance(call.get("generator"), np.random.RandomState):
            self._noise, self.call = call.generator, call.replace(generator=None)
        return super().begin_call()

    def start_from_noise(self, batch_size: int) -> None:
        """Draw the initial noise, if the call has no latents and a `RandomState`."""
        if self.call.latents is None:
            shape = self.latent_shape(batch_size, *self.resolve_size())
            self.call = self.call.replace(latents=self.numpy_noise(shape))

    def numpy_noise(self, shape: tuple[int, ...]) -> Tensor | None:
        """Return noise of `shape` from the call's `RandomState`; None if it has another source."""
        return None if self._noise is None else torch.from_numpy(self._noise.randn(*shape))

    def check_prompts(self) -> int:
        call = self.call
        check_prompt(
            call.prompt, call.prompt_embeds, call.negative_prompt, call.negative_prompt_embeds
        )
        width = self.unet.size_of("encoder_hidden_states", 2)
        if width:
            check_width("prompt_embeds", call.prompt_embeds, width)
            check_width("negative_prompt_embeds", call.negative_prompt_embeds, width)
        return batch_size_of(call.prompt, call.prompt_embeds)

    def check_conditioning(self) -> None:
        call, guided = self.call, self.do_classifier_free_guidance
        if guided:
            prompts = batch_size_of(call.prompt, call.prompt_embeds)
            check_negative_prompt(call.negative_prompt, call.prompt, prompts)
        if self.safety_checker is not None and call.output_type != "latent":
            check_components(self, ("feature_extractor",))
        if call.prompt is not None or (guided and call.negative_prompt_embeds is None):
            check_encoder(self.text_encoder, self.tokenizer)
        inside = {
            "clip_skip": call.clip_skip,
            "cross_attention_kwargs": call.cross_attention_kwargs,
        }
        for name, value in inside.items():
            if value:
                raise ArgumentError(
                    f"{name} reaches into a network, which isn't possible in ONNX Runtime; leave "
                    f"it out, or load the checkpoint that the ONNX files were exported from"
                )

    def _encode_prompt(  # type: ignore[override]
        self,
        prompt: Prompt | None,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
        negative_prompt: Prompt | None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
    ) -> Tensor:
        """Return `encode_prompt` as one tensor; with guidance, the negative half comes first.

        The parameters are those of diffusers for this layout, which takes no device.
        """
        return super()._encode_prompt(
            prompt,
            None,
            num_images_per_prompt,
            do_classifier_free_guidance,
            negative_prompt,
            prompt_embeds,
            negative_prompt_embeds,
        )

    def encode_texts(self, texts: Sequence[str], **options: Any) -> Any:
        distinct, positions = distinct_texts(texts)
        limit = options.get("length") or self.text_encoder.size_of("input_ids", 1)
        with self.tokenizing(self.tokenizer):
            ids, _ = tokenize(self.tokenizer, distinct, limit or self.tokenizer.model_max_length)
        embeds: Tensor = self.text_encoder.run(input_ids=ids)[0]
        return embeds[positions].to(options["device"])

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        given = {"sample": sample, "timestep": timestep.reshape(1), **inputs}
        prediction: Tensor = self.unet.run(**given)[0]
        return prediction.to(sample.dtype)

    def run_safety_checker(
        self, image: Any, device: torch.device | str, dtype: torch.dtype
    ) -> tuple[Any, list[bool] | None]:
        if self.safety_checker is None:
            return image, None
        pictures = self.image_processor.postprocess(image, "pil")
        _, flags = check_images(
            self._find_unwanted,
            self.feature_extractor,
            image,
            lambda: pictures,
            device=device,
            dtype=dtype,
        )
        return blackened(image, flags, "unwanted content"), flags

    def _find_unwanted(self, images: Tensor, clip_input: Tensor) -> tuple[Tensor, list[bool]]:
        """Return the images, and a flag for each; the network takes one at a time."""
        pixels = self.image_processor.denormalize(images).permute(0, 2, 3, 1)
        flags = [
            bool(self.safety_checker.run(clip_input=one, images=picture)[1].any())
            for one, picture in zip(torch.split(clip_input, 1), torch.split(pixels, 1))
        ]
        return images, flags
