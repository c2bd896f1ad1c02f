"""The image processor gives what the one of transformers gives, and writes the same file."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from autopipe.errors import ArgumentError, ArgumentTypeError, ConfigError
from autopipe_components.processing.clip_image_processor import CLIPImageProcessor

RANDOM = np.random.default_rng(0)

CONFIGS: list[dict[str, Any]] = [
    {},
    # As releases before 4.26 write it.
    {"size": 32, "crop_size": 24, "feature_extractor_type": "CLIPFeatureExtractor", "note": 1},
    {"size": {"shortest_edge": 20, "longest_edge": 25}, "crop_size": [40, 7]},
    {"size": {"height": 30, "width": 9}, "do_center_crop": False, "resample": 0},
    {"size": {"max_height": 30, "max_width": 50}, "do_center_crop": False, "resample": 2},
    {"do_resize": False, "crop_size": 33},
    {"do_resize": None, "size": None, "crop_size": 25},
    {"do_rescale": False, "rescale_factor": None, "size": 16, "crop_size": 16},
    {"do_normalize": False, "do_rescale": False, "size": 16, "crop_size": 15},
    {"size": 16, "default_to_square": True, "crop_size": 17, "image_mean": 0.5, "image_std": 0.5},
    {"do_convert_rgb": False, "size": 16, "crop_size": 16, "image_mean": 0.5, "image_std": 0.5},
    {"do_pad": True, "pad_size": {"height": 61, "width": 301}, "do_center_crop": False, "size": 20},
    {"image_mean": [0.1, 0.2, 0.3], "image_std": [1.0, 2.0, 0.5], "rescale_factor": 1 / 128},
]

ARRAYS = [
    RANDOM.integers(0, 256, (3, 40, 50), dtype=np.uint8),
    RANDOM.integers(0, 256, (40, 50, 3), dtype=np.uint8),
    RANDOM.integers(0, 256, (40, 51, 4), dtype=np.uint8),
    RANDOM.integers(0, 256, (1, 40, 50), dtype=np.uint8),
    RANDOM.integers(0, 256, (2, 3, 40, 50)).astype(np.float32),
    RANDOM.random((3, 30, 20), dtype=np.float32),
    RANDOM.random((4, 30, 20), dtype=np.float32),
    RANDOM.random((3, 3, 3)),
    torch.from_numpy(RANDOM.random((2, 3, 30, 20), dtype=np.float32)),
]


def picture(mode: str, width: int, height: int) -> Image.Image:
    pixels = RANDOM.integers(0, 256, (height, width, 4), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


PICTURES = [
    picture(mode, *size)
    for mode in ("RGB", "RGBA", "L", "P", "LA", "CMYK", "1")
    for size in ((7, 5), (300, 200), (31, 224))
]


def result(processor: Any, images: Any, **keywords: Any) -> Any:
    try:
        return processor(images, return_tensors="np", **keywords).pixel_values
    except Exception as error:
        return error


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", CONFIGS)
def test_it_gives_what_transformers_gives(config: dict[str, Any]) -> None:
    ours, theirs = CLIPImageProcessor.from_dict(config), CLIPImageProcessorPil.from_dict(config)
    for images in (*PICTURES, *ARRAYS, [[PICTURES[0]], [PICTURES[0]]]):
        found, expected = result(ours, images), result(theirs, images)
        assert isinstance(found, Exception) == isinstance(expected, Exception), (found, expected)
        if isinstance(found, Exception):
            assert isinstance(found, ArgumentError)
        else:
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            assert (found == expected).all()


@pytest.mark.parametrize("config", CONFIGS)
def test_what_it_saves_is_what_transformers_saves(config: dict[str, Any], tmp_path: Path) -> None:
    ours, theirs = CLIPImageProcessor.from_dict(config), CLIPImageProcessorPil.from_dict(config)
    files = ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    assert files == [str(tmp_path / "ours/preprocessor_config.json")]
    saved = json.loads(Path(files[0]).read_text())
    assert saved == json.loads((tmp_path / "theirs/preprocessor_config.json").read_text())
    assert CLIPImageProcessor.from_pretrained(tmp_path, subfolder="ours") == ours
    assert CLIPImageProcessor.from_dict(ours.to_transformers().to_dict()) == ours


def test_a_call_changes_settings_for_itself() -> None:
    ours, theirs = CLIPImageProcessor(), CLIPImageProcessorPil()
    before = copy.deepcopy(ours)
    for keywords in ({"do_resize": False}, {"size": 30, "crop_size": {"height": 20, "width": 9}},
                     {"do_rescale": False, "image_mean": [0.0] * 3}):  # fmt: skip
        expected = theirs(PICTURES[1], return_tensors="np", **keywords).pixel_values
        assert (ours(PICTURES[1], return_tensors="np", **keywords).pixel_values == expected).all()
    assert ours == before == pickle.loads(pickle.dumps(ours))
    assert ours.crop_size["height"] == 224
    assert repr(ours).startswith("CLIPImageProcessor {")


def test_where_the_channels_are_can_be_said() -> None:
    pixels = RANDOM.integers(0, 256, (3, 40, 3), dtype=np.uint8)
    for layout in ("channels_first", "channels_last"):
        keywords = {"input_data_format": layout, "return_tensors": "np"}
        expected = CLIPImageProcessorPil()(pixels, **keywords).pixel_values
        assert (CLIPImageProcessor()(pixels, **keywords).pixel_values == expected).all()


def test_pixel_values_are_what_is_asked_for() -> None:
    ours = CLIPImageProcessor(size=8, crop_size=8)
    tensors = ours(PICTURES[:2], return_tensors="pt")
    assert tensors.pixel_values.shape == (2, 3, 8, 8)
    arrays = ours(PICTURES[:2]).pixel_values
    assert isinstance(arrays, list)
    assert (np.stack(arrays) == tensors.pixel_values.numpy()).all()
    assert tensors.to(torch.float16).pixel_values.dtype == torch.float16
    with pytest.raises(ArgumentError, match="different lengths"):
        CLIPImageProcessor(do_center_crop=False)(PICTURES[:2], return_tensors="pt")


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        ("picture.png", ArgumentTypeError, "PIL image, an array or a tensor"),
        (None, ArgumentTypeError, "not None"),
        (np.zeros((5, 5)), ArgumentError, r"3 axes.*\(5, 5\)"),
        (np.zeros((7, 5, 5)), ArgumentError, "channels"),
        (np.full((3, 5, 5), 300), ArgumentError, "from 300 to 300"),
        (np.full((3, 5, 5), -0.5), ArgumentError, "from -0.5"),
    ],
)
def test_what_is_not_an_image_is_named(images: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        CLIPImageProcessor()(images)


def test_what_a_step_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match=r"no setting 'sise'.*size"):
        CLIPImageProcessor()(PICTURES[0], sise=3)
    with pytest.raises(ArgumentError, match="do_resize is on, but size is None"):
        CLIPImageProcessor.from_dict({"size": None})(PICTURES[0])
    with pytest.raises(ArgumentError, match="image_mean has 2 values"):
        CLIPImageProcessor(image_mean=(0.0, 1.0))(PICTURES[0])
    with pytest.raises(ArgumentError, match="larger than pad_size"):
        CLIPImageProcessor(do_pad=True, pad_size=9)(PICTURES[0])
    with pytest.raises(ArgumentError, match="a size is"):
        CLIPImageProcessor(size=(1, 2, 3))
    with pytest.raises(ConfigError, match="does not exist"):
        CLIPImageProcessor.from_pretrained(tmp_path)
