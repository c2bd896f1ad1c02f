"""The add-on in all tasks: what it changes, what it refuses, and that nothing else changes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

import autopipe
from autopipe import MultiAdapter
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_t2i_adapter.addon import T2IAdapters

from .conftest import XL_ADAPTER, installed, needs, picture

TASKS = {"Pipeline": {}, "Img2ImgPipeline": {"strength": 0.8}, "InpaintPipeline": {"strength": 1.0}}
FAMILIES = [
    pytest.param("StableDiffusion", marks=needs("stable_diffusion")),
    pytest.param("StableDiffusionXL", marks=needs("sdxl")),
]
needs_sd = needs("stable_diffusion")


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def adapters(nets: Any, family: str) -> Callable[..., Any]:
    config = XL_ADAPTER if family.endswith("XL") else {}
    return lambda seed=2, **changes: nets(seed=seed, **config, **changes)


def plain(build: Callable[..., Any], family: str, task: str = "Pipeline") -> Any:
    return build(getattr(autopipe, family + task))


def test_it_does_what_the_pipeline_class_does(
    build: Callable[..., Any], draw: Any, family: str, adapters: Any
) -> None:
    pipe, own = plain(build, family), build(getattr(autopipe, f"{family}AdapterPipeline"))
    pipe.attach("t2i_adapter", own.adapter)
    call = {"height": 16, "width": 16, "adapter_conditioning_scale": 0.6}
    found = draw(pipe, adapter_image=picture(1), **call)
    assert np.array_equal(found, draw(own, image=picture(1), **call))
    assert np.array_equal(found, draw(own, adapter_image=picture(1), **call))


@pytest.mark.parametrize("task", TASKS)
def test_every_task_follows_the_picture(
    build: Callable[..., Any], draw: Any, family: str, adapters: Any, task: str
) -> None:
    pipe, call = plain(build, family, task), TASKS[task]
    before = draw(pipe, **call)
    pipe.attach("t2i_adapter", adapters())
    one, other = (draw(pipe, adapter_image=picture(n), **call) for n in (1, 2))
    assert np.abs(one - before).max() > 1e-3
    assert np.abs(one - other).max() > 1e-3
    # Off in this call, and gone: bitwise as before.
    assert np.array_equal(draw(pipe, adapters={}, **call), before)
    pipe.detach("t2i_adapter")
    assert np.array_equal(draw(pipe, **call), before)


@needs_sd
@pytest.mark.parametrize("task", TASKS)
def test_it_goes_with_a_controlnet(
    build: Callable[..., Any], draw: Any, nets: Any, unets: Any, task: str
) -> None:
    if not installed("controlnet"):
        pytest.skip("autopipe-controlnet is not installed")
    control = autopipe.ControlNetModel.from_unet(
        unets(), conditioning_embedding_out_channels=(4, 8)
    )
    with torch.no_grad():
        for parameter in control.controlnet_mid_block.parameters():
            parameter.fill_(0.1)
    pipe = build(getattr(autopipe, f"StableDiffusionControlNet{task}"), controlnet=control)
    given = {"control_image": picture(3), **TASKS[task]}
    alone = draw(pipe, **given)
    pipe.attach("t2i_adapter", nets())
    both = draw(pipe, adapter_image=picture(1), **given)
    without = draw(pipe, adapter_image=picture(1), **given, controlnet_conditioning_scale=0.0)
    assert np.abs(both - alone).max() > 1e-3
    assert np.abs(both - without).max() > 1e-3


@needs_sd
def test_the_strength_is_a_factor_and_belongs_to_the_view(
    build: Callable[..., Any], draw: Any, nets: Any
) -> None:
    pipe = plain(build, "StableDiffusion")
    pipe.attach("t2i_adapter", nets(), strength=0.5)
    half = draw(pipe, adapter_image=picture(1))
    again = draw(
        pipe, adapter_image=picture(1), adapters={"t2i_adapter": 1}, adapter_conditioning_scale=0.5
    )
    assert np.array_equal(half, again)
    # A factor of two on both sides is exact.
    quarter = draw(pipe, adapter_image=picture(1), adapter_conditioning_scale=0.5)
    assert np.array_equal(
        quarter, draw(pipe, adapter_image=picture(1), adapters={"t2i_adapter": 0.25})
    )


@needs_sd
def test_several_are_added(build: Callable[..., Any], draw: Any, nets: Any) -> None:
    pipe = plain(build, "StableDiffusion")
    pipe.attach("t2i_adapter", [nets(), nets(seed=3)])
    assert isinstance(pipe.attached(T2IAdapters)["t2i_adapter"].weights, MultiAdapter)
    pictures = [picture(1), picture(2)]
    first = draw(pipe, adapter_image=pictures, adapter_conditioning_scale=[0.7, 0.0])
    pipe.detach("t2i_adapter")
    pipe.attach("t2i_adapter", nets())
    alone = draw(pipe, adapter_image=picture(1), adapter_conditioning_scale=0.7)
    # Adding zeros is exact.
    assert np.array_equal(first, alone)


@needs_sd
def test_each_prompt_has_its_picture(build: Callable[..., Any], draw: Any, nets: Any) -> None:
    """Also with several images of each prompt, whose rows lie side by side."""
    pipe = plain(build, "StableDiffusion")
    pipe.attach("t2i_adapter", nets())
    latents = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    call = {"latents": latents, "num_images_per_prompt": 2, "prompts": 2}
    both = draw(pipe, adapter_image=[picture(1), picture(2)], **call)
    first, second = (draw(pipe, adapter_image=picture(n), **call) for n in (1, 2))
    # One picture for all is the same rows; float32 rounding of batches of other sizes.
    assert np.abs(both[:2] - first[:2]).max() < 1e-5
    assert np.abs(both[2:] - second[2:]).max() < 1e-5
    assert np.abs(first[2:] - second[2:]).max() > 1e-3


@needs_sd
def test_the_factor_ends_it_after_some_steps(
    build: Callable[..., Any], draw: Any, nets: Any
) -> None:
    pipe = plain(build, "StableDiffusion")
    before = draw(pipe)
    pipe.attach("t2i_adapter", nets())
    given = {"adapter_image": picture(1)}
    assert np.array_equal(draw(pipe, **given, adapter_conditioning_factor=0.0), before)
    # Of three steps: none, one, and all.
    assert np.array_equal(draw(pipe, **given, adapter_conditioning_factor=0.3), before)
    some = draw(pipe, **given, adapter_conditioning_factor=0.34)
    whole = draw(pipe, **given, adapter_conditioning_factor=1.0)
    assert np.array_equal(whole, draw(pipe, **given))
    assert np.abs(some - whole).max() > 1e-4
    assert np.abs(some - before).max() > 1e-4


@needs_sd
def test_grey_and_colour(build: Callable[..., Any], draw: Any, nets: Any) -> None:
    """A picture is converted to what the adapter reads."""
    pipe = plain(build, "StableDiffusion")
    pipe.attach("t2i_adapter", nets(in_channels=1))
    colour = picture(1)
    found = draw(pipe, adapter_image=colour)
    assert np.array_equal(found, draw(pipe, adapter_image=colour.convert("L")))
    pipe.detach("t2i_adapter")
    pipe.attach("t2i_adapter", nets())
    grey = colour.convert("L")
    found = draw(pipe, adapter_image=grey)
    assert np.array_equal(found, draw(pipe, adapter_image=grey.convert("RGB")))


def test_a_size_that_the_adapter_does_not_divide(
    build: Callable[..., Any], draw: Any, family: str, adapters: Any
) -> None:
    pipe = plain(build, family, "Img2ImgPipeline")
    before = draw(pipe, image=picture(9, 22, 18), strength=0.8)
    pipe.attach("t2i_adapter", adapters())
    found = draw(pipe, image=picture(9, 22, 18), strength=0.8, adapter_image=picture(1))
    assert found.shape == before.shape == (1, 18, 22, 3)
    assert np.abs(found - before).max() > 1e-3


@needs_sd
def test_eight_threads_draw_what_eight_calls_draw(
    build: Callable[..., Any], draw: Any, nets: Any
) -> None:
    pipe = plain(build, "StableDiffusion")
    pipe.attach("t2i_adapter", nets())

    def one(n: int) -> np.ndarray:
        scale = {"adapter_conditioning_scale": 0.2 * n}
        return draw(pipe, seed=n, adapter_image=picture(n), **scale)

    expected = [one(n) for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(one, range(8)))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected))


@needs_sd
@pytest.mark.parametrize("way", ["copy", "pickle", "view"])
def test_copies_keep_it(build: Callable[..., Any], draw: Any, nets: Any, way: str) -> None:
    pipe = plain(build, "StableDiffusion")
    pipe.attach("t2i_adapter", nets())
    expected = draw(pipe, adapter_image=picture(1))
    if way == "view":
        other = pipe.with_scheduler(pipe.scheduler) if hasattr(pipe, "with_scheduler") else pipe
    else:
        other = copy.deepcopy(pipe) if way == "copy" else pickle.loads(pickle.dumps(pipe))
    other.set_progress_bar_config(disable=True)
    assert np.array_equal(draw(other, adapter_image=picture(1)), expected)


@needs_sd
@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        ({}, ArgumentError, "give adapter_image"),
        ({"adapter_image": "x.png"}, ArgumentTypeError, "load_image"),
        ({"adapter_image": torch.rand(1, 2, 16, 16)}, ArgumentError, "2 channels"),
        ({"adapter_image": [picture(1)] * 3}, ArgumentError, "3 adapter_images for 1 prompts"),
        ({"adapter_conditioning_scale": [1.0]}, ArgumentTypeError, "for several adapters"),
        ({"adapter_conditioning_scale": "much"}, ArgumentTypeError, "adapter_conditioning_scale"),
        ({"adapter_conditioning_factor": 1.5}, ArgumentError, "from 0 to 1"),
    ],
    ids=str,
)
def test_bad_calls(
    build: Callable[..., Any],
    draw: Any,
    nets: Any,
    call: dict[str, Any],
    error: type[Exception],
    told: str,
) -> None:
    pipe = plain(build, "StableDiffusion")
    pipe.attach("t2i_adapter", nets())
    given = call if not call or "adapter_image" in call else {"adapter_image": picture(1), **call}
    with pytest.raises(error, match=told):
        draw(pipe, **given)


@needs_sd
def test_what_can_not_be_attached(build: Callable[..., Any], nets: Any) -> None:
    pipe = plain(build, "StableDiffusion")
    with pytest.raises(ArgumentError, match="another kind of checkpoint"):
        pipe.attach("t2i_adapter", nets(**XL_ADAPTER))
    with pytest.raises(ArgumentError, match="another kind of checkpoint"):
        pipe.attach("t2i_adapter", nets(channels=(16, 16, 32)))
    with pytest.raises(ArgumentTypeError, match="T2IAdapter"):
        pipe.attach("t2i_adapter", pipe.unet)
    with pytest.raises(ArgumentError, match="pixels per cell"):
        pipe.attach("t2i_adapter", [nets(), nets(**XL_ADAPTER)])
    assert not pipe.attachments
    pipe.attach("t2i_adapter", nets())
    with pytest.raises(ArgumentError, match="has T2I-Adapters already"):
        pipe.attach("t2i_adapter", nets(seed=3), name="second")
    own = build(autopipe.StableDiffusionAdapterPipeline)
    with pytest.raises(ArgumentError, match="has T2I-Adapters already"):
        own.attach("t2i_adapter", nets(), name="second")
