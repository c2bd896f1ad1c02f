from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from stable_diffusion_demo import models, train
from stable_diffusion_demo.tokenizer import write_tokenizer
from torch import Tensor, nn

from autopipe_components.schedulers.ddim import DDIMScheduler


def plan(steps: int) -> train.Plan:
    return train.Plan(steps=steps, batch=2, rate=0.1, warmup=2, average=0.9)


def trained(path: Path, steps: int, total: int = 6) -> dict[str, Tensor]:
    """A line fitted for `steps` of a schedule of `total`, from the state in `path` if any."""
    torch.manual_seed(0)
    net = nn.Linear(1, 1)
    trainer = train.Trainer({"net": net}, plan(total), path, "cpu")

    def losses() -> Iterator[dict[str, Tensor]]:
        while True:
            x = torch.tensor([[float(trainer.step)]])
            yield {"error": (net(x) - 3 * x).square().mean()}

    endless = losses()
    while trainer.step < steps:
        trainer.update(next(endless)["error"])
    trainer.save()
    return trainer.average


def test_a_run_that_is_interrupted_ends_as_one_that_is_not(tmp_path: Path):
    whole = trained(tmp_path / "whole.pt", 6)
    trained(tmp_path / "parts.pt", 3)
    resumed = trained(tmp_path / "parts.pt", 6)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_averaged_weights_are_what_is_opened(tmp_path: Path):
    average = trained(tmp_path / "run.pt", 6)
    net = nn.Linear(1, 1)
    train.averaged(tmp_path / "run.pt", {"net": net})
    assert torch.equal(net.weight, average["net.weight"])
    last = torch.load(tmp_path / "run.pt", weights_only=True)["networks"]
    assert not torch.equal(net.weight, last["net.weight"])


def test_the_rate_warms_up_and_falls(tmp_path: Path):
    trainer = train.Trainer({"net": nn.Linear(1, 1)}, plan(100), tmp_path / "run.pt", "cpu")
    rates = []
    for trainer.step in (0, 2, 50, 100):
        rates.append(trainer.rate())
    assert rates[0] < rates[1] > rates[2] > rates[3] > 0


def test_pictures_become_tensors_between_minus_one_and_one():
    tensor = train.as_tensor([Image.new("RGB", (8, 4), (0, 255, 255))])
    assert tensor.shape == (1, 3, 4, 8)
    assert tensor[0, :, 0, 0].tolist() == [-1, 1, 1]


def test_training_noises_as_the_checkpoints_scheduler_does():
    signal, noise = train.signal_and_noise()
    expected = DDIMScheduler(**models.NOISE).alphas_cumprod
    # Ours is computed in float64; the scheduler's product of 1000 factors rounds in float32.
    torch.testing.assert_close(signal.square(), expected, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(signal.square() + noise.square(), torch.ones(1000))


def test_the_pool_is_scaled_to_a_deviation_of_one():
    mean = torch.randn(50, 4, 16, 16, generator=torch.Generator().manual_seed(0)) * 3
    pool = train.Pool([], mean, torch.full_like(mean, 4.0))
    # sqrt(3 ** 2 + 4 ** 2) = 5; 51,200 draws estimate it to about 1 %.
    assert pool.scale == pytest.approx(1 / 5, rel=0.01)


def test_the_networks_fit_in_the_wheel(tmp_path: Path):
    tokenizer = write_tokenizer(tmp_path)
    with torch.device("meta"):
        networks = [
            models.build_vae(),
            models.build_unet(),
            models.build_text_encoder(tokenizer),
        ]
    count = sum(p.numel() for network in networks for p in network.parameters())
    # Two bytes each; at most 8 MB in all, of which configs and vocabulary take less than 0.1.
    assert 2 * count < 7.9e6


def test_a_layout_lesson_hides_the_picture_and_asks_for_it():
    latents = torch.full((4, 4, 16, 16), 7.0)
    lesson = train.layout_lesson(latents, torch.Generator().manual_seed(0))
    assert torch.equal(lesson.velocity, -latents)
    assert abs(lesson.inputs.mean()) < 1
    assert (lesson.timesteps >= 800).all()


def test_a_denoising_lesson_holds_the_picture_in_input_and_velocity():
    latents = torch.randn(6, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    lesson = train.denoising_lesson(latents, torch.Generator().manual_seed(0))
    scheduler = DDIMScheduler(**models.NOISE)
    kept = scheduler.alphas_cumprod[lesson.timesteps].view(-1, 1, 1, 1)
    found = kept.sqrt() * lesson.inputs - (1 - kept).sqrt() * lesson.velocity
    torch.testing.assert_close(found, latents, rtol=1e-3, atol=1e-3)
    assert lesson.timesteps.diff().ge(0).all()


def test_layout_comes_first_and_ends_before_the_training_does():
    shares = [train.layout_share(done / 10) for done in range(11)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.5
    assert shares[-1] == 0
