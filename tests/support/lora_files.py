"""LoRA files of every format, written for tiny networks as their programs write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from autopipe import UNet2DConditionModel
from autopipe_components.original.unet_names import unet_module_names

from .tiny import UNET, WIDTH, seeded

CLIP: dict[str, Any] = {
    "vocab_size": 30,
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 8,
    "projection_dim": WIDTH,
}
XL: dict[str, Any] = {
    **UNET,
    "block_out_channels": (8, 16, 16),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": [1, 1, 2],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 40,
}
ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0")
LINEAR = (*ATTENTION, ".ff.net.0.proj", ".ff.net.2", ".proj_in", ".proj_out")
CONVOLUTIONS = ("conv1", "conv2", "conv_shortcut", "time_emb_proj", "samplers.0.conv")
ENDS = ("conv_in", "conv_out", "time_embedding.linear_1", "time_embedding.linear_2")
TEXT_ATTENTION = (".q_proj", ".k_proj", ".v_proj", ".out_proj")
TEXT = (*TEXT_ATTENTION, ".fc1", ".fc2")


@dataclass(frozen=True)
class Change:
    """A change of one module, as a file has it."""

    down: Tensor
    up: Tensor
    alpha: float | None = None

    @property
    def scale(self) -> float:
        return 1.0 if self.alpha is None else self.alpha / len(self.down)

    @property
    def delta(self) -> Tensor:
        flat = self.scale * (self.up.flatten(1) @ self.down.flatten(1))
        return flat.reshape(len(self.up), *self.down.shape[1:])


Changes = Mapping[str, Mapping[str, Change]]
"""Changes by component and path of the module."""


def networks() -> dict[str, nn.Module]:
    """The networks of Stable Diffusion, tiny."""
    return {
        "unet": seeded(lambda: UNet2DConditionModel(**UNET)),
        "text_encoder": seeded(lambda: CLIPTextModel(CLIPTextConfig(**CLIP))),
    }


def networks_xl() -> dict[str, nn.Module]:
    """The networks of SDXL, tiny."""
    return {
        "unet": seeded(lambda: UNet2DConditionModel(**XL)),
        "text_encoder": seeded(lambda: CLIPTextModel(CLIPTextConfig(**CLIP))),
        "text_encoder_2": seeded(
            lambda: CLIPTextModelWithProjection(CLIPTextConfig(**CLIP)), seed=1
        ),
    }


def changes(
    made: Mapping[str, nn.Module],
    unet: tuple[str, ...] = LINEAR,
    text: tuple[str, ...] = TEXT,
    rank: Callable[[str], int] = lambda path: 2,
    alpha: Callable[[str], float | None] = lambda path: None,
    seed: int = 0,
) -> dict[str, dict[str, Change]]:
    """Return a random change of every module whose path ends so."""
    generator = torch.Generator().manual_seed(seed)

    def change(path: str, shape: tuple[int, ...]) -> Change:
        inner = torch.randn(rank(path), *shape[1:], generator=generator) / 4
        outer = torch.randn(shape[0], rank(path), *(1 for _ in shape[2:]), generator=generator)
        return Change(inner, outer / 4, alpha(path))

    return {
        component: {
            path: change(path, tuple(module.weight.shape))
            for path, module in network.named_modules()
            if path.endswith(unet if component == "unet" else text) and hasattr(module, "weight")
        }
        for component, network in made.items()
    }


def file_path(path: str) -> str:
    """The path of a module as files have it: with `text_model`, whatever transformers has."""
    return f"text_model.{path}" if path.startswith("encoder.layers.") else path


def _plain(component: str, path: str) -> str:
    return f"{component}.{file_path(path)}"


def peft(of: Changes, name: Callable[[str, str], str] = _plain) -> dict[str, Tensor]:
    """As diffusers writes today."""
    return {
        f"{name(component, path)}.lora_{letter}.weight": tensor
        for component, layers in of.items()
        for path, change in layers.items()
        for letter, tensor in (("A", change.down), ("B", change.up))
    }


def late_2023(of: Changes) -> dict[str, Tensor]:
    """As diffusers wrote in late 2023."""
    return {
        f"{_plain(component, path)}.{'lora' if component == 'unet' else 'lora_linear_layer'}"
        f".{way}.weight": tensor
        for component, layers in of.items()
        for path, change in layers.items()
        for way, tensor in (("down", change.down), ("up", change.up))
    }


_EARLY = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


def early_2023(of: Changes, prefix: bool = True) -> dict[str, Tensor]:
    """As diffusers wrote in early 2023, when only attention could be changed."""
    found = {}
    for component, layers in of.items():
        for path, change in layers.items():
            parent, _, last = file_path(path).removesuffix(".0").rpartition(".")
            middle = ".processor" if component == "unet" else ""
            start = f"{component}." if prefix else ""
            for way, tensor in (("down", change.down), ("up", change.up)):
                name = f"{start}{parent}{middle}.{_EARLY.get(last, last)}_lora.{way}.weight"
                found[name] = tensor
    return found


def scripts(
    of: Changes, xl: bool = False, name: Callable[[str], str] = lambda path: path
) -> dict[str, Tensor]:
    """As sd-scripts writes; `name` gives the names of a U-Net's modules."""
    tags = {"unet": "unet", "text_encoder": "te1" if xl else "te", "text_encoder_2": "te2"}
    found = {}
    for component, layers in of.items():
        for path, change in layers.items():
            path = name(path) if component == "unet" else file_path(path)
            stem = f"lora_{tags[component]}_{path.replace('.', '_')}"
            found[f"{stem}.lora_down.weight"] = change.down
            found[f"{stem}.lora_up.weight"] = change.up
            if change.alpha is not None:
                found[f"{stem}.alpha"] = torch.tensor(change.alpha)
    return found


def authors_name(network: Any) -> Callable[[str], str]:
    """A function from the path of a module to its name in the code of its authors."""
    names = unet_module_names(network.config)

    def name(path: str) -> str:
        (found,) = ((o, n) for o, n in names.items() if f"{path}.".startswith(f"{n}."))
        return found[0] + path.removeprefix(found[1])

    return name


def deltas(layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    """The change of each weight that `read_lora` found, by component and path."""
    return {
        f"{component}.{path}": (
            layer.scale * (layer.up.flatten(1).float() @ layer.down.flatten(1).float())
        ).reshape(len(layer.up), *layer.down.shape[1:])
        for component, by_path in layers.items()
        for path, layer in by_path.items()
    }
