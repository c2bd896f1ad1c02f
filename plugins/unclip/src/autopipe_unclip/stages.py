"""The three stages of a call, each a pipeline of its own: prior, decoder and super-resolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from autopipe.kinds import Network, Scheduler
from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.guided import GuidedPipeline
from autopipe_components.steps.callbacks import step_callbacks
from autopipe_components.steps.codec import Generators, in_dtype_of
from autopipe_components.steps.guidance import half_of
from autopipe_components.steps.text2image import start_from_noise
from autopipe_components.steps.timesteps import set_schedule
from autopipe_kandinsky.denoising import DenoisesEmbeddings
from autopipe_kandinsky.next_timestep import WithNextTimestep


@dataclass(frozen=True)
class Drawing:
    """How a stage draws.

    Attributes:
        shape: that of its latents, (B, ...).
        num_inference_steps: the number of denoising steps.
        generator: the random generator, or a list with one per image.
        latents: the initial noise; None draws it.
        guidance_scale: how closely to follow the text.
        guided: whether each step predicts with and without the text.
        callback_on_step_end, callback_inputs: what is called after each step, with which tensors.
    """

    shape: tuple[int, ...]
    num_inference_steps: int
    generator: Generators
    latents: Tensor | None
    guidance_scale: float = 1.0
    guided: bool = False
    callback_on_step_end: StepCallback | None = None
    callback_inputs: Sequence[str] = ("latents",)

    def start(self, scheduler: Any, like: Any, device: torch.device) -> Tensor:
        """Return the initial latents, in the dtype of the network `like`."""
        return start_from_noise(
            self.shape,
            generator=self.generator,
            dtype=like.dtype,
            device=device,
            init_noise_sigma=scheduler.init_noise_sigma,
            latents=self.latents,
        )


class UnCLIPPrior(DenoisesEmbeddings):
    """Denoises the embedding of an image, conditioned on texts.

    Args:
        prior: a `PriorTransformer`.
        scheduler: a `UnCLIPScheduler`.
    """

    _guided = False

    def __init__(self, prior: Network, scheduler: Scheduler) -> None:
        self.register_modules(prior=prior, scheduler=scheduler)

    @property
    def do_classifier_free_guidance(self) -> bool:
        return self._guided

    @pipeline_call
    def __call__(self, texts: Any, drawing: Any) -> Tensor:
        """Return embeddings (B, D).

        Args:
            texts: the encoded texts, 2B rows if any stage is guided; see `DenoisesEmbeddings`.
            drawing: a `Drawing`.
        """
        self._guidance_scale, self._guided = drawing.guidance_scale, drawing.guided
        callbacks = step_callbacks(self, drawing.callback_on_step_end, drawing.callback_inputs)
        schedule = set_schedule(
            self.scheduler,
            num_inference_steps=drawing.num_inference_steps,
            device=self._execution_device,
        )
        texts = texts if drawing.guided else half_of(texts, drawing.shape[0], 1)
        tensors = {**in_dtype_of(self.prior, texts)}
        tensors["latents"] = drawing.start(self.scheduler, self.prior, self._execution_device)
        return self.denoise_embeddings(tensors, schedule, callbacks, drawing.generator)


class PixelStage(GuidedPipeline):
    """Denoises pixels."""

    _guided = False

    @property
    def do_classifier_free_guidance(self) -> bool:
        return self._guided

    def draw(
        self,
        tensors: Tensors,
        drawing: Drawing,
        extra_channels: Callable[[], Sequence[Tensor]] = tuple,
    ) -> Tensor:
        """Return pixels (B, C, h, w); arguments are those of `make_predictor`."""
        self._guidance_scale, self._guided = drawing.guidance_scale, drawing.guided
        callbacks = step_callbacks(self, drawing.callback_on_step_end, drawing.callback_inputs)
        schedule = set_schedule(
            self.scheduler,
            num_inference_steps=drawing.num_inference_steps,
            device=self._execution_device,
        )
        tensors["latents"] = drawing.start(self.scheduler, self.unet, self._execution_device)
        return self.run_loop(
            tensors,
            self.make_predictor(tensors, extra_channels),
            schedule,
            callbacks,
            eta=0.0,
            generator=drawing.generator,
            scheduler=WithNextTimestep(self.scheduler, schedule.timesteps),
        )


class UnCLIPDecoder(PixelStage):
    """Draws a small picture from the embeddings of image and text.

    Args:
        unet: a `UNet2DConditionModel`.
        scheduler: a `UnCLIPScheduler`.
    """

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "text_encoder_hidden_states",
        "additive_clip_time_embeddings",
        "text_mask",
    )

    def __init__(self, unet: Network, scheduler: Scheduler) -> None:
        self.register_modules(unet=unet, scheduler=scheduler)

    @pipeline_call
    def __call__(self, tensors: Any, drawing: Any) -> Tensor:
        """Return pixels (B, 3, h, w) in [-1, 1].

        Args:
            tensors: those of `_callback_tensor_inputs` but the latents, 2B rows if guided.
            drawing: a `Drawing`.
        """
        return self.draw(dict(in_dtype_of(self.unet, tensors)), drawing).clamp(-1, 1)

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {
            "encoder_hidden_states": tensors["text_encoder_hidden_states"],
            "class_labels": tensors["additive_clip_time_embeddings"],
            "attention_mask": tensors["text_mask"],
        }


class UnCLIPUpscaler(PixelStage):
    """Enlarges a picture. The last step has a network of its own.

    Args:
        unet, last: `UNet2DModel` networks for all steps but the last, and for the last one.
        scheduler: a `UnCLIPScheduler`.
    """

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "image")

    last: Any

    def __init__(self, unet: Network, last: Network, scheduler: Scheduler) -> None:
        self.register_modules(unet=unet, last=last, scheduler=scheduler)

    @pipeline_call
    def __call__(self, image: Any, drawing: Any) -> Tensor:
        """Return pixels (B, 3, H, W), approximately in [-1, 1].

        Args:
            image: the picture at the size of the result, (B, 3, H, W) in [-1, 1].
            drawing: a `Drawing`.
        """
        tensors: Tensors = {"image": in_dtype_of(self.unet, image)}
        return self.draw(tensors, drawing, lambda: (tensors["image"],))

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {}

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        is_last = bool(timestep == self.scheduler.timesteps[-1])
        prediction: Tensor = (self.last if is_last else self.unet)(sample, timestep).sample
        return prediction
