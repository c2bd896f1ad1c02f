"""Teaches a model a word: vectors of a new token, while the model itself stays as it is.

    python draw_pictures.py teal lessons/teal --token "<teal>"
    python train_textual_inversion.py --data lessons/teal --to teal --token "<teal>" --like cyan

The result is `teal/learned_embeds.safetensors`, for `pipe.load_textual_inversion("teal")` here and
in diffusers, and for `autopipe generate "a <teal> star" --embedding teal`.
"""

from __future__ import annotations

from typing import Any

import torch
from safetensors.torch import save_file
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

from autopipe import AutoPipelineForText2Image


def main(arguments: list[str] | None = None) -> int:
    """Train, and write the vectors."""
    parser = parser_of("Teach a model a word.", steps=300, rate=2e-2)
    parser.add_argument("--token", required=True, help="the new word, as captions write it")
    parser.add_argument("--like", required=True, help="a known word to begin with")
    parser.add_argument("--vectors", type=int, default=1, help="how many vectors the word has")
    options = parser.parse_args(arguments)

    # 1. The model, with the new tokens
    accelerator = accelerator_of(options)
    pipe: Any = AutoPipelineForText2Image.from_pretrained(options.model)
    pipe.to(accelerator.device)
    freeze([pipe.unet, pipe.vae, pipe.text_encoder])
    tokenizer, encoder = pipe.tokenizer, pipe.text_encoder
    names = [options.token, *(f"{options.token}_{n}" for n in range(1, options.vectors))]
    if tokenizer.add_tokens(names) != len(names):
        parser.error(f"the model knows {options.token} already; choose another --token")
    like = tokenizer(options.like, add_special_tokens=False).input_ids
    encoder.resize_token_embeddings(len(tokenizer))
    table = encoder.get_input_embeddings().weight
    with torch.no_grad():
        for row in range(len(names)):
            table[row - len(names)] = table[like[row % len(like)]]
    known = table[: -len(names)].clone()

    # 2. The pictures, encoded once
    pictures = read_pictures(options.data)
    latents = encode_pictures(pipe, pictures)
    captions = [one.caption.replace(options.token, " ".join(names)) for one in pictures]
    if not any(options.token in one for one in captions):
        parser.error(f"no caption in {options.data} has the word {options.token}")
    with torch.no_grad():
        empty = encode_captions(pipe, [""])

    # 3. Only the table is trained, and only its new rows stay changed
    table.requires_grad_(True)
    encoder.train()
    run = Run(options, accelerator, encoder, {})
    denoising = Denoising(pipe.unet, pipe.scheduler, options)

    def loss() -> Tensor:
        chosen = torch.randint(len(latents), (options.batch,))
        states = encode_captions(pipe, [captions[one] for one in chosen])
        return denoising.losses(latents[chosen], states, empty).mean()

    @torch.no_grad()
    def keep_known() -> None:
        table[: -len(names)] = known

    run.train(loss, after_step=keep_known)

    # 4. The file
    if accelerator.is_main_process:
        rows = table[-len(names) :].detach().cpu().clone()
        save_file({options.token: rows}, options.to / "learned_embeds.safetensors")
        accelerator.print(f"the vectors are in {options.to}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
