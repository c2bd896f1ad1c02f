"""The pipelines against the reference, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import autopipe
from autopipe import DDPMScheduler, DiffusionPipeline, PNDMScheduler, ScoreSdeVeScheduler

from ..conftest import SCHEDULERS, Case, mask, picture

pytestmark = pytest.mark.parity

Compare = Callable[..., np.ndarray]
DRAWING = [name for name in SCHEDULERS if name != "RePaintPipeline"]


@pytest.mark.parametrize("name", DRAWING)
@pytest.mark.parametrize(
    "call", [{"output_type": "pil"}, {"batch_size": 2}, {"batch_size": 2, "seed": [3, 4]}]
)
def test_calls(compare: Compare, name: str, call: dict[str, Any]) -> None:
    kind = getattr(autopipe, name)
    made = compare(kind, num_inference_steps=4, **call)
    assert len(made) == call.get("batch_size", 1)
    assert made.std() > 0.01


@pytest.mark.parametrize("name", ["DDPMPipeline", "DDIMPipeline"])
def test_tensors(compare: Compare, name: str) -> None:
    compare(getattr(autopipe, name), output_type="pt")


@pytest.mark.parametrize(
    "call",
    [
        {"eta": 0.5},
        {"eta": 1.0, "use_clipped_model_output": True},
        {"eta": 1.0, "batch_size": 2, "seed": [5, 6]},
        {"num_inference_steps": 1},
    ],
)
def test_ddim(compare: Compare, call: dict[str, Any]) -> None:
    compare(autopipe.DDIMPipeline, **call)


def test_latent_diffusion_draws_noise_of_steps_without_a_generator(compare: Compare) -> None:
    compare(autopipe.LDMPipeline, eta=0.7, seed=None)


@pytest.mark.parametrize("steps", [1, 5])
def test_corrections(compare: Compare, steps: int) -> None:
    scheduler = ScoreSdeVeScheduler(sigma_max=9.0, correct_steps=2, snr=0.2)
    compare(
        autopipe.ScoreSdeVePipeline, num_inference_steps=steps, components={"scheduler": scheduler}
    )


@pytest.mark.parametrize(
    "call",
    [
        {"num_inference_steps": 5, "jump_length": 2, "jump_n_sample": 3},
        {"num_inference_steps": 7, "jump_length": 3, "jump_n_sample": 2, "eta": 0.6},
        {"image": [picture(1), picture(2)], "seed": [7, 8], "jump_length": 1, "jump_n_sample": 1},
        {"image": picture(3, 39), "mask_image": mask(63)},
        {"mask_image": torch.linspace(0, 1, 32).expand(1, 1, 32, 32), "output_type": "pil"},
        {"image": torch.linspace(-1, 1, 32).expand(2, 3, 32, 32)},
    ],
)
def test_repainting(compare: Compare, call: dict[str, Any]) -> None:
    compare(autopipe.RePaintPipeline, **{"image": picture(), "mask_image": mask(), **call})


@pytest.mark.parametrize("kind", ["PNDMPipeline", "DDIMPipeline"])
def test_schedulers_are_converted(
    build: Callable[..., Any], reference: Callable[[Any], Any], kind: str
) -> None:
    given = DDPMScheduler(beta_schedule="squaredcos_cap_v2", steps_offset=1)
    ours = build(getattr(autopipe, kind), scheduler=given)
    theirs = reference(ours)
    assert type(ours.scheduler).__name__ == type(theirs.scheduler).__name__
    ours_config, config = dict(ours.scheduler.config), dict(theirs.scheduler.config)
    assert {n: ours_config[n] for n in config if not n.startswith("_")} == {
        n: v for n, v in config.items() if not n.startswith("_")
    }


def test_too_few_steps_for_pndm(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(autopipe.PNDMPipeline, scheduler=PNDMScheduler())
    theirs = reference(ours)
    with pytest.raises(ValueError, match="at least four steps"):
        ours(num_inference_steps=3)
    with pytest.raises(Exception):  # noqa: B017
        theirs(num_inference_steps=3)


def test_what_the_reference_wrote_opens(
    task: Case,
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    seed: Callable[[int], Any],
    tmp_path: Path,
) -> None:
    ours = build(task.kind)
    reference(ours).save_pretrained(tmp_path)
    again = DiffusionPipeline.from_pretrained(tmp_path)
    assert type(again) is task.kind
    again.set_progress_bar_config(disable=True)
    images = [pipe(**task.call, generator=seed(1)).images for pipe in (ours, again)]
    assert torch.equal(*images)
