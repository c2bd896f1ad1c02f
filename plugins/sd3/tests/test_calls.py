"""What every task of the family promises beyond the conformance kit: refusals before any work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.pictures import mask, picture
from support.room import check_refuses_what_cannot_fit
from support.values import flaws_of

from autopipe import (
    DDIMScheduler,
    StableDiffusion3InpaintPipeline,
    StableDiffusion3Pipeline,
)
from autopipe.errors import ArgumentError, ArgumentTypeError, AutopipeError, SchedulerError

from .small import LONG, POOLED

EMBEDS, POOL = torch.zeros(1, 18, LONG), torch.zeros(1, 2 * POOLED)
GIVEN = {"prompt": None, "prompt_embeds": EMBEDS, "pooled_prompt_embeds": POOL}

BAD_CALLS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"prompt": None}, ArgumentError, "prompt"),
    ({"prompt_3": 5}, ArgumentTypeError, "prompt_3"),
    ({"prompt_3": ["a", "b"]}, ArgumentError, "prompt_3 has 2 entries for 1"),
    ({"negative_prompt_3": ["a", "b"]}, ArgumentError, "negative_prompt_3 has 2 entries for 1"),
    ({"prompt": ["a", "b"], "negative_prompt": ["c"]}, ArgumentError, "1 entries for 2"),
    ({**GIVEN, "prompt_3": "a"}, ArgumentError, "both prompt_3 and"),
    ({**GIVEN, "pooled_prompt_embeds": None}, ArgumentError, "need pooled_prompt_embeds"),
    ({**GIVEN, "pooled_prompt_embeds": POOL[0]}, ArgumentError, "two axes"),
    (
        {**GIVEN, "pooled_prompt_embeds": POOL.repeat(2, 1)},
        ArgumentError,
        "2 entries for 1 prompts",
    ),
    ({**GIVEN, "prompt_embeds": EMBEDS[..., 1:]}, ArgumentError, f"{LONG - 1} wide"),
    ({**GIVEN, "pooled_prompt_embeds": POOL[:, 1:]}, ArgumentError, "19 wide"),
    ({"negative_prompt_embeds": EMBEDS}, ArgumentError, "need negative_pooled_prompt_embeds"),
    ({"max_sequence_length": 513}, ArgumentError, "give 512 at most"),
    ({"max_sequence_length": 0}, ArgumentError, "max_sequence_length"),
    ({"clip_skip": 3}, ArgumentError, "can skip 2 layers"),
    ({"height": 18}, ArgumentError, "height is 18"),
    ({"height": 64}, ArgumentError, "positions for 32 pixels"),
    ({"sigmas": [0.1, 0.9]}, SchedulerError, "sigmas"),
    ({"mu": 1.0}, SchedulerError, "mu"),
    ({"num_inference_steps": 0}, ArgumentError, "num_inference_steps"),
    ({"joint_attention_kwargs": {"scael": 1}}, ArgumentError, "joint_attention_kwargs"),
    ({"ip_adapter_image": 5}, ArgumentError, "IP-Adapter"),
    ({"generator": [torch.Generator()] * 2}, ArgumentError, "2 generators"),
]


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(("changes", "kind", "said"), BAD_CALLS)
def test_bad_calls_are_refused_before_any_work(
    build: Callable[..., Any], task: Any, changes: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        build(task.kind)(**{"prompt": "a cat", **task.call, **changes})


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"skip_guidance_layers": 7}, "give a list"),
        ({"skip_guidance_layers": [3]}, "the layers 0 to 2"),
        ({"skip_guidance_layers": ["a"]}, "skip_guidance_layers"),
        ({"skip_layer_guidance_scale": "a"}, "skip_layer_guidance_scale"),
        ({"skip_layer_guidance_stop": None}, "skip_layer_guidance_stop"),
    ],
)
def test_layers_that_cannot_be_skipped(
    build: Callable[..., Any], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ArgumentError, match=said):
        build(StableDiffusion3Pipeline)("a cat", **changes)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("components", "said"),
    [
        ({"text_encoder_2": None}, "has no text_encoder_2"),
        ({"tokenizer": None}, "has no tokenizer"),
        ({"tokenizer_3": None}, "has no tokenizer_3"),
        ({"transformer": None}, "transformer"),
        ({"vae": None}, "vae"),
        ({"scheduler": DDIMScheduler()}, "not a scheduler of flows"),
    ],
)
def test_components_that_do_not_serve(
    build: Callable[..., Any], task: Any, components: dict[str, Any], said: str
) -> None:
    with pytest.raises(AutopipeError, match=said):
        build(task.kind, **components)("a cat", **task.call)


@pytest.mark.usefixtures("idle")
def test_text_encoders_of_another_checkpoint(
    build: Callable[..., Any], transformers: Callable[..., Any], task: Any
) -> None:
    for change, said in (
        ({"joint_attention_dim": 48}, r"widths 32 \(CLIP\) and 40 \(T5\)"),
        ({"pooled_projection_dim": 24}, "of the width 20, but the transformer takes 24"),
    ):
        pipe = build(task.kind, transformer=transformers(**change))
        with pytest.raises(ArgumentError, match=said):
            pipe("a cat", **task.call)


def test_embeddings_need_no_text_encoder(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind)
    embeds, negative, pooled, negative_pooled = pipe.encode_prompt(
        "a cat", None, None, max_sequence_length=6
    )
    names = ("text_encoder", "text_encoder_2", "text_encoder_3")
    tokenizers = ("tokenizer", "tokenizer_2", "tokenizer_3")
    alone = build(task.kind, **dict.fromkeys((*names, *tokenizers)))
    call = {**task.call, "num_images_per_prompt": 2}
    found = alone(
        prompt_embeds=embeds,
        negative_prompt_embeds=negative,
        pooled_prompt_embeds=pooled,
        negative_pooled_prompt_embeds=negative_pooled,
        generator=torch.Generator().manual_seed(0),
        **call,
    ).images
    expected = pipe("a cat", generator=torch.Generator().manual_seed(0), **call).images
    assert torch.equal(found, expected)


def test_check_inputs(build: Callable[..., Any]) -> None:
    pipe = build(StableDiffusion3Pipeline)
    pipe.check_inputs("a cat", None, None, 16, 16, max_sequence_length=512)
    with pytest.raises(ArgumentError, match="divisible by 4"):
        pipe.check_inputs("a cat", None, None, 16, 18)
    with pytest.raises(ArgumentError, match="both prompt_2"):
        pipe.check_inputs(None, "a", None, 16, 16, prompt_embeds=EMBEDS, pooled_prompt_embeds=POOL)


def test_every_value_works_or_is_refused_by_name(build: Callable[..., Any]) -> None:
    """Of the tasks together, whose arguments are the same but for those of one or the other."""
    further = {"image": picture(), "mask_image": mask()}
    call = {"prompt": "a cat", "output_type": "pt", "max_sequence_length": 6}
    for kind, given in ((StableDiffusion3Pipeline, {}), (StableDiffusion3InpaintPipeline, further)):
        flaws = flaws_of(build(kind), {**call, **given, "num_inference_steps": 1})
        assert not flaws, "\n".join(flaws)


def test_what_cannot_fit_is_refused(build: Callable[..., Any], task: Any) -> None:
    call = {"prompt": "a cat", **task.call, "num_inference_steps": 1}
    check_refuses_what_cannot_fit(build(task.kind), call)
