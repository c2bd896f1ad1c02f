"""What every task of the family promises: refusals, callbacks, re-entrant calls, views."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

import autopipe
from autopipe import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from autopipe.errors import ArgumentError, ArgumentTypeError, CancelledError
from autopipe.tasks import Task, missing_parameters

KINDS = (
    StableDiffusionXLPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
)
EMBEDS, POOLED = torch.zeros(1, 12, 32), torch.zeros(1, 10)
GIVEN = {"prompt": None, "prompt_embeds": EMBEDS, "pooled_prompt_embeds": POOLED}


def test_each_class_fulfils_its_task() -> None:
    for kind, task in zip(KINDS, Task):
        assert missing_parameters(kind, task) == ()


BAD_CALLS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"prompt": None}, ArgumentError, "prompt"),
    ({"prompt": 5}, ArgumentTypeError, "prompt"),
    ({"prompt_2": 5}, ArgumentTypeError, "prompt_2"),
    ({"negative_prompt_2": [5]}, ArgumentTypeError, "negative_prompt_2"),
    ({"prompt_2": ["a", "b"]}, ArgumentError, "prompt_2 has 2 strings for 1"),
    ({"prompt": ["a", "b"], "negative_prompt": ["c"]}, ArgumentError, "1 strings for 2"),
    ({**GIVEN, "prompt": "a"}, ArgumentError, "both prompt and"),
    ({**GIVEN, "prompt_2": "a"}, ArgumentError, "both prompt_2 and"),
    ({**GIVEN, "pooled_prompt_embeds": None}, ArgumentError, "need pooled_prompt_embeds"),
    ({**GIVEN, "pooled_prompt_embeds": POOLED[0]}, ArgumentError, "two axes"),
    ({**GIVEN, "pooled_prompt_embeds": POOLED.repeat(2, 1)}, ArgumentError, "2 rows for 1 prompts"),
    ({**GIVEN, "pooled_prompt_embeds": 5}, ArgumentTypeError, "int"),
    ({**GIVEN, "prompt_embeds": EMBEDS[..., 1:]}, ArgumentError, "31 wide"),
    ({**GIVEN, "pooled_prompt_embeds": POOLED[:, 1:]}, ArgumentError, "width 9"),
    ({"negative_prompt_embeds": EMBEDS}, ArgumentError, "need negative_pooled_prompt_embeds"),
    (
        {
            "negative_prompt_2": "a",
            "negative_prompt_embeds": EMBEDS,
            "negative_pooled_prompt_embeds": POOLED,
        },
        ArgumentError,
        "both negative_prompt_2",
    ),
    ({"num_inference_steps": 0}, ArgumentError, "num_inference_steps"),
    ({"timesteps": [5], "sigmas": [1.0]}, ArgumentError, "both"),
    ({"guidance_scale": "7"}, ArgumentTypeError, "guidance_scale"),
    ({"guidance_rescale": 2}, ArgumentError, "guidance_rescale"),
    ({"num_images_per_prompt": 0}, ArgumentError, "num_images_per_prompt"),
    ({"generator": [torch.Generator()] * 2}, ArgumentError, "2 generators"),
    ({"output_type": "jpeg"}, ArgumentError, "output_type"),
    ({"clip_skip": -1}, ArgumentError, "clip_skip"),
    ({"clip_skip": 3}, ArgumentError, "can skip 2 layers"),
    ({"clip_skip": "1"}, ArgumentTypeError, "clip_skip"),
    ({"cross_attention_kwargs": {"scael": 1}}, ArgumentError, "scale"),
    ({"ip_adapter_image": 5}, ArgumentError, "IP-Adapter"),
    ({"original_size": 64}, ArgumentTypeError, "original_size must be a pair.*, not int"),
    ({"target_size": (64,)}, ArgumentError, "target_size"),
    ({"crops_coords_top_left": ("1", 2)}, ArgumentTypeError, "crops_coords_top_left"),
    ({"denoising_end": 1.5}, ArgumentError, "denoising_end is 1.5"),
    ({"denoising_end": "0.8"}, ArgumentTypeError, "denoising_end"),
    ({"callback_on_step_end": 5}, ArgumentTypeError, "callback_on_step_end"),
    ({"callback_on_step_end_tensor_inputs": ["time_ids"]}, ArgumentError, "add_time_ids"),
    ({"latents": torch.zeros(1, 4, 8)}, ArgumentError, "latents"),
    ({"latents": 5}, ArgumentTypeError, "latents"),
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
        ({"image": None}, "image is missing"),
        ({"strength": 1.5}, "strength"),
        ({"strength": 0.1}, "leaves nothing"),
        ({"denoising_start": 0.0}, "denoising_start is 0"),
        ({"denoising_start": 1}, "denoising_start is 1"),
        ({"denoising_start": 0.8, "denoising_end": 0.8}, "must come before"),
        ({"aesthetic_score": "good"}, "aesthetic_score"),
    ],
    ids=str,
)
def test_bad_images_are_refused_before_any_work(
    build: Callable[..., Any], image_task: Any, bad: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        build(image_task.kind)(**{"prompt": "a cat", **image_task.call, **bad})


def test_a_schedule_with_nothing_left(build: Callable[..., Any], image_task: Any) -> None:
    """Image to image decodes what the other model finished; inpainting has nothing to do."""
    pipe = build(image_task.kind)
    call = {**image_task.call, "denoising_start": 0.999, "output_type": "latent"}
    if image_task.kind is StableDiffusionXLInpaintPipeline:
        with pytest.raises(ArgumentError, match="no step remains"):
            pipe("a", **call)
    else:
        given = torch.rand(1, 4, 8, 8)
        assert torch.equal(pipe("a", **{**call, "image": given}).images, given)


def test_networks_of_other_tasks_and_families(
    build: Callable[..., Any], task: Any, unets: Callable[..., Any], refiner: dict[str, Any]
) -> None:
    call = {"prompt": "a cat", **task.call}
    with pytest.raises(ArgumentError, match="5 size ids with pooled prompts of width 10"):
        build(task.kind, unet=refiner["unet"])(**call)
    with pytest.raises(ArgumentError, match="load a checkpoint of Stable Diffusion XL"):
        build(task.kind, unet=unets(addition_embed_type=None))(**call)
    five = unets(in_channels=5)
    with pytest.raises(ArgumentError, match="5"):
        build(task.kind, unet=five)(**call)


@pytest.mark.parametrize("name", ["text_encoder_2", "tokenizer", "tokenizer_2"])
def test_texts_need_encoders(build: Callable[..., Any], task: Any, name: str) -> None:
    pipe = build(task.kind, **{name: None})
    with pytest.raises(ArgumentError, match="lacks a text encoder or its tokenizer"):
        pipe("a cat", **task.call)
    negative = {"negative_prompt_embeds": EMBEDS, "negative_pooled_prompt_embeds": POOLED}
    assert pipe(**{**task.call, **GIVEN, **negative}).images.shape == (1, 3, 16, 16)


def test_the_result_is_an_output_or_a_tuple(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind)
    for output_type, shape in (("pt", (1, 3, 16, 16)), ("latent", (1, 4, 8, 8))):
        call = {**task.call, "output_type": output_type}
        output = pipe("a cat", **call)
        assert isinstance(output, autopipe.StableDiffusionXLPipelineOutput)
        (images,) = pipe("a cat", **call, return_dict=False)
        assert images.shape == output.images.shape == shape


def test_negative_sizes_belong_to_the_negative_half_of_every_image(
    build: Callable[..., Any], task: Any, seed: Callable[[int], torch.Generator]
) -> None:
    """Each image of a batch is that of a call of its own, also in text to image."""
    pipe = build(task.kind)
    call = {
        **task.call,
        "num_inference_steps": 2,
        "negative_original_size": (900, 800),
        "negative_target_size": (90, 80),
        "negative_crops_coords_top_left": (70, 60),
    }
    # As many images as prompts, so that each has an encoding of its own.
    images = {"image": [call["image"]] * 2} if "image" in call else {}
    both = pipe(["a cat", "a dog"], **{**call, **images}, generator=[seed(1), seed(2)]).images
    for image, prompt, number in zip(both, ("a cat", "a dog"), (1, 2)):
        alone = pipe(prompt, **call, generator=[seed(number)]).images[0]
        # Float32, in batches of another size.
        torch.testing.assert_close(image, alone, atol=1e-5, rtol=0)


def test_a_callback_sees_the_call_and_changes_it(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind)
    seen: list[Any] = []

    def watch(run: Any, step: int, timestep: torch.Tensor, tensors: dict[str, Any]) -> Any:
        seen.append((step, set(tensors)))
        assert run is not pipe
        assert run.denoising_end == 0.9
        return {"latents": torch.zeros_like(tensors["latents"])} if run.num_timesteps else None

    call = {**task.call, "output_type": "latent", "num_inference_steps": 4, "denoising_end": 0.9}
    found = pipe("a cat", **call, callback_on_step_end=watch).images
    assert [step for step, _ in seen] == list(range(len(seen)))
    assert seen[0][1] == {"latents"}
    assert torch.count_nonzero(found) == 0


def test_a_call_can_be_interrupted_and_cancelled(
    build: Callable[..., Any], task: Any, seed: Callable[[int], torch.Generator]
) -> None:
    pipe = build(task.kind, scheduler=DDIMScheduler())
    call = {"prompt": "a cat", **task.call, "num_inference_steps": 5}
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
        pipe(**call, callback_on_step_end=cancel)
    assert torch.equal(pipe(**call, generator=seed(0)).images, expected)


def test_threads_give_the_images_of_serial_calls(
    build: Callable[..., Any], task: Any, seed: Callable[[int], torch.Generator]
) -> None:
    pipe = build(task.kind)
    views = [
        pipe,
        task.kind.from_pipe(pipe, scheduler=EulerAncestralDiscreteScheduler()),
        task.kind.from_pipe(pipe, scheduler=HeunDiscreteScheduler()),
    ]

    def draw(n: int) -> torch.Tensor:
        call = {
            **task.call,
            "prompt": ["a cat", "a red dog", "a " * (n + 1)][n % 3],
            "negative_prompt": [None, "dog"][n % 2],
            "num_inference_steps": 2 + n % 4,
            "guidance_scale": 1.0 + n,
            "denoising_end": [None, 0.9][n % 2],
            "clip_skip": n % 2,
        }
        return views[n % 3](**call, generator=seed(n)).images

    serial = [draw(n) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(draw, range(8)))
    for expected, found in zip(serial, parallel):
        assert torch.equal(expected, found)
    assert pipe.denoising_end is None


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("refined", [False, True], ids=["base", "refiner"])
def test_views_share_everything_but_the_scheduler(
    build: Callable[..., Any], task: Any, target: Any, refiner: dict[str, Any], refined: bool
) -> None:
    if task.kind is StableDiffusionXLPipeline:
        refiner = {name: one for name, one in refiner.items() if not name.startswith("requires")}
    pipe = build(task.kind, **(refiner if refined else {}))
    view = target.from_pipe(pipe)
    back = task.kind.from_pipe(view)
    for other in (view, back):
        for name, component in pipe.components.items():
            if name == "scheduler":
                assert other.scheduler is not component
            else:
                assert other.components[name] is component
        assert other.options["force_zeros_for_empty_prompt"] is not refined
        assert other.watermark is None
    assert back.index() == pipe.index()
