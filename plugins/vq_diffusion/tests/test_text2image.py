from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.arguments import arguments_read  # noqa: F401
from support.record import parameters_of

from autopipe import DDIMScheduler, Transformer2DModel, VQDiffusionScheduler, VQModel
from autopipe import VQDiffusionPipeline as Pipe
from autopipe.errors import ArgumentError, AutopipeError

from .conftest import CLASSES, TRANSFORMER

SMALL: dict[str, Any] = {"num_inference_steps": 3, "output_type": "pt"}


def drawn(pipe: Any, seed: Any = 0, **call: Any) -> Any:
    given = (
        [torch.Generator().manual_seed(one) for one in seed]
        if isinstance(seed, list)
        else torch.Generator().manual_seed(seed)
    )
    return pipe(**{"prompt": "a cat", **SMALL, **call}, generator=given).images


def test_every_argument_of_a_call_is_read(
    build: Callable[..., Any],
    arguments_read: list[set[str]],  # noqa: F811
) -> None:
    build(Pipe)("a cat", num_inference_steps=2)
    assert parameters_of(Pipe) - arguments_read[0] == set()


def test_a_list_of_generators_gives_each_image_its_own(build: Callable[..., Any]) -> None:
    pipe = build(Pipe)
    both = drawn(pipe, [1, 2], num_images_per_prompt=2)
    torch.testing.assert_close(both[1:], drawn(pipe, 2))
    assert not torch.equal(both[0], both[1])


def test_truncation_keeps_the_likeliest_classes(build: Callable[..., Any]) -> None:
    """The class that reaches the rate is kept, and at a rate of 0 one is."""
    given = torch.tensor([0.2, 0.5, 0.3]).log()[None, :, None]
    for rate, kept in {0.0: [1], 0.4: [1], 0.6: [1, 2], 0.9: [0, 1, 2]}.items():
        made = build(Pipe).truncate(given, rate)[0, :, 0]
        assert made.isfinite().nonzero().flatten().tolist() == kept
        assert torch.equal(made[kept], given[0, kept, 0])


def test_no_class_is_the_mask_in_the_end(build: Callable[..., Any]) -> None:
    """And a call that is interrupted draws what it has."""
    pipe = build(Pipe)
    classes = drawn(pipe, output_type="latent")
    assert classes.shape == (1, 64)
    assert int(classes.max()) < CLASSES - 1

    def interrupt(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> None:
        seen.append(tensors["latents"])
        run._interrupt = True

    seen: list[Any] = []
    images = drawn(pipe, num_inference_steps=10, callback_on_step_end=interrupt)
    assert int(seen[0].max()) == CLASSES - 1
    assert images.shape == (1, 3, 16, 16)
    assert images.isfinite().all()


def test_the_older_callback_sees_the_steps(build: Callable[..., Any]) -> None:
    seen: list[Any] = []
    drawn(
        build(Pipe),
        num_inference_steps=4,
        callback=lambda step, timestep, latents: seen.append((step, int(timestep), latents.dtype)),
        callback_steps=2,
    )
    assert seen == [(0, 3, torch.int64), (2, 1, torch.int64)]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"truncation_rate": 1.5}, "truncation_rate is 1.5"),
        ({"truncation_rate": "x"}, "truncation_rate"),
        ({"latents": torch.zeros(1, 64)}, "int64"),
        ({"latents": torch.zeros(1, 63, dtype=torch.int64)}, r"classes \(1, 64\)"),
        ({"latents": torch.full((1, 64), CLASSES)}, "the classes of this model are 0 to 16"),
        ({"latents": torch.full((1, 64), -1)}, "the classes of this model are 0 to 16"),
        ({"height": 18}, "16 x 16 pixels at most"),
        ({"width": 7}, "width"),
        ({"num_inference_steps": 11}, "trained on 10 timesteps"),
    ],
)
def test_calls_that_do_not_work(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, call: dict[str, Any], said: str
) -> None:
    def used(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a network was used before the error")

    pipe = build(Pipe)
    monkeypatch.setattr(Transformer2DModel, "forward", used)
    monkeypatch.setattr(type(pipe.text_encoder), "forward", used)
    with pytest.raises(AutopipeError, match=said):
        drawn(pipe, **call)


@pytest.mark.parametrize(
    "other",
    [
        {"scheduler": VQDiffusionScheduler(num_vec_classes=CLASSES + 1, num_train_timesteps=10)},
        {"scheduler": VQDiffusionScheduler(num_vec_classes=CLASSES, num_train_timesteps=11)},
        {"vqvae": VQModel(num_vq_embeddings=CLASSES - 2)},
        {"transformer": Transformer2DModel(**{**TRANSFORMER, "num_vector_embeds": CLASSES + 1})},
    ],
    ids=lambda other: next(iter(other)),
)
def test_components_of_different_checkpoints(
    build: Callable[..., Any], other: dict[str, Any]
) -> None:
    with pytest.raises(ArgumentError, match="load components of one checkpoint"):
        drawn(build(Pipe, **other))


def test_other_schedulers_are_refused(build: Callable[..., Any]) -> None:
    with pytest.raises(ArgumentError, match="use VQDiffusionScheduler"):
        drawn(build(Pipe, scheduler=DDIMScheduler()))


def test_callbacks_may_replace_latents_by_classes_alone(build: Callable[..., Any]) -> None:
    def wrong(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {"latents": tensors["latents"] + CLASSES}

    with pytest.raises(ArgumentError, match="classes of this model"):
        drawn(build(Pipe), callback_on_step_end=wrong)
