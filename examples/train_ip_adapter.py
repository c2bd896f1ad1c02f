"""Trains an IP-Adapter with a small image encoder, while the model itself stays as it is.

    python draw_pairs.py lessons/pairs
    python train_ip_adapter.py --data lessons/pairs --to shapes --guided 3.57

The lines of `metadata.jsonl` name a picture, its caption, and the picture that is its prompt:
`{"file_name": .., "text": .., "prompt": ..}`. The result, `shapes/ip-adapter.safetensors` with
`shapes/image_encoder`, is for `pipe.load_ip_adapter("shapes")` here and in diffusers, and for
`autopipe generate "" --ip-adapter shapes --ip-adapter-image PICTURE`.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from training import (
    Denoising,
    Run,
    accelerator_of,
    encode_captions,
    encode_pictures,
    freeze,
    parser_of,
    read_pictures,
)

from autopipe import AutoPipelineForText2Image
from autopipe_components.encoders.clip_vision import CLIPVisionModelWithProjection
from autopipe_components.processing.clip_image_processor import CLIPImageProcessor

TOKENS = 4


def make_encoder(options: argparse.Namespace) -> CLIPVisionModelWithProjection:
    """Return a small image encoder with random weights."""
    return CLIPVisionModelWithProjection(
        hidden_size=options.width,
        intermediate_size=2 * options.width,
        projection_dim=options.width,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=options.side,
        patch_size=8,
    )


def first_tensors(unet: Any, width: int) -> dict[str, dict[str, Tensor]]:
    """Return an untrained adapter, whose keys and values begin as those of the prompt."""
    layers = [one for path, one in unet.named_modules() if path.endswith(".attn2")]
    context = unet.config.cross_attention_dim
    project, norm = nn.Linear(width, TOKENS * context), nn.LayerNorm(context)
    projection = {f"proj.{name}": one.data for name, one in project.named_parameters()}
    projection |= {f"norm.{name}": one.data for name, one in norm.named_parameters()}
    keys = {
        f"{2 * number + 1}.to_{one}_ip.weight": getattr(layer, f"to_{one}").weight.data.clone()
        for number, layer in enumerate(layers)
        for one in ("k", "v")
    }
    return {"image_proj": projection, "ip_adapter": keys}


class Prompted(nn.Module):
    """A U-Net that gets the image prompts of a batch beside its other inputs."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet
        self.embeds = torch.empty(0)

    def forward(self, noisy: Tensor, timesteps: Tensor, **inputs: Any) -> Any:
        embeds = self.embeds[:, None]
        if len(noisy) > len(embeds):  # The half without a prompt comes second in training.
            embeds = torch.cat([embeds, torch.zeros_like(embeds)])
        return self.unet(noisy, timesteps, added_cond_kwargs={"image_embeds": [embeds]}, **inputs)


def main(arguments: list[str] | None = None) -> int:
    """Train, and write the adapter and the encoder."""
    parser = parser_of("Train an IP-Adapter with an image encoder.", steps=1500, rate=1e-3)
    parser.add_argument("--width", type=int, default=48, help="of the encoder and its embedding")
    parser.add_argument("--side", type=int, default=32, help="of the pictures that it reads")
    options = parser.parse_args(arguments)

    # 1. The model, with an untrained adapter and encoder
    accelerator = accelerator_of(options)
    pipe: Any = AutoPipelineForText2Image.from_pretrained(options.model)
    pipe.to(accelerator.device)
    freeze([pipe.unet, pipe.vae, pipe.text_encoder])
    encoder = make_encoder(options).to(accelerator.device)
    tensors = first_tensors(pipe.unet, options.width)
    addon = pipe.attach("ip_adapter", tensors, image_encoder_folder=None)
    addon.weights.to(accelerator.device).requires_grad_(True)

    # 2. The pictures and their prompts, prepared once
    pictures = read_pictures(options.data)
    latents = encode_pictures(pipe, pictures)
    lines = (options.data / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = [Image.open(options.data / json.loads(one)["prompt"]) for one in lines]
    extractor = CLIPImageProcessor(size=options.side, crop_size=options.side)
    pixels = extractor(prompts, return_tensors="pt").pixel_values.to(accelerator.device)
    captions = [one.caption for one in pictures]
    with torch.no_grad():
        known = {one: encode_captions(pipe, [one])[0] for one in {"", *captions}}

    # 3. The adapter and the encoder are trained together
    trained = nn.ModuleDict({"adapter": addon.weights, "encoder": encoder}).train()
    run = Run(options, accelerator, trained, {})
    prompted = Prompted(pipe.unet)
    denoising = Denoising(prompted, pipe.scheduler, options)

    def loss() -> Tensor:
        chosen = torch.randint(len(latents), (options.batch,))
        prompted.embeds = encoder(pixels[chosen]).image_embeds
        states = torch.stack([known[captions[one]] for one in chosen])
        return denoising.losses(latents[chosen], states, known[""][None]).mean()

    run.train(loss, after_step=lambda: None)

    # 4. The files
    if accelerator.is_main_process:
        state = addon.weights[0].image_proj.state_dict()
        found = {f"image_proj.{name}": one for name, one in state.items()}
        for number, keys in enumerate(addon.weights[0].keys):
            for name, one in keys.state_dict().items():
                found[f"ip_adapter.{2 * number + 1}.{name}"] = one
        half = {name: one.detach().cpu().half().contiguous() for name, one in found.items()}
        save_file(half, options.to / "ip-adapter.safetensors")
        encoder.half().save_pretrained(options.to / "image_encoder")
        accelerator.print(f"the adapter and its encoder are in {options.to}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
