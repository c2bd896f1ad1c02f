"""What every task of the family promises: refusals, callbacks, re-entrant calls, views."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import autopipe
from autopipe import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    Image2Image,
    Inpaint,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    Text2Image,
)
from autopipe.errors import ArgumentError, ArgumentTypeError, CancelledError, SchedulerError
from autopipe.tasks import Task, missing_parameters
from autopipe_components import safety

EMBEDS = torch.zeros(1, 12, 16)
KINDS = (
    StableDiffusionPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
)


def test_each_class_says_which_task_it_fulfils() -> None:
    for kind, protocol, task in zip(KINDS, (Text2Image, Image2Image, Inpaint), Task):
        assert protocol in kind.__mro__
        assert missing_parameters(kind, task) == ()


BAD_CALLS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"prompt": None}, ArgumentError, "prompt"),
    ({"prompt": 5}, ArgumentTypeError, "prompt"),
    ({"prompt": []}, ArgumentError, "empty"),
    ({"prompt": ["a", 1]}, ArgumentTypeError, "int"),
    ({"prompt_embeds": EMBEDS}, ArgumentError, "both"),
    ({"prompt": None, "prompt_embeds": [1.0]}, ArgumentTypeError, "prompt_embeds"),
    ({"prompt": None, "prompt_embeds": EMBEDS[0]}, ArgumentError, "three axes"),
    ({"prompt": None, "prompt_embeds": torch.zeros(1, 12, 8)}, ArgumentError, "8 wide"),
    ({"negative_prompt_embeds": torch.zeros(1, 12, 8)}, ArgumentError, "takes 16"),
    ({"negative_prompt": "a", "negative_prompt_embeds": EMBEDS}, ArgumentError, "both"),
    (
        {"prompt": None, "prompt_embeds": EMBEDS, "negative_prompt_embeds": EMBEDS[:, 1:]},
        ArgumentError,
        "shape",
    ),
    ({"prompt": ["a", "b"], "negative_prompt": "c"}, ArgumentTypeError, "negative_prompt"),
    ({"prompt": ["a", "b"], "negative_prompt": ["c"]}, ArgumentError, "1 negative"),
    ({"prompt": "a", "negative_prompt": ["c"]}, ArgumentTypeError, "negative_prompt"),
    ({"num_inference_steps": 0}, ArgumentError, "num_inference_steps"),
    ({"num_inference_steps": None}, ArgumentError, "num_inference_steps"),
    ({"num_inference_steps": 2.5}, ArgumentTypeError, "num_inference_steps"),
    ({"num_inference_steps": 2000}, SchedulerError, "2000"),
    ({"timesteps": [5], "sigmas": [1.0]}, ArgumentError, "both"),
    ({"timesteps": [5, 1]}, SchedulerError, "PNDMScheduler"),
    ({"sigmas": []}, ArgumentError, "empty"),
    ({"guidance_scale": "7"}, ArgumentTypeError, "guidance_scale"),
    ({"num_images_per_prompt": 0}, ArgumentError, "num_images_per_prompt"),
    ({"generator": 7}, ArgumentTypeError, "generator"),
    ({"generator": [torch.Generator()] * 2}, ArgumentError, "2 generators"),
    ({"generator": [7]}, ArgumentTypeError, "generator"),
    ({"output_type": "jpeg"}, ArgumentError, "output_type"),
    ({"clip_skip": -1}, ArgumentError, "clip_skip"),
    ({"clip_skip": 4}, ArgumentError, "3 layers"),
    ({"clip_skip": "1"}, ArgumentTypeError, "clip_skip"),
    ({"cross_attention_kwargs": {"scael": 1}}, ArgumentError, "scale"),
    ({"callback_on_step_end": 5}, ArgumentTypeError, "callback_on_step_end"),
    ({"callback_on_step_end_tensor_inputs": ["latent"]}, ArgumentError, "'latents'"),
    ({"callback": 5}, ArgumentTypeError, "callback"),
    ({"callback_steps": 0}, ArgumentError, "callback_steps"),
    ({"ip_adapter_image": Image.new("RGB", (8, 8))}, ArgumentError, "attach an IP-Ad"),
    ({"ip_adapter_image_embeds": [EMBEDS]}, ArgumentError, "attach an IP-Ad"),
    ({"num_inference_step": 5}, ArgumentTypeError, "num_inference_steps"),
]


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("bad", "error", "says"), BAD_CALLS, ids=[f"{','.join(bad)}-{e}" for bad, _, e in BAD_CALLS]
)
def test_bad_calls_are_refused_before_any_work(
    build: Callable[..., Any], task: Any, bad: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as raised:
        build(task.kind)(**{**task.call, **bad})
    assert isinstance(raised.value, (ValueError, TypeError))


@pytest.mark.usefixtures("idle")
def test_texts_need_a_text_encoder(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind, text_encoder=None)
    with pytest.raises(ArgumentError, match="prompt_embeds"):
        pipe(**task.call)
    with pytest.raises(ArgumentError, match="negative_prompt_embeds"):
        pipe(**{**task.call, "prompt": None, "prompt_embeds": EMBEDS})


def test_embeddings_need_no_text_encoder(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind, text_encoder=None, tokenizer=None)
    embeds = {"prompt": None, "prompt_embeds": EMBEDS, "negative_prompt_embeds": EMBEDS + 1}
    assert pipe(**{**task.call, **embeds}).images.shape == (1, 3, 16, 16)


def test_a_checker_needs_a_feature_extractor(
    build: Callable[..., Any], task: Any, checkers: Callable[[float], Any]
) -> None:
    with pytest.raises(ArgumentError, match="feature_extractor"):
        build(task.kind, safety_checker=checkers(2.0))


def test_the_same_generator_gives_the_same_images(
    build: Callable[..., Any], task: Any, seeded: Callable[[int], torch.Generator]
) -> None:
    pipe = build(task.kind)
    first = pipe(**task.call, generator=seeded(1)).images
    assert torch.equal(first, pipe(**task.call, generator=seeded(1)).images)
    assert not torch.allclose(first, pipe(**task.call, generator=seeded(2)).images, atol=1e-3)


def test_each_generator_of_a_list_gives_what_it_gives_alone(
    build: Callable[..., Any], task: Any, seeded: Callable[[int], torch.Generator]
) -> None:
    if task.kind is StableDiffusionInpaintPipeline:
        # One image for several generators: only the first of them draws for its encoding.
        latents = {"image": torch.zeros(1, 4, 8, 8)}
        task = replace(task, call={**task.call, **latents})
    pipe = build(task.kind)
    both = pipe(**task.call, num_images_per_prompt=2, generator=[seeded(1), seeded(2)]).images
    alone = [pipe(**task.call, generator=seeded(n)).images for n in (1, 2)]
    # Convolutions of two samples round a little differently from those of one.
    torch.testing.assert_close(both, torch.cat(alone), atol=1e-5, rtol=0)


def test_output_types_agree(
    build: Callable[..., Any], task: Any, seeded: Callable[[int], torch.Generator]
) -> None:
    pipe = build(task.kind)
    made = {
        kind: pipe(**{**task.call, "output_type": kind}, generator=seeded(0)).images
        for kind in ("pt", "np", "pil", "latent")
    }
    assert made["latent"].shape == (1, 4, 8, 8)
    np.testing.assert_array_equal(made["np"], made["pt"].permute(0, 2, 3, 1).numpy())
    expected = (made["np"] * 255).round().astype("uint8")
    np.testing.assert_array_equal(np.asarray(made["pil"][0]), expected[0])
    decoded = pipe.vae.decode(made["latent"] / pipe.vae.config.scaling_factor).sample
    torch.testing.assert_close(
        pipe.image_processor.postprocess(decoded.detach(), "pt"), made["pt"], atol=1e-6, rtol=0
    )


def test_the_result_is_an_output_or_a_tuple(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind)
    output = pipe(**task.call)
    assert isinstance(output, autopipe.StableDiffusionPipelineOutput)
    assert output.nsfw_content_detected is None
    images, flags = pipe(**task.call, return_dict=False)
    assert images.shape == output.images.shape
    assert flags is None


def test_a_callback_sees_the_call_and_changes_it(
    build: Callable[..., Any], task: Any, seeded: Callable[[int], torch.Generator]
) -> None:
    pipe = build(task.kind)
    seen: list[Any] = []

    def watch(run: Any, step: int, timestep: torch.Tensor, tensors: dict[str, Any]) -> Any:
        seen.append((run, step, int(timestep), set(tensors)))
        assert run.unet is pipe.unet
        assert run.guidance_scale == 3.0
        assert run.num_timesteps == len(run.scheduler.timesteps)
        return {"latents": torch.zeros_like(tensors["latents"])} if step == 2 else None

    call = {**task.call, "output_type": "latent", "guidance_scale": 3.0}
    if "strength" in task.kind.__call__.__annotations__:
        call["strength"] = 1.0
    found = pipe(**call, generator=seeded(0), callback_on_step_end=watch).images
    assert [step for _, step, _, _ in seen] == [0, 1, 2]
    assert seen[0][3] == {"latents"}
    assert len({run for run, *_ in seen}) == 1
    assert seen[0][0] is not pipe
    assert torch.count_nonzero(found) == 0


def test_interrupt_keeps_what_there_is(
    build: Callable[..., Any], task: Any, seeded: Callable[[int], torch.Generator]
) -> None:
    pipe = build(task.kind, scheduler=DDIMScheduler())
    kept: list[torch.Tensor] = []

    def stop(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        run._interrupt = True
        kept.append(tensors["latents"])
        return {}

    call = {**task.call, "num_inference_steps": 5, "output_type": "latent"}
    found = pipe(**call, generator=seeded(0), callback_on_step_end=stop).images
    assert len(kept) == 1
    assert torch.equal(found, kept[0])
    assert pipe(**task.call).images.shape == (1, 3, 16, 16)


def test_a_call_can_be_cancelled_and_the_pipeline_stays_usable(
    build: Callable[..., Any], task: Any, seeded: Callable[[int], torch.Generator]
) -> None:
    pipe = build(task.kind)
    expected = pipe(**task.call, generator=seeded(0)).images

    def cancel(run: Any, step: int, *rest: Any) -> None:
        thread = threading.Thread(target=pipe.cancel)
        thread.start()
        thread.join()

    with pytest.raises(CancelledError):
        pipe(**{**task.call, "num_inference_steps": 50}, callback_on_step_end=cancel)
    assert torch.equal(pipe(**task.call, generator=seeded(0)).images, expected)


def test_a_call_leaves_the_pipeline_as_it_was(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind)
    before = dict(pipe.__dict__), dict(pipe.scheduler.__dict__)
    pipe(**task.call, guidance_scale=2.0, clip_skip=1)
    after = pipe.__dict__, pipe.scheduler.__dict__
    for old, new in zip(before, after):
        assert {k: id(v) for k, v in old.items()} == {
            k: id(v) for k, v in new.items() if k != "mask_processor"
        }
    assert pipe.guidance_scale == 7.5


def test_threads_give_the_images_of_serial_calls(
    build: Callable[..., Any], task: Any, seeded: Callable[[int], torch.Generator]
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
            "num_inference_steps": 2 + n % 4,
            "guidance_scale": 1.0 + n,
            "clip_skip": n % 2,
        }
        return views[n % 3](**call, generator=seeded(n)).images

    serial = [draw(n) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(draw, range(8)))
    for expected, found in zip(serial, parallel):
        assert torch.equal(expected, found)


def test_a_view_refuses_a_component_of_another_kind(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind)
    for name, kind in (("scheduler", "a scheduler"), ("unet", "a network")):
        with pytest.raises(ArgumentTypeError, match=f"{name} must be {kind}"):
            task.kind.from_pipe(pipe, **{name: pipe.tokenizer})


@pytest.mark.parametrize("target", KINDS)
def test_views_share_everything_but_the_scheduler(
    build: Callable[..., Any],
    task: Any,
    target: Any,
    checkers: Callable[[float], Any],
    feature_extractor: Any,
) -> None:
    pipe = build(
        task.kind,
        safety_checker=checkers(2.0),
        feature_extractor=feature_extractor,
        requires_safety_checker=False,
    )
    pointers = [p.data_ptr() for p in pipe.unet.parameters()]
    view = target.from_pipe(pipe)
    back = task.kind.from_pipe(view)
    for other in (view, back):
        for name, component in pipe.components.items():
            if name == "scheduler":
                assert other.scheduler is not component
                assert type(other.scheduler) is type(component)
                assert dict(other.scheduler.config) == dict(component.config)
            else:
                assert other.components[name] is component
        assert other.options["requires_safety_checker"] is False
    assert [p.data_ptr() for p in view.unet.parameters()] == pointers
    assert back.index() == pipe.index()


def test_the_auto_classes_switch_tasks(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind)
    for auto, kind in zip(
        (
            autopipe.AutoPipelineForText2Image,
            autopipe.AutoPipelineForImage2Image,
            autopipe.AutoPipelineForInpainting,
        ),
        KINDS,
    ):
        view = auto.from_pipe(pipe)
        assert type(view) is kind
        assert view.unet is pipe.unet


def test_switches_reach_the_autoencoder(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind)
    pipe.enable_vae_slicing()
    pipe.enable_vae_tiling()
    assert pipe.vae.use_slicing
    assert pipe.vae.use_tiling
    pipe.disable_vae_slicing()
    pipe.disable_vae_tiling()
    assert not pipe.vae.use_slicing
    assert not pipe.vae.use_tiling


def test_slices_and_tiles_change_little(
    build: Callable[..., Any], seeded: Callable[[int], torch.Generator]
) -> None:
    pipe = build(StableDiffusionPipeline)
    call = {"prompt": ["a", "b"], "num_inference_steps": 1, "output_type": "pt"}
    whole = pipe(**call, generator=seeded(0)).images
    pipe.enable_vae_slicing()
    pipe.enable_attention_slicing()
    try:
        sliced = pipe(**call, generator=seeded(0)).images
    finally:
        pipe.disable_vae_slicing()
        pipe.disable_attention_slicing()
    # The same numbers, multiplied in other batches.
    torch.testing.assert_close(sliced, whole, atol=1e-5, rtol=0)


def test_warns_once_of_unchecked_images(
    build: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    safety._warn_unchecked.cache_clear()
    for _ in range(2):
        build(StableDiffusionPipeline, requires_safety_checker=True)
    assert [r.message.split(" has")[0] for r in caplog.records] == ["StableDiffusionPipeline"]
    build(StableDiffusionImg2ImgPipeline, requires_safety_checker=False)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("threshold", [-2.0, 2.0])
def test_unwanted_images_come_out_black(
    build: Callable[..., Any],
    task: Any,
    checkers: Callable[[float], Any],
    feature_extractor: Any,
    threshold: float,
) -> None:
    pipe = build(task.kind, safety_checker=checkers(threshold), feature_extractor=feature_extractor)
    output = pipe(**task.call, num_images_per_prompt=2)
    black = threshold < 0
    assert output.nsfw_content_detected == [black, black]
    assert bool((output.images == 0).all()) is black


@pytest.mark.parametrize("scheduler", [DDIMScheduler, EulerAncestralDiscreteScheduler])
def test_half_precision(
    build: Callable[..., Any],
    task: Any,
    seeded: Callable[[int], torch.Generator],
    scheduler: Any,
) -> None:
    """All weights in bfloat16: latents and embeddings follow them, all through the call."""
    pipe = build(task.kind, scheduler=scheduler())
    networks = {n: copy.deepcopy(pipe.components[n]) for n in ("vae", "unet", "text_encoder")}
    half = build(task.kind, scheduler=scheduler(), **networks).to(torch.bfloat16)
    dtypes: set[torch.dtype] = set()

    def watch(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> None:
        dtypes.update(tensor.dtype for tensor in tensors.values())

    names = ["latents", "prompt_embeds"]
    call = {**task.call, "num_inference_steps": 4}
    found = half(
        **call,
        generator=seeded(0),
        callback_on_step_end=watch,
        callback_on_step_end_tensor_inputs=names,
    ).images
    assert dtypes == {torch.bfloat16}
    assert found.isfinite().all()
    assert found.shape == (1, 3, 16, 16)
