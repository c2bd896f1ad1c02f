"""Base classes for families that denoise the latents of an autoencoder, and their tasks.

A family subclasses `LatentPipeline` and implements its hooks. Combined with a task it forms a
pipeline class, whose `__call__` has a signature, a docstring and one line:

    Result: TypeAlias = "ZooPipelineOutput | tuple[Any]"

    class ZooSteps(LatentPipeline[Result]): ...

    class ZooPipeline(ZooSteps, LatentText2Image[Result], Text2Image):
        @pipeline_call
        def __call__(self, prompt: str | None = None, ...) -> Result:
            return self.run_task()

The hooks of a family, in the order in which a call uses them (those marked * have no default):

    output_class *            the record that a call returns
    required_components       the components that every call needs
    check_prompts *           checks the prompts and returns their number
    check_conditioning        checks what depends on guidance, and arguments of the family's own
    size_multiple, rounds_size, ignores_partial_size, default_size    limits of height and width
    resizes_image             whether an initial image gets height and width of the call
    starts_pure, encodes_each, keeps_latents    how noise is added to an initial image
    denoiser_in_channels      input channels of the network, which tell whether it sees masks
    make_schedule             the timesteps
    trim_start                removes the timesteps that an initial image makes unnecessary
    image_to_pixels           the initial image, as a tensor
    encode_conditioning *     prompt and sizes as tensors
    codec                     maps pixels to latents and back
    adds_noise                whether noise is added to the initial image
    trim_end                  removes the last timesteps, which another model runs
    mask_channels             what a network that takes the mask gets of it (inpainting)
    negative_halves           halves of tensors that step callbacks may replace separately
    denoiser, denoiser_inputs, run_denoiser, apply_guidance, embed_guidance_scale,
    guidance_embedding_dim, do_classifier_free_guidance    the prediction; see `guided`
    pack, unpack, pack_mask, packed_shape    the form that latents have in the loop
    output_values             converts decoded pixels to the values of the record

`FlowPipeline`, `PackedLatents` and `WholeTokens` implement some of them: for networks that predict
the velocity of a flow, for those whose latents are tokens, and for those that make tokens of
latents by themselves. They precede `LatentPipeline` among the bases.

Programs with their own loop call further methods, with the names and signatures of diffusers; they
are in `starts` and `methods`. The tasks call them too, so a subclass may override `prepare_latents`
(except for inpainting), `get_timesteps` and `prepare_extra_step_kwargs`.

A task may have hooks of its own; `LatentBesideImage` has, for networks that see an image in every
step.

A condition such as ControlNet is a class that precedes the family's class among the bases and
overrides hooks; see `begin_call`, `prepare_batch` and `make_predictor`.
"""

from .beside_image import LatentBesideImage as LatentBesideImage
from .flow import FlowPipeline as FlowPipeline
from .image2image import LatentImage2Image as LatentImage2Image
from .inpaint import LatentInpaint as LatentInpaint
from .packed import PackedLatents as PackedLatents
from .packed import WholeTokens as WholeTokens
from .steps import LatentPipeline as LatentPipeline
from .text2image import LatentText2Image as LatentText2Image
