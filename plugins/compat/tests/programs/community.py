"""A whole pipeline in a file, with the mixins and helpers that community pipelines use."""

import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.configuration_utils import FrozenDict
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor
from diffusers.loaders import (
    FromSingleFileMixin,
    StableDiffusionLoraLoaderMixin,
    TextualInversionLoaderMixin,
)
from diffusers.models import AutoencoderKL, UNet2DConditionModel
from diffusers.models.lora import adjust_lora_scale_text_encoder
from diffusers.pipelines.pipeline_utils import StableDiffusionMixin
from diffusers.pipelines.stable_diffusion.pipeline_output import StableDiffusionPipelineOutput
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
    rescale_noise_cfg,
    retrieve_timesteps,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from diffusers.schedulers import KarrasDiffusionSchedulers
from diffusers.utils import (
    PIL_INTERPOLATION,
    USE_PEFT_BACKEND,
    deprecate,
    is_accelerate_available,
    is_accelerate_version,
    logging,
    replace_example_docstring,
    scale_lora_layers,
    unscale_lora_layers,
)
from diffusers.utils.torch_utils import randn_tensor
from packaging import version
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTokenizer

logger = logging.get_logger(__name__)
EXAMPLE_DOC_STRING = """
    Examples:
        ```py
        >>> image = pipe("a red circle").images[0]
        ```
"""


class BlendPipeline(
    DiffusionPipeline,
    StableDiffusionMixin,
    TextualInversionLoaderMixin,
    StableDiffusionLoraLoaderMixin,
    FromSingleFileMixin,
):
    model_cpu_offload_seq = "text_encoder->unet->vae"
    _optional_components = ["safety_checker", "feature_extractor"]
    _exclude_from_cpu_offload = ["safety_checker"]

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: KarrasDiffusionSchedulers,
        safety_checker: StableDiffusionSafetyChecker,
        feature_extractor: CLIPImageProcessor,
        requires_safety_checker: bool = True,
    ):
        super().__init__()
        if scheduler is not None and getattr(scheduler.config, "steps_offset", 1) != 1:
            message = "steps_offset should be 1"
            deprecate("steps_offset!=1", "1.0.0", message, standard_warn=False)
            new_config = dict(scheduler.config)
            new_config["steps_offset"] = 1
            scheduler._internal_dict = FrozenDict(new_config)
        is_unet_version_less_0_9_0 = hasattr(unet.config, "_diffusers_version") and version.parse(
            version.parse(unet.config._diffusers_version).base_version
        ) < version.parse("0.9.0.dev0")
        assert not is_unet_version_less_0_9_0
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
        )
        self.vae_scale_factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.vae_scale_factor)
        self.register_to_config(requires_safety_checker=requires_safety_checker)

    def encode(self, prompt, device, lora_scale: float | None = None):
        if lora_scale is not None and isinstance(self, StableDiffusionLoraLoaderMixin):
            self._lora_scale = lora_scale
            if not USE_PEFT_BACKEND:
                adjust_lora_scale_text_encoder(self.text_encoder, lora_scale)
            else:
                scale_lora_layers(self.text_encoder, lora_scale)
        if isinstance(self, TextualInversionLoaderMixin) and hasattr(self, "maybe_convert_prompt"):
            prompt = self.maybe_convert_prompt(prompt, self.tokenizer)
        ids = self.tokenizer(
            prompt,
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        untruncated = self.tokenizer(prompt, padding="longest", return_tensors="pt").input_ids
        assert untruncated.shape[-1] <= ids.shape[-1]
        if hasattr(self.text_encoder.config, "use_attention_mask"):
            assert not self.text_encoder.config.use_attention_mask
        embeds = self.text_encoder(ids.to(device), attention_mask=None)
        embeds = embeds[0].to(dtype=self.text_encoder.dtype, device=device)
        if isinstance(self, StableDiffusionLoraLoaderMixin) and USE_PEFT_BACKEND:
            unscale_lora_layers(self.text_encoder, lora_scale)
        return embeds

    def prepare_extra_step_kwargs(self, generator, eta):
        parameters = set(inspect.signature(self.scheduler.step).parameters.keys())
        extra = {"eta": eta} if "eta" in parameters else {}
        return {**extra, "generator": generator} if "generator" in parameters else extra

    @property
    def guidance_scale(self):
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self):
        return self._guidance_scale > 1

    @torch.no_grad()
    @replace_example_docstring(EXAMPLE_DOC_STRING)
    def __call__(
        self,
        prompt: str | list[str] = None,
        other_prompt: str | None = None,
        image: PipelineImageInput = None,
        num_inference_steps: int = 50,
        timesteps: list[int] = None,
        guidance_scale: float = 7.5,
        guidance_rescale: float = 0.0,
        eta: float = 0.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str | None = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        callback: Callable[[int, int, torch.Tensor], None] | None = None,
    ):
        r"""
        Draws a blend of two prompts.

        Examples:

        """
        self._guidance_scale = guidance_scale
        device = self._execution_device
        positive = 0.5 * self.encode(prompt, device) + 0.5 * self.encode(other_prompt, device)
        embeds = torch.cat([self.encode("", device, lora_scale=1.0), positive])
        timesteps, num_inference_steps = retrieve_timesteps(
            self.scheduler, num_inference_steps, device, timesteps
        )
        size = self.unet.config.sample_size
        latents = randn_tensor(
            (1, self.unet.config.in_channels, size, size),
            generator=generator,
            device=device,
            dtype=embeds.dtype,
        )
        latents = latents * self.scheduler.init_noise_sigma
        extra = self.prepare_extra_step_kwargs(generator, eta)
        with self.progress_bar(total=num_inference_steps) as progress_bar:
            for i, t in enumerate(timesteps):
                inputs = torch.cat([latents] * 2) if self.do_classifier_free_guidance else latents
                inputs = self.scheduler.scale_model_input(inputs, t)
                noise = self.unet(
                    inputs,
                    t,
                    encoder_hidden_states=embeds,
                    cross_attention_kwargs=cross_attention_kwargs,
                    return_dict=False,
                )[0]
                without, with_text = noise.chunk(2)
                noise = without + self.guidance_scale * (with_text - without)
                noise = rescale_noise_cfg(noise, with_text, guidance_rescale=guidance_rescale)
                latents = self.scheduler.step(noise, t, latents, **extra, return_dict=False)[0]
                progress_bar.update()
                if callback is not None:
                    callback(i, t, latents)
        image = self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)[0]
        image = self.image_processor.postprocess(
            image, output_type=output_type, do_denormalize=[True] * image.shape[0]
        )
        self.maybe_free_model_hooks()
        if not return_dict:
            return (image, None)
        return StableDiffusionPipelineOutput(images=image, nsfw_content_detected=None)


def main():
    model_id, out = sys.argv[1:]
    assert is_accelerate_available() and is_accelerate_version(">=", "0.17.0")
    assert "lanczos" in PIL_INTERPOLATION
    assert '>>> image = pipe("a red circle").images[0]' in BlendPipeline.__call__.__doc__
    pipe = BlendPipeline.from_pretrained(model_id, safety_checker=None)
    pipe.vae.enable_slicing()
    pipe.set_progress_bar_config(disable=True)
    steps = []
    images = pipe(
        "a red circle",
        "a blue square",
        num_inference_steps=5,
        guidance_rescale=0.3,
        generator=torch.manual_seed(16),
        callback=lambda i, t, latents: steps.append(i),
        output_type="np",
    ).images
    np.savez(out, images=images, steps=np.array(steps))


if __name__ == "__main__":
    main()
