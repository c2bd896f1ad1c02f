"""What calls refuse before any work, and what goes beyond diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    DDIMScheduler,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)
from autopipe.errors import ArgumentError, SchedulerError

SIZE: dict[str, Any] = {
    "height": 16,
    "width": 16,
    "max_sequence_length": 8,
    "num_inference_steps": 2,
    "output_type": "pt",
}
EMBEDS = torch.zeros(1, 8, 24)
POOLED = torch.zeros(1, 16)


@pytest.fixture
def draw(build: Callable[..., Any], images: dict[type, Any]) -> Callable[..., Any]:
    def run(kind: type, prompt: Any = "a cat", components: Any = (), **call: Any) -> Any:
        pipe = build(kind, **dict(components))
        generator = torch.Generator().manual_seed(0)
        given = {"generator": generator, **SIZE, **images[kind], **call}
        return pipe(prompt, **given).images

    return run


@pytest.mark.parametrize(
    ("told", "call"),
    [
        ("prompt", {"prompt": None}),
        ("prompt", {"prompt": 3}),
        ("prompt_2", {"prompt_2": 3}),
        ("prompt_2 has 2 entries", {"prompt_2": ["a", "b"]}),
        ("pooled_prompt_embeds", {"prompt": None, "prompt_embeds": EMBEDS}),
        (
            "8 wide",
            {"prompt": None, "prompt_embeds": EMBEDS[..., :8], "pooled_prompt_embeds": POOLED},
        ),
        ("two axes", {"pooled_prompt_embeds": EMBEDS}),
        ("true_cfg_scale", {"true_cfg_scale": "3"}),
        ("give 1 to 512", {"max_sequence_length": 513}),
        ("max_sequence_length", {"max_sequence_length": 1.5}),
        ("guidance_scale", {"guidance_scale": float("nan")}),
        ("num_inference_steps", {"num_inference_steps": 0}),
        ("latents", {"latents": torch.zeros(1, 16, 4)}),
        ("latents", {"latents": "noise"}),
        ("joint_attention_kwargs", {"joint_attention_kwargs": {"loud": 1}}),
        ("attach an IP-Adapter", {"ip_adapter_image_embeds": [POOLED]}),
        ("leave it out", {"negative_ip_adapter_image_embeds": [POOLED]}),
        ("output_type", {"output_type": "jpg"}),
        ("callback_on_step_end_tensor_inputs", {"callback_on_step_end_tensor_inputs": ["x"]}),
        (
            "8 and 5 tokens",
            {
                "true_cfg_scale": 2.0,
                "negative_prompt_embeds": EMBEDS[:, :5],
                "negative_pooled_prompt_embeds": POOLED,
            },
        ),
    ],
    ids=lambda one: ",".join(one) if isinstance(one, dict) else one,
)
def test_wrong_arguments_are_refused_before_any_work(
    draw: Callable[..., Any],
    kind: type,
    monkeypatch: pytest.MonkeyPatch,
    told: str,
    call: dict[str, Any],
) -> None:
    def used(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a network was used before the error")

    monkeypatch.setattr(torch.nn.Linear, "forward", used)
    with pytest.raises(ArgumentError, match=told):
        draw(kind, **call)


def test_components_that_do_not_fit_are_refused(
    draw: Callable[..., Any], transformer: Callable[..., Any]
) -> None:
    with pytest.raises(ArgumentError, match="text_encoder_2 gives embeddings of the width 24"):
        draw(FluxPipeline, components={"transformer": transformer(joint_attention_dim=8)})
    with pytest.raises(ArgumentError, match="no text encoder"):
        draw(FluxPipeline, components={"text_encoder": None})
    with pytest.raises(ArgumentError, match="it takes 9"):
        draw(FluxPipeline, components={"transformer": transformer(in_channels=36)})
    with pytest.raises(SchedulerError, match="not a scheduler of flows"):
        draw(FluxPipeline, components={"scheduler": DDIMScheduler()})


def test_a_negative_text_is_for_all_prompts(draw: Callable[..., Any]) -> None:
    prompts = ["a cat", "a red dog"]
    call = {"true_cfg_scale": 2.0, "latents": torch.zeros(2, 16, 16)}
    one = draw(FluxPipeline, prompts, negative_prompt="dog", **call)
    assert torch.equal(one, draw(FluxPipeline, prompts, negative_prompt=["dog"] * 2, **call))


def test_embeddings_are_repeated_for_each_image(draw: Callable[..., Any]) -> None:
    given = {"prompt_embeds": EMBEDS, "pooled_prompt_embeds": POOLED}
    assert len(draw(FluxPipeline, None, num_images_per_prompt=2, **given)) == 2


def test_a_task_goes_on_with_the_weights_of_another(build: Callable[..., Any]) -> None:
    pipe = build(FluxPipeline)
    for auto, kind in (
        (AutoPipelineForImage2Image, FluxImg2ImgPipeline),
        (AutoPipelineForInpainting, FluxInpaintPipeline),
    ):
        other = auto.from_pipe(pipe)
        assert type(other) is kind
        assert other.transformer is pipe.transformer
        assert isinstance(other.transformer, FluxTransformer2DModel)


def test_slices_and_tiles_of_the_autoencoder(build: Callable[..., Any], parts: Any) -> None:
    pipe = build(FluxPipeline)
    pipe.enable_vae_slicing()
    pipe.enable_vae_tiling()
    assert (parts["vae"].use_slicing, parts["vae"].use_tiling) == (True, True)
    pipe.disable_vae_slicing()
    pipe.disable_vae_tiling()
    assert (parts["vae"].use_slicing, parts["vae"].use_tiling) == (False, False)
