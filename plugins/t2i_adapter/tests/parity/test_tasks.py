"""The pipelines of both families with adapters against the reference, seed for seed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import autopipe
from autopipe import MultiAdapter

from ..conftest import LIGHT, XL_ADAPTER, installed, picture

pytestmark = pytest.mark.parity

FAMILIES = {"stable_diffusion": "StableDiffusion", "sdxl": "StableDiffusionXL"}

Compare = Callable[..., np.ndarray]


def grey(seed: int = 1) -> Image.Image:
    return picture(seed).convert("L")


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)[None]


class Kind:
    """A family: its class, and the config of its adapters."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.cls: Any = getattr(autopipe, f"{FAMILIES[family]}AdapterPipeline")
        self.config = XL_ADAPTER if family == "sdxl" else {}


@pytest.fixture(params=FAMILIES)
def kind(request: pytest.FixtureRequest) -> Kind:
    if not installed(request.param):
        pytest.skip(f"the family {request.param} is not installed")
    return Kind(request.param)


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"adapter_conditioning_scale": 0.0},
        {"adapter_conditioning_scale": 1.7},
        {"guidance_scale": 1.0},
        {"num_images_per_prompt": 2, "seed": [3, 4]},
        {"output_type": "latent"},
        {"eta": 0.5},
        {"height": 24, "width": 32},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_calls(compare: Compare, kind: Kind, call: dict[str, Any]) -> None:
    compare(kind.cls, image=picture(1, 16, 32) if "height" in call else picture(1), **call)


def test_the_picture_changes_the_image(compare: Compare, kind: Kind) -> None:
    """What the comparisons compare is not all the same picture."""
    plain = compare(kind.cls, image=picture(1))
    for call in ({"adapter_conditioning_scale": 0.0}, {"image": picture(2)}):
        changed = compare(kind.cls, **{"image": picture(1), **call})
        # Ten times what a comparison allows.
        assert np.abs(changed - plain).max() > 1e-3, call


def test_each_prompt_has_its_picture(compare: Compare, kind: Kind) -> None:
    compare(kind.cls, image=[picture(1), picture(2)], prompts=2, seed=[5, 6])


@pytest.mark.parametrize("form", ["pil", "tensor", "tensors", "list"])
def test_forms(compare: Compare, kind: Kind, form: str) -> None:
    given, one = picture(1), tensor(picture(1))
    forms = {"pil": given, "tensor": one, "tensors": [one[0]], "list": [given]}
    compare(kind.cls, image=forms[form])


def test_grey_pictures(compare: Compare, kind: Kind, nets: Any) -> None:
    single = {"adapter": nets(**kind.config, in_channels=1)}
    compare(kind.cls, components=single, image=grey())


def test_sizes_of_pictures(compare: Compare, kind: Kind) -> None:
    """A picture of another size is resized to that of the call, which is its own rounded down."""
    compare(kind.cls, image=picture(1, 50, 31), height=24, width=16)
    compare(kind.cls, image=picture(1, 24, 32))


@pytest.mark.parametrize("scales", [[0.5, 1.2], [1.0, 0.0], [0.3, 0.3]])
def test_two_adapters(compare: Compare, kind: Kind, nets: Any, scales: list[float]) -> None:
    several = {"adapter": MultiAdapter([nets(seed=n, **kind.config) for n in (2, 3)])}
    pictures = [picture(1), picture(2)]
    compare(kind.cls, components=several, image=pictures, adapter_conditioning_scale=scales)


def test_a_light_adapter(compare: Compare, nets: Any) -> None:
    kind = Kind("stable_diffusion")
    compare(kind.cls, components={"adapter": nets(**LIGHT)}, image=picture(1))


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("end", [None, 0.6])
def test_the_first_steps(compare: Compare, factor: float, end: float | None) -> None:
    call = {"adapter_conditioning_factor": factor, "denoising_end": end}
    compare(Kind("sdxl").cls, image=picture(1), num_inference_steps=5, **call)


@pytest.mark.parametrize("name", ["PNDMScheduler", "EulerDiscreteScheduler", "DDPMScheduler"])
def test_schedulers(compare: Compare, name: str) -> None:
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    given = {"scheduler": getattr(autopipe, name)(**betas)}
    compare(Kind("stable_diffusion").cls, components=given, image=picture(1), num_inference_steps=5)


@pytest.mark.parametrize("count", [1, 3])
def test_checkpoints_of_both_libraries(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    prompt: Callable[..., dict[str, Any]],
    kind: Kind,
    nets: Any,
    tmp_path: Path,
    count: int,
) -> None:
    """A folder of either draws the same in both."""
    import diffusers

    parts = [nets(seed=n, **kind.config) for n in range(count)]
    ours = build(kind.cls, adapter=parts[0] if count == 1 else MultiAdapter(parts))
    absent = {n: None for n in ours.module_names() if getattr(ours, n) is None}
    call: dict[str, Any] = {"num_inference_steps": 2, "output_type": "np", **prompt(kind.cls)}
    call["image"] = picture(1) if count == 1 else [picture(n) for n in range(count)]
    call["adapter_conditioning_scale"] = 0.8 if count == 1 else [0.8] * count

    def draw(pipe: Any) -> np.ndarray:
        pipe.set_progress_bar_config(disable=True)
        return pipe(generator=torch.Generator().manual_seed(0), **copy.deepcopy(call)).images

    expected = draw(ours)
    ours.save_pretrained(tmp_path / "ours")
    theirs = getattr(diffusers, kind.cls.__name__).from_pretrained(tmp_path / "ours", **absent)
    # float32 rounding, summed in another order, over two steps
    assert np.abs(draw(theirs) - expected).max() < 1e-4
    reference(ours).save_pretrained(str(tmp_path / "theirs"))
    back = kind.cls.from_pretrained(tmp_path / "theirs", **absent)
    assert len(back.adapter.parts if count > 1 else [1]) == count
    assert np.abs(draw(back) - expected).max() < 1e-6
