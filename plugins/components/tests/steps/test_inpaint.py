from __future__ import annotations

import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe_components.steps.codec import PixelCodec
from autopipe_components.steps.inpaint import (
    Inpainting,
    mask_to_latents,
    network_sees_mask,
    start_inpainting,
)

PLACE = {"dtype": torch.float32, "device": "cpu"}


def image(count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 2 - 1


def left_half(count: int = 1) -> torch.Tensor:
    mask = torch.zeros(count, 1, 16, 16)
    mask[..., :8] = 1
    return mask


def start(codec, scheduler, **changes) -> Inpainting:
    arguments = {
        "image": image(),
        "mask": left_half(),
        "timestep": scheduler.timesteps[0],
        "strength": 1.0,
        "batch_size": 2,
        "in_channels": 4,
        "generator": torch.Generator().manual_seed(0),
        **PLACE,
        **changes,
    }
    return start_inpainting(codec, scheduler, **arguments)


def test_only_full_strength_starts_from_pure_noise(codec, scheduler):
    pure = start(codec, scheduler)
    assert torch.equal(pure.latents, pure.noise * scheduler.init_noise_sigma)
    mixed = start(codec, scheduler, strength=0.9999)
    expected = scheduler.add_noise(mixed.original, mixed.noise, scheduler.timesteps[:1])
    assert torch.equal(mixed.latents, expected)


def test_given_latents_are_the_noise_or_only_where_the_loop_starts(codec, scheduler):
    given = torch.full((2, 4, 4, 4), 2.0)
    noise = start(codec, scheduler, latents=given)
    assert torch.equal(noise.noise, given)
    kept = start(codec, scheduler, latents=given, keeps_latents=True)
    assert torch.equal(kept.latents, noise.latents)
    source = torch.Generator().manual_seed(0)
    # The noise of what is kept comes first, then that of encoding.
    assert torch.equal(kept.noise, torch.randn(2, 4, 4, 4, generator=source))
    assert not torch.equal(kept.original, noise.original)


def test_the_clean_image_can_start(codec, scheduler):
    found = start(codec, scheduler, noised=False)
    assert torch.equal(found.latents, found.original)


def test_outside_the_mask_the_original_is_kept(codec, scheduler):
    state = start(codec, scheduler)
    painted = torch.randn(2, 4, 4, 4)
    timesteps = scheduler.timesteps
    for index in range(len(timesteps)):
        kept = state.keep(scheduler, timesteps, index, painted)
        assert torch.equal(kept[..., :2], painted[..., :2])
        last = index == len(timesteps) - 1
        noised = (
            state.original
            if last
            else scheduler.add_noise(state.original, state.noise, timesteps[index + 1].view(1))
        )
        assert torch.equal(kept[..., 2:], noised[..., 2:])


def test_guidance_doubles_what_the_network_sees_and_not_what_is_kept(codec, scheduler):
    guided = start(codec, scheduler, in_channels=9, guided=True)
    assert [one.shape for one in guided.extra_channels()] == [(4, 1, 4, 4), (4, 4, 4, 4)]
    latents = torch.randn(2, 4, 4, 4)
    assert guided.keep(scheduler, scheduler.timesteps, 0, latents) is latents
    blended = start(codec, scheduler, guided=True)
    assert blended.extra_channels() == ()
    assert blended.keep(scheduler, scheduler.timesteps, 0, latents).shape == latents.shape


def test_a_network_that_sees_the_mask_gets_the_image_without_its_part(scheduler):
    codec = PixelCodec()
    state = start(codec, scheduler, in_channels=7, image=image())
    mask, masked = state.extra_channels()
    assert (masked[..., :8] == 0).all()
    assert torch.equal(masked[:1, :, :, 8:], image()[..., 8:])
    assert torch.equal(mask, left_half(2))


def test_masked_latents_of_the_caller_are_used(codec, scheduler):
    given = torch.rand(1, 4, 4, 4)
    state = start(codec, scheduler, in_channels=9, masked_image_latents=given)
    assert torch.equal(state.extra_channels()[1], given.repeat(2, 1, 1, 1))


def test_an_image_given_as_latents(codec, scheduler):
    latents = torch.rand(1, 4, 4, 4)
    state = start(codec, scheduler, image=latents)
    assert torch.equal(state.original[:1], latents)
    assert state.mask.shape == (2, 1, 4, 4)
    with pytest.raises(ArgumentError, match="give masked_image_latents"):
        start(codec, scheduler, image=latents, in_channels=9)


def test_networks_that_cannot_inpaint(codec, scheduler):
    assert not network_sees_mask(4, 4)
    assert network_sees_mask(9, 4)
    with pytest.raises(ArgumentError, match=r"4 or 9 input channels.*has 8"):
        start(codec, scheduler, in_channels=8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": image(3)}, "3 images can't be spread"),
        ({"mask": left_half(3)}, "3 masked images can't be spread"),
        ({"mask": left_half().repeat(1, 3, 1, 1)}, "3 channels"),
        ({"latents": torch.zeros(2, 4, 4, 3)}, r"\(2, 4, 4, 3\)"),
        ({"generator": [torch.Generator()]}, "1 generators for a batch of 2"),
    ],
)
def test_what_does_not_fit(codec, scheduler, changes, message):
    with pytest.raises(ArgumentError, match=message):
        start(codec, scheduler, **changes)


def test_masks_take_the_nearest_value():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 3:] = 1
    small = mask_to_latents(mask, (2, 2), batch_size=2, **PLACE)
    assert small[:, 0, 0].tolist() == [[0, 1], [0, 1]]
