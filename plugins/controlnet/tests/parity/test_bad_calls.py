"""What diffusers refuses is refused by the same built-in exception."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from support.bad_calls import assert_same_kinds

import autopipe

from ..conftest import SDXL, installed, picture

pytestmark = pytest.mark.parity

KINDS = [
    (family, f"{prefix}ControlNet{task}Pipeline")
    for family, prefix in (("stable_diffusion", "StableDiffusion"), ("sdxl", "StableDiffusionXL"))
    for task in ("", "Img2Img", "Inpaint")
    if installed(family)
]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("family", "name"), KINDS)
def test_kinds_of_errors(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    controlnets: Callable[..., Any],
    prompt: Callable[..., dict[str, Any]],
    family: str,
    name: str,
    several: bool,
) -> None:
    kind = getattr(autopipe, name)
    mask = Image.new("L", (16, 16))
    mask.paste(255, (4, 4, 12, 16))
    extra: dict[str, Any] = SDXL if family == "sdxl" else {}
    control: Any = [picture(1), picture(2)] if several else picture(1)
    call: dict[str, Any] = {"num_inference_steps": 4}
    if "Img2Img" in name or "Inpaint" in name:
        call |= {"image": picture(), "control_image": control}
    else:
        call |= {"image": control}
    call |= {"mask_image": mask} if "Inpaint" in name else {}
    nets = [controlnets(**extra), controlnets(seed=3, **extra)]
    ours = build(kind, controlnet=nets if several else nets[0])
    assert_same_kinds(ours, reference(ours), {**prompt(kind), **call})
