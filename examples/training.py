"""What the training programs beside this file have in common: pictures, the loss and the loop."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from autopipe import DDPMScheduler, optimization, training_utils


@dataclass(frozen=True)
class Picture:
    """A picture to learn from, and what it shows."""

    image: Image.Image
    caption: str


def parser_of(about: str, *, steps: int, rate: float) -> argparse.ArgumentParser:
    """Return the options that all programs take, with the defaults of one of them."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="demo:stable_diffusion", help="a folder, a repository or a demo")
    add("--data", type=Path, required=True, help="a folder of pictures and metadata.jsonl")
    add("--to", type=Path, required=True, help="the folder for the result and the state")
    add("--steps", type=int, default=steps, help="steps of the optimizer in all")
    add("--batch", type=int, default=8, help="pictures in a step")
    add("--accumulate", type=int, default=1, help="batches whose gradients one step sums up")
    add("--rate", type=float, default=rate, help="the highest learning rate")
    add("--schedule", default="cosine", help="of the learning rate: constant, linear, cosine ...")
    add("--warmup", type=int, default=20, help="steps until the learning rate is reached")
    add("--seed", type=int, default=0, help="of all random numbers")
    add("--snr-gamma", type=float, help="weight noise levels by min-SNR; 5 is usual")
    add(
        "--guided",
        type=float,
        default=1.0,
        help="train the prediction under this guidance; for a model that was trained so, as the "
        "demo was with 3.57",
    )
    add("--mixed-precision", choices=("no", "fp16", "bf16"), default="no")
    add("--gradient-checkpointing", action="store_true", help="less memory, more time")
    add("--log-every", type=int, default=25, metavar="STEPS")
    add("--save-every", type=int, default=100, metavar="STEPS", help="save the state so often")
    add("--resume", action="store_true", help="go on from the saved state")
    return parser


def read_pictures(folder: Path) -> list[Picture]:
    """Read the pictures that `metadata.jsonl` names, with lines `{"file_name": .., "text": ..}`."""
    lines = (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines if line.strip()]
    return [
        Picture(Image.open(folder / one["file_name"]).convert("RGB"), one["text"])
        for one in entries
    ]


@torch.no_grad()
def encode_pictures(pipe: Any, pictures: Sequence[Picture], size: int | None = None) -> Tensor:
    """Return the latents (N, C, H, W) of pictures; `size` is their width and height in pixels."""
    found = []
    for one in pictures:
        pixels = pipe.image_processor.preprocess(one.image, height=size, width=size)
        pixels = pixels.to(pipe.vae.device, pipe.vae.dtype)
        found.append(pipe.vae.encode(pixels).latent_dist.mean * pipe.vae.config.scaling_factor)
    return torch.cat(found)


def encode_captions(pipe: Any, captions: Sequence[str]) -> Tensor:
    """Return the states (N, L, D) of captions; gradients reach the text encoder."""
    tokens = pipe.tokenizer(
        list(captions),
        padding="max_length",
        max_length=pipe.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    states: Tensor = pipe.text_encoder(tokens.input_ids.to(pipe.text_encoder.device))[0]
    return states


class Denoising:
    """The loss of a U-Net that removes noise.

    Args:
        unet: the network.
        scheduler: the scheduler of its pipeline, whose config tells what it predicts.
        options: the options of the program.
    """

    def __init__(self, unet: nn.Module, scheduler: Any, options: argparse.Namespace) -> None:
        self.unet = unet
        self.process: Any = DDPMScheduler.from_config(scheduler.config)
        self.gamma: float | None = options.snr_gamma
        self.guided: float = options.guided

    def losses(self, latents: Tensor, states: Tensor, empty: Tensor) -> Tensor:
        """Return the loss of each of the latents (B, C, H, W) at a random noise level.

        Args:
            states: what their captions say (B, L, D).
            empty: the states of an empty caption (1, L, D).
        """
        noise = torch.randn_like(latents)
        most = self.process.config.num_train_timesteps
        # One out of each of B stretches: less variance than free draws.
        places = (torch.arange(len(latents)) + torch.rand(len(latents))) / len(latents)
        timesteps = (places * most).long().clamp(max=most - 1).to(latents.device)
        noisy = self.process.add_noise(latents, noise, timesteps)
        if self.guided == 1:
            predicted = self.unet(noisy, timesteps, encoder_hidden_states=states).sample
        else:
            both = self.unet(
                torch.cat([noisy, noisy]),
                torch.cat([timesteps, timesteps]),
                encoder_hidden_states=torch.cat([states, empty.expand_as(states)]),
            ).sample
            told, plain = both.chunk(2)
            predicted = plain + self.guided * (told - plain)
        is_velocity = self.process.config.prediction_type == "v_prediction"
        target = self.process.get_velocity(latents, noise, timesteps) if is_velocity else noise
        losses = F.mse_loss(predicted.float(), target.float(), reduction="none").mean((1, 2, 3))
        return losses if self.gamma is None else losses * self._weights(timesteps, is_velocity)

    def _weights(self, timesteps: Tensor, is_velocity: bool) -> Tensor:
        """Return the weights of noise levels (Hang et al. 2023, arXiv:2303.09556)."""
        ratio: Tensor = training_utils.compute_snr(self.process, timesteps)
        return ratio.clamp(max=self.gamma) / (ratio + 1 if is_velocity else ratio)


class Run:
    """The optimizer, its schedule, and the state on the disk.

    Args:
        options: the options of the program.
        accelerator: places, casts and accumulates.
        network: the network with the parameters that are trained.
        extra: further objects with a state, such as an average of the weights.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        accelerator: Accelerator,
        network: nn.Module,
        extra: Mapping[str, Any],
    ) -> None:
        self.options, self.accelerator, self.extra = options, accelerator, extra
        self.trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(self.trained.values(), lr=options.rate)
        schedule = optimization.get_scheduler(
            options.schedule,
            optimizer=optimizer,
            num_warmup_steps=options.warmup,
            num_training_steps=options.steps,
        )
        self.network, self.optimizer, self.schedule = accelerator.prepare(
            network, optimizer, schedule
        )
        self.step = 0
        self.file = options.to / "state.pt"
        if options.resume and self.file.exists():
            self._restore(torch.load(self.file, map_location="cpu", weights_only=True))

    def train(self, loss: Callable[[], Tensor], after_step: Callable[[], None]) -> None:
        """Take all remaining steps, and save the state.

        Args:
            loss: returns the loss of a batch.
            after_step: called after each step of the optimizer.
        """
        began, first = time.monotonic(), self.step
        recent: list[float] = []
        while self.step < self.options.steps:
            with self.accelerator.accumulate(self.network):
                value = loss()
                self.accelerator.backward(value)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.trained.values(), 1.0)
                self.optimizer.step()
                self.schedule.step()
                self.optimizer.zero_grad()
            recent.append(float(value.detach()))
            if not self.accelerator.sync_gradients:
                continue
            self.step += 1
            after_step()
            if self.step % self.options.log_every == 0 or self.step == self.options.steps:
                pace = (time.monotonic() - began) / (self.step - first)
                self.accelerator.print(
                    f"step {self.step} of {self.options.steps}  loss "
                    f"{sum(recent) / len(recent):.4f}  {pace:.2f} s/step",
                    flush=True,
                )
                recent.clear()
            if self.step % self.options.save_every == 0:
                self.save()
        self.save()

    def save(self) -> None:
        """Write the state beside the old one, and then put it in its place."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "step": self.step,
            "trained": {name: one.detach().cpu() for name, one in self.trained.items()},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "extra": {name: one.state_dict() for name, one in self.extra.items()},
            "random": torch.get_rng_state(),
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.file.with_suffix(".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(self.file)

    def _restore(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, one in self.trained.items():
                one.copy_(state["trained"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        for name, one in self.extra.items():
            one.load_state_dict(state["extra"][name])
        torch.set_rng_state(state["random"])
        self.step = state["step"]
        self.accelerator.print(f"going on after step {self.step}")


def accelerator_of(options: argparse.Namespace) -> Accelerator:
    """Return what places, casts and accumulates; the random numbers begin here."""
    torch.manual_seed(options.seed)
    return Accelerator(
        mixed_precision=options.mixed_precision, gradient_accumulation_steps=options.accumulate
    )


def freeze(networks: Iterable[nn.Module]) -> None:
    """Train none of these networks."""
    for one in networks:
        one.requires_grad_(False)
