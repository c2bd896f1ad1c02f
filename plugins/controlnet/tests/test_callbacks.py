"""Whatever the tasks with a ControlNet show to step callbacks, a callback may replace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from support.callbacks import assert_each_acts

import autopipe

from .conftest import SDXL, installed, picture

PREFIXES = {"stable_diffusion": "StableDiffusion", "sdxl": "StableDiffusionXL"}


@pytest.mark.parametrize("task", ["", "Img2Img", "Inpaint"])
@pytest.mark.parametrize("family", PREFIXES)
@pytest.mark.parametrize("several", [False, True])
def test_each_tensor_acts(
    family: str,
    task: str,
    several: bool,
    build: Callable[..., Any],
    unets: Callable[..., Any],
    controlnets: Callable[..., Any],
    prompt: Callable[..., dict[str, Any]],
) -> None:
    if not installed(family):
        pytest.skip(f"the family {family} is not installed")
    kind = getattr(autopipe, f"{PREFIXES[family]}ControlNet{task}Pipeline")
    extra: dict[str, Any] = SDXL if family == "sdxl" else {}
    mask = Image.new("L", (16, 16))
    mask.paste(255, (4, 4, 12, 16))
    control: Any = [picture(1), picture(2)] if several else picture(1)
    call: dict[str, Any] = {"control_image": control, "num_inference_steps": 3}
    call |= {"image": picture()} if task else {}
    call |= {"mask_image": mask} if task == "Inpaint" else {}
    components: dict[str, Any] = {}
    if task == "Inpaint":
        components["unet"] = unets(**extra, in_channels=9)
    if several:
        components["controlnet"] = [controlnets(**extra), controlnets(seed=3, **extra)]
    assert_each_acts(build(kind, **components), {**prompt(kind), **call, "output_type": "np"})
