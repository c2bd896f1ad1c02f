from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.arguments import arguments_read  # noqa: F401
from support.pictures import picture
from support.record import parameters_of
from transformers import Qwen3Model

from autopipe import (
    AutoencoderKL,
    DDIMScheduler,
    ZImageImg2ImgPipeline,
    ZImageInpaintPipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from autopipe.errors import ArgumentError, ArgumentTypeError, SchedulerError

from .conftest import WIDTH

EMBEDS = [torch.ones(3, WIDTH)]


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network may be used in this test."""

    def used(self: Any, *args: Any, **kwargs: Any) -> None:
        pytest.fail(f"{type(self).__name__} was used before the error")

    for network, method in (
        (ZImageTransformer2DModel, "forward"),
        (AutoencoderKL, "encode"),
        (AutoencoderKL, "decode"),
        (Qwen3Model, "forward"),
    ):
        monkeypatch.setattr(network, method, used)


def test_every_argument_of_a_call_is_read(
    build: Callable[..., Any],
    arguments_read: list[set[str]],  # noqa: F811
    kind: Any,
    call: dict[str, Any],
) -> None:
    build(kind)("a cat", **call)
    assert parameters_of(kind) - arguments_read[0] == set()


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompt": None}, "neither prompt nor prompt_embeds"),
        ({"prompt": "a", "prompt_embeds": EMBEDS}, "both prompt and prompt_embeds"),
        ({"prompt": None, "prompt_embeds": [EMBEDS[0][:, :5]]}, "5 wide and the network takes 12"),
        ({"prompt": ["a", "b"], "negative_prompt": ["c"]}, "1 negative prompts for 2 prompts"),
        ({"height": 18}, "divisible by 4"),
        ({"height": 132}, "draws up to 128"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"sigmas": [0.1, "x"]}, "sigmas"),
        ({"guidance_scale": float("inf")}, "guidance_scale"),
        ({"cfg_normalization": float("nan")}, "cfg_normalization is nan"),
        ({"cfg_truncation": float("nan")}, "cfg_truncation is nan"),
        ({"max_sequence_length": 0}, "max_sequence_length"),
        ({"max_sequence_length": 609}, "takes up to 608"),
        ({"latents": torch.zeros(1, 4, 3, 3)}, "latents"),
        ({"output_type": "jpg"}, "output_type"),
        ({"joint_attention_kwargs": {"loud": 1}}, "joint_attention_kwargs"),
        ({"callback_on_step_end_tensor_inputs": ["x"]}, "this pipeline offers"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_wrong_arguments_are_refused_before_work(
    build: Callable[..., Any], kind: Any, call: dict[str, Any], wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        build(kind)(**{"prompt": "a cat", **call, **wrong})


@pytest.mark.usefixtures("idle")
def test_wrong_types_are_refused_before_work(build: Callable[..., Any]) -> None:
    pipe = build(ZImagePipeline)
    for wrong in (
        {"prompt": 5},
        {"max_sequence_length": "5"},
        {"cfg_normalization": "x"},
        {"cfg_truncation": "x"},
        {"prompt": None, "prompt_embeds": EMBEDS[0]},
    ):
        with pytest.raises(ArgumentTypeError, match=[*wrong][-1]):
            pipe(**{"prompt": "a", "height": 16, "width": 16, **wrong})
    with pytest.raises(SchedulerError, match="not a scheduler of flows"):
        build(ZImagePipeline, scheduler=DDIMScheduler())("a", height=16, width=16)
    with pytest.raises(ArgumentError, match="no text encoder"):
        build(ZImagePipeline, text_encoder=None)("a", height=16, width=16)


def test_embeddings_replace_texts(build: Callable[..., Any]) -> None:
    pipe = build(ZImagePipeline)
    embeds, negative = pipe.encode_prompt(["a cat", "a longer text"], negative_prompt="dog")
    assert [len(one) for one in embeds] == [16, 24]
    options = {"height": 16, "width": 16, "num_inference_steps": 2, "output_type": "pt"}

    def drawn(pipe: Any, **given: Any) -> Any:
        return pipe(**given, **options, generator=torch.Generator().manual_seed(0)).images

    texts = drawn(pipe, prompt=["a cat", "a longer text"], negative_prompt="dog")
    without = build(ZImagePipeline, text_encoder=None, tokenizer=None)
    both = {"prompt_embeds": embeds, "negative_prompt_embeds": negative}
    assert torch.equal(texts, drawn(without, **both))


def test_a_network_of_half_precision_draws_from_noise_of_float32(build: Callable[..., Any]) -> None:
    dtypes = []

    def callback(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        dtypes.append((tensors["latents"].dtype, tensors["prompt_embeds"][0].dtype))
        return {}

    pipe = build(ZImagePipeline)
    half = ZImageTransformer2DModel.from_config(pipe.transformer.config).to(torch.bfloat16).eval()
    half.load_state_dict(pipe.transformer.state_dict())
    call = {"height": 16, "width": 16, "num_inference_steps": 1, "output_type": "latent"}
    build(ZImagePipeline, transformer=half)(
        "a cat", **call, callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"],
    )  # fmt: skip
    assert dtypes == [(torch.float32, torch.bfloat16)]


def test_an_image_has_its_own_size_or_that_of_the_call(build: Callable[..., Any]) -> None:
    pipe, call = build(ZImageImg2ImgPipeline), {"num_inference_steps": 2, "output_type": "pt"}
    assert pipe("a", picture(26, 20), **call).images.shape == (1, 3, 24, 20)
    assert pipe("a", picture(), height=8, width=12, **call).images.shape == (1, 3, 8, 12)
    cells = torch.ones(1, 4, 6, 8)
    assert pipe("a", cells, **call).images.shape == (1, 3, 12, 16)


def test_programs_with_a_loop_of_their_own_encode_prompts(build: Callable[..., Any]) -> None:
    pipe = build(ZImagePipeline)
    (alone,) = pipe._encode_prompt("a cat", "cpu", max_sequence_length=64)
    (both,), (negative,) = pipe.encode_prompt("a cat", max_sequence_length=64)
    assert torch.equal(alone, both)
    assert not torch.equal(both[: len(negative)], negative[: len(both)])
    assert pipe._encode_prompt("a cat", prompt_embeds=[both])[0] is both


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompt": None}, "neither prompt nor prompt_embeds"),
        ({"prompt_embeds": EMBEDS}, "both prompt and prompt_embeds"),
        ({"strength": 2}, "strength"),
        ({"height": 15}, "height"),
        ({"callback_on_step_end_tensor_inputs": ["noise"]}, "noise"),
    ],
)
def test_inputs_are_checked_alone(
    build: Callable[..., Any], wrong: dict[str, Any], message: str
) -> None:
    pipe = build(ZImageInpaintPipeline)
    image = picture(16, 16)
    given = {"prompt": "a", "image": image, "mask_image": image, "strength": 1.0}
    given |= {"height": 16, "width": 16, "output_type": "pil"}
    pipe.check_inputs(**given)
    with pytest.raises(ArgumentError, match=message):
        pipe.check_inputs(**{**given, **wrong})
