"""Calls: their arguments, errors, classes and state."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import autopipe
from autopipe import DDIMPipeline, DDPMPipeline, DDPMScheduler, DiffusionPipeline, RePaintPipeline
from autopipe.errors import (
    ArgumentError,
    AutopipeError,
    CancelledError,
    ConfigError,
    SchedulerError,
)

from .conftest import SIDE, Case, case, mask, picture


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network may be used in this test."""

    def used(self: Any, *args: Any, **kwargs: Any) -> None:
        pytest.fail(f"{type(self).__name__} was used before the error")

    monkeypatch.setattr(autopipe.UNet2DModel, "forward", used)


# Output


@pytest.mark.parametrize("output_type", ["pil", "np", "pt"])
def test_forms_of_the_output(build: Callable[..., Any], output_type: str) -> None:
    pipe = build(DDIMPipeline)
    made = pipe(batch_size=2, num_inference_steps=1, output_type=output_type).images
    if output_type == "pil":
        assert [one.size for one in made] == [(SIDE, SIDE)] * 2
        return
    assert made.shape == ((2, 3, SIDE, SIDE) if output_type == "pt" else (2, SIDE, SIDE, 3))
    assert made.min() >= 0
    assert made.max() <= 1


def test_tensors_and_arrays_are_the_same_images(
    task: Case, build: Callable[..., Any], seed: Callable[[int], Any]
) -> None:
    pipe = build(task.kind)
    tensors, arrays = (
        pipe(**{**task.call, "output_type": kind}, generator=seed(1)).images
        for kind in ("pt", "np")
    )
    assert np.array_equal(tensors.permute(0, 2, 3, 1).numpy(), arrays)


def test_sizes_of_two_numbers(build: Callable[..., Any]) -> None:
    for kind in (DDPMPipeline, autopipe.PNDMPipeline, autopipe.KarrasVePipeline):
        pipe = build(kind, sample_size=(8, 12))
        assert pipe(num_inference_steps=4).images[0].size == (12, 8)


def test_grey_pictures(build: Callable[..., Any]) -> None:
    pipe = build(DDPMPipeline, in_channels=1, out_channels=1)
    assert pipe(num_inference_steps=1).images[0].mode == "L"


# Classes


def test_one_class_is_for_all_images_and_several_are_for_one_each(
    build: Callable[..., Any], seed: Callable[[int], Any]
) -> None:
    pipe = build(DDIMPipeline, num_class_embeds=3)
    noise = torch.randn(1, 3, SIDE, SIDE, generator=seed(1))

    def drawn(labels: Any, rows: int, **call: Any) -> torch.Tensor:
        made: torch.Tensor = pipe(
            class_labels=labels,
            latents=noise.expand(rows, -1, -1, -1),
            num_inference_steps=2,
            output_type="pt",
            **call,
        ).images
        return made

    alone = {kind: drawn(kind, 1)[0] for kind in (0, 2)}
    assert not torch.allclose(alone[0], alone[2])
    calls = [([0, 2], {}), ([0, 2], {"batch_size": 2}), (2, {"batch_size": 2})]
    for (labels, call), kinds in zip(calls, ((0, 2), (0, 2), (2, 2))):
        made = drawn(labels, 2, **call)
        assert len(made) == 2
        for one, kind in zip(made, kinds):
            torch.testing.assert_close(one, alone[kind], rtol=1e-4, atol=1e-5)
    with pytest.raises(ArgumentError, match="batch_size is 3 for 2 class_labels"):
        drawn([0, 2], 3, batch_size=3)


def test_classes_that_are_not_given_are_drawn(
    build: Callable[..., Any], seed: Callable[[int], Any]
) -> None:
    pipe = build(DDIMPipeline, num_class_embeds=3)
    seen = []

    def watch(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> None:
        seen.append(tensors["class_labels"])

    options: dict[str, Any] = {
        "num_inference_steps": 1,
        "callback_on_step_end": watch,
        "callback_on_step_end_tensor_inputs": ["class_labels"],
    }
    pipe(batch_size=40, generator=seed(1), **options)
    pipe(batch_size=40, generator=seed(1), **options)
    assert set(seen[0].tolist()) == {0, 1, 2}
    assert torch.equal(*seen)
    one = [pipe(generator=seed(i), **options) and int(seen[-1]) for i in range(4)]
    for several in (list, tuple):
        pipe(batch_size=4, generator=several(map(seed, range(4))), **options)
        assert seen[-1].tolist() == one


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("config", "labels", "said"),
    [
        ({}, 1, "has no classes"),
        ({"num_class_embeds": 3}, 3, "classes 0 to 2"),
        ({"num_class_embeds": 3}, [0, -1], "classes 0 to 2"),
        ({"num_class_embeds": 3}, [], "is empty"),
        ({"num_class_embeds": 3}, "one", "whole number"),
        ({"num_class_embeds": 3}, 1.5, "whole number"),
        ({"num_class_embeds": 3}, torch.tensor([0.5]), "whole numbers"),
        ({"num_class_embeds": 3}, torch.zeros(1, 2, dtype=torch.long), "shape"),
        ({"class_embed_type": "timestep"}, None, "needs class_labels"),
    ],
)
def test_classes_that_do_not_fit(
    build: Callable[..., Any], config: dict[str, Any], labels: Any, said: str
) -> None:
    with pytest.raises(ArgumentError, match=said):
        build(DDPMPipeline, **config)(class_labels=labels)


def test_vectors_of_classes(build: Callable[..., Any], seed: Callable[[int], Any]) -> None:
    pipe = build(DDPMPipeline, class_embed_type="identity")
    vectors = torch.randn(2, 32, generator=seed(1))
    made = pipe(class_labels=vectors, num_inference_steps=2, generator=seed(2)).images
    assert len(made) == 2


# Errors


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"num_inference_steps": 100_000}, "num_inference_steps"),
        ({"output_type": "latent"}, "output_type"),
        ({"eta": 2.0}, "eta"),
        ({"generator": [torch.Generator()] * 2}, "list of 2 generators"),
        ({"latents": torch.zeros(1, 3, 4, 4)}, "latents have shape"),
        ({"callback_on_step_end_tensor_inputs": ["noise"]}, "noise"),
        ({"promt": "a cat"}, "promt"),
        ({"batch_size": 10**6}, "batch size"),
    ],
)
def test_wrong_arguments(build: Callable[..., Any], call: dict[str, Any], said: str) -> None:
    with pytest.raises(AutopipeError, match=said):
        build(DDIMPipeline)(**call)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"image": "cat.png"}, "image"),
        ({"image": None}, "image"),
        ({"image": torch.zeros(1, 4, 8, 8)}, "4 channels"),
        ({"mask_image": torch.zeros(1, 1, 8, 9)}, "mask_image"),
        ({"mask_image": [mask(), mask()]}, "2 masks for 1 images"),
        ({"class_labels": [0, 1]}, "2 classes for 1 images|no classes"),
        ({"jump_length": 0}, "jump_length"),
        ({"jump_n_sample": 100_000}, "limit"),
    ],
)
def test_wrong_arguments_of_repainting(
    build: Callable[..., Any], call: dict[str, Any], said: str
) -> None:
    given = {"image": picture(), "mask_image": mask(), **call}
    with pytest.raises(AutopipeError, match=said):
        build(RePaintPipeline)(**given)


def test_a_network_without_a_size(build: Callable[..., Any]) -> None:
    with pytest.raises(ArgumentError, match="sample_size"):
        build(DDPMPipeline, sample_size=None)()


def test_the_memory_of_the_decoder_counts(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wide: dict[str, Any] = {
        "block_out_channels": (128, 128),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
    }
    vqvae = autopipe.VQModel(**wide, up_block_types=("UpDecoderBlock2D",) * 2)
    monkeypatch.setattr("autopipe.placement.room.whole_memory", lambda device: 1 << 20)
    pipe = build(autopipe.LDMPipeline, vqvae=vqvae)
    pipe(num_inference_steps=1)
    with pytest.raises(ArgumentError, match=r"16 x 16 in VQModel"):
        pipe(batch_size=2, num_inference_steps=1)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", ["KarrasVePipeline", "ScoreSdeVePipeline"])
def test_a_scheduler_that_can_not_draw(build: Callable[..., Any], name: str) -> None:
    pipe = build(getattr(autopipe, name), scheduler=DDPMScheduler())
    with pytest.raises(ArgumentError, match=r"is a DDPMScheduler, and .* alone"):
        pipe(num_inference_steps=2)


def test_hostile_configs(build: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    build(autopipe.ScoreSdeVePipeline).save_pretrained(folder)

    def changed(part: str, **changes: Any) -> None:
        file = folder / part
        content = file.read_text(encoding="utf-8")
        file.write_text(json.dumps({**json.loads(content), **changes}), encoding="utf-8")
        with pytest.raises((ConfigError, SchedulerError)):
            DiffusionPipeline.from_pretrained(folder)
        file.write_text(content, encoding="utf-8")

    changed("scheduler/scheduler_config.json", num_train_timesteps=10**9)
    changed("scheduler/scheduler_config.json", sigma_min=0.0)
    changed("scheduler/scheduler_config.json", correct_steps=10**7)
    changed("unet/config.json", layers_per_block=10**6)
    changed("unet/config.json", block_out_channels=[1 << 20, 1 << 20])


# Calls in progress


def test_cancelling(task: Case, build: Callable[..., Any]) -> None:
    pipe = build(task.kind)
    steps = []

    def stop(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> None:
        steps.append(step)
        run.cancel()

    with pytest.raises(CancelledError):
        pipe(**task.call, callback_on_step_end=stop)
    assert steps == [0]


def test_given_noise_takes_the_place_of_drawn_noise(
    drawing: Case, build: Callable[..., Any], seed: Callable[[int], Any]
) -> None:
    pipe = build(drawing.kind)
    shape = (1, 3, *([pipe.unet.config.sample_size] * 2))
    source = seed(1)
    noise = torch.randn(shape, generator=source)
    drawn = pipe(**drawing.call, generator=seed(1)).images
    assert torch.equal(pipe(**drawing.call, latents=noise, generator=source).images, drawn)


def test_repainting_keeps_the_white_part(
    build: Callable[..., Any], seed: Callable[[int], Any]
) -> None:
    call = {**case("RePaintPipeline").call, "output_type": "np"}
    made = build(RePaintPipeline)(**call, generator=seed(1)).images[0]
    given = np.asarray(picture(), np.float32) / 255
    np.testing.assert_allclose(made[:, :16], given[:, :16], atol=1e-5)
    assert np.abs(made[:, 16:] - given[:, 16:]).max() > 0.1


def test_repainting_draws_its_steps_from_the_first_generator(
    build: Callable[..., Any], seed: Callable[[int], Any]
) -> None:
    pipe, call = build(RePaintPipeline), case("RePaintPipeline").call
    images, kept = [picture(1), picture(2)], mask()
    drawn = [
        pipe(**{**call, "image": images, "mask_image": kept, "generator": several}).images
        for several in ([seed(1), seed(2)], (seed(1), seed(2)), [seed(1), seed(3)])
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0][0], drawn[2][0])


def test_a_checkpoint_of_ddpm_repaints(
    build: Callable[..., Any], seed: Callable[[int], Any], tmp_path: Path
) -> None:
    drawing = build(DDPMPipeline)
    drawing.save_pretrained(tmp_path)
    opened = autopipe.AutoPipelineForRepainting.from_pretrained(tmp_path)
    switched = autopipe.AutoPipelineForRepainting.from_pipe(drawing)
    call = case("RePaintPipeline").call
    expected = build(RePaintPipeline)(**call, generator=seed(1)).images
    for pipe in (opened, switched):
        assert type(pipe) is RePaintPipeline
        assert type(pipe.scheduler) is DDPMScheduler
        pipe.set_progress_bar_config(disable=True)
        assert torch.equal(pipe(**call, generator=seed(1)).images, expected)
    assert switched.unet is drawing.unet
