"""Colours and depth in all forms, and what has no depth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.arguments import arguments_read  # noqa: F401
from support.first_picture import check_light
from support.record import parameters_of

from autopipe import (
    AutoPipelineForText2Image,
    AutoPipelineForText2RGBD,
    LDM3DPipelineOutput,
    StableDiffusionLDM3DPipeline,
)
from autopipe.errors import ArgumentError, UnsupportedCheckpointError
from autopipe_ldm3d.depth import converted, depth_of

CALL: dict[str, Any] = {"prompt": "a cat", "num_inference_steps": 2}


def draw(pipe: Any, **call: Any) -> Any:
    return pipe(**{**CALL, **call}, generator=torch.Generator().manual_seed(0))


def test_bytes_become_a_depth_of_sixteen_bits() -> None:
    depths = torch.tensor([[0, 255, 256, 40000, 65535]])
    pixels = torch.rand(1, 6, 1, 5)
    pixels[:, 4], pixels[:, 5] = depths // 256 / 255, depths % 256 / 255
    found = depth_of(pixels)
    assert found.shape == (1, 1, 5)
    (picture,) = converted(found, "pil")
    assert picture.mode == "I;16"
    assert np.asarray(picture).tolist() == depths.tolist()
    assert depth_of(pixels[:, :4]).tolist() == pixels[:, 3].tolist()


@pytest.mark.parametrize("channels", [4, 6])
def test_all_forms_agree(
    build: Callable[..., Any], vaes: Callable[[int], Any], channels: int
) -> None:
    pipe = build(vae=vaes(channels))
    array, tensor, drawn = (draw(pipe, output_type=kind) for kind in ("np", "pt", "pil"))
    assert array.depth.shape == (1, 16, 16)
    assert array.depth.std() > 0.01
    assert np.array_equal(tensor.depth.numpy(), array.depth)
    assert np.array_equal(tensor.rgb.permute(0, 2, 3, 1).numpy(), array.rgb)
    assert drawn.rgb[0].mode == "RGB"
    levels = np.asarray(drawn.depth[0])
    assert levels.dtype == np.uint16
    assert np.abs(levels / 65535 - array.depth[0]).max() <= 0.51 / 65535
    latents = draw(pipe, output_type="latent")
    assert latents.rgb.shape == (1, 4, 8, 8)
    assert latents.depth is None


def test_the_tuple_pairs_colours_and_depth(build: Callable[..., Any]) -> None:
    pipe = build()
    made = draw(pipe, output_type="np")
    assert isinstance(made, LDM3DPipelineOutput)
    assert made.images is made.rgb
    (rgb, depth), flags = draw(pipe, output_type="np", return_dict=False)
    assert np.array_equal(rgb, made.rgb)
    assert np.array_equal(depth, made.depth)
    assert flags is None


def test_a_safety_checker_sees_colours_alone(build: Callable[..., Any]) -> None:
    seen: list[Any] = []

    class Extractor:
        def __call__(self, images: list[Image.Image], return_tensors: str) -> Any:
            seen.extend((one.mode, one.size) for one in images)
            raise ArgumentError("seen")

    pipe = build()
    pipe.feature_extractor = Extractor()
    pipe.safety_checker = lambda images, clip_input: (images * 0, [True] * len(images))
    with pytest.raises(ArgumentError, match="seen"):
        draw(pipe)
    assert seen == [("RGB", (16, 16))]
    pipe.feature_extractor = None
    made = draw(pipe, output_type="np")
    assert made.nsfw_content_detected == [True]
    assert not made.rgb.any()
    assert not made.depth.any()


def test_an_autoencoder_of_colours_is_refused(
    build: Callable[..., Any], vaes: Callable[[int], Any]
) -> None:
    with pytest.raises(ArgumentError, match="decodes 3 channels"):
        draw(build(vae=vaes(3)))


def test_previews_show_colours(build: Callable[..., Any], vaes: Callable[[int], Any]) -> None:
    pipe = build()
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for shown in (pipe.preview(latents), pipe.preview(latents, vaes(6))):
        assert [(one.mode, one.size) for one in shown] == [("RGB", (16, 16))] * 2


def test_it_is_opened_by_its_own_task(build: Callable[..., Any], tmp_path: Path) -> None:
    build().save_pretrained(tmp_path / "checkpoint")
    pipe = AutoPipelineForText2RGBD.from_pretrained(tmp_path / "checkpoint")
    assert type(pipe) is StableDiffusionLDM3DPipeline
    with pytest.raises(UnsupportedCheckpointError, match="text2image"):
        AutoPipelineForText2Image.from_pretrained(tmp_path / "checkpoint")
    check_light(tmp_path / "checkpoint", CALL, tmp_path)


def test_every_argument_of_a_call_is_read(
    build: Callable[..., Any],
    arguments_read: list[set[str]],  # noqa: F811
) -> None:
    draw(build())
    assert parameters_of(StableDiffusionLDM3DPipeline) - arguments_read[0] == set()
