"""A custom pipeline of a folder, whose file imports another one beside it."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline

model_id, out = sys.argv[1:]
folder = Path(tempfile.mkdtemp()) / "mirrored"
folder.mkdir()
(folder / "pipeline.py").write_text(
    """
import torch
from diffusers import StableDiffusionPipeline
from diffusers.loaders import StableDiffusionLoraLoaderMixin, TextualInversionLoaderMixin
from diffusers.utils import logging
from diffusers.utils.torch_utils import randn_tensor

from .helper import mirrored

logger = logging.get_logger(__name__)


class MirroredPipeline(StableDiffusionPipeline):
    def prepare_latents(self, *args, **kwargs):
        latents = super().prepare_latents(*args, **kwargs)
        assert isinstance(self, TextualInversionLoaderMixin)
        return mirrored(latents)
"""
)
(folder / "helper.py").write_text(
    """
import torch


def mirrored(latents):
    half = latents.shape[-1] // 2
    return torch.cat([latents[..., :half], latents[..., :half].flip(-1)], dim=-1)
"""
)
pipe = DiffusionPipeline.from_pretrained(
    model_id, custom_pipeline=str(folder), trust_remote_code=True, safety_checker=None
)
pipe.set_progress_bar_config(disable=True)
assert type(pipe).__name__ == "MirroredPipeline"
images = pipe(
    "a red circle", num_inference_steps=4, generator=torch.manual_seed(25), output_type="np"
).images
np.savez(out, images=images)
