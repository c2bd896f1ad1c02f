"""A safety checker of its own kind, and `from_config`, `load_config` and versions."""

import importlib.metadata
import sys

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline, EulerDiscreteScheduler
from diffusers.configuration_utils import FrozenDict
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from diffusers.schedulers import KarrasDiffusionSchedulers
from diffusers.schedulers.scheduling_utils import SCHEDULER_CONFIG_NAME, SchedulerMixin
from diffusers.utils import check_min_version, is_accelerate_available
from diffusers.utils.import_utils import is_xformers_available
from packaging import version

check_min_version("0.30.0")
assert version.parse(diffusers.__version__) >= version.parse("0.30.0")
assert importlib.metadata.version("diffusers") == diffusers.__version__
assert is_accelerate_available() and not is_xformers_available()

model_id, out = sys.argv[1:]
assert SCHEDULER_CONFIG_NAME == "scheduler_config.json"
scheduler = EulerDiscreteScheduler.from_pretrained(model_id, subfolder="scheduler")
assert isinstance(scheduler, SchedulerMixin) and isinstance(scheduler.config, FrozenDict)
assert type(scheduler).__name__ in [one.name for one in KarrasDiffusionSchedulers]
pipe = DiffusionPipeline.from_pretrained(model_id, scheduler=scheduler)
assert pipe.safety_checker is None or isinstance(pipe.safety_checker, StableDiffusionSafetyChecker)
pipe.safety_checker = None


def dummy(images, **kwargs):
    return images, [False] * len(images)


image = pipe(
    "a yellow star", num_inference_steps=4, generator=torch.manual_seed(8), output_type="np"
)
assert image.nsfw_content_detected is None
np.savez(out, images=image.images)
