"""Teaches a model a subject (DreamBooth): the whole U-Net learns what a few pictures show.

    python draw_pictures.py halves lessons/halves --count 8
    python train_dreambooth.py --data lessons/halves --to halves --class-prompt "a green circle"

Pictures of the class, which the model draws itself before training, keep it from forgetting what
else there is (Ruiz et al. 2022, arXiv:2208.12242). The result is a checkpoint, with the averaged
weights, for `from_pretrained("halves/pipeline")` here and in diffusers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from training import (
    Denoising,
    Picture,
    Run,
    accelerator_of,
    encode_captions,
    encode_pictures,
    freeze,
    parser_of,
    read_pictures,
)

from autopipe import AutoPipelineForText2Image, training_utils


def draw_class(pipe: Any, prompt: str, count: int, steps: int, seed: int) -> list[Picture]:
    """Return pictures that the model draws before training."""
    drawn = pipe(
        [prompt] * count,
        num_inference_steps=steps,
        generator=[torch.Generator().manual_seed(seed + number) for number in range(count)],
    )
    return [Picture(image, prompt) for image in drawn.images]


def main(arguments: list[str] | None = None) -> int:
    """Train, and write the checkpoint."""
    parser = parser_of("Teach a model a subject.", steps=200, rate=5e-4)
    parser.add_argument("--class-prompt", help="draw pictures of this, and keep them as they are")
    parser.add_argument("--class-pictures", type=int, default=16)
    parser.add_argument("--class-steps", type=int, default=20, help="denoising steps of each")
    parser.add_argument("--prior-weight", type=float, default=1.0, help="of the class in the loss")
    parser.add_argument("--average", type=float, default=0.98, help="decay of averaged weights")
    options = parser.parse_args(arguments)

    # 1. The model
    accelerator = accelerator_of(options)
    pipe: Any = AutoPipelineForText2Image.from_pretrained(options.model, torch_dtype=torch.float32)
    pipe.to(accelerator.device)
    pipe.set_progress_bar_config(disable=True)
    freeze([pipe.vae, pipe.text_encoder])

    # 2. The pictures of the subject and of its class, encoded once
    subject = read_pictures(options.data)
    others: list[Picture] = []
    if options.class_prompt:
        others = draw_class(
            pipe, options.class_prompt, options.class_pictures, options.class_steps, options.seed
        )
    latents = encode_pictures(pipe, [*subject, *others])
    with torch.no_grad():
        states = encode_captions(pipe, [one.caption for one in (*subject, *others)])
        empty = encode_captions(pipe, [""])

    # 3. The U-Net, with an average of its weights
    if options.gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing()
    pipe.unet.requires_grad_(True)
    pipe.unet.train()
    average = training_utils.EMAModel(
        pipe.unet.parameters(), decay=options.average, use_ema_warmup=True, power=0.75
    )
    run = Run(options, accelerator, pipe.unet, {"average": average})
    denoising = Denoising(run.network, pipe.scheduler, options)

    def loss() -> Tensor:
        chosen = torch.randint(len(subject), (options.batch,))
        if others:
            of_class = len(subject) + torch.randint(len(others), (options.batch,))
            chosen = torch.cat([chosen, of_class])
        losses = denoising.losses(latents[chosen], states[chosen], empty)
        of_subject: Tensor = losses[: options.batch].mean()
        of_others: Tensor = options.prior_weight * losses[options.batch :].sum() / options.batch
        return of_subject + of_others

    run.train(loss, after_step=lambda: average.step(pipe.unet.parameters()))

    # 4. The checkpoint
    if accelerator.is_main_process:
        average.copy_to(pipe.unet.parameters())
        pipe.unet = accelerator.unwrap_model(run.network).eval()
        pipe.save_pretrained(options.to / "pipeline")
        accelerator.print(f"the checkpoint is in {options.to / 'pipeline'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
