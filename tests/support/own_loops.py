"""Subclasses as programs write them, whose own `__call__` uses the methods of the library.

Each function subclasses a pipeline class of either library.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch


def own_text2image(library: ModuleType, kind: Any) -> Any:
    """Return a subclass for text to image with Stable Diffusion."""
    retrieve_timesteps = functions_of(library).retrieve_timesteps

    class Own(kind):
        @torch.no_grad()
        def __call__(
            self, prompt: Any, generator: Any, steps: int = 4, negative_prompt: Any = None,
            guidance_scale: float = 7.5, count: int = 1, latents: Any = None, eta: float = 0.5,
        ) -> Any:  # fmt: skip
            size = self.unet.config.sample_size * self.vae_scale_factor
            self.check_inputs(prompt, size, size, 1, negative_prompt)
            self._guidance_scale = guidance_scale
            self._guidance_rescale, self._clip_skip, self._interrupt = 0.0, None, False
            self._cross_attention_kwargs = None
            batch = (1 if isinstance(prompt, str) else len(prompt)) * count
            device = self._execution_device
            guided = self.do_classifier_free_guidance
            embeds, negative = self.encode_prompt(prompt, device, count, guided, negative_prompt)
            both = self._encode_prompt(prompt, device, count, guided, negative_prompt)
            whole = torch.cat([negative, embeds])
            assert torch.equal(both, whole)
            timesteps, steps = retrieve_timesteps(self.scheduler, steps, device, None)
            channels = self.unet.config.in_channels
            latents = self.prepare_latents(
                batch, channels, size, size, whole.dtype, device, generator, latents
            )
            extra = self.prepare_extra_step_kwargs(generator, eta)
            self._num_timesteps = len(timesteps)
            with self.progress_bar(total=steps) as progress_bar:
                for t in timesteps:
                    seen = self.scheduler.scale_model_input(torch.cat([latents] * 2), t)
                    noise = self.unet(
                        seen, t, encoder_hidden_states=whole,
                        cross_attention_kwargs=self.cross_attention_kwargs, return_dict=False,
                    )[0]  # fmt: skip
                    without, with_prompt = noise.chunk(2)
                    noise = without + self.guidance_scale * (with_prompt - without)
                    latents = self.scheduler.step(noise, t, latents, **extra, return_dict=False)[0]
                    progress_bar.update()
            image = self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)[0]
            image, unwanted = self.run_safety_checker(image, device, whole.dtype)
            kept = [True] * len(image) if unwanted is None else [not one for one in unwanted]
            self.maybe_free_model_hooks()
            return self.image_processor.postprocess(image, output_type="np", do_denormalize=kept)

    return Own


def own_image2image(library: ModuleType, kind: Any) -> Any:
    """Return a subclass for image to image that uses methods of older programs."""
    functions = functions_of(library)

    class Own(kind):
        @torch.no_grad()
        def __call__(self, prompt: Any, image: Any, generator: Any, strength: float = 0.7) -> Any:
            self.check_inputs(prompt, strength, 1)
            device = self._execution_device
            embeds = self._encode_prompt(prompt, device, 2, True, "a dog")
            pixels = self.image_processor.preprocess(image)
            self.scheduler.set_timesteps(6, device=device)
            timesteps, steps = self.get_timesteps(6, strength, device)
            assert steps == 4
            first = timesteps[:1].repeat(2)
            latents = self.prepare_latents(pixels, first, 1, 2, embeds.dtype, device, generator)
            extra = self.prepare_extra_step_kwargs(generator, 0.0)
            for t in self.progress_bar(timesteps):
                seen = self.scheduler.scale_model_input(torch.cat([latents] * 2), t)
                noise = self.unet(seen, t, encoder_hidden_states=embeds).sample
                without, with_prompt = noise.chunk(2)
                noise = functions.rescale_noise_cfg(
                    without + 5 * (with_prompt - without), with_prompt, guidance_rescale=0.5
                )
                latents = self.scheduler.step(noise, t, latents, **extra).prev_sample
            if pixels.shape[1] == 3:
                again = functions.retrieve_latents(self.vae.encode(pixels), sample_mode="argmax")
                assert again.shape == latents[:1].shape
            return self.decode_latents(latents)

    return Own


def own_inpainting(library: ModuleType, kind: Any) -> Any:
    """Return a subclass for inpainting, with or without the mask as input of the U-Net."""
    retrieve_timesteps = functions_of(library).retrieve_timesteps

    class Own(kind):
        @torch.no_grad()
        def __call__(
            self, prompt: Any, image: Any, mask: Any, generator: Any, strength: float = 1.0
        ) -> Any:
            device, size = self._execution_device, 16
            self.check_inputs(prompt, image, mask, size, size, strength, 1, "np")
            embeds, negative = self.encode_prompt(prompt, device, 1, True)
            whole = torch.cat([negative, embeds])
            retrieve_timesteps(self.scheduler, 5, device, None)
            timesteps, _ = self.get_timesteps(5, strength, device)
            pixels = self.image_processor.preprocess(image, height=size, width=size)
            marked = self.mask_processor.preprocess(mask, height=size, width=size)
            latents, noise, clean = self.prepare_latents(
                1, self.vae.config.latent_channels, size, size, whole.dtype, device, generator,
                None, image=pixels, timestep=timesteps[:1], is_strength_max=strength == 1.0,
                return_noise=True, return_image_latents=True,
            )  # fmt: skip
            small, masked = self.prepare_mask_latents(
                marked, pixels * (marked < 0.5), 1, size, size, whole.dtype, device, generator, True
            )
            sees_mask = self.unet.config.in_channels == 9
            for index, t in enumerate(timesteps):
                seen = self.scheduler.scale_model_input(torch.cat([latents] * 2), t)
                if sees_mask:
                    seen = torch.cat([seen, small, masked], dim=1)
                without, with_prompt = self.unet(seen, t, whole, return_dict=False)[0].chunk(2)
                guided = without + 7.5 * (with_prompt - without)
                latents = self.scheduler.step(guided, t, latents, return_dict=False)[0]
                if not sees_mask:
                    kept = clean
                    if index < len(timesteps) - 1:
                        kept = self.scheduler.add_noise(clean, noise, timesteps[[index + 1]])
                    latents = (1 - small[:1]) * kept + small[:1] * latents
            image = self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)[0]
            return self.image_processor.postprocess(image, output_type="np")

    return Own


def own_xl(library: ModuleType, kind: Any) -> Any:
    """Return a subclass for Stable Diffusion XL; with `image` it does image to image."""
    retrieve_timesteps = functions_of(library).retrieve_timesteps

    class Own(kind):
        @torch.no_grad()
        def __call__(self, prompt: Any, generator: Any, image: Any = None) -> Any:
            device = self._execution_device
            size = self.unet.config.sample_size * self.vae_scale_factor
            embeds, negative, pooled, negative_pooled = self.encode_prompt(
                prompt, device=device, num_images_per_prompt=1, negative_prompt="a dog"
            )
            timesteps, steps = retrieve_timesteps(self.scheduler, 5, device)
            channels, dtype = self.vae.config.latent_channels, embeds.dtype
            width = self.text_encoder_2.config.projection_dim
            sizes = ((size, size), (0, 4), (size, size))
            if image is None:
                self.check_inputs(prompt, None, size, size, 1)
                latents = self.prepare_latents(
                    1, channels, size, size, dtype, device, generator, None
                )
                ids = self._get_add_time_ids(*sizes, dtype, text_encoder_projection_dim=width)
                negative_ids = ids
            else:
                self.check_inputs(prompt, None, 0.6, 5, 1)
                timesteps, steps = self.get_timesteps(5, 0.6, device)
                pixels = self.image_processor.preprocess(image)
                latents = self.prepare_latents(
                    pixels, timesteps[:1].repeat(1), 1, 1, dtype, device, generator, True
                )
                negative_sizes = ((8, 8), (2, 2), (4, 4))
                ids, negative_ids = self._get_add_time_ids(
                    *sizes,
                    6.0,
                    2.5,
                    *negative_sizes,
                    dtype=dtype,
                    text_encoder_projection_dim=width,
                )
            extra = self.prepare_extra_step_kwargs(generator, 0.0)
            told = {
                "text_embeds": torch.cat([negative_pooled, pooled]),
                "time_ids": torch.cat([negative_ids, ids]).to(device),
            }
            whole = torch.cat([negative, embeds])
            with self.progress_bar(total=steps) as progress_bar:
                for t in timesteps:
                    seen = self.scheduler.scale_model_input(torch.cat([latents] * 2), t)
                    without, with_prompt = self.unet(
                        seen, t, encoder_hidden_states=whole, timestep_cond=None,
                        added_cond_kwargs=told, return_dict=False,
                    )[0].chunk(2)  # fmt: skip
                    noise = without + 5.0 * (with_prompt - without)
                    latents = self.scheduler.step(noise, t, latents, **extra, return_dict=False)[0]
                    progress_bar.update()
            if self.vae.dtype == torch.float16 and self.vae.config.force_upcast:
                self.upcast_vae()
            latents = latents.to(next(iter(self.vae.post_quant_conv.parameters())).dtype)
            decoded = self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)
            return self.image_processor.postprocess(decoded[0].detach(), output_type="np")

    return Own


def own_controlnet(library: ModuleType, kind: Any) -> Any:
    """Return a subclass for text to image with a ControlNet."""
    retrieve_timesteps = functions_of(library).retrieve_timesteps

    class Own(kind):
        @torch.no_grad()
        def __call__(
            self, image: Any, embeds: Any, negative: Any, generator: Any, guess_mode: bool = False
        ) -> Any:
            self.check_inputs(None, image, 1, None, embeds, negative)
            self._guidance_scale = 6.0
            count, device, dtype = len(embeds), self._execution_device, self.controlnet.dtype
            image = self.prepare_image(
                image=image, width=16, height=16, batch_size=count, num_images_per_prompt=1,
                device=device, dtype=dtype, guess_mode=guess_mode,
                do_classifier_free_guidance=self.do_classifier_free_guidance,
            )  # fmt: skip
            height, width = image.shape[-2:]
            timesteps, _ = retrieve_timesteps(self.scheduler, 4, device)
            channels = self.unet.config.in_channels
            latents = self.prepare_latents(
                count, channels, height, width, embeds.dtype, device, generator, None
            )
            whole = torch.cat([negative, embeds])
            for t in timesteps:
                seen = self.scheduler.scale_model_input(torch.cat([latents] * 2), t)
                given, prompts = (latents, embeds) if guess_mode else (seen, whole)
                down, mid = self.controlnet(
                    given, t, encoder_hidden_states=prompts, controlnet_cond=image,
                    conditioning_scale=0.8, guess_mode=guess_mode, return_dict=False,
                )  # fmt: skip
                if guess_mode:
                    down = [torch.cat([torch.zeros_like(one), one]) for one in down]
                    mid = torch.cat([torch.zeros_like(mid), mid])
                without, with_prompt = self.unet(
                    seen, t, encoder_hidden_states=whole, down_block_additional_residuals=down,
                    mid_block_additional_residual=mid, return_dict=False,
                )[0].chunk(2)  # fmt: skip
                noise = without + self.guidance_scale * (with_prompt - without)
                latents = self.scheduler.step(noise, t, latents, return_dict=False)[0]
            decoded = self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)
            return self.image_processor.postprocess(decoded[0], output_type="np")

    return Own


def functions_of(library: ModuleType) -> Any:
    """Return the module of `library` with the functions that such programs import."""
    if library.__name__ == "autopipe":
        return library
    from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion as others
    from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_img2img as functions

    functions.rescale_noise_cfg = others.rescale_noise_cfg
    return functions
