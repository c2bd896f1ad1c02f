"""Images of a class, by a transformer that denoises latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from autopipe.kinds import Network, Scheduler
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.latent import LatentText2Image
from autopipe_components.steps.callbacks import StepCallbacks
from autopipe_components.steps.checks import check_at_least_one
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.prompt import join_halves
from autopipe_components.steps.timesteps import Schedule

from .labels import check_labels, labels_for, rows_of
from .names import names_of, numbers_of
from .networks.dit_transformer import DiTTransformer2DModel

Labels: TypeAlias = int | str | Sequence[int | str] | Tensor | None
"""A class, or several: by number or by name."""

Result: TypeAlias = ImagePipelineOutput | tuple[Any]


class DiTPipeline(LatentText2Image[Result]):
    """Class to image with DiT (Peebles and Xie, 2023, arXiv:2212.09748).

    Args:
        transformer: a `DiTTransformer2DModel`.
        vae: an `AutoencoderKL`.
        scheduler: any scheduler.
        id2label: by the number of a class, its name, or several with commas between them.

    Attributes:
        labels: the numbers of the classes, by name.

    Raises:
        ConfigError: if `id2label` doesn't map numbers to texts.
    """

    model_cpu_offload_seq = "transformer->vae"
    _callback_tensor_inputs = ("latents",)
    output_class = ImagePipelineOutput
    required_components = ("transformer", "vae", "scheduler")
    size_multiple = None

    transformer: DiTTransformer2DModel

    _guidance_scale: float = 4.0

    def __init__(
        self,
        transformer: Network,
        vae: Network,
        scheduler: Scheduler,
        id2label: dict[Any, str] | None = None,
    ) -> None:
        self.register_modules(transformer=transformer, vae=vae, scheduler=scheduler)
        self.register_to_config(id2label=id2label)
        self.labels = names_of(id2label)

    def get_label_ids(self, label: str | list[str]) -> list[int]:
        """Return the numbers of the classes that have these names.

        Raises:
            ArgumentError: if there is no such class.
        """
        found: list[int] = numbers_of([label] if isinstance(label, str) else label, self.labels)
        return found

    @pipeline_call
    def __call__(
        self,
        class_labels: Labels = None,
        guidance_scale: float = 4.0,
        generator: Generators = None,
        num_inference_steps: int = 50,
        output_type: str = "pil",
        return_dict: bool = True,
        *,
        batch_size: int = 1,
        latents: Tensor | None = None,
        eta: float = 0.0,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of classes.

        Args:
            class_labels: the numbers or names of the classes, a list or a single one. The number
                after the last class stands for no class. By default the generator draws one for
                each image, after the noise.
            guidance_scale: how closely to follow the class; guidance is off at 1 and below.
            generator: the random generator, or a list with one per image.
            num_inference_steps: the number of denoising steps; more give better images.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`.
            return_dict: if False, return a tuple.
            batch_size: the number of images; with several `class_labels`, it is theirs.
            latents: the initial noise (B, C, h, w); by default it is sampled.
            eta: the noise that DDIM adds in each step, in [0, 1]; other schedulers ignore it.
            callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step;
                tensors in the dict that it returns replace those of the call. Setting
                `run._interrupt = True` skips the remaining steps.
            callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
            check_memory: if False, don't refuse calls that certainly exceed the memory.
            adapters: the strengths of the attachments in this call; by default those of the
                pipeline.
            cancellation: ends the call when it is set, such as a `threading.Event`.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    @property
    def denoiser(self) -> Any:
        return self.transformer

    @property
    def class_count(self) -> int:
        """The number of classes; as a label, it stands for no class."""
        return int(self.transformer.config.num_embeds_ada_norm)

    def check_prompts(self) -> int:
        check_at_least_one("batch_size", self.call.batch_size)
        labels = self._numbers()
        check_labels(labels, self.transformer, self.class_count + 1)
        return rows_of(labels, self.call.batch_size)

    def _numbers(self) -> Any:
        return numbers_of(self.call.class_labels, self.labels)

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        return {}

    def latents_dtype(self, tensors: Tensors) -> torch.dtype:
        return self.transformer.dtype

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {"class_labels": tensors["class_labels"]}

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        predicted: Tensor = self.transformer(sample, timestep, return_dict=False, **inputs)[0]
        return predicted

    def denoise_latents(
        self,
        tensors: Tensors,
        schedule: Schedule,
        callbacks: StepCallbacks,
        extra_channels: Callable[[], Sequence[Tensor]] = tuple,
        keep: Callable[[int, Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        # Drawn labels come after the noise, which is therefore that of given ones.
        labels = labels_for(
            self._numbers(),
            len(tensors["latents"]),
            self.class_count,
            self.call.generator,
            self._execution_device,
        )
        assert labels is not None
        if self.do_classifier_free_guidance:
            labels = join_halves(labels, torch.full_like(labels, self.class_count))
        tensors["class_labels"] = labels
        return super().denoise_latents(tensors, schedule, callbacks, extra_channels, keep)
