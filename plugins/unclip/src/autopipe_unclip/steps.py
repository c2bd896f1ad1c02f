"""The steps that both pipelines share: components, checks, the stages, and the output."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.loop import Tensors
from autopipe.placement.room import check_room
from autopipe_components.embedding_prior import TEXT_TENSORS
from autopipe_components.image_processor import VaeImageProcessor
from autopipe_components.images.kinds import check_output_type
from autopipe_components.steps.callbacks import step_callbacks
from autopipe_components.steps.checks import (
    Prompt,
    check_at_least_one,
    check_components,
    check_generators,
    check_guidance,
    check_images_per_prompt,
    check_size,
)
from autopipe_components.steps.codec import in_dtype_of
from autopipe_components.steps.guidance import half_of
from autopipe_components.steps.text2image import check_latents
from autopipe_components.steps.timesteps import set_schedule
from autopipe_kandinsky.encoded_texts import EncodesTexts
from autopipe_kandinsky.methods import NoiseMethods

from .stages import Drawing, UnCLIPDecoder, UnCLIPUpscaler

Result: TypeAlias = "ImagePipelineOutput | tuple[Any]"

Size: TypeAlias = tuple[int, int]

_Stage = TypeVar("_Stage", bound=DiffusionPipeline)


@dataclass(frozen=True)
class Plan:
    """The checked arguments of a call.

    Attributes:
        rows: the number of images, B.
        decoder, upscaler: how these stages draw.
    """

    rows: int
    decoder: Drawing
    upscaler: Drawing


class UnCLIPSteps(NoiseMethods, EncodesTexts):
    """The components that both pipelines have, and the steps of their calls.

    A stage of its own draws each of embedding, small picture and picture; see `stages`.
    """

    model_cpu_offload_seq = "text_encoder->text_proj->decoder->super_res_first->super_res_last"
    _callback_tensor_inputs = UnCLIPDecoder._callback_tensor_inputs
    output_types: ClassVar[tuple[str, ...]] = ("pil", "np", "pt")

    decoder: Any
    text_proj: Any
    super_res_first: Any
    super_res_last: Any
    decoder_scheduler: Any
    super_res_scheduler: Any

    @classmethod
    def stage_classes(cls) -> tuple[type[DiffusionPipeline], ...]:
        """Return the classes of the pipelines that a call runs."""
        return UnCLIPDecoder, UnCLIPUpscaler

    @property
    def decoder_stage(self) -> UnCLIPDecoder:
        """The decoder as a pipeline with the current components, made on each access."""
        return self.as_stage(UnCLIPDecoder(self.decoder, self.decoder_scheduler))

    @property
    def upscaler_stage(self) -> UnCLIPUpscaler:
        """The super-resolution as a pipeline with the current components; see `decoder_stage`."""
        return self.as_stage(
            UnCLIPUpscaler(self.super_res_first, self.super_res_last, self.super_res_scheduler)
        )

    def as_stage(self, stage: _Stage) -> _Stage:
        """Return `stage`, which has components of this pipeline, after making it a stage of it."""
        stage.become_stage_of(self)
        return stage

    # Steps of a call, in order

    def plan(self, inputs: int) -> Plan:
        """Check the arguments that both pipelines have.

        Args:
            inputs: the number of prompts or images; B is that times `num_images_per_prompt`.

        Raises:
            ArgumentError: if an argument is not valid.
            ArgumentTypeError: if an argument has the wrong type.
            SchedulerError: if a scheduler doesn't take the number of steps.
        """
        call = self.call
        check_components(self, tuple(self.module_names()))
        check_images_per_prompt(call.num_images_per_prompt)
        check_output_type(call.output_type, self.output_types)
        rows = inputs * call.num_images_per_prompt
        check_generators(call.generator, rows)
        small, large = self.sizes()
        channels = self._channels()
        scale = self._decoder_guidance_scale
        check_guidance(scale)
        decoder = Drawing(
            (rows, channels, *small),
            _first_given(call.num_inference_steps, call.decoder_num_inference_steps),
            call.generator,
            _first_given(call.latents, call.decoder_latents),
            scale,
            self.guided and scale != 1,
            call.callback_on_step_end,
            call.callback_on_step_end_tensor_inputs,
        )
        upscaler = Drawing(
            (rows, channels, *large),
            call.super_res_num_inference_steps,
            call.generator,
            call.super_res_latents,
        )
        self.check_drawing("decoder_num_inference_steps", decoder, self.decoder_scheduler)
        self.check_drawing("super_res_num_inference_steps", upscaler, self.super_res_scheduler)
        step_callbacks(self.decoder_stage, decoder.callback_on_step_end, decoder.callback_inputs)
        if call.check_memory:
            networks = [(self.decoder, *small), (self.super_res_first, *large)]
            check_room(networks, rows, self._execution_device)
        return Plan(rows, decoder, upscaler)

    @property
    def guided(self) -> bool:
        """Whether a stage of the call is guided: then texts are encoded for both halves."""
        return bool(self._decoder_guidance_scale > 1)

    @property
    def _decoder_guidance_scale(self) -> Any:
        """The guidance scale of the decoder in the call."""
        return _first_given(self.call.guidance_scale, self.call.decoder_guidance_scale)

    def check_drawing(self, name: str, drawing: Drawing, scheduler: Any) -> None:
        """Check the initial noise and the number of steps, whose argument is `name`.

        Raises:
            ArgumentError, ArgumentTypeError, SchedulerError: if one is not valid.
        """
        check_at_least_one(name, drawing.num_inference_steps)
        set_schedule(scheduler, num_inference_steps=drawing.num_inference_steps)
        if drawing.latents is not None:
            check_latents(drawing.latents, drawing.shape)

    def sizes(self) -> tuple[Size, Size]:
        """Return the sizes of the small picture and of the picture, by default the trained ones.

        Raises:
            ArgumentError: if height or width can't be divided in the ratio of the trained sizes.
        """
        call = self.call
        small, large = (_sides(one) for one in (self.decoder, self.super_res_first))
        size = (call.height or large[0], call.width or large[1])
        check_size(*size, math.lcm(*(one // math.gcd(one, two) for one, two in zip(large, small))))
        found = tuple(one * part // whole for one, part, whole in zip(size, small, large))
        return (found[0], found[1]), size

    def _channels(self) -> int:
        """Return the number of channels of pictures.

        Raises:
            ArgumentError: if the networks don't agree about it.
        """
        count = int(self.decoder.config.in_channels)
        for network in (self.super_res_first, self.super_res_last):
            if network.config.in_channels != 2 * count:
                raise ArgumentError(
                    f"the decoder draws {count} channels, and a network of the super-resolution "
                    f"takes {network.config.in_channels}, not twice as many; load networks of one "
                    f"checkpoint"
                )
        return count

    def texts_of(self, prompts: list[str]) -> Tensors:
        """Return encoded `prompts`; if a stage is guided, with the empty text's half before."""
        encoded = self.in_halves(prompts, self.call.num_images_per_prompt, self.guided)
        return dict(zip(TEXT_TENSORS, encoded))

    def in_halves(self, prompt: Prompt, count: int, guided: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return pooled texts (N, P), states (N, K, D) and mask (N, K), each `count` times.

        If `guided`, those of the empty text come first, so that N is 2B.
        """
        texts = [prompt] if isinstance(prompt, str) else prompt
        return self.encode_texts([*[""] * len(texts), *texts] if guided else texts, count)

    def draw(self, embeddings: Tensor, texts: Tensors, plan: Plan) -> Result:
        """Draw pictures of the embeddings (B, D) of images, and of texts, and return the output."""
        # 1. Prepare the embeddings
        guided = plan.decoder.guided
        texts = texts if guided else half_of(texts, plan.rows, 1)
        given = {"image_embeddings": embeddings, **texts}
        mask = given.pop("text_mask")
        given = in_dtype_of(self.text_proj, given)
        states, time = self.text_proj(**given, do_classifier_free_guidance=guided)
        count = states.shape[1] - mask.shape[1]
        tensors = {
            "text_encoder_hidden_states": states,
            "additive_clip_time_embeddings": time,
            "text_mask": F.pad(mask, (count, 0), value=True),
        }

        # 2. Draw the small picture
        small = self.decoder_stage(tensors, plan.decoder)

        # 3. Enlarge it
        size = plan.upscaler.shape[2:]
        # There are no kernels for half precision everywhere.
        image = F.interpolate(small.float(), size=size, mode="bicubic", antialias=True)
        pixels = self.upscaler_stage(image, plan.upscaler)

        # 4. Convert it
        images = VaeImageProcessor().postprocess(pixels, self.call.output_type)
        return ImagePipelineOutput(images) if self.call.return_dict else (images,)


def _first_given(given: Any, own: Any) -> Any:
    """Return `given`, an argument of the task, or by default the decoder's own argument."""
    return own if given is None else given


def _sides(network: Any) -> Size:
    """Return the height and width with which a network was trained."""
    size = network.config.sample_size
    if size is None:
        raise ArgumentError(
            f"the config of a {type(network).__name__} has no sample_size, which is the size of "
            f"pictures; add it"
        )
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def check_one_of(name: str, value: Any, other: str, instead: Any) -> None:
    """Check that exactly one of two arguments is given.

    Raises:
        ArgumentTypeError: if neither is given.
        ArgumentError: if both are.
    """
    if value is None and instead is None:
        raise ArgumentTypeError(f"got neither {name} nor {other}; give one of them")
    if value is not None and instead is not None:
        raise ArgumentError(f"got both {name} and {other}; give one of them")


def check_embeddings(name: str, embeddings: Any, width: int) -> None:
    """Check that embeddings have the shape (batch, `width`).

    Raises:
        ArgumentError: if they have another shape.
    """
    if not isinstance(embeddings, torch.Tensor) or tuple(embeddings.shape[1:]) != (width,):
        found = tuple(getattr(embeddings, "shape", ())) or type(embeddings).__name__
        raise ArgumentError(f"{name} must be a tensor (batch, {width}), not {found}")
