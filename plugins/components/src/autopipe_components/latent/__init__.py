"""Families that denoise the latents of an autoencoder, and their tasks, each written once.

A family subclasses `LatentPipeline` and says what is its own; with a task it makes a class, whose
`__call__` is the signature, the docstring and `return self._draw()`:

    class ZooSteps(LatentPipeline): ...

    class ZooPipeline(ZooSteps, LatentText2Image):
        @pipeline_call
        def __call__(self, prompt=None, ...):
            return self._draw()

What is asked of a family, in the order of a call (those marked * have no default):

    _output *             the record that a call returns
    _check_prompts *      checks of prompts, and how many there are
    _check_conditions     checks of what depends on guidance, or is the family's own
    _size_multiple, _sizes_together, _default_size   limits of height and width
    _in_channels          what the network takes, and so whether it sees masks
    _lay_out, _tail, _until_end   the schedule, what an image leaves of it, where it ends
    _pixels_of            the image to start from
    _conditioning *       prompt and sizes as tensors
    _codec                pixels to latents and back
    _adds_noise           whether an image starts with noise on it
    _network, _network_inputs, _predict_noise, _embed_guidance_scale, _guidance_width,
    do_classifier_free_guidance   the prediction; see `guided`
    _pictures             from decoded pixels to the values of the record
    _halves               what callbacks may replace by itself of what the network gets

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
