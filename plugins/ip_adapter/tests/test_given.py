"""What callers and files may get wrong, and what they are told."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autopipe import IPAdapterMaskProcessor
from autopipe.errors import (
    ArgumentError,
    ArgumentTypeError,
    AutopipeError,
    CheckpointError,
    DamagedFileError,
    UnsafeCheckpointError,
    WeightsMismatchError,
)
from autopipe_ip_adapter.addon import IPAdapter

from .conftest import EMBEDDING, FACE, HIDDEN, Adapters, draw, picture, save

NAME = "StableDiffusionPipeline"


@pytest.fixture
def unet(unets: Any) -> Any:
    return unets["stable_diffusion"]


def test_an_adapter_for_another_base_model_says_so(build: Any, unets: Any) -> None:
    pipe = build(NAME)
    with pytest.raises(ArgumentError, match=r"for another base model: .* 8 attention layers"):
        pipe.load_ip_adapter(Adapters().file("plain", unets["sdxl"]))
    wide = Adapters()
    file = {"image_proj": wide.projection("plain", 2048), "ip_adapter": {}}
    for number in (1, 3, 5, 7):
        for one in ("k", "v"):
            file["ip_adapter"] |= wide.linear(f"{number}.to_{one}_ip", 16, 2048, bias=False)
    with pytest.raises(ArgumentError, match=r"2048 \(Stable Diffusion XL\).* which read 12"):
        pipe.load_ip_adapter(file)
    assert dict(pipe.attachments) == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: f.pop("image_proj"), "not an IP-Adapter"),
        (lambda f: f.pop("ip_adapter"), "not an IP-Adapter"),
        (lambda f: f["image_proj"].pop("proj.weight"), "don't fit together|not an IP-Adapter"),
        (lambda f: f["image_proj"].update(further=torch.ones(1)), "don't fit together"),
        (lambda f: f["image_proj"].update({"proj.weight": torch.ones(3)}), "don't fit together"),
        (lambda f: f["image_proj"].update({"norm.bias": torch.ones(3)}), "don't fit together"),
        (lambda f: f["image_proj"].update({"norm.bias": torch.ones(12).int()}), "floating-point"),
        (lambda f: f["image_proj"].update({"perceiver_resampler.a": torch.ones(1)}), "FaceID Plus"),
        (lambda f: f["ip_adapter"].pop("1.to_k_ip.weight"), "incomplete"),
        (lambda f: f["ip_adapter"].update({"99.to_k_ip.weight": torch.ones(1, 12)}), "incomplete"),
        (lambda f: f["ip_adapter"].update({"to_k": torch.ones(1)}), "names such as 1.to_k_ip"),
        (lambda f: f["ip_adapter"].update({"1.to_k_ip.weight": torch.ones(3, 12)}), "equal"),
        (lambda f: f["ip_adapter"].update({"0.to_q_lora.up.weight": torch.ones(3, 2)}), "LoRA"),
    ],
)
def test_files_that_are_wrong_are_typed_errors(
    change: Any, told: str, unet: Any, build: Any
) -> None:
    file = Adapters().file("plain", unet)
    change(file)
    pipe = build(NAME)
    with pytest.raises(WeightsMismatchError, match=told):
        pipe.load_ip_adapter(file)
    assert dict(pipe.attachments) == {}


@pytest.mark.parametrize("kind", ["plus", "full", "face"])
def test_every_tensor_of_a_projection_is_needed(kind: str, unet: Any) -> None:
    from autopipe_ip_adapter.projections import make_projection

    tensors = Adapters().projection(kind, 12)
    make_projection(tensors, "a file")
    for name in tensors:
        with pytest.raises(WeightsMismatchError):
            make_projection({n: one for n, one in tensors.items() if n != name}, "a file")
        with pytest.raises(WeightsMismatchError):
            make_projection({**tensors, name: torch.ones(1, 1, 1, 1)}, "a file")


class Harm:
    def __reduce__(self) -> Any:
        return (print, ("harm",))


def test_hostile_files_are_typed_errors(build: Any, unet: Any, tmp_path: Path) -> None:
    pipe = build(NAME)
    harmful, cut, empty = tmp_path / "harmful.bin", tmp_path / "cut.safetensors", tmp_path / "e.bin"
    harmful.write_bytes(pickle.dumps({"image_proj": Harm(), "ip_adapter": {}}))
    whole = save(Adapters().file("plain", unet), tmp_path / "whole.safetensors")
    cut.write_bytes(whole.read_bytes()[:-9])
    empty.write_bytes(b"")
    for path, kind in (
        (harmful, UnsafeCheckpointError),
        (cut, DamagedFileError),
        (empty, AutopipeError),
    ):
        with pytest.raises(kind):
            pipe.load_ip_adapter(path)
    with pytest.raises(ArgumentError, match="inside the checkpoint"):
        pipe.load_ip_adapter(tmp_path, weight_name="../whole.safetensors")
    with pytest.raises(CheckpointError, match="no file"):
        pipe.load_ip_adapter(tmp_path, weight_name="absent.bin")
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsMismatchError, match=r"other.safetensors is not an IP-Adapter"):
        pipe.load_ip_adapter(tmp_path / "other.safetensors")
    assert dict(pipe.attachments) == {}


def test_lists_fit_together(build: Any, unet: Any) -> None:
    file = Adapters().file("plain", unet)
    with pytest.raises(ArgumentError, match="2, 3, 1 entries"):
        build(NAME).load_ip_adapter([file, file], subfolder=["a", "b", "c"])
    pipe = build(NAME)
    pipe.load_ip_adapter([file, file])
    with pytest.raises(ArgumentError, match="1 entries for 2 IP-Adapters"):
        draw(pipe, ip_adapter_image=picture(1))
    with pytest.raises(ArgumentError, match="has IP-Adapters already"):
        pipe.attach("ip_adapter", file, name="another")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ({}, "no image prompt is given"),
        ({"ip_adapter_image": "cat.png"}, "str"),
        ({"ip_adapter_image": [picture(1), picture(2)]}, "2 entries for 1 IP-Adapters"),
        ({"ip_adapter_image": picture(1), "ip_adapter_image_embeds": [torch.ones(2, 1, EMBEDDING)]},
         "got both"),
        ({"ip_adapter_image_embeds": torch.ones(2, 1, EMBEDDING)}, "give a list"),
        ({"ip_adapter_image_embeds": [torch.ones(2, 1, 3)]}, "takes .batch, images, 14"),
        ({"ip_adapter_image_embeds": [torch.ones(2, EMBEDDING)]}, "takes .batch, images, 14"),
        ({"ip_adapter_image_embeds": [torch.ones(3, 1, EMBEDDING)]}, "2 parts of equal length"),
        ({"ip_adapter_image_embeds": [torch.ones(4, 1, EMBEDDING)]}, "for 2 prompts"),
        ({"ip_adapter_image_embeds": []}, "0 tensors for 1"),
        ({"ip_adapter_image": picture(1), "cross_attention_kwargs": {"ip_adapter_masks": [1, 2]}},
         "there are 1 IP-Adapters"),
        ({"ip_adapter_image": picture(1), "cross_attention_kwargs": {"ip_adapter_masks": ["a"]}},
         "of what IPAdapterMaskProcessor makes"),
        ({"ip_adapter_image": picture(1), "cross_attention_kwargs": {"masks": 1}}, "masks"),
    ],
    ids=str,
)  # fmt: skip
def test_calls_that_are_wrong_are_told(call: Any, told: str, build: Any, unet: Any) -> None:
    pipe = build(NAME)
    pipe.load_ip_adapter(Adapters().file("plain", unet))
    with pytest.raises(ArgumentError, match=told):
        draw(pipe, **call)


def test_masks_and_scales_by_image_fit(build: Any, unet: Any) -> None:
    pipe = build(NAME)
    pipe.load_ip_adapter(Adapters().file("plain", unet))
    images = {"ip_adapter_image": [[picture(1), picture(2)]]}
    masks = torch.ones(1, 2, 16, 16)
    with pytest.raises(ArgumentError, match="has 2 images"):
        draw(pipe, **images, cross_attention_kwargs={"ip_adapter_masks": [masks[:, :1]]})
    pipe.set_ip_adapter_scale([[0.5, 0.6, 0.7]])
    with pytest.raises(ArgumentError, match="3 scales are given for 2 masked images"):
        draw(pipe, **images, cross_attention_kwargs={"ip_adapter_masks": [masks]})
    with pytest.raises(ArgumentError, match="one for each masked image"):
        draw(pipe, **images)


@pytest.mark.parametrize(
    ("scale", "told"),
    [
        ("strong", "give a number"),
        (float("nan"), "finite"),
        ([0.5, 0.5], "2 scales are given for 1 IP-Adapters"),
        ({"left": 1.0}, "there are down, up, mid"),
        ({"up": {"block_7": 1.0}}, "in up, a block .block_7.*block_1"),
        ({"up": {"block_0": 1.0}}, "in up, a block .block_0.*block_1"),
        ({"up": {"block_1": [1.0, 1.0, 1.0]}}, "has 2 transformers, but 3 strengths"),
        ({"mid": [1.0, 1.0]}, "mid has 1 transformers, but 2 strengths"),
        ({"up": {"block_1": "much"}}, "give a number"),
    ],
    ids=str,
)
def test_scales_that_are_wrong_change_nothing(scale: Any, told: str, build: Any, unet: Any) -> None:
    pipe = build(NAME)
    pipe.load_ip_adapter(Adapters().file("plain", unet))
    pipe.set_ip_adapter_scale(0.3)
    with pytest.raises(ArgumentError, match=told):
        pipe.set_ip_adapter_scale(scale)
    assert pipe.attachments == {"ip_adapter": (0.3,)}


def test_without_an_adapter_image_prompts_are_refused(build: Any) -> None:
    pipe = build(NAME)
    with pytest.raises(ArgumentError, match="attach an IP-Adapter first"):
        draw(pipe, ip_adapter_image=picture(1))
    for use in (
        lambda: pipe.set_ip_adapter_scale(0.5),
        lambda: pipe.prepare_ip_adapter_image_embeds(picture(1), None, "cpu", 1, True),
    ):
        with pytest.raises(ArgumentError, match="has no IP-Adapter"):
            use()


def test_what_can_not_be_encoded_is_told(build: Any, unet: Any, encoder: Any) -> None:
    pipe = build(NAME, image_encoder=None)
    pipe.load_ip_adapter(Adapters().file("plain", unet))
    with pytest.raises(ArgumentError, match="has no image_encoder"):
        draw(pipe, ip_adapter_image=picture(1))
    narrow = Adapters()
    file = narrow.file("plain", unet)
    file["image_proj"] |= narrow.linear("proj", 48, HIDDEN + 1)
    pipe = build(NAME)
    pipe.load_ip_adapter(file)
    with pytest.raises(ArgumentError, match=f"width {HIDDEN + 1}, .* makes {EMBEDDING}"):
        draw(pipe, ip_adapter_image=picture(1))
    pipe.load_ip_adapter(Adapters().file("face", unet))
    with pytest.raises(ArgumentError, match="a face recogniser"):
        draw(pipe, ip_adapter_image=picture(1))
    draw(pipe, ip_adapter_image_embeds=[torch.ones(2, 1, FACE)])


def test_an_absent_encoder_is_told_and_nothing_is_attached(
    build: Any, unet: Any, tmp_path: Path
) -> None:
    file = save(Adapters().file("plain", unet), tmp_path / "ip-adapter.safetensors")
    pipe = build(NAME, image_encoder=None, feature_extractor=None)
    with pytest.raises(CheckpointError, match="image_encoder_folder="):
        pipe.load_ip_adapter(file)
    assert dict(pipe.attachments) == {}
    assert pipe.feature_extractor is None
    pipe.load_ip_adapter(file, image_encoder_folder=None)
    assert pipe.feature_extractor is not None
    pipe.unload_ip_adapter()
    assert pipe.feature_extractor is None


def test_a_failure_keeps_what_was_loaded_before(build: Any, unet: Any, tmp_path: Path) -> None:
    file = save(Adapters().file("plain", unet), tmp_path / "ip-adapter.safetensors")
    pipe = build(NAME, image_encoder=None, feature_extractor=None)
    pipe.load_ip_adapter(Adapters(1).file("plain", unet), image_encoder_folder=None)
    pipe.set_ip_adapter_scale(0.5)
    before, adapters = dict(pipe.attachments), pipe.attached(IPAdapter)
    with pytest.raises(CheckpointError, match="image_encoder_folder="):
        pipe.load_ip_adapter(file)
    assert dict(pipe.attachments) == before
    assert pipe.attached(IPAdapter) == adapters


def test_an_encoder_of_the_users_stays(build: Any, unet: Any) -> None:
    pipe = build(NAME)
    encoder = pipe.image_encoder
    pipe.load_ip_adapter(Adapters().file("plain", unet))
    pipe.unload_ip_adapter()
    assert pipe.image_encoder is encoder


def test_masks_are_made_of_pictures() -> None:
    white = picture(1, 16).convert("L").point(lambda value: 255)
    masks = IPAdapterMaskProcessor().preprocess([white, white], height=16, width=24)
    assert masks.shape == (2, 1, 16, 24)
    assert masks.unique().tolist() == [1.0]
    small = IPAdapterMaskProcessor.downsample(masks[0], 3, 6, 5)
    assert small.shape == (3, 6, 5)
    with pytest.raises(ArgumentTypeError):
        IPAdapterMaskProcessor().preprocess("mask.png")


def test_embeddings_for_an_editor_have_the_three_parts_of_its_steps(build: Any, unets: Any) -> None:
    pipe = build("StableDiffusionInstructPix2PixPipeline")
    pipe.load_ip_adapter(Adapters().file("plain", unets["edit"]))
    call = {"image": picture(9, 16)}
    expected = draw(pipe, **call, ip_adapter_image=picture(1))
    embeds = pipe.prepare_ip_adapter_image_embeds(picture(1), None, None, 1, True)
    assert [len(one) for one in embeds] == [3]
    assert embeds[0][0].any()
    assert not embeds[0][1:].any()
    assert (draw(pipe, **call, ip_adapter_image_embeds=embeds) == expected).all()
    with pytest.raises(ArgumentError, match="3 parts of equal length"):
        draw(pipe, **call, ip_adapter_image_embeds=[embeds[0][:2]])
