"""Methods that programs call or override, and what the pipelines' own calls make of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import autopipe
from autopipe import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from autopipe.errors import ArgumentError, ArgumentTypeError

EMBEDS = torch.zeros(1, 12, 16)


def recording(kind: Any, names: list[str]) -> Any:
    """A subclass that notes which of its methods are called."""
    seen: list[str] = []

    def noted(name: str) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            return getattr(super(own, self), name)(*args, **kwargs)

        return method

    own = type("Own", (kind,), {name: noted(name) for name in names})
    own.seen = seen  # type: ignore[attr-defined]
    return own


def test_calls_go_through_methods_that_a_subclass_overrides(
    build: Callable[..., Any], task: Any
) -> None:
    names = ["encode_prompt", "prepare_extra_step_kwargs", "run_safety_checker"]
    if "mask_image" not in task.call:
        names.append("prepare_latents")
    if "image" in task.call:
        names.append("get_timesteps")
    kind = recording(task.kind, names)
    call = {**task.call, "num_inference_steps": 4}
    found = build(kind)(**call, generator=torch.Generator().manual_seed(0)).images
    assert sorted(kind.seen) == sorted(names)
    plain = build(task.kind)(**call, generator=torch.Generator().manual_seed(0)).images
    assert torch.equal(found, plain)


def test_what_a_subclass_returns_counts(build: Callable[..., Any], task: Any) -> None:
    """With the signatures of diffusers, in which the last arguments of ours are absent."""

    class FromNoise(StableDiffusionPipeline):
        def prepare_latents(
            self, batch_size, num_channels_latents, height, width, dtype, device, generator,
            latents=None,
        ):  # fmt: skip
            return torch.ones(batch_size, num_channels_latents, height // 2, width // 2)

    class FromImage(StableDiffusionImg2ImgPipeline):
        def prepare_latents(
            self, image, timestep, batch_size, num_images_per_prompt, dtype, device, generator=None
        ):  # fmt: skip
            return torch.ones(batch_size * num_images_per_prompt, 4, 8, 8)

        def get_timesteps(self, num_inference_steps, strength, device):
            timesteps, _ = super().get_timesteps(num_inference_steps, 0.4, device)
            return timesteps, len(timesteps)

    for kind in (FromNoise, FromImage):
        if not issubclass(kind, task.kind):
            continue
        call = {**task.call, "num_inference_steps": 5}
        pipe = build(kind)
        one, other = (
            pipe(**call, generator=torch.Generator().manual_seed(n)).images for n in (0, 1)
        )
        # Whatever is drawn, it isn't drawn from the generator's noise.
        assert torch.equal(one, other)


GOOD: dict[str, list[tuple[Any, ...]]] = {
    "StableDiffusionPipeline": [("a cat", 16, 16, 1), ("a cat", 16, 8, None, "a dog"),
                                (None, 16, 16, 1, None, EMBEDS, EMBEDS)],
    "StableDiffusionImg2ImgPipeline": [("a cat", 0.5, 1), (["a", "b"], 1, None, ["c", "d"])],
    "StableDiffusionInpaintPipeline": [("a cat", None, None, 16, 16, 1.0, 1, "pil")],
}  # fmt: skip
BAD: dict[str, list[tuple[Any, ...]]] = {
    "StableDiffusionPipeline": [(None, 16, 16, 1), ("a", 15, 16, 1), ("a", 16, "x", 1),
                                ("a", 16, 16, 0), (5, 16, 16, 1), ("a", 16, 16, 1, None, EMBEDS),
                                ("a", 16), ("a", 16, 16, 1, 5)],
    "StableDiffusionImg2ImgPipeline": [("a", 2, 1), ("a", "x", 1), (None, 0.5, 1)],
    "StableDiffusionInpaintPipeline": [("a", None, None, 15, 16, 1.0, 1, "pil"),
                                       ("a", None, None, 16, 16, -1, 1, "pil"), ("a",)],
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_check_inputs(build: Callable[..., Any], name: str) -> None:
    pipe = build(getattr(autopipe, name))
    for given in GOOD[name]:
        pipe.check_inputs(*given)
    for given in BAD[name]:
        with pytest.raises(ArgumentError):
            pipe.check_inputs(*given)
    with pytest.raises(ArgumentTypeError, match="promt"):
        pipe.check_inputs(*GOOD[name][0], promt="a")
    names = {"callback_on_step_end_tensor_inputs": ["latent"]}
    with pytest.raises(ArgumentError, match="latent"):
        pipe.check_inputs(*GOOD[name][0], **names)
    for image in ("ip_adapter_image", "ip_adapter_image_embeds"):
        with pytest.raises(ArgumentError, match="IP-Adapter"):
            pipe.check_inputs(*GOOD[name][0], **{image: EMBEDS})


def test_starts_that_lack_something_are_refused(build: Callable[..., Any]) -> None:
    pipe = build(StableDiffusionInpaintPipeline)
    place = (torch.float32, "cpu", None)
    with pytest.raises(ArgumentError, match="image= and timestep="):
        pipe.prepare_latents(1, 4, 16, 16, *place, is_strength_max=False)
    with pytest.raises(ArgumentError, match="image="):
        pipe.prepare_latents(1, 4, 16, 16, *place, return_image_latents=True)
    with pytest.raises(ArgumentError, match="masks can't be spread"):
        pipe.prepare_mask_latents(torch.ones(3, 1, 16, 16), None, 4, 16, 16, *place, True)
    small, masked = pipe.prepare_mask_latents(
        torch.ones(1, 1, 16, 16), None, 2, 16, 16, *place, True
    )
    assert small.shape == (4, 1, 8, 8)
    assert masked is None
    with pytest.raises(ArgumentError, match="image encoder"):
        pipe.encode_image(None, "cpu", 1)


def test_pictures_of_latents(build: Callable[..., Any]) -> None:
    pipe = build(StableDiffusionPipeline)
    found = pipe.decode_latents(torch.zeros(2, 4, 8, 8))
    assert found.shape == (2, 16, 16, 3)
    assert 0 <= found.min() <= found.max() <= 1
