"""What every class of the family promises: refusals, callbacks, re-entrant calls, views."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.pictures import mask, picture

import autopipe
from autopipe import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    IFImg2ImgPipeline,
    IFInpaintingPipeline,
    IFPipeline,
    IFPipelineOutput,
    IFSuperResolutionPipeline,
)
from autopipe.errors import (
    ArgumentError,
    ArgumentTypeError,
    CancelledError,
    UnsupportedCheckpointError,
)
from autopipe.tasks import Task, missing_parameters

KINDS = (IFPipeline, IFImg2ImgPipeline, IFInpaintingPipeline)
AUTOS = (AutoPipelineForText2Image, AutoPipelineForImage2Image, AutoPipelineForInpainting)
EMBEDS = torch.zeros(1, 7, 24)


def test_each_class_fulfils_its_task() -> None:
    for kind, task in zip(KINDS, Task):
        assert missing_parameters(kind, task) == ()


BAD_CALLS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"prompt": None}, ArgumentError, "prompt"),
    ({"prompt": 5}, ArgumentTypeError, "prompt"),
    ({"prompt": []}, ArgumentError, "empty list"),
    ({"prompt_embeds": EMBEDS}, ArgumentError, "both prompt and"),
    ({"prompt": None, "prompt_embeds": EMBEDS[0]}, ArgumentError, "three axes"),
    ({"prompt": None, "prompt_embeds": EMBEDS[..., 1:]}, ArgumentError, "23 wide"),
    ({"negative_prompt": ["a"]}, ArgumentTypeError, "negative_prompt is a list"),
    ({"prompt": ["a", "b"], "negative_prompt": ["a"]}, ArgumentError, "1 negative prompts for 2"),
    (
        {
            "prompt": None,
            "prompt_embeds": EMBEDS,
            "negative_prompt_embeds": torch.zeros(1, 8, 24),
        },
        ArgumentError,
        "one shape",
    ),
    ({"num_inference_steps": 0}, ArgumentError, "num_inference_steps"),
    ({"timesteps": []}, ArgumentError, "timesteps is empty"),
    ({"guidance_scale": "7"}, ArgumentTypeError, "guidance_scale"),
    ({"num_images_per_prompt": 0}, ArgumentError, "num_images_per_prompt"),
    ({"generator": [torch.Generator()] * 2}, ArgumentError, "2 generators"),
    ({"output_type": "jpeg"}, ArgumentError, "give one of pil, np, pt"),
    ({"output_type": "latent"}, ArgumentError, "give one of pil, np, pt"),
    ({"cross_attention_kwargs": {"scael": 1}}, ArgumentError, "scale"),
    ({"cross_attention_kwargs": 5}, ArgumentTypeError, "give a dict"),
    ({"eta": 2.0}, ArgumentError, "eta"),
    ({"callback_steps": 0}, ArgumentError, "callback_steps"),
    ({"callback": 5}, ArgumentTypeError, "callback"),
    ({"callback_on_step_end": 5}, ArgumentTypeError, "callback_on_step_end"),
    ({"callback_on_step_end_tensor_inputs": ["image"]}, ArgumentError, "latents, prompt_embeds"),
    ({"promt": "a"}, ArgumentTypeError, "prompt"),
]


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(("bad", "error", "words"), BAD_CALLS, ids=lambda value: str(value)[:40])
def test_bad_calls_are_refused_before_any_work(
    build: Callable[..., Any], task: Any, bad: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        build(task.kind)(**{"prompt": "a cat", **task.call, **bad})


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"start": None}, "image is missing"),
        ({"start": [picture()] * 3}, "3 .*images can't be spread over a batch of 1"),
        ({"start": torch.zeros(1, 3, 15, 16)}, "height is 15"),
        ({"start": torch.zeros(1, 4, 16, 16)}, "has 4 channels"),
        ({"strength": 1.5}, "strength"),
        ({"strength": 0.1}, "leaves nothing"),
    ],
    ids=str,
)
def test_bad_images_are_refused_before_any_work(
    build: Callable[..., Any], image_task: Any, bad: dict[str, Any], words: str
) -> None:
    start = "image" if image_task.stage == 1 else "original_image"
    bad = {start if name == "start" else name: value for name, value in bad.items()}
    with pytest.raises(ArgumentError, match=words):
        build(image_task.kind)(**{"prompt": "a cat", **image_task.call, **bad})


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"mask_image": None}, "mask_image is missing"),
        ({"mask_image": [mask()] * 2}, "2 masks"),
        ({"mask_image": torch.ones(1, 3, 16, 16)}, "3 channels"),
        ({"mask_image": "mask.png"}, "mask_image is made of str"),
    ],
    ids=str,
)
def test_bad_masks_are_refused_before_any_work(
    build: Callable[..., Any], mask_task: Any, bad: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        build(mask_task.kind)(**{"prompt": "a cat", **mask_task.call, **bad})


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"image": None}, "image is missing"),
        ({"image": torch.zeros(2, 3, 8, 8)}, "2 images"),
        ({"noise_level": -1}, "from 0 to 999"),
        ({"noise_level": 1000}, "from 0 to 999"),
        ({"noise_level": 2.5}, "whole number"),
    ],
    ids=str,
)
def test_bad_images_to_enlarge_are_refused_before_any_work(
    build: Callable[..., Any], second: Any, bad: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        build(second.kind)(**{"prompt": "a cat", **second.call, **bad})


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"height": 15}, "height is 15"),
        ({"height": 0}, "height is 0"),
        ({"width": -8}, "width is -8"),
        ({"latents": torch.zeros(1, 3, 8, 8)}, "latents have shape"),
        ({"latents": 5}, "latents is a int"),
    ],
    ids=str,
)
def test_bad_sizes_are_refused_before_any_work(
    build: Callable[..., Any], noise_task: Any, bad: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        build(noise_task.kind)(**{"prompt": "a cat", **noise_task.call, **bad})


@pytest.mark.usefixtures("idle")
def test_networks_of_other_stages_and_families(
    build: Callable[..., Any], task: Any, unets: Callable[..., Any]
) -> None:
    call = {"prompt": "a cat", **task.call}
    other = unets(3 - task.stage)
    with pytest.raises(ArgumentError, match="those for super-resolution 6"):
        build(task.kind, unet=other)(**call)
    with pytest.raises(ArgumentError, match="predicts 3 channels"):
        build(task.kind, unet=unets(task.stage, out_channels=3))(**call)
    with pytest.raises(ArgumentError, match="without unet=None"):
        build(task.kind, unet=None)(**call)


@pytest.mark.parametrize("name", ["text_encoder", "tokenizer"])
def test_texts_need_an_encoder(build: Callable[..., Any], task: Any, name: str) -> None:
    pipe = build(task.kind, **{name: None})
    with pytest.raises(ArgumentError, match="give prompt_embeds"):
        pipe(prompt="a cat", **task.call)
    with pytest.raises(ArgumentError, match="give prompt_embeds"):
        pipe(prompt_embeds=EMBEDS, **task.call)
    with pytest.raises(ArgumentError, match="give prompt_embeds"):
        pipe.encode_prompt("a cat")
    both = {"prompt_embeds": EMBEDS, "negative_prompt_embeds": EMBEDS}
    assert pipe(**both, **task.call).images.shape == (1, 3, 16, 16)
    assert pipe(prompt_embeds=EMBEDS, guidance_scale=1.0, **task.call).images.ndim == 4


def test_prompts_are_encoded_without_the_rest(
    build: Callable[..., Any], seed: Callable[[int], torch.Generator], folder: Path
) -> None:
    whole = build(IFPipeline)
    whole.save_pretrained(folder)
    alone = IFPipeline.from_pretrained(folder, unet=None)
    assert alone.unet is None
    for wrong in (0, "2"):
        with pytest.raises(ArgumentError, match="num_images_per_prompt"):
            alone.encode_prompt("a cat", num_images_per_prompt=wrong)
    embeds, negative = alone.encode_prompt("a cat", negative_prompt="blurry")
    assert not embeds.requires_grad
    without = IFPipeline.from_pretrained(folder, text_encoder=None)
    without.set_progress_bar_config(disable=True)
    call = {"num_inference_steps": 2, "output_type": "pt"}
    found = without(
        prompt_embeds=embeds, negative_prompt_embeds=negative, generator=seed(1), **call
    ).images
    expected = whole("a cat", negative_prompt="blurry", generator=seed(1), **call).images
    # Weights read from a file lie elsewhere in memory, where sums may be taken in another order.
    torch.testing.assert_close(found, expected, atol=5e-4, rtol=0)
    # Without any network, embeddings keep their dtype.
    bare = build(IFPipeline, unet=None, text_encoder=None)
    kept, none = bare.encode_prompt(None, False, prompt_embeds=embeds.to(torch.bfloat16))
    assert kept.dtype == torch.bfloat16
    assert none is None


def test_the_result_is_an_output_or_a_tuple(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind)
    output = pipe(prompt="a cat", **task.call)
    assert isinstance(output, IFPipelineOutput)
    assert (output.nsfw_detected, output.watermark_detected) == (None, None)
    images, unwanted, marked = pipe(prompt="a cat", **task.call, return_dict=False)
    assert images.shape == output.images.shape == (1, 3, 16, 16)
    assert (unwanted, marked) == (None, None)
    array = pipe(prompt="a cat", **{**task.call, "output_type": "np"}).images
    assert array.shape == (1, 16, 16, 3)
    assert array.min() >= 0
    assert array.max() <= 1


def test_latents_are_the_first_noise(
    build: Callable[..., Any], noise_task: Any, seed: Callable[[int], torch.Generator]
) -> None:
    pipe = build(noise_task.kind, scheduler=DDIMScheduler())
    call = {
        "prompt": "a cat",
        **noise_task.call,
        **({"noise_level": 0} if noise_task.stage == 2 else {}),
    }
    noise = torch.randn(1, 3, 16, 16, generator=seed(5))
    found = pipe(**call, latents=noise, generator=seed(6)).images
    assert torch.equal(pipe(**call, latents=noise, generator=seed(6)).images, found)
    assert not torch.equal(pipe(**call, latents=-noise, generator=seed(6)).images, found)


@pytest.mark.parametrize(
    "scheduler", [DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler]
)
def test_schedulers_without_a_predicted_variance(
    build: Callable[..., Any], task: Any, scheduler: Any
) -> None:
    """The config that they are made of asks for one, which they can't take."""
    options = {"algorithm_type": "sde-dpmsolver++"} if "DPM" in scheduler.__name__ else {}
    other = scheduler.from_config(DDPMScheduler(variance_type="learned_range").config, **options)
    found = build(task.kind, scheduler=other)(prompt="a cat", **task.call).images
    assert torch.isfinite(found).all()


def test_pixels_outside_the_mask_stay_exactly(build: Callable[..., Any], mask_task: Any) -> None:
    pipe = build(mask_task.kind)
    painted = np.asarray(mask()) >= 128
    for strength in (0.5, 1.0):
        call = {**mask_task.call, "output_type": "pil", "strength": strength}
        (found,) = pipe(prompt="a cat", **call).images
        same = (np.asarray(found) == np.asarray(picture())).all(axis=-1)
        assert same[~painted].all()
        assert not same[painted].all()


def test_a_callback_sees_the_call_and_changes_it(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind)
    seen: list[Any] = []

    def watch(run: Any, step: int, timestep: torch.Tensor, tensors: dict[str, Any]) -> Any:
        seen.append((step, set(tensors)))
        assert run is not pipe
        assert run.num_timesteps
        return {"latents": torch.zeros_like(tensors["latents"])}

    names = task.kind._callback_tensor_inputs
    found = pipe(
        prompt="a cat",
        **task.call,
        callback_on_step_end=watch,
        callback_on_step_end_tensor_inputs=names,
    ).images
    assert [step for step, _ in seen] == list(range(len(seen)))
    assert seen[0][1] == set(names)
    assert torch.count_nonzero(found) == 0


def test_both_kinds_of_callback_see_the_same(build: Callable[..., Any], task: Any) -> None:
    new: list[Any] = []
    old: list[Any] = []
    build(task.kind)(
        prompt="a cat",
        **task.call,
        callback=lambda step, t, images: old.append((step, int(t), float(images.sum()))),
        callback_on_step_end=lambda run, step, t, tensors: new.append(
            (step, int(t), float(tensors["latents"].sum()))
        ),
    )
    assert old == new
    assert len(old) >= 2


def test_a_call_can_be_interrupted_and_cancelled(
    build: Callable[..., Any], task: Any, seed: Callable[[int], torch.Generator]
) -> None:
    pipe = build(task.kind)
    call = {"prompt": "a cat", **task.call}
    expected = pipe(**call, generator=seed(0)).images
    steps: list[int] = []

    def stop(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        run._interrupt = True
        steps.append(step)
        return {}

    def cancel(*run: Any) -> None:
        thread = threading.Thread(target=pipe.cancel)
        thread.start()
        thread.join()

    pipe(**call, callback_on_step_end=stop)
    assert steps == [0]
    with pytest.raises(CancelledError):
        pipe(**call, callback=cancel)
    assert torch.equal(pipe(**call, generator=seed(0)).images, expected)


def test_threads_give_the_images_of_serial_calls(
    build: Callable[..., Any], task: Any, seed: Callable[[int], torch.Generator]
) -> None:
    pipe = build(task.kind)
    views = [pipe, task.kind.from_pipe(pipe, scheduler=DDIMScheduler())]

    def draw(n: int) -> torch.Tensor:
        call = {
            **task.call,
            "prompt": ["a cat", "a red dog", "a " * (n + 1)][n % 3],
            "num_inference_steps": 2 + n % 3,
            "guidance_scale": 1.0 + n,
        }
        return views[n % 2](**call, generator=seed(n)).images

    serial = [draw(n) for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        parallel = list(pool.map(draw, range(6)))
    for expected, found in zip(serial, parallel):
        assert torch.equal(expected, found)


@pytest.mark.parametrize("auto", AUTOS)
def test_views_share_everything_but_the_scheduler(
    build: Callable[..., Any], first: Any, auto: Any
) -> None:
    pipe = build(first.kind)
    view = auto.from_pipe(pipe)
    assert type(view) is KINDS[AUTOS.index(auto)]
    back = first.kind.from_pipe(view)
    for other in (view, back):
        for name, component in pipe.components.items():
            if name == "scheduler":
                assert other.scheduler is not component
            else:
                assert other.components[name] is component
    assert back.index() == pipe.index()


@pytest.mark.parametrize("auto", AUTOS)
def test_there_is_no_controlnet_for_the_family(
    build: Callable[..., Any], first: Any, auto: Any, folder: Path
) -> None:
    pipe = build(first.kind)
    words = r"can't find a pipeline linked to IF\w+ for deepfloyd_if .*controlnet"
    with pytest.raises(UnsupportedCheckpointError, match=words):
        auto.from_pipe(pipe, controlnet=torch.nn.Identity())
    pipe.save_pretrained(folder)
    with pytest.raises(UnsupportedCheckpointError, match=words):
        auto.from_pretrained(folder, controlnet=torch.nn.Identity())
    assert type(auto.from_pipe(pipe, controlnet=None)) is KINDS[AUTOS.index(auto)]


@pytest.mark.parametrize("auto", AUTOS)
def test_a_second_stage_has_no_task(build: Callable[..., Any], auto: Any, folder: Path) -> None:
    build(IFSuperResolutionPipeline).save_pretrained(folder)
    with pytest.raises(UnsupportedCheckpointError, match="serves no task by itself"):
        auto.from_pretrained(folder)
    assert type(autopipe.DiffusionPipeline.from_pretrained(folder)) is IFSuperResolutionPipeline


def test_half_precision(build: Callable[..., Any], task: Any) -> None:
    networks = build(task.kind).components
    copies = {name: copy.deepcopy(networks[name]) for name in ("unet", "text_encoder")}
    pipe = build(task.kind, **copies).to(torch.bfloat16)
    found = pipe(prompt="a cat", **task.call).images
    assert found.dtype == torch.bfloat16
    assert torch.isfinite(found).all()
