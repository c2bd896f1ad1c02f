"""Random LoRAs for any networks, and tiny pipelines that take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

import autopipe

from .tiny import BETAS, UNET, VAE, WIDTH, make_text_encoder, make_tokenizer, seeded

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "q_proj", "v_proj", "out_proj")
"""The layers that most LoRAs change."""

EVERY = (*ATTENTION, "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv_shortcut")
EVERY = (*EVERY, "time_emb_proj", "fc1", "fc2")
"""Those of LoCon, too."""

POOLED, IDS = 10, 4
XL: dict[str, Any] = {
    "cross_attention_dim": 2 * WIDTH,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": IDS,
    "projection_class_embeddings_input_dim": POOLED + 6 * IDS,
}


def random_lora(
    networks: Mapping[str, nn.Module],
    seed: int = 0,
    *,
    layers: Iterable[str] = ATTENTION,
    rank: int = 4,
    size: float = 0.6,
    dora: bool = False,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Return the tensors of a LoRA by the names of peft, with the names of components.

    Args:
        layers: the ends of the paths of the modules that it changes.
        size: how large the change of an output is, relative to inputs of size 1.
        dora: whether it has magnitudes.
    """
    made = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for component, network in networks.items():
        for path, module in network.named_modules():
            weight = getattr(module, "weight", None)
            if weight is None or not path.endswith(tuple(layers)):
                continue
            # Files have this part, wherever the encoder that is used has it.
            is_text = component.startswith("text_encoder") and not path.startswith("text_model.")
            key = f"{component}.{'text_model.' if is_text else ''}{path}"
            out, inputs, *kernel = weight.shape
            down = torch.randn(rank, inputs, *kernel, generator=made) / weight[0].numel() ** 0.5
            up = torch.randn(out, rank, *(1 for _ in kernel), generator=made) * size / rank**0.5
            found[f"{key}.lora_A.weight"] = down.to(dtype)
            found[f"{key}.lora_B.weight"] = up.to(dtype)
            if dora:
                norm = weight.flatten(1).norm(dim=1) * (1 + torch.rand(out, generator=made))
                shape = (1, out, *(1 for _ in kernel)) if kernel else (out,)
                found[f"{key}.lora_magnitude_vector"] = norm.view(shape).to(dtype)
    return found


def make_checkpoint(folder: Path, *, xl: bool = False) -> Path:
    """Write a tiny Stable Diffusion checkpoint, or one of XL, into `folder`."""
    tokenizer = make_tokenizer(folder)
    components: dict[str, Any] = {
        "vae": seeded(lambda: autopipe.AutoencoderKL(**VAE)),
        "text_encoder": make_text_encoder(CLIPTextModel, tokenizer, seed=1),
        "tokenizer": tokenizer,
        "unet": seeded(lambda: autopipe.UNet2DConditionModel(**UNET | (XL if xl else {})), seed=3),
    }
    kind: Any = autopipe.StableDiffusionXLPipeline if xl else autopipe.StableDiffusionPipeline
    if xl:
        components |= {
            "text_encoder_2": make_text_encoder(
                CLIPTextModelWithProjection, tokenizer, seed=2, projection_dim=POOLED
            ),
            "tokenizer_2": tokenizer,
            "scheduler": autopipe.EulerDiscreteScheduler(**BETAS),
        }
    else:
        told = {"safety_checker": None, "feature_extractor": None}
        scheduler = autopipe.DDIMScheduler(**BETAS, steps_offset=1, clip_sample=False)
        components |= {**told, "scheduler": scheduler, "requires_safety_checker": False}
    kind(**components).save_pretrained(folder)
    return folder
