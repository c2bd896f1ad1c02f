from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.arguments import arguments_read  # noqa: F401
from support.first_picture import check_light
from support.record import parameters_of

from autopipe import LDMTextToImagePipeline as Pipe
from autopipe.errors import ArgumentError

SMALL: dict[str, Any] = {"num_inference_steps": 2, "output_type": "pt"}


def test_every_argument_of_a_call_is_read(
    build: Callable[..., Any],
    arguments_read: list[set[str]],  # noqa: F811
) -> None:
    build(Pipe)("a cat", num_inference_steps=2)
    assert parameters_of(Pipe) - arguments_read[0] == set()


def test_a_picture_imports_nothing_heavy(build: Callable[..., Any], tmp_path: Path) -> None:
    build(Pipe).save_pretrained(tmp_path / "checkpoint")
    call = {"prompt": "a cat", "num_inference_steps": 2}
    check_light(tmp_path / "checkpoint", call, tmp_path)


def test_embeddings_replace_texts(build: Callable[..., Any]) -> None:
    pipe, call = build(Pipe), {**SMALL, "guidance_scale": 4.0}
    embeds, negative = pipe.encode_prompt("a cat", None, 1, True, "dog")

    def drawn(pipe: Any, **given: Any) -> Any:
        return pipe(**given, **call, generator=torch.Generator().manual_seed(0)).images

    texts = drawn(pipe, prompt="a cat", negative_prompt="dog")
    without = build(Pipe, bert=None, tokenizer=None)
    both = {"prompt_embeds": embeds, "negative_prompt_embeds": negative}
    assert torch.equal(texts, drawn(without, **both))
    with pytest.raises(ArgumentError, match="no text encoder"):
        without("a cat")


def test_a_vq_model_is_an_autoencoder(build: Callable[..., Any]) -> None:
    from autopipe import VQModel

    vqvae = VQModel(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
    ).eval()
    pipe = build(Pipe, vqvae=vqvae)
    assert pipe("a cat", **SMALL).images.shape == (1, 3, 8, 8)
    pipe.vqvae = None
    assert pipe("a cat", **{**SMALL, "output_type": "latent"}).images.shape == (1, 4, 4, 4)
    with pytest.raises(ArgumentError, match="no vqvae"):
        pipe("a cat", **SMALL)
    with pytest.raises(ArgumentError, match="no vqvae"):
        pipe.enable_vae_slicing()
