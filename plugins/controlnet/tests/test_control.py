"""What a call asks of its ControlNets: forms, limits, and which steps are steered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autopipe import ControlNetModel, MultiControlNetModel, VaeImageProcessor
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_controlnet.control import (
    Control,
    check_fits,
    check_one_scale,
    images_for,
    joined,
    make_control,
    prepare_images,
)

from .conftest import SDXL, picture

Make = Callable[..., ControlNetModel]


@given(
    steps=st.integers(1, 60),
    window=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
)
def test_a_step_is_steered_if_all_of_it_is_within_the_window(
    steps: int, window: list[float]
) -> None:
    start, end = window
    control = Control(scales=(0.7,), starts=(start,), ends=(end,), guess=False)
    for step in range(steps):
        inside = start <= step / steps and (step + 1) / steps <= end
        assert control.scales_at(step, steps) == [0.7 if inside else 0.0]


def test_numbers_count_for_all_and_lists_for_each(controlnets: Make) -> None:
    nets = [controlnets(seed=n) for n in (2, 3)]
    control = make_control(nets, 1, [0.0, 0.5], 1.0, False)
    assert control == Control((1.0, 1.0), (0.0, 0.5), (1.0, 1.0), False)
    assert make_control(nets, (0.1, 0.2), 0.0, 1.0, True).scales == (0.1, 0.2)
    assert make_control(nets[:1], [0.3], [0.0], [1.0], False).scales == (0.3,)


def test_a_lone_network_takes_one_scale(controlnets: Make) -> None:
    lone = controlnets()
    check_one_scale(lone, 0.5)
    check_one_scale(MultiControlNetModel([lone]), [0.5])
    for scale in ([0.5], (0.5, 0.5), []):
        with pytest.raises(ArgumentTypeError, match="controlnet_conditioning_scale is a list"):
            check_one_scale(lone, scale)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("1", 0.0, 1.0), ArgumentTypeError),
        ((True, 0.0, 1.0), ArgumentTypeError),
        ((1.0, None, 1.0), ArgumentTypeError),
        (([[1.0, 0.5], [1.0, 0.5]], 0.0, 1.0), ArgumentTypeError),
        (([1.0], 0.0, 1.0), ArgumentError),
        ((1.0, [0.0] * 3, 1.0), ArgumentError),
        ((1.0, 0.5, 0.5), ArgumentError),
        ((1.0, 0.6, 0.5), ArgumentError),
        ((1.0, -0.1, 0.5), ArgumentError),
        ((1.0, 0.0, 1.1), ArgumentError),
        ((1.0, 0.0, [1.0, 2.0]), ArgumentError),
    ],
)
def test_what_can_not_be_meant_is_refused(
    controlnets: Make, arguments: tuple[Any, Any, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        make_control([controlnets(seed=n) for n in (2, 3)], *arguments, False)


def test_images_of_one_network(controlnets: Make) -> None:
    image = picture()
    assert images_for(controlnets(), image) == [image]
    assert images_for(controlnets(), [image, image]) == [[image, image]]
    with pytest.raises(ArgumentError, match="control_image is missing"):
        images_for(controlnets(), None)
    with pytest.raises(ArgumentTypeError, match="control_image"):
        images_for(controlnets(), "outline.png")


def test_images_of_several_networks(controlnets: Make) -> None:
    several = MultiControlNetModel([controlnets(seed=n) for n in (2, 3)])
    a, b, c, d = (picture(n) for n in range(4))
    assert images_for(several, [a, b]) == [a, b]
    assert images_for(several, [[a, b], [c, d]]) == [[a, c], [b, d]]
    for wrong in ([a], [a, b, c], [[a], [b]], [[a, b], [c]], []):
        with pytest.raises(ArgumentError, match="ControlNet"):
            images_for(several, wrong)
    with pytest.raises(ArgumentTypeError, match="a list"):
        images_for(several, a)


def test_a_list_of_networks_is_one(controlnets: Make) -> None:
    nets = [controlnets(seed=n) for n in (2, 3)]
    several = joined(nets)
    assert isinstance(several, MultiControlNetModel)
    assert several.parts == nets
    assert joined(tuple(nets)).parts == nets
    assert joined(several) is several
    assert joined(nets[0]) is nets[0]
    assert joined(None) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cross_attention_dim": 2048}, ("cross_attention_dim", "2048", "SDXL", "12")),
        ({"block_out_channels": (8, 16)}, ("block_out_channels", r"\(8, 16\)", r"\(16, 32\)")),
        ({"layers_per_block": 2}, ("layers_per_block",)),
        (SDXL, ("addition_embed_type", "text_time")),
        ({"in_channels": 9}, ("9 channels", "4")),
    ],
    ids=lambda value: "-".join(value),
)
def test_a_network_for_another_family_is_refused_by_name(
    controlnets: Make, unets: Any, changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    other = controlnets(**changes)
    check_fits(controlnets(), unets(), 4)
    for word in words:
        with pytest.raises(ArgumentError, match=word):
            check_fits(other, unets(), 4)
    with pytest.raises(ArgumentError, match="controlnet_1 "):
        check_fits(MultiControlNetModel([controlnets(), other]), unets(), 4)


def test_no_network_at_all_is_refused(unets: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="UNet2DConditionModel"):
        check_fits(unets(), unets(), 4)


PROCESSOR = VaeImageProcessor(vae_scale_factor=2, do_convert_rgb=True, do_normalize=False)


def prepared(nets: list[ControlNetModel], images: list[Any], **changes: Any) -> list[torch.Tensor]:
    options: dict[str, Any] = {
        "processor": PROCESSOR,
        "size": (16, 16),
        "crop": None,
        "prompts": 2,
        "num_images_per_prompt": 3,
    }
    return prepare_images(nets, images, **{**options, **changes})


def test_images_are_repeated_for_the_batch(controlnets: Make) -> None:
    array = np.asarray(picture(), dtype=np.float32) / 255
    as_tensor = torch.from_numpy(array).permute(2, 0, 1)
    (one,) = prepared([controlnets()], [picture()])
    assert one.shape == (6, 3, 16, 16)
    assert 0 <= one.min() < one.max() <= 1
    for form in (array[None], as_tensor, as_tensor[None], [array], [as_tensor], [picture()]):
        assert torch.allclose(prepared([controlnets()], [form])[0], one)
    (each,) = prepared([controlnets()], [[picture(0), picture(1)]])
    assert torch.equal(each[:3], one[:3])
    assert not torch.equal(each[3:], one[3:])
    assert torch.equal(each[3], each[5])


def test_images_that_do_not_fit_are_refused(controlnets: Make) -> None:
    with pytest.raises(ArgumentError, match="3 control images for 2 prompts"):
        prepared([controlnets()], [[picture()] * 3])
    with pytest.raises(ArgumentError, match="1 channels"):
        prepared([controlnets()], [torch.zeros(1, 1, 16, 16)])
