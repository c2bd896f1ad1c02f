"""Trains the demo checkpoint: `python train.py`, some minutes on a CPU.

A stand-in for wherever the weights of your family come from.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from autopipe_doodle.network import DoodleNetwork
from autopipe_doodle.scheduler import DoodleScheduler

COLOURS = {"red": (1, -1, -1), "green": (-1, 0.6, -1), "blue": (-1, -1, 1), "yellow": (1, 1, -1)}
SHAPES = ("circle", "square")
SIZE, BATCH, STEPS = 16, 32, 4000


def draw(colour: str, shape: str, radius: float) -> Tensor:
    """A shape in the middle of a white picture, (3, H, W) in [-1, 1]."""
    line = torch.linspace(-1, 1, SIZE)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    round_, straight = (rows**2 + columns**2).sqrt(), torch.maximum(rows.abs(), columns.abs())
    inside = (round_ if shape == "circle" else straight) < radius
    return torch.where(inside, torch.tensor(COLOURS[colour])[:, None, None], torch.ones(()))


def examples() -> tuple[Tensor, list[str]]:
    """A batch of pictures and of their texts, some of them empty, for guidance."""
    pictures, texts = [], []
    for _ in range(BATCH):
        colour = list(COLOURS)[int(torch.randint(len(COLOURS), ()))]
        shape = SHAPES[int(torch.randint(len(SHAPES), ()))]
        pictures.append(draw(colour, shape, float(torch.rand(()) * 0.3 + 0.4)))
        texts.append(f"a {colour} {shape}" if torch.rand(()) > 0.15 else "")
    return torch.stack(pictures), texts


def main() -> None:
    """Train, and write the checkpoint into the package."""
    torch.manual_seed(0)
    network = DoodleNetwork(sample_size=SIZE)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, STEPS)
    for step in range(STEPS):
        pictures, texts = examples()
        noise, time = torch.randn_like(pictures), torch.rand(BATCH)
        sample = torch.lerp(pictures, noise, time[:, None, None, None])
        velocity = network(sample, time, network.encode(texts))
        loss = (velocity - (noise - pictures)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(step, f"{loss.item():.3f}")
    save(network)


def save(network: DoodleNetwork) -> None:
    """Write the checkpoint, as the first of the family's tasks."""
    from autopipe.resolution.targets import load_target

    from autopipe_doodle.family import autopipe_family

    pipeline = load_target(autopipe_family().pipelines[0].target)
    folder = Path(__file__).parent / "src/autopipe_doodle/demo"
    pipeline(network.eval(), DoodleScheduler()).save_pretrained(folder)


if __name__ == "__main__":
    main()
