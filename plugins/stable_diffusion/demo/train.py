"""Train the demo checkpoint: the autoencoder; then text encoder and denoiser; then the decoder.

    python -m demo.train vae --run runs/demo
    python -m demo.train diffusion --run runs/demo
    python -m demo.train decoder --run runs/demo

The last two stand on the first alone and can run side by side.

Each stage writes its state to the run folder every few minutes and goes on from it when started
again, with the same random numbers.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from .models import NOISE, build_text_encoder, build_unet, build_vae
from .shapes import Scene, draw, random_caption, random_palette, random_scene
from .tokenizer import write_tokenizer


@dataclass(frozen=True)
class Plan:
    """How one stage is trained; `steps` may be raised when a run is resumed."""

    steps: int
    batch: int
    rate: float
    warmup: int
    average: float
    seed: int = 0


VAE_PLAN = Plan(steps=9000, batch=16, rate=2e-3, warmup=50, average=0.99)
DIFFUSION_PLAN = Plan(steps=30_000, batch=32, rate=1.5e-3, warmup=150, average=0.998)
DECODER_PLAN = Plan(steps=8500, batch=16, rate=1.5e-3, warmup=50, average=0.99)
CROP = 32
"""Side of the pieces that the autoencoder mostly learns from: edges are a local matter."""
WHOLE_EVERY = 4
"""Each so many steps it sees whole pictures, a quarter as many."""
DECODER_BLUR = 0.1
KL_WEIGHT = 5e-4
CAPTION_DROPOUT = 0.2
GUIDANCE = 3.57
"""The guidance scale at which a guided prediction is the true one for its caption.

Pipelines guide by 7.5 unless told otherwise, which is then about twice as far from the prediction
without a caption as the true one: what captions most shapes rightly. For networks that are trained
without guidance it is 7.5 times as far, and as small a one as this then paints in glaring colours.
"""
LAYOUT_SHARES = ((0.5, 0.75), (0.8, 0.25), (math.inf, 0.0))
"""Until which part of the diffusion stage which share of a batch is `layout_lesson`."""
NOISINESS = 0.6
"""Below 1, more of the training is at high noise, where the caption decides what appears."""
POOL = 12_000
SAVE_EVERY_SECONDS = 120.0
LOG_EVERY = 25


def as_tensor(pictures: list[Image.Image]) -> Tensor:
    """RGB pictures as float32 of shape (n, 3, h, w) in [-1, 1]."""
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def channels_last(network: nn.Module) -> None:
    """Lay the weights of convolutions out with channels last, in place: faster on every device."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Trainer:
    """The optimiser, the moving average and the saved state of some networks trained together."""

    def __init__(self, networks: dict[str, nn.Module], plan: Plan, path: Path, device: str) -> None:
        self.networks = nn.ModuleDict(networks).to(device)
        channels_last(self.networks)
        self.plan = plan
        self.path = path
        self.step = 0
        self.optimizer = torch.optim.AdamW(
            self.networks.parameters(), lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.01
        )
        self.average = {k: v.detach().clone() for k, v in self.networks.state_dict().items()}
        if path.exists():
            state = torch.load(path, map_location=device, weights_only=True)
            self.networks.load_state_dict(state["networks"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.step = state["average"], state["step"]

    def save(self) -> None:
        """Write the state beside the old one and put it in its place."""
        state = {
            "networks": self.networks.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.path)

    def rate(self) -> float:
        """Linear warm-up, then a cosine down to a fiftieth."""
        done = min(self.step / self.plan.steps, 1.0)
        cosine = 0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2
        return self.plan.rate * min((self.step + 1) / self.plan.warmup, cosine)

    def update(self, loss: Tensor) -> None:
        """One step of the optimiser and of the moving average."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.networks.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(self.plan.average, (1 + self.step) / (10 + self.step))
        for name, value in self.networks.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)

    def run(self, losses: Iterator[dict[str, Tensor]]) -> None:
        """Train on the sum of each dict of losses until the plan's last step."""
        began = saved = time.monotonic()
        first = self.step
        recent: dict[str, list[float]] = {}
        while self.step < self.plan.steps:
            parts = next(losses)
            self.update(torch.stack(list(parts.values())).sum())
            for name, part in parts.items():
                recent.setdefault(name, []).append(part.item())
            if self.step % LOG_EVERY == 0:
                means = "  ".join(
                    f"{name} {np.mean(values):.5g}" for name, values in recent.items()
                )
                pace = (time.monotonic() - began) / (self.step - first)
                print(f"step {self.step}  {means}  {pace:.2f} s/step", flush=True)
                recent.clear()
            if time.monotonic() - saved > SAVE_EVERY_SECONDS:
                self.save()
                saved = time.monotonic()
        self.save()


def averaged(path: Path, names: dict[str, nn.Module]) -> None:
    """Load the moving averages of a stage's state into its networks, in place."""
    average = torch.load(path, map_location="cpu", weights_only=True)["average"]
    nn.ModuleDict(names).load_state_dict(average)


def autoencoder_losses(
    vae: Any, trainer: Trainer, device: str, bf16: bool, blur: float = 0.0
) -> Iterator[dict[str, Tensor]]:
    """Reconstruction and KL of freshly drawn pictures, some in arbitrary colours.

    `blur` is noise on the latents beyond the posterior's own, as a denoiser leaves some.
    """
    while True:
        rng = random.Random(f"{trainer.path.stem} {trainer.plan.seed} {trainer.step}")
        noise = torch.Generator().manual_seed(rng.getrandbits(32))
        if trainer.step % WHOLE_EVERY == 0:
            pictures = [_busy_picture(rng) for _ in range(trainer.plan.batch // 4)]
        else:
            pictures = [_piece(_busy_picture(rng), rng) for _ in range(trainer.plan.batch)]
        pixels = as_tensor(pictures).to(device, memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            posterior = vae.encode(pixels).latent_dist
            eps = torch.randn(posterior.mean.shape, generator=noise).to(device)
            latents = posterior.mean + (posterior.std + blur) * eps
            decoded = vae.decode(latents).sample.float()
        error = decoded - pixels
        yield {
            "l1": error.abs().mean(),
            "mse": error.square().mean(),
            "kl": KL_WEIGHT * posterior.kl().mean() / posterior.mean[0].numel(),
        }


def _busy_picture(rng: random.Random) -> Image.Image:
    """One or two shapes, mostly near the captions' colours, for the autoencoder alone."""
    colours = random_palette(rng, spread=255 if rng.random() < 0.15 else 12)
    picture = None
    for _ in range(rng.choice((1, 1, 1, 2))):
        picture = draw(random_scene(rng, withheld=None), colours=colours, over=picture)
    assert picture is not None
    return picture


def _piece(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A square of `CROP` pixels from anywhere in a picture."""
    left, top = rng.randint(0, picture.width - CROP), rng.randint(0, picture.height - CROP)
    return picture.crop((left, top, left + CROP, top + CROP))


@dataclass(frozen=True)
class Pool:
    """Scenes with the mean and deviation of their latents, each (n, 4, 16, 16)."""

    scenes: list[Scene]
    mean: Tensor
    std: Tensor

    @property
    def scale(self) -> float:
        """The factor that gives the latents a deviation of one."""
        return 1.0 / float((self.mean.var() + self.std.square().mean()).sqrt())


@torch.no_grad()
def encode_pool(vae: Any, count: int, seed: int, path: Path, device: str) -> Pool:
    """Draw and encode the training scenes, or read the latents if they were encoded before."""
    rng = random.Random(f"pool {seed}")
    scenes = [random_scene(rng) for _ in range(count)]
    if path.exists():
        mean, std = torch.load(path, map_location="cpu", weights_only=True)
        return Pool(scenes, mean, std)
    means, stds = [], []
    for start in range(0, count, 100):
        pictures = [
            draw(scene, colours=random_palette(rng, spread=5))
            for scene in scenes[start : start + 100]
        ]
        pixels = as_tensor(pictures).to(device, memory_format=torch.channels_last)
        posterior = vae.encode(pixels).latent_dist
        means.append(posterior.mean.cpu())
        stds.append(posterior.std.cpu())
    mean, std = torch.cat(means), torch.cat(stds)
    torch.save((mean, std), path)
    return Pool(scenes, mean, std)


def signal_and_noise() -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar) and sqrt(1 - alpha_bar) of each timestep, for the linear betas of `NOISE`."""
    betas = torch.linspace(
        NOISE["beta_start"], NOISE["beta_end"], NOISE["num_train_timesteps"], dtype=torch.float64
    )
    kept = (1 - betas).cumprod(0)
    return kept.sqrt().float(), (1 - kept).sqrt().float()


@dataclass(frozen=True)
class Lesson:
    """One batch for the denoiser: inputs and the velocity to predict, each (n, 4, 16, 16)."""

    inputs: Tensor
    timesteps: Tensor
    velocity: Tensor

    def joined(self, other: Lesson) -> Lesson:
        """Both batches as one."""
        pairs = zip(vars(self).values(), vars(other).values())
        return Lesson(*(torch.cat(pair) for pair in pairs))


def layout_lesson(latents: Tensor, dice: torch.Generator) -> Lesson:
    """Draw from the caption alone: faint noise and no picture, at the noisiest timesteps.

    There the velocity is the picture itself, negated. Full noise drowns the weak sense of place
    that convolutions have from their padded borders; with little of it, where things stand and
    what they look like is learned many times sooner, and carries over to full noise.
    """
    count = len(latents)
    strength = torch.rand(count, 1, 1, 1, generator=dice) ** 1.5
    noise = torch.randn(latents.shape, generator=dice)
    timesteps = (800 + 200 * torch.rand(count, generator=dice)).long().clamp(max=999)
    return Lesson(strength * noise, timesteps, -latents)


def denoising_lesson(latents: Tensor, dice: torch.Generator) -> Lesson:
    """Noised latents and their velocity (Salimans and Ho, 2022)."""
    signal, noise = signal_and_noise()
    count = len(latents)
    # One timestep out of each of `count` stretches: less variance than free draws.
    stretches = (torch.arange(count) + torch.rand(count, generator=dice)) / max(count, 1)
    timesteps = (stretches**NOISINESS * len(signal)).long().clamp(max=len(signal) - 1)
    a, s = (x[timesteps].view(-1, 1, 1, 1) for x in (signal, noise))
    drawn = torch.randn(latents.shape, generator=dice)
    return Lesson(a * latents + s * drawn, timesteps, a * drawn - s * latents)


def layout_share(done: float) -> float:
    """How much of a batch is `layout_lesson`, when a share of `done` of the training is over."""
    return next(share for end, share in LAYOUT_SHARES if done < end)


def diffusion_losses(
    text_encoder: nn.Module,
    unet: nn.Module,
    tokenizer: Any,
    pool: Pool,
    trainer: Trainer,
    device: str,
    bf16: bool,
) -> Iterator[dict[str, Tensor]]:
    """The error of the velocity predicted under guidance, in lessons of both kinds."""
    plan = trainer.plan

    def encode(texts: list[str]) -> Tensor:
        ids = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        states: Tensor = text_encoder(ids.to(device)).last_hidden_state
        return states

    while True:
        rng = random.Random(f"diffusion {plan.seed} {trainer.step}")
        dice = torch.Generator().manual_seed(rng.getrandbits(32))
        layouts = round(plan.batch * layout_share(trainer.step / plan.steps))
        chosen = rng.sample(range(len(pool.scenes)), plan.batch)
        captions = [
            ""
            if n >= layouts and rng.random() < CAPTION_DROPOUT
            else random_caption(pool.scenes[i], rng)
            for n, i in enumerate(chosen)
        ]
        drawn = torch.randn(pool.mean[chosen].shape, generator=dice)
        latents = (pool.mean[chosen] + pool.std[chosen] * drawn) * pool.scale
        lesson = layout_lesson(latents[:layouts], dice).joined(
            denoising_lesson(latents[layouts:], dice)
        )
        inputs = lesson.inputs.to(device, memory_format=torch.channels_last)
        timesteps, wanted = lesson.timesteps.to(device), lesson.velocity.to(device)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            velocity = unet(inputs, timesteps, encode(captions)).sample.float()
            with torch.no_grad():
                plain = unet(inputs, timesteps, encode([""] * plan.batch)).sample.float()
        yield {"v": F.mse_loss(guided(velocity, plain, captions), wanted)}


def guided(velocity: Tensor, plain: Tensor, captions: list[str]) -> Tensor:
    """What guidance by `GUIDANCE` makes of predictions with and without a caption.

    Where the caption is empty there is nothing to guide, and the prediction stays.
    """
    scale = torch.tensor([GUIDANCE if caption else 1.0 for caption in captions])
    return plain.lerp(velocity, scale.to(velocity).view(-1, 1, 1, 1))


def train_autoencoder(run: Path, plan: Plan, device: str, bf16: bool) -> None:
    """The first stage."""
    torch.manual_seed(plan.seed)
    vae = build_vae()
    trainer = Trainer({"vae": vae}, plan, run / "vae.pt", device)
    trainer.run(autoencoder_losses(vae, trainer, device, bf16))


def train_decoder(run: Path, plan: Plan, device: str, bf16: bool) -> None:
    """Sharpen the decoder while the encoder, and so the latents, stay as they are."""
    vae = build_vae()
    averaged(run / "vae.pt", {"vae": vae})
    for name, parameter in vae.named_parameters():
        parameter.requires_grad_(not name.startswith(("encoder.", "quant_conv.")))
    trainer = Trainer({"vae": vae}, plan, run / "decoder.pt", device)
    trainer.run(autoencoder_losses(vae, trainer, device, bf16, blur=DECODER_BLUR))


def train_diffusion(run: Path, plan: Plan, device: str, bf16: bool, pool_size: int) -> None:
    """The second stage, on the latents of the finished first one."""
    vae = build_vae().eval()
    averaged(run / "vae.pt", {"vae": vae})
    channels_last(vae.to(device))
    pool = encode_pool(vae, pool_size, plan.seed, run / "pool.pt", device)
    torch.save(pool.scale, run / "scale.pt")
    torch.manual_seed(plan.seed)
    tokenizer = write_tokenizer(run / "tokenizer")
    text_encoder, unet = build_text_encoder(tokenizer), build_unet()
    networks = {"text_encoder": text_encoder, "unet": unet}
    trainer = Trainer(networks, plan, run / "diffusion.pt", device)
    trainer.run(diffusion_losses(text_encoder, unet, tokenizer, pool, trainer, device, bf16))


def main() -> None:
    """Read the command line and train one stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=("vae", "diffusion", "decoder"))
    parser.add_argument("--run", type=Path, default=Path("runs/demo"), help="folder of the state")
    parser.add_argument("--steps", type=int, help="optimiser steps in all")
    parser.add_argument("--batch", type=int, help="pictures per step")
    parser.add_argument("--rate", type=float, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pool", type=int, default=POOL, help="scenes of the diffusion stage")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    options = parser.parse_args()

    if options.threads:
        torch.set_num_threads(options.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    base = {"vae": VAE_PLAN, "diffusion": DIFFUSION_PLAN, "decoder": DECODER_PLAN}[options.stage]
    plan = Plan(
        steps=options.steps or base.steps,
        batch=options.batch or base.batch,
        rate=options.rate or base.rate,
        warmup=base.warmup,
        average=base.average,
        seed=options.seed,
    )
    if options.stage == "vae":
        train_autoencoder(options.run, plan, options.device, options.bf16)
    elif options.stage == "decoder":
        train_decoder(options.run, plan, options.device, options.bf16)
    else:
        train_diffusion(options.run, plan, options.device, options.bf16, options.pool)


if __name__ == "__main__":
    main()
