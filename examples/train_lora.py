"""Trains a LoRA: a small file that teaches a model a style or a subject.

    python draw_pictures.py outlines lessons/outlines
    python train_lora.py --data lessons/outlines --to outlines --guided 3.57

The result is `outlines/pytorch_lora_weights.safetensors`, for `pipe.load_lora_weights("outlines")`
here and in diffusers, and for `autopipe generate --lora outlines`.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor
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

from autopipe import AutoPipelineForText2Image, training_utils

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def main(arguments: list[str] | None = None) -> int:
    """Train, and write the LoRA."""
    parser = parser_of("Train a LoRA.", steps=400, rate=3e-3)
    parser.add_argument("--rank", type=int, default=4, help="columns of the factors of a change")
    parser.add_argument(
        "--layers", nargs="+", default=list(ATTENTION), help="ends of the names of layers to change"
    )
    parser.add_argument("--half", action="store_true", help="write float16, at half of the size")
    options = parser.parse_args(arguments)

    # 1. The model, of which nothing is trained
    accelerator = accelerator_of(options)
    pipe: Any = AutoPipelineForText2Image.from_pretrained(options.model)
    pipe.to(accelerator.device)
    freeze([pipe.unet, pipe.vae, pipe.text_encoder])

    # 2. The pictures, encoded once
    pictures = read_pictures(options.data)
    latents = encode_pictures(pipe, pictures)
    with torch.no_grad():
        states = encode_captions(pipe, [one.caption for one in pictures])
        empty = encode_captions(pipe, [""])

    # 3. The LoRA
    pipe.unet.add_adapter(
        LoraConfig(
            r=options.rank,
            lora_alpha=options.rank,
            init_lora_weights="gaussian",
            target_modules=options.layers,
        )
    )
    training_utils.cast_training_params(pipe.unet, dtype=torch.float32)
    if options.gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing()
    pipe.unet.train()
    run = Run(options, accelerator, pipe.unet, {})
    denoising = Denoising(run.network, pipe.scheduler, options)

    def loss() -> Tensor:
        chosen = torch.randint(len(latents), (options.batch,))
        return denoising.losses(latents[chosen], states[chosen], empty).mean()

    run.train(loss, after_step=lambda: None)

    # 4. The file
    if accelerator.is_main_process:
        layers = get_peft_model_state_dict(accelerator.unwrap_model(run.network))
        dtype = torch.float16 if options.half else torch.float32
        type(pipe).save_lora_weights(
            options.to, unet_lora_layers={n: one.to(dtype) for n, one in layers.items()}
        )
        accelerator.print(f"the LoRA is in {options.to}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
