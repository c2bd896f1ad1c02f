"""The pipelines: what ControlNet changes in a call, and what it must not."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import autopipe
from autopipe import MultiControlNetModel
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.tasks import Task, missing_parameters

from .conftest import SDXL, installed, picture

TASKS = (Task.TEXT2IMAGE, Task.IMAGE2IMAGE, Task.INPAINT)
FAMILIES = {"stable_diffusion": "StableDiffusion", "sdxl": "StableDiffusionXL"}
INFIX = {Task.TEXT2IMAGE: "", Task.IMAGE2IMAGE: "Img2Img", Task.INPAINT: "Inpaint"}


class Kind:
    """A family and a task."""

    def __init__(self, family: str, task: Task) -> None:
        if not installed(family):
            pytest.skip(f"the family {family} is not installed")
        self.family, self.task = family, task
        self.extra = SDXL if family == "sdxl" else {}
        self.cls: Any = self.named("ControlNet")
        self.plain: Any = self.named("")

    def named(self, condition: str) -> Any:
        return getattr(autopipe, f"{FAMILIES[self.family]}{condition}{INFIX[self.task]}Pipeline")

    def images(self, size: tuple[int, int] = (16, 16)) -> dict[str, Any]:
        """Those that the task needs without ControlNet."""
        mask = Image.new("L", size)
        mask.paste(255, (4, 4, 12, 16))
        return {
            Task.TEXT2IMAGE: {},
            Task.IMAGE2IMAGE: {"image": picture(9, *size)},
            Task.INPAINT: {"image": picture(9, *size), "mask_image": mask},
        }[self.task]


@pytest.fixture(params=itertools.product(FAMILIES, TASKS), ids=lambda p: f"{p[0]}-{p[1]}")
def kind(request: pytest.FixtureRequest) -> Kind:
    return Kind(*request.param)


@pytest.fixture
def draw(prompt: Callable[..., dict[str, Any]]) -> Callable[..., np.ndarray]:
    """Makes a call with seeds and embeddings; `control` is the control image."""

    def call(pipe: Any, kind: Kind, control: Any = None, **changes: Any) -> np.ndarray:
        given: dict[str, Any] = {
            **prompt(type(pipe)),
            **kind.images(),
            "generator": torch.Generator().manual_seed(0),
            "num_inference_steps": 3,
            "output_type": "np",
        }
        if control is not None:
            given["control_image"] = control
        images: np.ndarray = pipe(**{**given, **changes}).images
        return images

    return call


Draw = Callable[..., np.ndarray]


def test_control_image_is_its_name_in_every_task(build: Any, kind: Kind, draw: Draw) -> None:
    pipe = build(kind.cls)
    assert not missing_parameters(kind.cls, kind.task)
    drawn = draw(pipe, kind, picture(1))
    assert drawn.shape == (1, 16, 16, 3)
    assert np.abs(drawn - draw(pipe, kind, picture(2))).max() > 1e-4
    if kind.task is Task.TEXT2IMAGE:
        assert np.array_equal(drawn, draw(pipe, kind, image=picture(1)))
        with pytest.raises(ArgumentError, match="both image and control_image"):
            draw(pipe, kind, picture(1), image=picture(1))
    with pytest.raises(ArgumentError, match="control_image is missing"):
        draw(pipe, kind)


def test_without_strength_it_is_the_plain_pipeline(
    build: Any, kind: Kind, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, and without running the ControlNet."""
    steered, plain = build(kind.cls), build(kind.plain)
    size = {} if kind.task is Task.IMAGE2IMAGE else {"height": 16, "width": 16}
    options = {"guidance_scale": 4.0, "strength": 0.8} if kind.task is not Task.TEXT2IMAGE else {}

    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the ControlNet was run")

    monkeypatch.setattr(steered.controlnet, "forward", fail)
    drawn = draw(steered, kind, picture(1), controlnet_conditioning_scale=0.0, **options)
    assert np.array_equal(drawn, draw(plain, kind, **size, **options))


def test_it_runs_only_in_its_part_of_the_steps(
    build: Any, kind: Kind, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = build(kind.cls)
    forward, calls = pipe.controlnet.forward, []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(kwargs["conditioning_scale"])
        return forward(*args, **kwargs)

    monkeypatch.setattr(pipe.controlnet, "forward", counted)
    options = {} if kind.task is Task.TEXT2IMAGE else {"strength": 1.0}
    window = {"control_guidance_start": 0.3, "control_guidance_end": 0.7}
    draw(pipe, kind, picture(1), num_inference_steps=10, **window, **options)
    assert len(calls) == 4


def test_guess_mode_leaves_the_half_without_prompt_alone(
    build: Any, kind: Kind, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = build(kind.cls)
    forward, batches = pipe.controlnet.forward, []

    def noted(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        batches.append(len(sample))
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(pipe.controlnet, "forward", noted)
    drawn = draw(pipe, kind, picture(1), guess_mode=True)
    assert set(batches) == {1}
    assert not np.array_equal(drawn, draw(pipe, kind, picture(1)))
    assert batches[-1] == 2


def test_a_network_of_another_width_is_refused_before_any_step(
    build: Any, kind: Kind, draw: Draw, controlnets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = controlnets(cross_attention_dim=20, **kind.extra)
    with pytest.raises(ArgumentError, match="cross_attention_dim"):
        build(kind.cls, controlnet=wrong)
    with pytest.raises(ArgumentError, match="controlnet_1"):
        build(kind.cls, controlnet=[controlnets(**kind.extra), wrong])

    # Also where it was put in later, and before anything is computed.
    pipe = build(kind.cls)
    pipe.controlnet = wrong
    for network in (pipe.unet, pipe.vae):
        monkeypatch.setattr(network, "forward", None)
    with pytest.raises(ArgumentError, match=r"20.*12"):
        draw(pipe, kind, picture(1))


def test_a_network_in_another_dtype(build: Any, kind: Kind, draw: Draw) -> None:
    def drawn(pipe: Any) -> np.ndarray:
        image = [picture(1)] * 2 if isinstance(pipe.controlnet, MultiControlNetModel) else None
        found = draw(pipe, kind, image or picture(1))
        assert np.isfinite(found).all()
        return found

    pipe = build(kind.cls)
    half = copy.deepcopy(pipe.controlnet).bfloat16()
    several = build(kind.cls, controlnet=[pipe.controlnet, half])
    plain, steered = drawn(pipe), drawn(build(kind.cls, controlnet=half))
    # bfloat16 has three digits.
    assert np.abs(plain - steered).max() < 0.05
    assert not np.array_equal(plain, steered)
    drawn(several)
    drawn(build(kind.cls, unet=copy.deepcopy(pipe.unet).bfloat16()))


def test_without_an_autoencoder(build: Any, kind: Kind, draw: Draw) -> None:
    pipe = build(kind.cls, vae=None)
    given = {"image": torch.ones(1, 4, 2, 2)} if kind.images() else {}
    # A ControlNet reads as many pixels of a picture as its own convolutions halve them.
    control = picture(1, 16, 16)
    with pytest.raises(ArgumentError, match="no vae"):
        draw(pipe, kind, control)
    if kind.task is not Task.INPAINT:
        pipe.__dict__["vae_scale_factor"] = 2
    for name in ("unet", "scheduler", "controlnet"):
        with pytest.raises(ArgumentError, match=name):
            draw(build(kind.cls, **{name: None}), kind, control, output_type="latent", **given)


@pytest.mark.parametrize(
    "changes",
    [
        {"controlnet_conditioning_scale": "much"},
        {"controlnet_conditioning_scale": [1.0, 1.0]},
        {"control_guidance_start": 0.9, "control_guidance_end": 0.1},
        {"control_image": "outline.png"},
        {"control_image": [picture(), picture()]},
        {"control_image": np.zeros((1, 16, 16, 2), dtype=np.float32)},
        {"control_image": Image.new("RGB", (1, 1))},
        {"controlnet_condition_scale": 1.0},
        {"guidance_scale": "much"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_arguments_that_can_not_be_used_are_refused(
    build: Any,
    kind: Kind,
    draw: Draw,
    changes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind.task is not Task.TEXT2IMAGE and getattr(changes.get("control_image"), "width", 0) == 1:
        pytest.skip("the control image is brought to the size of the image")
    pipe = build(kind.cls)
    monkeypatch.setattr(pipe.unet, "forward", None)
    with pytest.raises(ArgumentError):
        draw(pipe, kind, **{"control": picture(1), **changes})


def test_sizes_follow_the_image_that_is_worked_on(build: Any, kind: Kind, draw: Draw) -> None:
    pipe = build(kind.cls)
    if kind.task is Task.TEXT2IMAGE:
        assert draw(pipe, kind, picture(1, 21, 34)).shape == (1, 34, 20, 3)
        assert draw(pipe, kind, picture(1, 40, 40), height=12, width=24).shape == (1, 12, 24, 3)
        return
    large = kind.images((28, 20))
    # A control image of another size is brought to that of the image.
    drawn = draw(pipe, kind, picture(1, 50, 30), **large)
    assert drawn.shape == (1, 20, 28, 3)
    fitting = picture(1, 50, 30).resize((28, 20), Image.Resampling.LANCZOS)
    assert np.array_equal(drawn, draw(pipe, kind, fitting, **large))
    assert draw(pipe, kind, picture(1), **large, height=12, width=16).shape == (1, 12, 16, 3)


def test_images_given_as_latents_say_the_size_too(build: Any, kind: Kind, draw: Draw) -> None:
    if kind.task is not Task.IMAGE2IMAGE:
        pytest.skip("the other tasks don't start from latents alone")
    latents = torch.randn(1, 4, 6, 10, generator=torch.Generator().manual_seed(1))
    assert draw(build(kind.cls), kind, picture(1, 50, 30), image=latents).shape == (1, 12, 20, 3)


def test_callbacks_see_and_replace_control_images(build: Any, kind: Kind, draw: Draw) -> None:
    pipe = build(kind.cls)
    name = "image" if kind.task is Task.TEXT2IMAGE else "control_image"

    def replace(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        assert tensors[name].shape == (2, 3, 16, 16)
        return {name: 1 - tensors[name]}

    asked = {"callback_on_step_end_tensor_inputs": [name]}
    changed = draw(pipe, kind, picture(1), callback_on_step_end=replace, **asked)
    assert not np.array_equal(changed, draw(pipe, kind, picture(1)))


def test_a_callback_may_turn_guidance_off(build: Any, kind: Kind, draw: Draw) -> None:
    names = ["prompt_embeds"] + (["add_text_embeds", "add_time_ids"] if kind.extra else [])

    def cut(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        run._guidance_scale = 0.0
        return {n: one[-1:] for n, one in tensors.items()}

    asked = {"callback_on_step_end_tensor_inputs": names}
    for guess_mode in (False, True):
        draw(
            build(kind.cls),
            kind,
            picture(1),
            callback_on_step_end=cut,
            guess_mode=guess_mode,
            num_inference_steps=4,
            **asked,
        )


def test_threads_give_the_images_of_serial_calls(build: Any, kind: Kind, draw: Draw) -> None:
    pipe = build(kind.cls)
    jobs = [(picture(n), {"num_inference_steps": 3 + n % 2, "guess_mode": n > 2}) for n in range(4)]
    serial = [draw(pipe, kind, image, **options) for image, options in jobs]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda job: draw(pipe, kind, job[0], **job[1]), jobs))
    for one, expected in zip(found, serial):
        assert np.array_equal(one, expected)
    assert not hasattr(pipe, "_images")


def test_a_controlnet_is_added_replaced_and_removed(
    whole: Any, kind: Kind, draw: Draw, controlnets: Any
) -> None:
    auto = {
        Task.TEXT2IMAGE: autopipe.AutoPipelineForText2Image,
        Task.IMAGE2IMAGE: autopipe.AutoPipelineForImage2Image,
        Task.INPAINT: autopipe.AutoPipelineForInpainting,
    }[kind.task]
    first, second = (controlnets(seed=n, **kind.extra) for n in (2, 3))
    plain = whole(kind.plain)
    added = auto.from_pipe(plain, controlnet=first)
    assert type(added) is kind.cls
    assert added.controlnet is first
    assert added.unet is plain.unet
    kept = auto.from_pipe(added)
    assert kept.controlnet is first
    replaced = auto.from_pipe(added, controlnet=second)
    assert replaced.controlnet is second
    assert added.controlnet is first
    several = auto.from_pipe(added, controlnet=[first, second])
    assert isinstance(several.controlnet, MultiControlNetModel)
    assert several.controlnet.parts == [first, second]
    removed = auto.from_pipe(several, controlnet=None)
    assert type(removed) is kind.plain
    assert "controlnet" not in removed.components

    size: dict[str, Any] = {"num_inference_steps": 4}
    if kind.task is not Task.IMAGE2IMAGE:
        size |= {"height": 16, "width": 16}
    assert np.array_equal(draw(removed, kind, **size), draw(plain, kind, **size))
    images = [draw(one, kind, picture(1)) for one in (added, replaced)]
    images.append(draw(several, kind, [picture(1), picture(1)]))
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])
    assert np.array_equal(draw(kept, kind, picture(1)), images[0])


def test_options_survive_a_round_trip(whole: Any, kind: Kind) -> None:
    name = "force_zeros_for_empty_prompt" if kind.extra else "requires_safety_checker"
    plain = whole(kind.plain, **{name: False})
    steered = kind.cls.from_pipe(plain, controlnet=whole(kind.cls).controlnet)
    assert steered.options[name] is False
    assert kind.plain.from_pipe(steered).options[name] is False


def test_a_keyword_of_another_row_is_an_error(whole: Any, kind: Kind) -> None:
    with pytest.raises(ArgumentTypeError, match="controlnet"):
        kind.plain.from_pipe(whole(kind.plain), controlnet=whole(kind.cls).controlnet)
    with pytest.raises(ArgumentError, match="controlnet"):
        kind.cls.from_pipe(whole(kind.plain))


def test_pixels_outside_the_mask_can_be_put_back(build: Any, kind: Kind, draw: Draw) -> None:
    if kind.task is not Task.INPAINT:
        pytest.skip("only inpainting has a mask")
    drawn = draw(build(kind.cls), kind, picture(1), paste_unmasked=True)
    outside = np.asarray(kind.images()["mask_image"]) == 0
    original = np.asarray(kind.images()["image"], dtype=np.float32) / 255
    # [0, 1] to [-1, 1] and back rounds once in float32.
    assert np.allclose(drawn[0][outside], original[outside], atol=1e-6)


@pytest.mark.parametrize("pad", [0, 2])
def test_the_control_image_is_cropped_as_the_image_is(
    build: Any, kind: Kind, draw: Draw, pad: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind.task is not Task.INPAINT:
        pytest.skip("only inpainting has a mask")
    pipe, regions = build(kind.cls), []
    mask = Image.new("L", (16, 16))
    mask.paste(255, (4, 6, 10, 12))
    for processor in (pipe.image_processor, pipe.control_image_processor):
        preprocess = processor.preprocess

        def watched(*args: Any, preprocess: Any = preprocess, **how: Any) -> Any:
            regions.append(how.get("crops_coords"))
            return preprocess(*args, **how)

        monkeypatch.setattr(processor, "preprocess", watched)
    call = {"mask_image": mask, "padding_mask_crop": pad, "output_type": "pil"}
    pipe_call = {**kind.images(), **call}
    draw(pipe, kind, picture(1), **pipe_call)
    assert set(regions) - {None} == {(4 - pad, 6 - pad, 10 + pad, 12 + pad)}
    assert len([one for one in regions if one]) == 2
