"""Methods that programs with a loop of their own call give what those of diffusers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.pictures import mask, picture

import autopipe

pytestmark = pytest.mark.parity

PLACE = (torch.float32, "cpu")


def seed() -> torch.Generator:
    return torch.Generator().manual_seed(4)


@pytest.fixture
def both(build: Callable[..., Any], reference: Callable[[Any], Any]) -> Callable[[str], Any]:
    def pipes(name: str) -> tuple[Any, Any]:
        ours = build(getattr(autopipe, name))
        found = ours, reference(ours)
        for pipe in found:
            pipe.scheduler.set_timesteps(6)
        return found

    return pipes


def assert_same(pipes: Any, method: str, *args: Any, **kwargs: Any) -> None:
    fresh = [[seed() if isinstance(one, torch.Generator) else one for one in args] for _ in pipes]
    one, other = (getattr(p, method)(*a, **kwargs) for p, a in zip(pipes, fresh))
    if isinstance(one, torch.Tensor):
        one, other = (one,), (other,)
    for found, expected in zip(one, other, strict=True):
        if isinstance(found, torch.Tensor):
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
        else:
            assert found == expected


def test_starts(both: Callable[[str], Any]) -> None:
    for name in ("IFPipeline", "IFSuperResolutionPipeline"):
        assert_same(both(name), "prepare_intermediate_images", 2, 3, 16, 24, *PLACE, seed())
    image = torch.rand(2, 3, 16, 16, generator=seed()) * 2 - 1
    first = torch.tensor([500])
    marked = (torch.rand(4, 1, 16, 16, generator=seed()) > 0.5).float()
    for name in ("IFImg2ImgPipeline", "IFImg2ImgSuperResolutionPipeline"):
        given = (image, first.repeat(4), 2, 2, *PLACE, seed())
        assert_same(both(name), "prepare_intermediate_images", *given)
    for name in ("IFInpaintingPipeline", "IFInpaintingSuperResolutionPipeline"):
        given = (image, first.repeat(4), 2, 2, *PLACE, marked, seed())
        assert_same(both(name), "prepare_intermediate_images", *given)


@pytest.mark.parametrize(
    "name", ["IFImg2ImgPipeline", "IFInpaintingPipeline", "IFImg2ImgSuperResolutionPipeline"]
)
def test_timesteps(both: Callable[[str], Any], name: str) -> None:
    for strength in (1.0, 0.7, 0.2):
        assert_same(both(name), "get_timesteps", 6, strength)


def test_pictures(both: Callable[[str], Any]) -> None:
    tensors = [torch.rand(3, 16, 16, generator=seed()) for _ in range(2)]
    arrays = [one.permute(1, 2, 0).numpy() for one in tensors]
    for image in (picture(), [picture(), picture()], torch.stack(tensors), tensors, arrays):
        for name in ("IFImg2ImgPipeline", "IFInpaintingPipeline"):
            if isinstance(image, list) or not isinstance(image, torch.Tensor):
                assert_same(both(name), "preprocess_image", image)
        for name in ("IFSuperResolutionPipeline", "IFInpaintingSuperResolutionPipeline"):
            assert_same(both(name), "preprocess_image", image, 2, "cpu")
    for name in ("IFImg2ImgSuperResolutionPipeline", "IFInpaintingSuperResolutionPipeline"):
        assert_same(both(name), "preprocess_original_image", picture())
    for name in ("IFInpaintingPipeline", "IFInpaintingSuperResolutionPipeline"):
        for marked in (mask(), [mask(), mask()]):
            assert_same(both(name), "preprocess_mask_image", marked)


def test_captions(both: Callable[[str], Any]) -> None:
    for text in ("  A Cat ", ["A", " b "], ("A",)):
        assert_same(both("IFPipeline"), "_text_preprocessing", text)


def test_steps(both: Callable[[str], Any]) -> None:
    ours, theirs = both("IFPipeline")
    generator = seed()
    for scheduler in ("DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler"):
        for pipe in (ours, theirs):
            module = autopipe if pipe is ours else pytest.importorskip("diffusers")
            pipe.scheduler = getattr(module, scheduler)()
        one, other = (p.prepare_extra_step_kwargs(generator, 0.3) for p in (ours, theirs))
        assert one == other


CHECKED: dict[str, tuple[list[Any], list[list[Any]]]] = {
    "IFPipeline": (["a", 1], [[None, 1], ["a", 0], [5, 1]]),
    "IFImg2ImgPipeline": (
        ["a", picture(), 1, 1], [["a", None, 1, 1], ["a", [picture()] * 3, 2, 1]]
    ),
    "IFInpaintingPipeline": (["a", picture(), mask(), 1, 1], [["a", picture(), 5, 1, 1]]),
    "IFSuperResolutionPipeline": (["a", picture(), 1, 5, 1], [["a", "x", 1, 5, 1]]),
    "IFImg2ImgSuperResolutionPipeline": (
        ["a", picture(), picture(), 1, 1], [["a", picture(), None, 1, 1]]
    ),
    "IFInpaintingSuperResolutionPipeline": (
        ["a", picture(), picture(), mask(), 1, 1], [["a", picture(), picture(), [], 1, 1]]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHECKED)
def test_check_inputs(both: Callable[[str], Any], name: str) -> None:
    good, bad = CHECKED[name]
    for pipe in both(name):
        pipe.check_inputs(*good)
        for given in bad:
            # An empty list is an IndexError there.
            with pytest.raises((ValueError, IndexError)):
                pipe.check_inputs(*given)
