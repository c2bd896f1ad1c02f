"""Families that denoise the latents of an autoencoder, and their tasks, each written once.

A family subclasses `LatentPipeline` and says what is its own; with a task it makes a class, whose
`__call__` is the signature, the docstring and `return self.run_task()`:

    class ZooSteps(LatentPipeline): ...

    class ZooPipeline(ZooSteps, LatentText2Image):
        @pipeline_call
        def __call__(self, prompt=None, ...):
            return self.run_task()

What is asked of a family, in the order of a call (those marked * have no default):

    output_class *             the record that a call returns
    check_prompts *      checks of prompts, and how many there are
    check_conditioning     checks of what depends on guidance, or is the family's own
    size_multiple, ignores_partial_size, default_size   limits of height and width
    denoiser_in_channels          what the network takes, and so whether it sees masks
    make_schedule, trim_start, trim_end   the schedule, what an image leaves of it, where it ends
    image_to_pixels            the image to start from
    encode_conditioning *       prompt and sizes as tensors
    codec                pixels to latents and back
    adds_noise           whether an image starts with noise on it
    denoiser, denoiser_inputs, run_denoiser, embed_guidance_scale, guidance_embedding_dim,
    do_classifier_free_guidance   the prediction; see `guided`
    output_values             from decoded pixels to the values of the record
    negative_halves               what callbacks may replace by itself of what the network gets

The steps that programs with a loop of their own call have the names of diffusers, in `starts` and
`methods`. The tasks take them too, so a subclass may override `prepare_latents` (not of
inpainting), `get_timesteps` and `prepare_extra_step_kwargs`.

A condition such as ControlNet is a class before the family's in the bases, which overrides some
of these.
"""

from .image2image import LatentImage2Image as LatentImage2Image
from .inpaint import LatentInpaint as LatentInpaint
from .steps import LatentPipeline as LatentPipeline
from .text2image import LatentText2Image as LatentText2Image
