"""What is this family's own: examples, sizes, and the image encoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.first_picture import imported_by, too_much
from support.pictures import mask, picture

from autopipe import (
    AutoPipelineForInpaintingByExample,
    PaintByExampleImageEncoder,
    PaintByExamplePipeline,
)
from autopipe.errors import ArgumentError, ArgumentTypeError, ConfigError

GIVEN: dict[str, Any] = {
    "example_image": picture(seed=3),
    "image": picture(),
    "mask_image": mask(),
    "num_inference_steps": 2,
    "output_type": "np",
}
ENCODER = "PaintByExampleImageEncoder"


def draw(pipe: Any, seeds: Any = 0, **call: Any) -> Any:
    generator = (
        [torch.Generator().manual_seed(one) for one in seeds]
        if isinstance(seeds, list)
        else torch.Generator().manual_seed(seeds)
    )
    return pipe(**{**GIVEN, **call}, generator=generator).images


@pytest.fixture
def checkpoint(build: Callable[..., Any], tmp_path: Path) -> Path:
    build().save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.mark.parametrize("library", ["paint_by_example", "diffusers", "deprecated"])
def test_indexes_name_the_image_encoder_in_several_ways(checkpoint: Path, library: str) -> None:
    file = checkpoint / "model_index.json"
    index = json.loads(file.read_text("utf-8"))
    assert index["image_encoder"] == ["paint_by_example", ENCODER]
    file.write_text(json.dumps({**index, "image_encoder": [library, ENCODER]}), "utf-8")
    pipe = AutoPipelineForInpaintingByExample.from_pretrained(checkpoint)
    assert type(pipe) is PaintByExamplePipeline
    assert type(pipe.image_encoder) is PaintByExampleImageEncoder
    assert pipe.index()["image_encoder"] == ["paint_by_example", ENCODER]


def test_weights_of_older_releases_are_read(checkpoint: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = checkpoint / "image_encoder" / "model.safetensors"
    state = load_file(file)
    older = {name.replace("model.", "model.vision_model.", 1): one for name, one in state.items()}
    older["model.vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    assert older.keys() != state.keys()
    save_file(older, file)
    again = PaintByExamplePipeline.from_pretrained(checkpoint).image_encoder.state_dict()
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], one) for name, one in state.items())


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("projection_dim", 10**12),
        ("hidden_size", 0),
        ("num_hidden_layers", 10**6),
        ("patch_size", 32),
    ],
)
def test_configs_that_are_refused(checkpoint: Path, entry: str, value: int) -> None:
    file = checkpoint / "image_encoder" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), entry: value}), "utf-8")
    with pytest.raises(ConfigError, match=entry):
        PaintByExamplePipeline.from_pretrained(checkpoint)


def test_several_examples_and_images(build: Callable[..., Any]) -> None:
    pipe = build()
    examples, images = [picture(seed=3), picture(seed=4)], [picture(), picture(seed=2)]
    masks = [mask(), mask()]
    both = draw(pipe, [1, 2], example_image=examples, image=images, mask_image=masks)
    each = [
        draw(pipe, [seed], example_image=example, image=image)[0]
        for seed, example, image in zip((1, 2), examples, images)
    ]
    # Float32: batches are summed in another order.
    np.testing.assert_allclose(both, each, atol=1e-5)
    # Of each image, the example stays its own.
    four = draw(pipe, [1, 2, 1, 2], example_image=examples, image=images, mask_image=masks,
                num_images_per_prompt=2)  # fmt: skip
    np.testing.assert_allclose(four[:2], both, atol=1e-5)
    assert np.abs(four[2:] - both).max() < 0.2
    assert draw(pipe, [1, 2], example_image=examples).shape == (2, 16, 16, 3)


def test_the_size_is_that_of_the_image_or_what_is_asked_for(build: Callable[..., Any]) -> None:
    pipe = build()
    image = picture(24, 16)
    array = np.asarray(image, np.float32) / 255
    for given in (image, [image], array, array[None], torch.from_numpy(array).permute(2, 0, 1)):
        call = {"image": given, "mask_image": mask(24, 16)}
        if isinstance(given, torch.Tensor):
            call["mask_image"] = torch.ones(24, 16)
        assert draw(pipe, **call).shape == (1, 24, 16, 3)
    assert draw(pipe, image=image, height=16, width=32).shape == (1, 16, 32, 3)
    with pytest.raises(ArgumentError, match="height is 20"):
        draw(pipe, image=picture(20, 16))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"example_image": None}, ArgumentTypeError, "example_image is missing"),
        ({"example_image": [picture()] * 3, "image": [picture()] * 2}, ArgumentError, "3 examples"),
        ({"example_image": torch.zeros(1, 3, 8, 8)}, ArgumentError, "^example_image .* 16, 16"),
        ({"image": "x.png"}, ArgumentTypeError, "image is made of str"),
        ({"image": torch.zeros(1, 4, 8, 8)}, ArgumentError, "masked"),
        ({"mask_image": None}, ArgumentTypeError, "mask_image is missing"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_what_is_refused(
    build: Callable[..., Any], call: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        draw(build(), **call)


def test_a_network_that_does_not_take_the_mask_is_refused(build: Callable[..., Any]) -> None:
    from support import tiny

    from autopipe import UNet2DConditionModel

    pipe = build(unet=tiny.seeded(lambda: UNet2DConditionModel(**tiny.UNET)))
    with pytest.raises(ArgumentError, match="9 input channels"):
        draw(pipe)


def test_a_first_picture_imports_nothing_heavy(checkpoint: Path, tmp_path: Path) -> None:
    code = (
        "import autopipe\n"
        "from PIL.Image import new\n"
        f"pipe = autopipe.DiffusionPipeline.from_pretrained({str(checkpoint)!r})\n"
        "red, white = new('RGB', (16, 16), 'red'), new('L', (16, 16), 'white')\n"
        "pipe(red, red, white, num_inference_steps=1)"
    )
    assert too_much(imported_by(code, tmp_path)) == []
