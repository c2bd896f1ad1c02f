"""The Auto classes, `from_pipe`, saving, and the mappings."""

import sys
import tempfile

import numpy as np
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    HeunDiscreteScheduler,
)
from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

model_id, out = sys.argv[1:]
pipe = AutoPipelineForText2Image.from_pretrained(model_id)
assert type(pipe) in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()
pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
pipe.set_progress_bar_config(disable=True)
first = pipe("a cyan triangle", num_inference_steps=3, generator=torch.manual_seed(14)).images[0]
second = AutoPipelineForImage2Image.from_pipe(pipe)(
    "a red triangle", image=first, strength=0.7, num_inference_steps=4,
    generator=torch.manual_seed(15), output_type="np",
).images  # fmt: skip
third = AutoPipelineForInpainting.from_pipe(pipe)
assert third.unet is pipe.unet
folder = tempfile.mkdtemp()
pipe.save_pretrained(folder, safe_serialization=True)
again = DiffusionPipeline.from_pretrained(folder)
again.set_progress_bar_config(disable=True)
assert type(again.scheduler) is HeunDiscreteScheduler
fourth = again("a cyan triangle", num_inference_steps=3, generator=torch.manual_seed(14)).images[0]
np.savez(
    out, first=np.asarray(first) / 255, second=second, fourth=np.asarray(fourth) / 255
)  # fmt: skip
