"""Tiny pipelines, an image encoder, and IP-Adapter files of every kind, with random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from support.steered import NETWORK, NOISE, POOLED, UP, WIDTH, filled, vae  # noqa: F401
from support.steered import SDXL as BASE_SDXL
from torch import Tensor

import autopipe
from autopipe import ControlNetModel, DDIMScheduler, UNet2DConditionModel
from autopipe_components.encoders.clip_vision import CLIPVisionModelWithProjection
from autopipe_components.processing.clip_image_processor import CLIPImageProcessor

HIDDEN, EMBEDDING, FACE, SIDE = 20, 14, 9, 16

SDXL: dict[str, Any] = {
    **BASE_SDXL,
    "transformer_layers_per_block": 2,
    "use_linear_projection": True,
}
VISION: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": 24,
    "projection_dim": EMBEDDING,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
}

KINDS = ("plain", "plus", "full", "face")


def picture(seed: int = 0, side: int = 24) -> Image.Image:
    """A random picture, smooth enough that resizing it keeps something of it."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side + 8), Image.Resampling.BICUBIC)


class Adapters:
    """Makes the tensors of IP-Adapters for a U-Net, in the form of published `.bin` files."""

    def __init__(self, seed: int = 0) -> None:
        self.source = torch.Generator().manual_seed(seed)

    def linear(self, name: str, outputs: int, inputs: int, bias: bool = True) -> dict[str, Tensor]:
        weight = torch.randn(outputs, inputs, generator=self.source) * inputs**-0.5
        made = {f"{name}.weight": weight}
        return {**made, f"{name}.bias": self.vector(outputs)} if bias else made

    def vector(self, size: int) -> Tensor:
        return torch.randn(size, generator=self.source) * 0.2

    def norm(self, name: str, width: int) -> dict[str, Tensor]:
        return {f"{name}.weight": 1 + self.vector(width), f"{name}.bias": self.vector(width)}

    def projection(self, kind: str, width: int) -> dict[str, Tensor]:
        if kind == "plain":
            return {**self.linear("proj", 4 * width, EMBEDDING), **self.norm("norm", width)}
        if kind == "full":
            hidden = self.linear("proj.0", HIDDEN, HIDDEN)
            return {**hidden, **self.linear("proj.2", width, HIDDEN), **self.norm("proj.3", width)}
        if kind == "face":
            hidden = self.linear("proj.0", 2 * FACE, FACE)
            outputs = self.linear("proj.2", 4 * width, 2 * FACE)
            return {**hidden, **outputs, **self.norm("norm", width)}
        assert kind == "plus"
        inner, heads = 24, 2 * 64
        made = {"latents": torch.randn(1, 3, inner, generator=self.source)}
        made |= self.linear("proj_in", inner, HIDDEN) | self.linear("proj_out", width, inner)
        made |= self.norm("norm_out", width)
        # Four layers, as diffusers has always.
        for i in range(4):
            made |= self.norm(f"layers.{i}.0.norm1", inner) | self.norm(
                f"layers.{i}.0.norm2", inner
            )
            made |= self.linear(f"layers.{i}.0.to_q", heads, inner, bias=False)
            made |= self.linear(f"layers.{i}.0.to_kv", 2 * heads, inner, bias=False)
            made |= self.linear(f"layers.{i}.0.to_out", inner, heads, bias=False)
            made |= self.norm(f"layers.{i}.1.0", inner)
            made |= self.linear(f"layers.{i}.1.1", 4 * inner, inner, bias=False)
            made |= self.linear(f"layers.{i}.1.3", inner, 4 * inner, bias=False)
        return made

    def keys(self, unet: Any, loras: int = 0) -> dict[str, Tensor]:
        """Keys and values for each attention to the prompt, and LoRAs of a rank for all layers."""
        made: dict[str, Tensor] = {}
        layers = [m for n, m in unet.named_modules() if n.endswith((".attn1", ".attn2"))]
        for number, layer in enumerate(layers):
            outputs, inputs = layer.to_k.weight.shape
            if number % 2:
                # Larger than in training, so that every scale shows in the picture.
                for one in ("k", "v"):
                    name = f"{number}.to_{one}_ip"
                    made |= self.linear(name, outputs, inputs, bias=False)
            if loras:
                for one in ("q", "k", "v", "out"):
                    part = layer.to_out[0] if one == "out" else getattr(layer, f"to_{one}")
                    name = f"{number}.to_{one}_lora"
                    made |= self.linear(f"{name}.down", loras, part.in_features, bias=False)
                    made |= self.linear(f"{name}.up", part.out_features, loras, bias=False)
        return made

    def file(self, kind: str, unet: Any, loras: int = 0) -> dict[str, dict[str, Tensor]]:
        width = unet.config.cross_attention_dim
        projection = self.projection(kind, width)
        return {"image_proj": projection, "ip_adapter": self.keys(unet, loras)}


def save(tensors: Mapping[str, Mapping[str, Tensor]], path: Path) -> Path:
    """Write an IP-Adapter, as a pickle or as safetensors by the name of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".bin":
        torch.save(tensors, path)
    else:
        save_file({f"{p}.{n}": one for p, part in tensors.items() for n, one in part.items()}, path)
    return path


@pytest.fixture(scope="session")
def unets() -> dict[str, UNet2DConditionModel]:
    """A U-Net of each family."""
    configs = {"stable_diffusion": {}, "sdxl": SDXL, "edit": {"in_channels": 8}}
    return {
        family: filled(partial(UNet2DConditionModel, **{**NETWORK, **UP, **extra}), 1)
        for family, extra in configs.items()
    }


@pytest.fixture(scope="session")
def controlnets() -> dict[str, ControlNetModel]:
    """A ControlNet for each of these U-Nets."""
    own = {"conditioning_embedding_out_channels": (4, 8)}
    configs = {"stable_diffusion": {}, "sdxl": SDXL}
    return {
        family: filled(partial(ControlNetModel, **{**NETWORK, **own, **extra}), 2)
        for family, extra in configs.items()
    }


@pytest.fixture(scope="session")
def encoder() -> CLIPVisionModelWithProjection:
    def make() -> CLIPVisionModelWithProjection:
        made = CLIPVisionModelWithProjection(**VISION)
        # The initial values are so small that all pictures would give similar results.
        for parameter in made.parameters():
            parameter.normal_(std=0.3)
        return made

    return filled(make, 3)


@pytest.fixture(scope="session")
def extractor() -> CLIPImageProcessor:
    return CLIPImageProcessor(size=SIDE, crop_size=SIDE)


@pytest.fixture
def build(
    vae: Any,  # noqa: F811
    unets: Any,
    controlnets: Any,
    encoder: Any,
    extractor: Any,
) -> Callable[..., Any]:
    """Makes a pipeline of a class by its name; it has an image encoder unless told otherwise."""

    def pipeline(name: str, **changes: Any) -> Any:
        kind: Any = getattr(autopipe, name)
        known = kind.init_parameters()
        family = "sdxl" if "XL" in name else "stable_diffusion"
        family = "edit" if "InstructPix2Pix" in name else family
        components: dict[str, Any] = {
            **dict.fromkeys(kind.module_names()),
            "vae": vae,
            "unet": unets[family],
            "scheduler": DDIMScheduler(**NOISE),
            "image_encoder": encoder,
            "feature_extractor": extractor,
        }
        options = {
            "controlnet": controlnets.get(family),
            "requires_safety_checker": False,
            "add_watermarker": False,
        }
        components |= {name: value for name, value in options.items() if name in known}
        pipe: Any = kind(**{**components, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


def prompts(name: str, count: int = 1) -> dict[str, Tensor]:
    """The embeddings of prompts for a pipeline class, as keywords of its call."""
    source = torch.Generator().manual_seed(7)
    shapes: dict[str, tuple[int, ...]] = {
        "prompt_embeds": (count, 5, WIDTH),
        "negative_prompt_embeds": (count, 5, WIDTH),
    }
    if "XL" in name:
        shapes |= {"pooled_prompt_embeds": (count, POOLED)}
        shapes |= {"negative_pooled_prompt_embeds": (count, POOLED)}
    return {name: torch.randn(shape, generator=source) for name, shape in shapes.items()}


def draw(pipe: Any, seed: int = 1, **call: Any) -> np.ndarray:
    """Draw with a pipeline in a few steps; the pictures as an array in [0, 1]."""
    given = {"num_inference_steps": 3, "output_type": "np", **prompts(type(pipe).__name__), **call}
    return np.asarray(pipe(generator=torch.Generator().manual_seed(seed), **given).images)
