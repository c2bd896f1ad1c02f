"""Every form of weight and config files goes both ways, with the same image from both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support.public import CHECKPOINTS

from autopipe import (
    AutoencoderKL,
    AutoPipelineForImage2Image,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")

TOLERANCE = 1e-5
"""Of images in [0, 1]: the same weights in float32 over two steps; rounding only."""


VAE_FILE = "diffusion_pytorch_model.safetensors"
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def image(pipe: Any) -> np.ndarray:
    pipe.set_progress_bar_config(disable=True)
    made: np.ndarray = pipe(
        "a cat",
        num_inference_steps=2,
        output_type="np",
        generator=torch.Generator().manual_seed(0),
    ).images
    return made


def assert_equal_images(one: Any, other: Any) -> None:
    assert np.abs(image(one) - image(other)).max() <= TOLERANCE


@pytest.fixture
def whole(build: Callable[..., Any], checkers: Any, feature_extractor: Any) -> Any:
    """A pipeline with all of its components but the image encoder."""
    return build(
        StableDiffusionPipeline,
        safety_checker=checkers(2.0),
        feature_extractor=feature_extractor,
        requires_safety_checker=True,
    )


@pytest.fixture
def theirs(whole: Any, reference: Callable[[Any], Any], folder: Path) -> Path:
    """A checkpoint that diffusers saved."""
    reference(whole).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "options",
    [{}, {"max_shard_size": "20KB"}, {"variant": "fp16"}, {"safe_serialization": False},
     {"variant": "fp16", "max_shard_size": "20KB"}],
    ids=str,
)  # fmt: skip
def test_diffusers_loads_what_we_save(whole: Any, folder: Path, options: dict[str, Any]) -> None:
    whole.save_pretrained(folder, **options)
    loading = {"variant": options["variant"]} if "variant" in options else {}
    reloaded = diffusers.StableDiffusionPipeline.from_pretrained(folder, **loading)
    assert_equal_images(whole, reloaded)
    # What it then saves has the same index, so nothing was lost on the way.
    reloaded.save_pretrained(folder.with_name("again"))
    ours, again = (
        json.loads((f / "model_index.json").read_text())
        for f in (folder, folder.with_name("again"))
    )
    for index in (ours, again):
        index.pop("_name_or_path", None)
        index["feature_extractor"][1] = index["feature_extractor"][1].removesuffix("Pil")
    assert ours == again


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_shard_size": "20KB"},
        {"variant": "fp16"},
        {"variant": "fp16", "max_shard_size": "20KB"},
    ],
    ids=str,
)
def test_we_load_what_diffusers_saves(
    whole: Any, reference: Callable[[Any], Any], folder: Path, options: dict[str, Any]
) -> None:
    whole.register_to_config(requires_safety_checker=False)
    reference(whole).save_pretrained(folder, **options)
    loading = {"variant": options["variant"]} if "variant" in options else {}
    loaded = DiffusionPipeline.from_pretrained(folder, **loading)
    assert type(loaded) is StableDiffusionPipeline
    assert loaded.options["requires_safety_checker"] is False
    assert_equal_images(
        loaded, diffusers.StableDiffusionPipeline.from_pretrained(folder, **loading)
    )


@pytest.mark.parametrize("kind", ["UNet2DConditionModel", "AutoencoderKL"])
def test_pickled_weights_of_diffusers_load(
    whole: Any, twin: Callable[[Any], Any], folder: Path, kind: str
) -> None:
    ours = whole.unet if kind == "UNet2DConditionModel" else whole.vae
    twin(ours).save_pretrained(folder, safe_serialization=False)
    loaded = type(ours).from_pretrained(folder)
    assert all(torch.equal(t, loaded.state_dict()[n]) for n, t in ours.state_dict().items())


@pytest.mark.parametrize("convolutions", [True, False])
def test_old_names_of_the_vae_load_as_in_diffusers(theirs: Path, convolutions: bool) -> None:
    file = theirs / "vae" / VAE_FILE
    state = {}
    for name, tensor in load_file(file).items():
        for new, old in OLD_NAMES.items():
            if f".{new}." in name:
                name = name.replace(f".{new}.", f".{old}.")
                if convolutions and tensor.ndim == 2:
                    tensor = tensor[:, :, None, None]
        state[name] = tensor.contiguous()
    before = AutoencoderKL.from_pretrained(theirs, subfolder="vae").state_dict()
    save_file(state, file, metadata={"format": "pt"})
    after = AutoencoderKL.from_pretrained(theirs, subfolder="vae").state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    if not convolutions:
        assert_equal_images(
            StableDiffusionPipeline.from_pretrained(theirs),
            diffusers.StableDiffusionPipeline.from_pretrained(theirs),
        )


def test_text_encoders_of_the_hub_load_as_in_diffusers(theirs: Path) -> None:
    """Their names begin with `text_model.`, and the oldest hold the position ids."""
    file = theirs / "text_encoder" / "model.safetensors"
    state = {f"text_model.{name}": tensor for name, tensor in load_file(file).items()}
    state["text_model.embeddings.position_ids"] = torch.arange(12)[None]
    save_file(state, file, metadata={"format": "pt"})
    assert_equal_images(
        StableDiffusionPipeline.from_pretrained(theirs),
        diffusers.StableDiffusionPipeline.from_pretrained(theirs),
    )


def test_an_index_of_the_first_releases_loads(theirs: Path) -> None:
    """Of version 0.6.0: an old class name, no option at all, entries of null."""
    file = theirs / "model_index.json"
    index = json.loads(file.read_text())
    for name in ("requires_safety_checker", "image_encoder"):
        del index[name]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]
    index["safety_checker"] = [None, None]
    index["_diffusers_version"] = "0.6.0"
    file.write_text(json.dumps(index))
    loaded = StableDiffusionPipeline.from_pretrained(theirs, requires_safety_checker=False)
    assert loaded.safety_checker is None
    assert loaded.feature_extractor is not None
    plain = diffusers.StableDiffusionPipeline.from_pretrained(
        theirs, feature_extractor=None, requires_safety_checker=False
    )
    assert_equal_images(loaded, plain)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_dtypes_are_those_of_diffusers(theirs: Path, dtype: torch.dtype) -> None:
    ours = StableDiffusionPipeline.from_pretrained(theirs, torch_dtype=dtype)
    reference = diffusers.StableDiffusionPipeline.from_pretrained(theirs, torch_dtype=dtype)
    for name in ("unet", "vae", "text_encoder", "safety_checker"):
        expected = getattr(reference, name).state_dict()
        found = getattr(ours, name).state_dict()
        assert found.keys() == expected.keys()
        for key, tensor in expected.items():
            assert found[key].dtype == tensor.dtype
            assert torch.equal(found[key], tensor)


def test_scheduler_configs_go_both_ways(theirs: Path, whole: Any, folder: Path) -> None:
    ours = EulerDiscreteScheduler.from_pretrained(theirs, subfolder="scheduler")
    ours.save_pretrained(folder.with_name("euler"))
    back = diffusers.PNDMScheduler.from_pretrained(folder.with_name("euler"))
    direct = diffusers.PNDMScheduler.from_pretrained(theirs, subfolder="scheduler")
    names = set(direct.config) - {"_use_default_values", "_class_name"}
    assert {n: back.config[n] for n in names} == {n: direct.config[n] for n in names}
    again = PNDMScheduler.from_config(ours.config).config
    assert again["skip_prk_steps"] is whole.scheduler.config["skip_prk_steps"] is True


def test_an_auto_class_opens_what_diffusers_saved(theirs: Path) -> None:
    from PIL import Image

    start = Image.new("RGB", (16, 16), (200, 30, 60))
    call = {"image": start, "num_inference_steps": 4, "output_type": "np"}
    both = (
        AutoPipelineForImage2Image.from_pretrained(theirs),
        diffusers.AutoPipelineForImage2Image.from_pretrained(theirs),
    )
    for pipe in both:
        pipe.set_progress_bar_config(disable=True)
    one, other = (
        pipe("a cat", generator=torch.Generator().manual_seed(0), **call).images for pipe in both
    )
    assert np.abs(one - other).max() <= TOLERANCE


@pytest.mark.parametrize(
    "name",
    [
        "stable-diffusion-v1-5",
        "stable-diffusion-2-1",
        "stable-diffusion-2-inpainting",
        "stable-diffusion-inpainting",
    ],
)
def test_the_light_parts_of_public_checkpoints_load(
    name: str, whole: Any, reference: Callable[[Any], Any], folder: Path
) -> None:
    """Index, scheduler, tokenizer and image processor as they are; the networks are ours.

    So is the vocabulary: those of public checkpoints are too large to keep here.
    """
    shutil.copytree(CHECKPOINTS / name, folder)
    own = folder.with_name("own")
    whole.tokenizer.save_pretrained(own)
    words = json.loads((own / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    vocabulary, merges = folder / "tokenizer" / "vocab.json", folder / "tokenizer" / "merges.txt"
    vocabulary.write_text(json.dumps(words["vocab"]), encoding="utf-8")
    merges.write_text("\n".join(" ".join(pair) for pair in words["merges"]), encoding="utf-8")
    networks = {"vae": whole.vae, "unet": whole.unet, "text_encoder": whole.text_encoder}
    loaded = DiffusionPipeline.from_pretrained(folder, safety_checker=None, **networks)
    scheduler = type(loaded.scheduler).__name__
    expected = getattr(diffusers, scheduler).from_pretrained(folder, subfolder="scheduler")
    values = {n: v for n, v in expected.config.items() if not n.startswith("_")}
    assert {n: loaded.scheduler.config[n] for n in values} == values
    original = diffusers.StableDiffusionPipeline.load_config(folder)
    assert type(loaded).__name__ == original["_class_name"]
    assert loaded.tokenizer.pad_token == ("!" if "-2-" in name else "<|endoftext|>")
    same = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    assert loaded.tokenizer("a photo").input_ids == same("a photo").input_ids
    assert loaded.tokenizer.model_max_length == 77
    assert loaded.feature_extractor.crop_size["height"] == 224


def test_a_model_of_ours_is_one_of_theirs(whole: Any, folder: Path) -> None:
    whole.unet.save_pretrained(folder)
    theirs = diffusers.UNet2DConditionModel.from_pretrained(folder)
    theirs.save_pretrained(folder.with_name("again"))
    again = UNet2DConditionModel.from_pretrained(folder.with_name("again"))
    expected = whole.unet.state_dict()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in expected.items())
    kept = {n: v for n, v in whole.unet.config.items() if not n.startswith("_")}
    assert {n: _listed(again.config[n]) for n in kept} == {n: _listed(v) for n, v in kept.items()}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
