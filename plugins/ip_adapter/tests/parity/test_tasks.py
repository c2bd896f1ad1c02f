"""Image prompts in all tasks and with every kind of adapter against diffusers, seed for seed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe import IPAdapterMaskProcessor

from ..conftest import FACE, KINDS, Adapters, draw, picture, save
from .conftest import TOLERANCE

pytestmark = pytest.mark.parity

CHANGED = {"image": picture(9, 16), "strength": 0.8}
PIPELINES = {
    "StableDiffusionPipeline": {},
    "StableDiffusionImg2ImgPipeline": CHANGED,
    "StableDiffusionInpaintPipeline": {**CHANGED, "mask_image": picture(4, 16)},
    "StableDiffusionXLPipeline": {},
    "StableDiffusionXLImg2ImgPipeline": CHANGED,
    "StableDiffusionXLInpaintPipeline": {**CHANGED, "mask_image": picture(4, 16)},
    "StableDiffusionControlNetPipeline": {"image": picture(8, 16)},
    "StableDiffusionXLControlNetPipeline": {"image": picture(8, 16)},
    "StableDiffusionControlNetImg2ImgPipeline": {**CHANGED, "control_image": picture(8, 16)},
}


def both(build: Any, reference: Any, name: str, *files: Path, **components: Any) -> tuple[Any, Any]:
    """Our pipeline and that of diffusers, with the same IP-Adapters."""
    ours = build(name, **components)
    theirs = reference(ours)
    for pipe in (ours, theirs):
        pipe.load_ip_adapter(
            [str(file.parent) for file in files],
            subfolder="",
            weight_name=[file.name for file in files],
            image_encoder_folder=None,
        )
    return ours, theirs


def written(folder: Path, unet: Any, *kinds: str, suffix: str = ".safetensors") -> list[Path]:
    """Files of adapters of these kinds, each with weights of its own."""
    return [
        save(Adapters(i).file(kind, unet), folder / f"{i}{suffix}") for i, kind in enumerate(kinds)
    ]


READS_IMAGES = [kind for kind in KINDS if kind != "face"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("StableDiffusionPipeline", kind) for kind in READS_IMAGES),
        *zip(list(PIPELINES)[1:], itertools.cycle(READS_IMAGES)),
    ],
)
def test_every_task(
    name: str,
    kind: str,
    build: Any,
    reference: Any,
    compare: Callable[..., np.ndarray],
    unets: Any,
    tmp_path: Path,
) -> None:
    unet = unets["sdxl" if "XL" in name else "stable_diffusion"]
    ours, theirs = both(build, reference, name, *written(tmp_path, unet, kind))
    found = [
        compare(ours, theirs, ip_adapter_image=picture(seed), **PIPELINES[name]) for seed in (1, 2)
    ]
    assert np.abs(found[0] - found[1]).max() > 0.01


@pytest.mark.parametrize("kind", ["plain", "plus", "full"])
def test_pickles(
    kind: str, build: Any, reference: Any, compare: Any, unets: Any, tmp_path: Path
) -> None:
    files = written(tmp_path, unets["stable_diffusion"], kind, suffix=".bin")
    ours, theirs = both(build, reference, "StableDiffusionPipeline", *files)
    compare(ours, theirs, ip_adapter_image=picture(1))


@pytest.mark.parametrize(
    "call",
    [
        {"guidance_scale": 1.0},
        {"num_images_per_prompt": 2},
        {"num_images_per_prompt": 2, "guidance_scale": 1.0},
        {"ip_adapter_image": [[picture(1), picture(2), picture(3)]]},
        {"ip_adapter_image": np.asarray(picture(4))},
        {"ip_adapter_image": torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)},
        {"output_type": "latent"},
        {"guidance_rescale": 0.4},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["plain", "plus"])
def test_arguments(
    kind: str,
    call: dict[str, Any],
    build: Any,
    reference: Any,
    compare: Any,
    unets: Any,
    tmp_path: Path,
) -> None:
    name = "StableDiffusionPipeline"
    files = written(tmp_path, unets["stable_diffusion"], kind)
    ours, theirs = both(build, reference, name, *files)
    compare(ours, theirs, **{"ip_adapter_image": picture(1), **call})


BLOCKS: list[Any] = [
    0.0,
    0.4,
    1.6,
    [0.3],
    {"down": 0.7, "mid": 0.5, "up": 0.2},
    {"up": {"block_1": [0.0, 1.2]}},
    {"down": {"block_0": [0.6]}},
    {"mid": 1.0},
]


@pytest.mark.parametrize("scale", BLOCKS, ids=str)
@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "StableDiffusionXLPipeline"])
def test_scales(
    name: str, scale: Any, build: Any, reference: Any, compare: Any, unets: Any, tmp_path: Path
) -> None:
    unet = unets["sdxl" if "XL" in name else "stable_diffusion"]
    ours, theirs = both(build, reference, name, *written(tmp_path, unet, "plain"))
    whole = compare(ours, theirs, ip_adapter_image=picture(1))
    for pipe in (ours, theirs):
        pipe.set_ip_adapter_scale(scale)
    found = compare(ours, theirs, ip_adapter_image=picture(1))
    assert np.abs(found - whole).max() > 0.001


def test_several_adapters(
    build: Any, reference: Any, compare: Any, unets: Any, tmp_path: Path
) -> None:
    files = written(tmp_path, unets["stable_diffusion"], "plain", "plus", "full")
    ours, theirs = both(build, reference, "StableDiffusionPipeline", *files)
    images = [picture(1), [picture(2), picture(3)], picture(4)]
    compare(ours, theirs, ip_adapter_image=images)
    for scales in ([0.5, 0.0, 1.0], [0.0, 0.6, {"up": 0.8}]):
        for pipe in (ours, theirs):
            pipe.set_ip_adapter_scale(scales)
        compare(ours, theirs, ip_adapter_image=images, num_images_per_prompt=2)


def halved(side: str, width: int = 16, height: int = 16) -> Image.Image:
    """A mask that is white on one side."""
    found = Image.new("L", (width, height))
    found.paste(
        255, (0, 0, width // 2, height) if side == "left" else (width // 2, 0, width, height)
    )
    return found


@pytest.mark.parametrize("size", [(16, 16), (24, 16), (16, 32)])
@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "StableDiffusionXLPipeline"])
def test_masks(
    name: str,
    size: tuple[int, int],
    build: Any,
    reference: Any,
    compare: Any,
    unets: Any,
    tmp_path: Path,
) -> None:
    import diffusers

    height, width = size
    unet = unets["sdxl" if "XL" in name else "stable_diffusion"]
    ours, theirs = both(build, reference, name, *written(tmp_path, unet, "plain", "plus"))
    sides = [halved("left", width, height), halved("right", width, height)]
    masks = IPAdapterMaskProcessor().preprocess(sides, height=height, width=width)
    expected = diffusers.image_processor.IPAdapterMaskProcessor().preprocess(
        sides, height=height, width=width
    )
    assert torch.equal(masks, expected)
    pair = masks.reshape(1, 2, height, width)
    images = [[picture(1), picture(2)], [picture(3), picture(4)]]
    call = {"height": height, "width": width, "ip_adapter_image": images}
    for given in ([pair, pair], [None, pair]):
        compare(ours, theirs, cross_attention_kwargs={"ip_adapter_masks": given}, **call)
    for pipe in (ours, theirs):
        pipe.set_ip_adapter_scale([[0.9, 0.2], 0.5])
    compare(ours, theirs, cross_attention_kwargs={"ip_adapter_masks": [pair, pair]}, **call)


def test_masks_as_one_tensor(
    build: Any, reference: Any, compare: Any, unets: Any, tmp_path: Path
) -> None:
    files = written(tmp_path, unets["stable_diffusion"], "plain", "plus")
    ours, theirs = both(build, reference, "StableDiffusionPipeline", *files)
    masks = IPAdapterMaskProcessor().preprocess([halved("left"), halved("right")])
    compare(
        ours,
        theirs,
        ip_adapter_image=[picture(1), picture(2)],
        cross_attention_kwargs={"ip_adapter_masks": masks},
    )


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("kind", ["plain", "plus", "full"])
def test_embeddings(
    kind: str, guided: bool, build: Any, reference: Any, compare: Any, unets: Any, tmp_path: Path
) -> None:
    files = written(tmp_path, unets["stable_diffusion"], kind)
    ours, theirs = both(build, reference, "StableDiffusionPipeline", *files)
    arguments = ([[picture(1), picture(2)]], None, "cpu", 1, guided)
    found, expected = (pipe.prepare_ip_adapter_image_embeds(*arguments) for pipe in (ours, theirs))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    scale = 5.0 if guided else 1.0
    given = {"ip_adapter_image_embeds": found, "guidance_scale": scale}
    without = build("StableDiffusionPipeline", image_encoder=None, feature_extractor=None)
    other = reference(without)
    without.load_ip_adapter(str(files[0].parent), "", files[0].name, image_encoder_folder=None)
    other.load_ip_adapter(str(files[0].parent), "", files[0].name, image_encoder_folder=None)
    drawn = compare(without, other, num_images_per_prompt=2, **given)
    call = {"ip_adapter_image": arguments[0], "guidance_scale": scale}
    # The images are encoded in the call, by the same operations.
    assert np.array_equal(drawn, compare(ours, theirs, num_images_per_prompt=2, **call))


@pytest.mark.parametrize("loras", [0, 2])
def test_faces(
    loras: int, build: Any, reference: Any, compare: Any, unets: Any, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    tensors = Adapters().file("face", unets["stable_diffusion"], loras)
    file = save(tensors, tmp_path / "face.bin")
    ours, theirs = both(build, reference, "StableDiffusionPipeline", file)
    faces = torch.randn(2, 1, 1, FACE, generator=torch.Generator().manual_seed(2))
    found = compare(ours, theirs, ip_adapter_image_embeds=[faces])
    assert np.abs(found - compare(ours, theirs, ip_adapter_image_embeds=[-faces])).max() > 0.001


@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "StableDiffusionXLPipeline"])
def test_the_encoder_beside_the_file_and_what_is_saved(
    name: str, build: Any, reference: Any, compare: Any, unets: Any, encoder: Any, tmp_path: Path
) -> None:
    unet = unets["sdxl" if "XL" in name else "stable_diffusion"]
    save(Adapters().file("plus", unet), tmp_path / "models/ip-adapter.bin")
    encoder.save_pretrained(tmp_path / "models/image_encoder")
    encoder.save_pretrained(tmp_path / "others/encoder")
    ours = build(name, image_encoder=None, feature_extractor=None)
    theirs = reference(ours)
    plain = [json.loads(pipe.to_json_string()) for pipe in (ours, theirs)]
    for folder in ("image_encoder", "others/encoder"):
        for pipe in (ours, theirs):
            pipe.load_ip_adapter(
                str(tmp_path), "models", "ip-adapter.bin", image_encoder_folder=folder
            )
        found = compare(ours, theirs, ip_adapter_image=picture(1))
        assert np.abs(found - compare(ours, theirs, ip_adapter_image=picture(2))).max() > 0.01
        indices = [json.loads(pipe.to_json_string()) for pipe in (ours, theirs)]
        for one in indices:
            one.pop("add_watermarker", None)  # An option that these tests give to ours alone.
            assert one.pop("image_encoder") == ["transformers", "CLIPVisionModelWithProjection"]
            # transformers 5 appends how the class is implemented.
            library, kind = one.pop("feature_extractor")
            assert (library, kind.removesuffix("Pil")) == ("transformers", "CLIPImageProcessor")
        assert indices[0].keys() == indices[1].keys()
        for pipe in (ours, theirs):
            pipe.unload_ip_adapter()
        assert json.loads(ours.to_json_string()) == plain[0]
        # diffusers keeps the feature extractor of classes that may have a safety checker.
        theirs.feature_extractor = None
        assert theirs.image_encoder is None


def test_an_editor(
    build: Any, unets: Any, reference: Any, compare: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    name = "StableDiffusionInstructPix2PixPipeline"
    ours, theirs = both(build, reference, name, *written(tmp_path, unets["edit"], "plain"))
    call = {"image": picture(9, 16), "image_guidance_scale": 1.4}
    found = compare(ours, theirs, **call, ip_adapter_image=picture(1))
    with torch.no_grad():
        embeds = theirs.prepare_ip_adapter_image_embeds(picture(1), None, "cpu", 1, True)
    # Calls of diffusers end in an error with what that returns.
    given = draw(ours, seed=5, **call, ip_adapter_image_embeds=embeds)
    assert np.abs(found - given).max() < TOLERANCE
